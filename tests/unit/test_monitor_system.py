"""Disks, links, units, pressure: on trees that stand for /proc and /sys, and lists that stand for systemctl's."""

from __future__ import annotations

from pathlib import Path

import pytest
from monitored import FakeRun, options, seen, tree, without

from noroshi.node.monitors import link, pressure, reading, unit
from noroshi.node.monitors.block import BlockMonitor
from noroshi.node.monitors.link import LinkMonitor
from noroshi.node.monitors.pressure import PressureMonitor
from noroshi.node.monitors.program import Finished
from noroshi.node.monitors.record import Record
from noroshi.node.monitors.unit import UnitMonitor

# --- block -------------------------------------------------------------------------------------------------------

OK = ("OK", "")


def _disk(root: Path, name: str, state: str = "running", errors: int = 0, removable: int = 0) -> None:
    disk = f"sys/block/{name}"
    tree(root, {f"{disk}/device/state": state, f"{disk}/device/ioerr_cnt": hex(errors)})
    tree(root, {f"{disk}/removable": removable})


def _block(root: Path, **changes: object) -> BlockMonitor:
    return BlockMonitor("db1", options("block", root, **changes), Record())


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("running", OK),
        ("live", OK),
        ("offline", ("ERROR", "the kernel has set it offline")),
        ("transport-offline", ("ERROR", "the kernel has set it transport-offline")),
        ("dead", ("ERROR", "the kernel has set it dead")),
        ("blocked", ("WARNING", "does not take requests: blocked")),
        ("connecting", ("WARNING", "does not take requests: connecting")),
        ("a word of a later kernel", OK),
    ],
)
def test_what_the_kernel_thinks_of_a_disk(tmp_path: Path, state: str, expected: tuple[str, str]) -> None:
    _disk(tmp_path, "sda", state)
    assert seen(_block(tmp_path)) == {"block/db1/sda": expected}


def test_only_disks_with_hardware_behind_them_count_and_some_tell_nothing(tmp_path: Path) -> None:
    assert seen(_block(tmp_path)) == {}
    tree(tmp_path, {"sys/block/loop0/size": 8, "sys/block/dm-0/size": 8, "sys/block/vda/device/vendor": "0x1af4"})
    assert seen(_block(tmp_path)) == {"block/db1/vda": OK}


def test_io_errors_count_by_rate_and_end_by_themselves(tmp_path: Path) -> None:
    monitor = _block(tmp_path, errors=3, window=600.0)
    history = [(0, 7), (10, 8), (20, 9), (30, 10), (500, 10), (625, 10), (700, 10)]
    states = []
    for now, errors in history:
        _disk(tmp_path, "sda", errors=errors)
        states.append(seen(monitor, now)["block/db1/sda"][0])
    assert states == ["OK", "OK", "OK", "WARNING", "WARNING", "OK", "OK"]


def test_a_disk_that_vanishes_is_missed_for_an_hour_unless_it_is_meant_to_be_taken_out(tmp_path: Path) -> None:
    monitor = _block(tmp_path)
    _disk(tmp_path, "sda")
    _disk(tmp_path, "sdb", removable=1)
    assert set(seen(monitor, 0)) == {"block/db1/sda", "block/db1/sdb"}
    without(tmp_path, "sys/block/sda", "sys/block/sdb")
    assert seen(monitor, 10) == {"block/db1/sda": ("WARNING", "no longer there")}
    assert seen(monitor, 3500) == {"block/db1/sda": ("WARNING", "no longer there")}
    assert seen(monitor, 3601) == {}
    _disk(tmp_path, "sda")
    assert seen(monitor, 3700) == {"block/db1/sda": OK}


# --- link --------------------------------------------------------------------------------------------------------

UP, DOWN_LINK, OFF = ("0x1003", "up", 1), ("0x1003", "down", 0), ("0x1002", "down", None)


def _interface(root: Path, name: str, state: tuple[str, str, int | None], *also: str) -> None:
    flags, operstate, carrier = state
    interface = f"sys/class/net/{name}"
    tree(root, {f"{interface}/flags": flags, f"{interface}/operstate": operstate})
    (root / interface / "carrier").unlink(missing_ok=True)
    tree(root, {f"{interface}/{each}": None for each in also})
    if carrier is not None:
        tree(root, {f"{interface}/carrier": carrier})


