"""What is known of file systems as shared disks: which options the protocol needs, and which of them break it.

Rules: one entry a family; what the GlusterFS one says was measured (design section 3, What the disk must give), the
others follow their own documentation: nfs(5), the kernel's and Ceph's pages on CephFS, gfs2(5), mount.ocfs2(8).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from noroshi.node.wire.probing import Located

EXTERNAL = "let a cluster manager with fencing lead: coordinator: external, Pacemaker with STONITH"


@dataclass(frozen=True)
class Family:
    """`cure`: the options that give what the protocol needs; `fence`: what is known of late writes, and what to do.

    `bad`: mount options that break it, each with the reason.
    """

    name: str
    kinds: tuple[str, ...]
    cure: str
    fence: tuple[str, str]
    bad: dict[str, str]
    local: bool = False


_NFS_BAD = {
    "nolock": "locks do not leave this host",
    "local_lock=all": "locks do not leave this host",
    "local_lock=flock": "flock does not leave this host",
    "local_lock=posix": "fcntl locks do not leave this host",
    "nocto": "a fresh open does not look at the server",
    "soft": "an operation that times out is lost with an error, written data with it",
    "softerr": "an operation that times out is lost with an error, written data with it",
}
_DLM_BAD = {"localflocks": "locks do not leave this host"}

FAMILIES = (
    Family(
        "NFS",
        ("nfs", "nfs4"),
        "mount as NFSv4.1 or later with hard,lookupcache=none,actimeo=0,local_lock=none and without nocto; "
        "export with sync",
        ("a client that lost its lease fails writes under its lost locks (nfs.recover_lost_locks=N)", EXTERNAL),
        _NFS_BAD,
    ),
    Family(
        "GlusterFS",
        ("fuse.glusterfs",),
        "gluster volume set VOLUME off for performance.quick-read, io-cache, read-ahead, stat-prefetch, write-behind, "
        "open-behind, readdir-ahead, nl-cache and features.ctime; mount with auto-invalidation=on,attribute-timeout=0,"
        "entry-timeout=0",
        (
            "with client.strict-locks on a replaced leader's late writes got EIO; by default they overwrote newer "
            "pages. The option is the volume's and cannot be seen from here",
            "gluster volume set VOLUME client.strict-locks on; else " + EXTERNAL,
        ),
        {},
    ),
    Family(
        "CephFS",
        ("ceph", "fuse.ceph-fuse", "fuse.ceph"),
        "mount every node directly, without lazyio (ceph-fuse: client_force_lazyio=false) and with recover_session=no",
        (
            "an evicted client is blocklisted and its late writes are refused, while mds_session_blocklist_on_timeout "
            "and _on_evict are true, as by default; eviction comes after session_autoclose (300 s)",
            "ceph config get mds mds_session_blocklist_on_timeout; a shorter session_autoclose replaces faster",
        ),
        {"lazyio": "a reader may be given what its host has cached"},
    ),
    Family(
        "GFS2",
        ("gfs2",),
        "mount with lockproto=lock_dlm on every node, dlm_controld and corosync running, without localflocks",
        (
            "the lock manager gives nothing out before a lost node was fenced, so it rests on the cluster's fencing",
            "pcs stonith status: every node needs a fence device that was tried; enable_fencing=1 in dlm.conf",
        ),
        {**_DLM_BAD, "lockproto=lock_nolock": "locks do not leave this host"},
    ),
    Family(
        "OCFS2",
        ("ocfs2",),
        "use the pcmk cluster stack (o2cb has no cluster-wide fcntl locks), without localflocks",
        ("it rests on the fencing of the cluster stack", "pcs stonith status: every node needs a fence device"),
        _DLM_BAD,
    ),
    Family(
        "a local file system",
        ("ext2", "ext3", "ext4", "xfs", "btrfs", "tmpfs", "zfs", "f2fs", "overlay", "bcachefs"),
        "it is for nodes of one host; nodes on several hosts need a directory that all of them mount",
        ("", ""),
        {},
        local=True,
    ),
)

_UNKNOWN = "nothing is known of it here; NFSv4, GlusterFS, CephFS and GFS2 have options that are (README, Disks)"


def family_of(kind: str) -> Family:
    """By the type in mountinfo; one without a name for what nobody here knows."""
    for family in FAMILIES:
        if kind in family.kinds:
            return family
    return Family("", (), _UNKNOWN, ("nothing is known of it here", EXTERNAL), {})


def bad_options(at: Located) -> list[str]:
    """The mount options that break the protocol, each with why."""
    given = at.options.split(",")
    return [f"{option} ({why})" for option, why in family_of(at.kind).bad.items() if option in given]


def doubts(at: Located) -> list[str]:
    """What may break it: options that leave caches on, versions that do not fence, a disk that forgets."""
    return [word for test, word in _DOUBTS if test(at, at.options.split(","))]


def late_writes(at: Located) -> list[str]:
    """The doubts for which a replaced host's late writes may arrive."""
    return [word for word in doubts(at) if word in _LATE]


_NFS_OLD = "NFSv3 does not fence a replaced host"
_NFS_LOST = "nfs.recover_lost_locks=Y takes a lost lock back without asking"
_CEPH_CLEAN = "recover_session=clean lets a blocklisted client come back"
_LATE = frozenset({_NFS_OLD, _NFS_LOST, _CEPH_CLEAN})

_DOUBTS: tuple[tuple[Callable[[Located, list[str]], bool], str], ...] = (
    (
        lambda at, given: at.kind.startswith("nfs") and "lookupcache=none" not in given,
        "without lookupcache=none a file that was just renamed into place may be missed",
    ),
    (
        lambda at, given: at.kind.startswith("nfs") and any(each in given for each in ("vers=2", "vers=3")),
        _NFS_OLD,
    ),
    (
        lambda at, given: at.kind.startswith("nfs") and at.lost_locks == "Y",
        _NFS_LOST,
    ),
    (
        lambda at, given: at.kind == "ceph" and "recover_session=clean" in given,
        _CEPH_CLEAN,
    ),
    (lambda at, given: at.kind == "tmpfs", "tmpfs is gone at the next start of the host"),
    (lambda at, given: not family_of(at.kind).name, "a file system that nothing is known of here"),
)
