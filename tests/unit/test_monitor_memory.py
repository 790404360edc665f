"""Corrected and uncorrected errors: the kernel's own counters (EDAC), rasdaemon's database, network interfaces."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from monitored import options, seen, tree

from noroshi.node.monitors import memory
from noroshi.node.monitors.memory import MemoryMonitor
from noroshi.node.monitors.nic import NicMonitor
from noroshi.node.monitors.rasdaemon import RasdaemonMonitor
from noroshi.node.monitors.record import Record

DAY = 86_400.0
OK = ("OK", "")

# --- EDAC --------------------------------------------------------------------------------------------------------


def _edac(root: Path, modules: dict[str, tuple[int, int]], noinfo: tuple[int, int] = (0, 0)) -> Path:
    controller = f"{memory.DIRECTORY}/mc0"
    tree(root, {f"{controller}/ce_noinfo_count": noinfo[0], f"{controller}/ue_noinfo_count": noinfo[1]})
    tree(root, {f"{memory.DIRECTORY}/power": None, f"{controller}/ce_count": 0, f"{controller}/ue_count": 0})
    for name, (corrected, uncorrected) in modules.items():
        module = f"{controller}/{name}"
        tree(root, {f"{module}/dimm_ce_count": corrected, f"{module}/dimm_ue_count": uncorrected})
        tree(root, {f"{module}/dimm_label": f"CPU0_{name.upper()}"})
    return root


def _memory(root: Path, **changes: object) -> MemoryMonitor:
    return MemoryMonitor("db1", options("memory", root, **changes), Record())


def test_without_controllers_there_is_nothing_to_say(tmp_path: Path) -> None:
    assert seen(_memory(tmp_path)) == {}


def test_a_corrected_error_now_and_then_is_none_and_ten_in_a_day_are_a_warning_that_ends(tmp_path: Path) -> None:
    monitor = _memory(_edac(tmp_path, {"dimm0": (100, 0), "dimm1": (0, 0)}))
    assert seen(monitor, 0) == {"memory/db1/mc0": OK}
    _edac(tmp_path, {"dimm0": (109, 0), "dimm1": (9, 0)})
    assert seen(monitor, 10) == {"memory/db1/mc0": OK}
    _edac(tmp_path, {"dimm0": (109, 0), "dimm1": (10, 0)})
    warning = ("WARNING", "10 or more corrected errors within 1d: CPU0_DIMM1")
    assert seen(monitor, 3600) == {"memory/db1/mc0": warning}
    _edac(tmp_path, {"dimm0": (110, 0), "dimm1": (17, 0)})
    assert seen(monitor, 7200)["memory/db1/mc0"][1].endswith(": CPU0_DIMM0, CPU0_DIMM1")
    assert seen(monitor, DAY + 3000)["memory/db1/mc0"][0] == "OK"  # 8 and 1 are left in the window


def test_a_reset_of_the_counters_is_no_error_and_hides_none(tmp_path: Path) -> None:
    monitor = _memory(_edac(tmp_path, {"rank3": (500, 0)}))
    seen(monitor, 0)
    _edac(tmp_path, {"rank3": (2, 0)})
    assert seen(monitor, 10) == {"memory/db1/mc0": OK}
    _edac(tmp_path, {"rank3": (10, 0)})
    assert seen(monitor, 20)["memory/db1/mc0"][0] == "WARNING"


def test_an_uncorrected_error_is_an_error_at_once_also_one_from_before_the_first_look(tmp_path: Path) -> None:
    monitor = _memory(_edac(tmp_path, {"dimm0": (0, 1)}))
    error = ("ERROR", "uncorrected error within 1d: CPU0_DIMM0")
    assert seen(monitor, 0) == {"memory/db1/mc0": error}
    assert seen(monitor, DAY - 1) == {"memory/db1/mc0": error}
    assert seen(monitor, DAY + 1) == {"memory/db1/mc0": OK}
    _edac(tmp_path, {"dimm0": (0, 1)}, noinfo=(0, 1))
    assert seen(monitor, DAY + 10) == {"memory/db1/mc0": ("ERROR", "uncorrected error within 1d: unknown module")}


def test_an_old_uncorrected_error_is_not_told_again_after_a_restart(tmp_path: Path) -> None:
    record = tmp_path / "retries.jsonl"
    _edac(tmp_path, {"dimm0": (0, 1)})
    given = options("memory", tmp_path, window=60.0)
    assert seen(MemoryMonitor("db1", given, Record(record)), 1e6)["memory/db1/mc0"][0] == "ERROR"
    later = MemoryMonitor("db1", given, Record(record))
    assert seen(later, 1e9)["memory/db1/mc0"] == OK


def test_a_driver_without_modules_is_counted_as_a_whole(tmp_path: Path) -> None:
    tree(tmp_path, {f"{memory.DIRECTORY}/mc1/ce_count": 0, f"{memory.DIRECTORY}/mc1/ue_count": 0})
    monitor = _memory(tmp_path, corrected=2)
    seen(monitor, 0)
    tree(tmp_path, {f"{memory.DIRECTORY}/mc1/ce_count": 2})
    assert seen(monitor, 1) == {"memory/db1/mc1": ("WARNING", "2 or more corrected errors within 1d: all modules")}


# --- rasdaemon ---------------------------------------------------------------------------------------------------

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)

SCHEMA = """
CREATE TABLE mc_event (id INTEGER PRIMARY KEY, timestamp TEXT, err_count INTEGER, err_type TEXT, err_msg TEXT,
  label TEXT, mc INTEGER, top_layer INTEGER, middle_layer INTEGER, lower_layer INTEGER, address INTEGER, grain INTEGER,
  syndrome INTEGER, driver_detail TEXT);
