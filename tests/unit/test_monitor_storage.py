"""Redundancy of disks and paths: md, LVM, ZFS, btrfs, multipath; and of network cards: bonds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from monitored import FakeRun, options, seen, tree, without

from noroshi.node.monitors import lvm, multipath, raid, zfs
from noroshi.node.monitors.bond import BondMonitor
from noroshi.node.monitors.btrfs import BtrfsMonitor
from noroshi.node.monitors.lvm import LvmMonitor
from noroshi.node.monitors.multipath import MultipathMonitor
from noroshi.node.monitors.program import Finished
from noroshi.node.monitors.raid import RaidMonitor
from noroshi.node.monitors.zfs import ZfsMonitor

OK = ("OK", "")

# --- md ----------------------------------------------------------------------------------------------------------

HEALTHY = """Personalities : [raid1]
md0 : active raid1 sdb1[1] sda1[0]
      1046528 blocks super 1.2 [2/2] [UU]

unused devices: <none>
"""
DEGRADED = HEALTHY.replace("sda1[0]", "sda1[0](F)").replace("[2/2] [UU]", "[2/1] [_U]")
REBUILDING = DEGRADED + "      [=>....]  recovery =  7.5% (78848/1046528) finish=0.2min speed=78848K/sec\n"
INACTIVE = "md1 : inactive sdc1[0](S)\n      1048576 blocks super 1.2\n"
WAITING = HEALTHY.replace("active raid1", "active (auto-read-only) raid1")
SPARE = HEALTHY.replace("sda1[0]", "sda1[0] sdc1[2](F)")
STRIPES = "md2 : active raid0 sdb1[1] sda1[0]\n      2093056 blocks super 1.2 512k chunks\n"
BROKEN = STRIPES.replace("active", "broken")


def _raid5(in_sync: int, flags: str, level: str = "raid5") -> str:
    return f"md3 : active {level} sdd1[3] sdb1[1](F)\n      1 blocks level 5 [4/{in_sync}] [{flags}]\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (HEALTHY, {"md0": OK}),
        (DEGRADED, {"md0": ("DEGRADED", "1 of 2 members in sync, failed: sda1")}),
        (REBUILDING, {"md0": ("DEGRADED", "1 of 2 members in sync, failed: sda1")}),
        (INACTIVE, {"md1": ("ERROR", "inactive")}),
        (HEALTHY + INACTIVE, {"md0": OK, "md1": ("ERROR", "inactive")}),
        (WAITING, {"md0": OK}),
        (SPARE, {"md0": ("WARNING", "failed spare: sdc1")}),
        (STRIPES, {"md2": OK}),
        (BROKEN, {"md2": ("ERROR", "broken")}),
        (_raid5(3, "U_UU"), {"md3": ("DEGRADED", "3 of 4 members in sync, failed: sdb1")}),
        (_raid5(2, "U__U"), {"md3": ("ERROR", "too few members: 2 of 4 members in sync, failed: sdb1")}),
        (_raid5(2, "U__U", "raid6"), {"md3": ("DEGRADED", "2 of 4 members in sync, failed: sdb1")}),
        (HEALTHY.replace("[2/2] [UU]", "[2/0] [__]"), {"md0": ("ERROR", "too few members: 0 of 2 members in sync")}),
        ("Personalities :\nunused devices: <none>\n", {}),
        ("", {}),
    ],
)
def test_mdstat(text: str, expected: dict[str, tuple[str, str]]) -> None:
    assert raid.parse(text) == expected


def test_a_kernel_without_md_reports_nothing(tmp_path: Path) -> None:
    assert seen(RaidMonitor("db1", options("raid", tmp_path))) == {}


def test_an_array_is_named_after_the_node_and_a_check_that_found_something_is_a_warning(tmp_path: Path) -> None:
    monitor = RaidMonitor("db1", options("raid", tmp_path))
    tree(tmp_path, {"proc/mdstat": _raid5(4, "UUUU").replace("(F)", "")})
    assert seen(monitor) == {"raid/db1/md3": OK}
    md = "sys/block/md3/md"
    tree(tmp_path, {f"{md}/level": "raid5", f"{md}/sync_action": "check", f"{md}/mismatch_cnt": 8})
    assert seen(monitor) == {"raid/db1/md3": OK}
    tree(tmp_path, {f"{md}/sync_action": "idle"})
    assert seen(monitor) == {"raid/db1/md3": ("WARNING", "a check found parity that does not match")}
    tree(tmp_path, {f"{md}/level": "raid1"})
    assert seen(monitor) == {"raid/db1/md3": OK}


# --- LVM ---------------------------------------------------------------------------------------------------------


def _lvs(*rows: tuple[str, str, str]) -> str:
    """As lvs prints it: everything is text."""
    volumes = [
        {"vg_name": "vg0", "lv_name": name, "lv_layout": layout, "lv_health_status": health, "raid_mismatch_count": ""}
        for name, layout, health in rows
    ]
    return json.dumps({"report": [{"lv": volumes}], "log": []})


@pytest.mark.parametrize(
    ("layout", "health", "expected"),
    [
        ("raid,raid1", "", OK),
        ("raid,raid1", "partial", ("DEGRADED", "a disk is missing")),
        ("linear", "partial", ("ERROR", "a disk is missing")),
        ("raid,raid6", "refresh needed", ("DEGRADED", "a disk was away: refresh needed")),
        ("raid,raid5", "mismatches exist", ("WARNING", "mismatches exist")),
        ("raid,raid1", "writemostly", OK),
        ("thin,pool", "out_of_data", ("ERROR", "out of data")),
        ("thin,pool", "metadata_read_only", ("ERROR", "metadata read only")),
        ("cache", "a word of a later release", ("WARNING", "a word of a later release")),
        ("linear", "", None),
    ],
)
def test_a_volumes_health(layout: str, health: str, expected: tuple[str, str] | None) -> None:
    assert lvm.parse(_lvs(("data", layout, health))) == ({"vg0/data": expected} if expected else {})


def test_lvs_is_asked_only_where_there_are_volumes(tmp_path: Path) -> None:
    run = FakeRun({"json": Finished(0, _lvs(("data", "raid,raid1", "partial"), ("root", "linear", "")))})
    monitor = LvmMonitor("db1", options("lvm", tmp_path, command=("/sbin/lvs",)), run)
    tree(tmp_path, {"sys/block/dm-0/dm/uuid": "CRYPT-LUKS2-1234", "sys/block/sda/size": 8})
    assert (seen(monitor), run.calls) == ({}, [])
    tree(tmp_path, {"sys/block/dm-1/dm/uuid": "LVM-abcdef"})
    assert seen(monitor) == {"raid/db1/vg0/data": ("DEGRADED", "a disk is missing")}
    assert run.calls[0][:3] == ["/sbin/lvs", "--reportformat", "json"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"report": [{"lv": [{}]}]}', "no json"])
def test_what_lvs_does_not_print(text: str) -> None:
    with pytest.raises(ValueError):
        lvm.parse(text)


# --- ZFS ---------------------------------------------------------------------------------------------------------

ZPOOL = """\
  pool: backup
 state: ONLINE
  scan: scrub repaired 0B in 00:00:01 with 0 errors on Sun Nov  8 00:24:02 2026