def _link(root: Path, has: dict[str, set[str]] | None = None, **changes: object) -> LinkMonitor:
    addresses = has or {}
    return LinkMonitor("db1", options("link", root, **changes), lambda: addresses)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (UP, OK),
        (("0x1003", "unknown", 1), OK),
        (DOWN_LINK, ("ERROR", "no link")),
        (("0x1003", "lowerlayerdown", 0), ("ERROR", "no link")),
        (("0x1003", "up", 0), ("ERROR", "no link")),
        (("0x1003", "dormant", 1), ("ERROR", "no link: dormant")),
        (OFF, ("ERROR", "turned off")),
    ],
)
def test_an_interface_that_had_a_link(
    tmp_path: Path, state: tuple[str, str, int | None], expected: tuple[str, str]
) -> None:
    monitor = _link(tmp_path)
    _interface(tmp_path, "eth0", UP, "device")
    assert seen(monitor) == {"link/db1/eth0": OK}
    _interface(tmp_path, "eth0", state)
    assert seen(monitor) == {"link/db1/eth0": expected}


def test_an_unused_interface_says_nothing_until_it_has_a_link(tmp_path: Path) -> None:
    monitor = _link(tmp_path)
    _interface(tmp_path, "eth1", DOWN_LINK, "device")
    assert seen(monitor) == {}
    _interface(tmp_path, "eth1", UP)
    assert seen(monitor) == {"link/db1/eth1": OK}


@pytest.mark.parametrize("why", ["named", "address", "bond", "recalled"])
def test_one_that_is_used_is_an_error_also_when_it_is_first_seen_without_a_link(tmp_path: Path, why: str) -> None:
    _interface(tmp_path, "eth1", DOWN_LINK, "device", *(["master"] if why == "bond" else []))
    has = {"eth1": {"192.0.2.1"}} if why == "address" else {}
    monitor = _link(tmp_path, has, interfaces=("eth1",) if why == "named" else ())
    if why == "recalled":
        monitor.recall(["link/db1/eth1"])
    assert seen(monitor) == {"link/db1/eth1": ("ERROR", "no link")}


def test_which_interfaces_count(tmp_path: Path) -> None:
    _interface(tmp_path, "eth0", UP, "device")
    _interface(tmp_path, "bond0", UP, "bonding")
    _interface(tmp_path, "veth12ab", UP)
    _interface(tmp_path, "lo", ("0x9", "unknown", 1))
    assert set(seen(_link(tmp_path))) == {"link/db1/eth0", "link/db1/bond0"}
    assert set(seen(_link(tmp_path, interfaces=("veth*", "lo")))) == {"link/db1/veth12ab", "link/db1/lo"}


def test_the_last_address_lost_and_addresses_that_must_be_here(tmp_path: Path) -> None:
    _interface(tmp_path, "eth0", UP, "device")
    has = {"eth0": {"192.0.2.1", "192.0.2.99"}}
    monitor = _link(tmp_path, has, addresses=("192.0.2.1",))
    assert seen(monitor) == {"link/db1/eth0": OK, "link/db1/192.0.2.1": OK}
    has["eth0"] = {"192.0.2.99"}
    assert seen(monitor) == {"link/db1/eth0": OK, "link/db1/192.0.2.1": ("ERROR", "on no interface")}
    has["eth0"] = set()
    assert seen(monitor)["link/db1/eth0"] == ("ERROR", "has no address any more")
    has["eth0"] = {"192.0.2.1"}
    assert seen(monitor) == {"link/db1/eth0": OK, "link/db1/192.0.2.1": OK}


def test_the_addresses_of_this_machine_are_without_link_local_ones() -> None:
    found = link.addresses()
    assert "127.0.0.1" in found["lo"]
    assert not any(each.startswith(("fe80", "169.254.")) for known in found.values() for each in known)


# --- units -------------------------------------------------------------------------------------------------------

