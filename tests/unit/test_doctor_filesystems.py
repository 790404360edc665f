"""The doctor's knowledge of file systems, from mountinfo as the kernels write it."""

from __future__ import annotations

import pytest

from noroshi.console.doctor.filesystems import bad_options, doubts, family_of
from noroshi.node.probe.place import mount_of
from noroshi.node.wire.probing import Located

MOUNTINFO = r"""
21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro
30 21 0:40 / /srv/noroshi rw,relatime shared:9 - nfs4 srv:/x rw,vers=4.2,hard,proto=tcp,local_lock=none,lookupcache=none
31 21 0:41 / /srv/noroshi-old rw,relatime - nfs srv:/y rw,vers=3,soft,nolock,local_lock=all
32 21 0:42 / /srv/with\040blank rw - fuse.glusterfs vol rw,user_id=0,allow_other,max_read=131072
33 30 0:43 / /srv/noroshi/inner rw - gfs2 /dev/vg/lv rw,localflocks
34 21 0:44 / /mnt/c rw - ceph 10.0.0.1:6789:/ rw,recover_session=clean
35 21 0:45 / /mnt/c rw - ceph 10.0.0.2:6789:/ rw,lazyio
36 21 0:46 / /mnt/z rw - 9p host rw
"""


def located(path: str) -> Located:
    mount = mount_of(path, MOUNTINFO)
    assert mount is not None
    return Located(mount.kind, mount.source, mount.point, ",".join(mount.options), "boot", 10**12)


@pytest.mark.parametrize(
    ("path", "source", "family"),
    [
        ("/var", "/dev/sda1", "a local file system"),
        ("/srv/noroshi", "srv:/x", "NFS"),
        ("/srv/noroshi/deeper", "srv:/x", "NFS"),
        ("/srv/noroshi-old", "srv:/y", "NFS"),
        ("/srv/noroshi-older", "/dev/sda1", "a local file system"),
        ("/srv/with blank/x", "vol", "GlusterFS"),
        ("/srv/noroshi/inner", "/dev/vg/lv", "GFS2"),
        ("/mnt/c", "10.0.0.2:6789:/", "CephFS"),
        ("/mnt/z", "host", ""),
    ],
)
def test_the_mount_of_a_directory_and_its_family(path: str, source: str, family: str) -> None:
    assert located(path).source == source
    assert family_of(located(path).kind).name == family


def test_options_that_break_the_protocol_are_named_with_why() -> None:
    assert bad_options(located("/srv/noroshi")) == []
    assert [each.split()[0] for each in bad_options(located("/srv/noroshi-old"))] == [
        "nolock",
        "local_lock=all",
        "soft",
    ]
    assert bad_options(located("/srv/noroshi/inner")) == ["localflocks (locks do not leave this host)"]
    assert bad_options(located("/mnt/c"))[0].startswith("lazyio (")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/var", []),
        ("/srv/noroshi", []),
        ("/srv/noroshi-old", ["lookupcache=none", "NFSv3 does not fence"]),
        ("/mnt/z", ["nothing is known"]),
    ],
)
def test_what_may_break_it_is_a_doubt(path: str, words: list[str]) -> None:
    found = doubts(located(path))
    assert len(found) == len(words)
    assert all(word in doubt for word, doubt in zip(words, found, strict=True))


def test_every_family_says_what_to_do() -> None:
    for kind in ("nfs4", "fuse.glusterfs", "ceph", "gfs2", "ocfs2", "9p"):
        family = family_of(kind)
        assert family.cure
        assert all(family.fence)