config:

\tNAME        STATE     READ WRITE CKSUM
\tbackup      ONLINE       0     0     0
\t  sdx       ONLINE       0     0     3

errors: No known data errors

  pool: tank
 state: DEGRADED
status: One or more devices could not be used because the label is missing or
\tinvalid.  Sufficient replicas exist for the pool to continue
\tfunctioning in a degraded state.
action: Replace the device using 'zpool replace'.
   see: https://openzfs.github.io/openzfs-docs/msg/ZFS-8000-4J
config:

\tNAME                     STATE     READ WRITE CKSUM
\ttank                     DEGRADED     0     0     0
\t  mirror-0               DEGRADED     0     0     0
\t    sda                  ONLINE       0     0     0
\t    1234567890123456789  UNAVAIL      0     0     0  was /dev/sdb1
\t  indirect-1             ONLINE       -     -     -
\tlogs
\t  nvme0n1p1              ONLINE       0     0     0
\tspares
\t  sdz                    AVAIL

errors: No known data errors

  pool: gone
 state: UNAVAIL
config:

\tNAME        STATE     READ WRITE CKSUM
\tgone        UNAVAIL      0     0     0  insufficient replicas
\t  sdq       FAULTED     12     0     0  too many errors

errors: 3 data errors, use '-v' for a list
"""


def test_zpool_status_names_what_is_wrong() -> None:
    pools = {name: pool.condition() for name, pool in zfs.parse(ZPOOL).items()}
    assert pools == {
        "backup": ("WARNING", "errors on sdx"),
        "tank": ("DEGRADED", "DEGRADED: 1234567890123456789 UNAVAIL"),
        "gone": ("ERROR", "UNAVAIL: sdq FAULTED"),
    }
    assert zfs.parse("no pools available\n") == {}


def _zfs(root: Path, run: FakeRun) -> ZfsMonitor:
    return ZfsMonitor("db1", options("zfs", root, command=("/sbin/zpool",)), run)


def test_without_zfs_nobody_is_asked(tmp_path: Path) -> None:
    run = FakeRun()
    assert (seen(_zfs(tmp_path, run)), run.calls) == ({}, [])


def test_a_suspended_pool_is_told_without_asking_for_it(tmp_path: Path) -> None:
    kstat = "proc/spl/kstat/zfs"
    tree(tmp_path, {f"{kstat}/arcstats": "x", f"{kstat}/backup/state": "ONLINE", f"{kstat}/dead/state": "SUSPENDED"})
    run = FakeRun({"status": Finished(0, ZPOOL.partition("  pool: tank")[0])})
    assert seen(_zfs(tmp_path, run)) == {
        "pool/db1/backup": ("WARNING", "errors on sdx"),
        "pool/db1/dead": ("ERROR", "SUSPENDED"),
    }
    assert run.calls == [["/sbin/zpool", "status", "backup"]]


def test_an_old_release_that_shows_no_states_is_asked_for_all(tmp_path: Path) -> None:
    tree(tmp_path, {"proc/spl/kstat/zfs/tank/io": "x"})
    run = FakeRun({"status": Finished(0, ZPOOL)})
    assert set(seen(_zfs(tmp_path, run))) == {"pool/db1/backup", "pool/db1/tank", "pool/db1/gone"}
    assert run.calls == [["/sbin/zpool", "status"]]


# --- btrfs -------------------------------------------------------------------------------------------------------

STATS = "write_errs {}\nread_errs {}\nflush_errs 0\ncorruption_errs {}\ngeneration_errs 0"


def _btrfs(root: Path, uuid: str, label: str, devices: dict[str, tuple[int, str]]) -> None:
    directory = f"sys/fs/btrfs/{uuid}"
    tree(root, {"sys/fs/btrfs/features/raid56": 0, f"{directory}/label": label})
    for device, (missing, stats) in devices.items():
        tree(root, {f"{directory}/devinfo/{device}/missing": missing})
        tree(root, {f"{directory}/devinfo/{device}/error_stats": stats})


def test_btrfs_devices(tmp_path: Path) -> None:
    monitor = BtrfsMonitor("db1", options("btrfs", tmp_path))
    assert seen(monitor) == {}
    fine = (0, STATS.format(0, 0, 0))
    _btrfs(tmp_path, "ed0caaa9", "tank", {"1": fine, "2": fine})
    _btrfs(tmp_path, "11111111", "", {"1": fine})
    _btrfs(tmp_path, "22222222", "twice", {"1": (0, "invalid")})
    _btrfs(tmp_path, "33333333", "twice", {"1": fine})
    names = ["tank", "11111111", "22222222", "33333333"]
    assert seen(monitor) == {f"pool/db1/{name}": OK for name in names}
    _btrfs(tmp_path, "ed0caaa9", "tank", {"2": (0, STATS.format(3, 0, 17))})
    assert seen(monitor)["pool/db1/tank"] == ("WARNING", "device 2: write errors, corruption")
    _btrfs(tmp_path, "ed0caaa9", "tank", {"1": (1, STATS.format(0, 0, 0))})
    assert seen(monitor)["pool/db1/tank"] == ("DEGRADED", "missing: device 1")


# --- multipath ---------------------------------------------------------------------------------------------------


def _maps(**maps: list[tuple[str, str, str]]) -> str:
    """As `multipathd list multipaths json` prints it, in so far as it matters; two groups of paths."""
    listed = [
        {
            "name": name,
            "dm_st": "active",
            "path_groups": [
                {"dm_st": "active", "paths": [{"dev": dev, "dm_st": dm, "chk_st": chk} for dev, dm, chk in half]}
                for half in (paths[:1], paths[1:])
            ],
        }
        for name, paths in maps.items()
    ]
    return json.dumps({"major_version": 0, "minor_version": 1, "maps": listed})


GOOD = [("sdb", "active", "ready"), ("sdc", "active", "ghost"), ("sdd", "active", "i/o pending")]


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (GOOD, OK),
        ([("sdb", "failed", "faulty"), *GOOD[1:]], ("DEGRADED", "failed: sdb")),
        ([("sdb", "active", "i/o timeout"), GOOD[1], ("sdd", "failed", "ready")], ("DEGRADED", "failed: sdb, sdd")),
        ([(dev, "failed", "faulty") for dev, _, _ in GOOD], ("ERROR", "no path is left")),
        (GOOD[:2], ("DEGRADED", "1 of 3 paths are gone")),
        ([GOOD[0], ("sde", "active", "ready"), GOOD[2]], OK),
        ([GOOD[0], ("sdc", "failed", "faulty")], ("DEGRADED", "failed: sdc; 1 of 3 paths are gone")),
        ([], ("ERROR", "no path is left")),
    ],
)
def test_a_map_that_had_three_paths(
    tmp_path: Path, paths: list[tuple[str, str, str]], expected: tuple[str, str]
) -> None:
    tree(tmp_path, {"sys/block/dm-0/dm/uuid": "mpath-3600a0b80000f"})
    run = FakeRun({"json": Finished(0, _maps(mpatha=GOOD))})
    monitor = MultipathMonitor("db1", options("multipath", tmp_path, command=("/sbin/multipathd",)), run)
    assert seen(monitor, 0) == {"multipath/db1/mpatha": OK}
    run.answers["json"] = Finished(0, _maps(mpatha=paths))
    assert seen(monitor, 30) == {"multipath/db1/mpatha": expected}
    if paths == GOOD[:2]:
        assert seen(monitor, 3700) == {"multipath/db1/mpatha": OK}  # two paths are how it is now
    assert run.calls[0] == ["/sbin/multipathd", "list", "multipaths", "json"]


def test_multipathd_is_asked_only_where_there_are_maps_and_understood_or_not(tmp_path: Path) -> None:
    run = FakeRun()
    assert seen(MultipathMonitor("db1", options("multipath", tmp_path, command=("/x",)), run)) == {}
    assert run.calls == []
    for text in ("", "fail", "timeout", "[]", '{"maps": [{}]}'):
        with pytest.raises(ValueError):
            multipath.parse(text)


# --- bonds -------------------------------------------------------------------------------------------------------


def _bond(root: Path, **members: str) -> None:
    tree(root, {"sys/class/net/bond0/bonding/slaves": " ".join(members), "sys/class/net/eth9/flags": "0x1"})
    for name, status in members.items():
        tree(root, {f"sys/class/net/{name}/bonding_slave/mii_status": status})


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"eth0": "up", "eth1": "up"}, OK),
        ({"eth0": "up", "eth1": "going down"}, OK),
        ({"eth0": "up", "eth1": "down"}, ("DEGRADED", "eth1 down")),
        ({"eth0": "going back", "eth1": "up"}, ("DEGRADED", "eth0 down")),
        ({"eth0": "down", "eth1": "down"}, ("ERROR", "eth0 down, eth1 down")),
        ({"eth1": "up"}, ("DEGRADED", "eth0 is no member any more")),
        ({"eth1": "down"}, ("ERROR", "eth1 down, eth0 is no member any more")),
        ({}, ("ERROR", "eth0 is no member any more, eth1 is no member any more")),
    ],
)
def test_a_bond_that_had_two_members(tmp_path: Path, members: dict[str, str], expected: tuple[str, str]) -> None:
    monitor = BondMonitor("db1", options("bond", tmp_path))
    _bond(tmp_path, eth0="up", eth1="up")
    assert seen(monitor, 0) == {"bond/db1/bond0": OK}
    _bond(tmp_path, **members)
    assert seen(monitor, 5) == {"bond/db1/bond0": expected}
    if members == {"eth1": "up"}:
        assert seen(monitor, 5 + 86_400) == {"bond/db1/bond0": OK}


def test_a_bond_that_never_had_members_and_one_that_is_taken_down(tmp_path: Path) -> None:
    monitor = BondMonitor("db1", options("bond", tmp_path))
    assert seen(monitor) == {}
    _bond(tmp_path)
    assert seen(monitor) == {}
    _bond(tmp_path, eth0="up")
    assert seen(monitor) == {"bond/db1/bond0": OK}
    without(tmp_path, "sys/class/net/bond0")
    assert seen(monitor) == {}