FAILED = """\
backup.service       loaded failed failed Nightly backup of the databases
mnt-data\\x2dold.mount not-found failed failed mnt-data\\x2dold.mount
"""


def _units(root: Path, run: FakeRun, **changes: object) -> UnitMonitor:
    return UnitMonitor("db1", options("unit", root, command=("/bin/systemctl",), **changes), run)


def test_failed_units_by_name_with_what_they_are(tmp_path: Path) -> None:
    tree(tmp_path, {"run/systemd/system": None})
    run = FakeRun({"list-units": Finished(0, FAILED)})
    assert seen(_units(tmp_path, run)) == {
        "unit/db1/backup.service": ("ERROR", "failed: Nightly backup of the databases"),
        "unit/db1/mnt-data\\x2dold.mount": ("ERROR", "failed: mnt-data\\x2dold.mount"),
    }
    assert set(seen(_units(tmp_path, run, **{"except": ("mnt-*",)}))) == {"unit/db1/backup.service"}
    assert run.calls[0][:2] == ["/bin/systemctl", "list-units"]
    assert UnitMonitor.gone == ""


def test_without_systemd_nobody_is_asked(tmp_path: Path) -> None:
    run = FakeRun()
    assert seen(_units(tmp_path, run)) == {}
    assert run.calls == []


def test_a_systemctl_that_fails_says_why(tmp_path: Path) -> None:
    tree(tmp_path, {"run/systemd/system": None})
    run = FakeRun({"list-units": Finished(1, "", "Failed to connect to bus: No such file\nmore")})
    with pytest.raises(OSError, match=r"exit status 1: Failed to connect to bus: No such file$"):
        seen(_units(tmp_path, run))


def test_a_unit_without_a_description_and_lines_that_are_none() -> None:
    assert unit.parse("\nx.service loaded failed failed\nno unit\n") == {"x.service": ""}


# --- pressure ----------------------------------------------------------------------------------------------------


def _psi(some: float, full: float | None = 0.0) -> str:
    lines = [f"some avg10=99.99 avg60={some:.2f} avg300=9.32 total=164258595"]
    if full is not None:
        lines.append(f"full avg10=99.99 avg60={full:.2f} avg300=0.00 total=0")
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([(0.0, 0.0)], OK),
        ([(20.0, 0.0)], ("WARNING", "tasks wait for it")),
        ([(20.0, 19.9)], ("WARNING", "tasks wait for it")),
        ([(40.0, 20.0)], ("ERROR", "all tasks wait for it")),
        ([(20.0, 0.0), (16.0, 0.0)], ("WARNING", "tasks wait for it")),
        ([(20.0, 0.0), (15.9, 0.0)], OK),
        ([(40.0, 20.0), (40.0, 16.0)], ("ERROR", "all tasks wait for it")),
        ([(40.0, 20.0), (40.0, 15.0)], ("WARNING", "tasks wait for it")),
        ([(19.9, 0.0)], OK),
    ],
)
def test_memory_pressure(tmp_path: Path, steps: list[tuple[float, float]], expected: tuple[str, str]) -> None:
    monitor = PressureMonitor("db1", options("pressure", tmp_path))
    for some, full in steps:
        tree(tmp_path, {"proc/pressure/memory": _psi(some, full)})
        last = seen(monitor)
    assert last == {"pressure/db1/memory": expected}


def test_each_resource_has_its_own_threshold_and_a_kernel_without_psi_says_nothing(tmp_path: Path) -> None:
    monitor = PressureMonitor("db1", options("pressure", tmp_path))
    assert seen(monitor) == {}
    tree(tmp_path, {f"proc/pressure/{name}": _psi(70.0, None) for name in pressure.RESOURCES})
    assert {name: state for name, (state, _) in seen(monitor).items()} == {
        "pressure/db1/cpu": "OK",
        "pressure/db1/memory": "WARNING",
        "pressure/db1/io": "WARNING",
    }


def test_this_kernels_own_figures_can_be_read_where_it_measures() -> None:
    text = reading.text(Path("/proc/pressure/memory"))
    assert text is None or set(pressure.parse(text)) == {"some", "full"}