CREATE TABLE aer_event (id INTEGER PRIMARY KEY, timestamp TEXT, dev_name TEXT, err_type TEXT, err_msg TEXT);
CREATE TABLE mce_record (id INTEGER PRIMARY KEY, timestamp TEXT, mcgcap INTEGER, mcgstatus INTEGER, status INTEGER,
  cpu INTEGER, bank INTEGER, error_msg TEXT);
CREATE TABLE disk_errors (id INTEGER PRIMARY KEY, timestamp TEXT, dev TEXT, sector INTEGER, nr_sector INTEGER,
  error TEXT, rwbs TEXT, cmd TEXT);
"""


class Ras:
    """A database as rasdaemon makes it, and a monitor of it."""

    def __init__(self, root: Path, schema: str = SCHEMA) -> None:
        self.path = root / "ras#mc%event.db"
        with sqlite3.connect(self.path) as database:
            database.executescript(schema)
        database.close()
        self.now = 0.0
        self.monitor = RasdaemonMonitor(
            "db1", options("rasdaemon", root, database=self.path), lambda: NOW.timestamp() + self.now
        )

    def add(self, table: str, *, hours_ago: float = 0, **values: object) -> None:
        at = (NOW + timedelta(seconds=self.now, hours=-hours_ago)).astimezone(timezone(timedelta(hours=9)))
        values["timestamp"] = at.strftime("%Y-%m-%d %H:%M:%S %z")
        places = ", ".join("?" * len(values))
        with sqlite3.connect(self.path) as database:
            database.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({places})", tuple(values.values()))
        database.close()

    def seen(self) -> dict[str, tuple[str, str]]:
        return seen(self.monitor, 5000 + self.now)


def test_no_database_and_an_empty_one(tmp_path: Path) -> None:
    assert seen(RasdaemonMonitor("db1", options("rasdaemon", database=tmp_path / "none.db"))) == {}
    assert Ras(tmp_path, "").seen() == {}
    with pytest.raises(sqlite3.Error):
        (tmp_path / "text.db").write_text("no database at all, but text, and rather a lot of it" * 100)
        seen(RasdaemonMonitor("db1", options("rasdaemon", database=tmp_path / "text.db")))


def test_corrected_pcie_errors_count_by_rate_from_the_time_of_each_row(tmp_path: Path) -> None:
    ras = Ras(tmp_path)
    for hours in (30, 23, 23, 23, 23, 23, 10, 10, 10, 10):
        ras.add("aer_event", hours_ago=hours, dev_name="0000:00:1c.0", err_type="Corrected", err_msg="BIT")
    name = "hardware/db1/pcie-0000:00:1c.0"
    assert ras.seen() == {name: OK}
    ras.add("aer_event", dev_name="0000:00:1c.0", err_type="Corrected", err_msg="Bad TLP")
    assert ras.seen() == {name: ("WARNING", "10 or more corrected errors within 1d")}
    ras.now = 2 * 3600
    assert ras.seen() == {name: OK}  # five of them were yesterday by now


def test_uncorrected_ones_are_errors_at_once_and_end_with_the_window(tmp_path: Path) -> None:
    ras = Ras(tmp_path)
    assert ras.seen() == {}
    ras.add("aer_event", dev_name="0000:00:1c.0", err_type="Uncorrected (Fatal)", err_msg="")
    ras.add("mce_record", cpu=3, status=-(1 << 63) | 1 << 61, error_msg="cache")
    ras.add("mce_record", cpu=4, status=-(1 << 63), error_msg="cache")
    ras.add("disk_errors", dev="8:16", sector=5, error="I/O error")
    error = ("ERROR", "uncorrected error within 1d")
    assert ras.seen() == {
        "hardware/db1/pcie-0000:00:1c.0": error,
        "hardware/db1/cpu3": error,
        "hardware/db1/cpu4": OK,
        "hardware/db1/disk-8:16": error,
    }
    ras.now = DAY + 60
    assert set(ras.seen().values()) == {OK}


def test_a_new_process_sees_what_the_old_one_saw(tmp_path: Path) -> None:
    ras = Ras(tmp_path)
    ras.add("disk_errors", hours_ago=5, dev="8:0")
    ras.add("disk_errors", hours_ago=25, dev="8:16")
    assert set(ras.seen()) == {"hardware/db1/disk-8:0"}


def test_memory_errors_are_taken_only_where_the_kernel_shows_no_counters(tmp_path: Path) -> None:
    ras = Ras(tmp_path)
    ras.add("mc_event", err_count=12, err_type="Corrected", label="CPU_SrcID#0_DIMM#1", mc=0)
    expected = ("WARNING", "10 or more corrected errors within 1d")
    assert ras.seen() == {"memory/db1/mc0/CPU_SrcID#0_DIMM#1": expected}
    _edac(tmp_path, {"dimm0": (0, 0)})
    again = RasdaemonMonitor("db1", options("rasdaemon", tmp_path, database=ras.path), NOW.timestamp)
    assert seen(again) == {}


def test_a_database_that_was_begun_anew_is_read_from_its_beginning(tmp_path: Path) -> None:
    ras = Ras(tmp_path)
    for _ in range(5):
        ras.add("disk_errors", dev="8:0", hours_ago=30)
    assert ras.seen() == {}
    ras.path.unlink()
    fresh = Ras(tmp_path)
    fresh.add("disk_errors", dev="8:0")
    fresh.monitor = ras.monitor
    assert set(fresh.seen()) == {"hardware/db1/disk-8:0"}


# --- network interfaces ------------------------------------------------------------------------------------------


def _nic(root: Path, errors: int = 0, dropped: int = 0, downs: int = 0) -> None:
    interface = "sys/class/net/eth0"
    tree(root, {f"{interface}/device": None, f"{interface}/carrier_down_count": downs})
    tree(root, {f"{interface}/statistics/rx_errors": errors, f"{interface}/statistics/tx_errors": 0})
    tree(root, {f"{interface}/statistics/rx_dropped": dropped, f"{interface}/statistics/tx_dropped": 0})


@pytest.mark.parametrize(
    ("change", "given", "expected"),
    [
        ({"errors": 9}, {}, OK),
        ({"errors": 10}, {}, ("WARNING", "10 or more damaged packets within 10m")),
        ({"dropped": 5000}, {}, OK),
        ({"dropped": 5000}, {"drops": 100}, ("WARNING", "100 or more dropped packets within 10m")),
        ({"downs": 3}, {}, ("WARNING", "3 or more losses of the link within 10m")),
        (
            {"errors": 2, "downs": 3},
            {"errors": 2},
            ("WARNING", "2 or more damaged packets, 3 or more losses of the link within 10m"),
        ),
    ],
)
def test_an_interface_by_rate(
    tmp_path: Path, change: dict[str, int], given: dict[str, object], expected: tuple[str, str]
) -> None:
    monitor = NicMonitor("db1", options("nic", tmp_path, **given), Record())
    assert seen(monitor, 0) == {}
    _nic(tmp_path)
    assert seen(monitor, 10) == {"nic/db1/eth0": OK}
    _nic(tmp_path, **change)
    assert seen(monitor, 20) == {"nic/db1/eth0": expected}
    assert seen(monitor, 20 + 601) == {"nic/db1/eth0": OK}
