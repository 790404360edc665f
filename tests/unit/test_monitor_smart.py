"""SMART: smartctl's exit bits, what each kind of disk says of itself, retries by rate, sleeping and silent disks."""

from __future__ import annotations

import json
from typing import Any

import pytest
from monitored import FakeRun, options, seen

from noroshi.node.monitors.program import Finished
from noroshi.node.monitors.record import Record
from noroshi.node.monitors.smart import SmartMonitor

OK = ("OK", "")
NAME = "smart/db1/sda"


def _report(status: int = 0, messages: list[str] | None = None, **found: Any) -> Finished:
    said = [{"string": each, "severity": "information"} for each in messages or []]
    report = {"json_format_version": [1, 0], "smartctl": {"version": [7, 3], "exit_status": status, "messages": said}}
    return Finished(status, json.dumps({**report, **found}))


def _ata(attributes: dict[int, tuple[str, int, str]] | None = None, **found: Any) -> dict[str, Any]:
    table = [
        {"id": number, "name": name, "when_failed": failed, "raw": {"value": raw, "string": str(raw)}}
        for number, (name, raw, failed) in (attributes or {}).items()
    ]
    return {"smart_status": {"passed": True}, "ata_smart_attributes": {"revision": 16, "table": table}, **found}


def _test_log(passed: bool, log: str = "standard") -> dict[str, Any]:
    return {"ata_smart_self_test_log": {log: {"table": [{"status": {"value": 0, "passed": passed}}, {}]}}}


def _nvme(warning: int, errors: int = 0) -> dict[str, Any]:
    return {"nvme_smart_health_information_log": {"critical_warning": warning, "media_errors": errors}}


def _monitor(run: FakeRun, **changes: object) -> SmartMonitor:
    given = options("smart", command=("/sbin/smartctl",), **{"devices": ("/dev/sda",), **changes})
    return SmartMonitor("db1", given, run, Record())


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        (_report(**_ata()), OK),
        (_report(1 << 3, **_ata(smart_status={"passed": False})), ("ERROR", "says that it is failing")),
        (_report(1 << 2 | 1 << 5 | 1 << 6 | 1 << 7, **_ata()), OK),  # the past, and what counts by rate
        (
            _report(1 << 4, **_ata({5: ("Reallocated_Sector_Ct", 3000, "now"), 9: ("Power_On_Hours", 1, "")})),
            ("WARNING", "below its threshold: Reallocated_Sector_Ct"),
        ),
        (_report(1 << 4, **_ata()), ("WARNING", "an attribute is below its threshold")),
        (_report(**_ata({197: ("Current_Pending_Sector", 8, "")})), ("WARNING", "sectors that cannot be read")),
        (_report(**_ata({198: ("Offline_Uncorrectable", 0, "")})), OK),
        (_report(**_ata(**_test_log(False))), ("WARNING", "its last self-test failed")),
        (_report(**_ata(**_test_log(False, "extended"))), ("WARNING", "its last self-test failed")),
        (_report(**_ata(**_test_log(True))), OK),
        (_report(**_nvme(0)), OK),
        (_report(**_nvme(1)), ("WARNING", "spare blocks are running out")),
        (_report(**_nvme(2 | 8)), ("ERROR", "read-only")),
        (_report(**_nvme(4)), ("ERROR", "unreliable")),
    ],
)
def test_what_a_disk_says_of_itself(report: Finished, expected: tuple[str, str]) -> None:
    run = FakeRun({"/dev/sda": report})
    assert seen(_monitor(run)) == {NAME: expected}
    assert run.calls == [["/sbin/smartctl", "--json", "--nocheck=standby", "--all", "/dev/sda"]]


@pytest.mark.parametrize(
    ("first", "then", "said"),
    [
        (_ata({199: ("UDMA_CRC_Error_Count", 7, "")}), _ata({199: ("UDMA_CRC_Error_Count", 17, "")}), "CRC errors"),
        (_ata({5: ("Reallocated", 0, "")}), _ata({5: ("Reallocated", 10, "")}), "sectors set aside"),
        (
            _ata(ata_smart_error_log={"summary": {"count": 1}}),
            _ata(ata_smart_error_log={"summary": {"count": 11}}),
            "logged errors",
        ),
        (
            _ata(ata_smart_error_log={"extended": {"count": 1}, "summary": {"count": 5}}),
            _ata(ata_smart_error_log={"extended": {"count": 11}, "summary": {"count": 5}}),
            "logged errors",
        ),
        (_nvme(0, 3), _nvme(0, 13), "media errors"),
        ({"scsi_grown_defect_list": 5}, {"scsi_grown_defect_list": 15}, "grown defects"),
    ],
)
def test_retries_count_by_rate_and_end_by_themselves(first: dict[str, Any], then: dict[str, Any], said: str) -> None:
    run = FakeRun({"/dev/sda": _report(**first)})
    monitor = _monitor(run)
    assert seen(monitor, 0) == {NAME: OK}
    run.answers["/dev/sda"] = _report(**then)
    assert seen(monitor, 1800) == {NAME: ("WARNING", f"10 or more {said} within 1d")}
    assert seen(monitor, 1800 + 86_400) == {NAME: OK}


def test_a_sleeping_disk_is_let_sleep_and_keeps_its_state() -> None:
    asleep = _report(2, ["Device is in STANDBY mode, exit(2)"])
    run = FakeRun({"/dev/sda": asleep})
    monitor = _monitor(run)
    assert seen(monitor) == {}
    run.answers["/dev/sda"] = _report(1 << 3, **_ata())
    assert seen(monitor)[NAME][0] == "ERROR"
    run.answers["/dev/sda"] = asleep
    assert seen(monitor)[NAME][0] == "ERROR"


SCAN = {
    "devices": [
        {"name": "/dev/sda", "info_name": "/dev/sda", "type": "scsi", "protocol": "SCSI"},
        {"name": "/dev/nvme0", "type": "nvme", "protocol": "NVMe"},
        {"name": "/dev/bus/0", "type": "megaraid,3", "protocol": "SCSI"},
        {"name": "/dev/vda", "type": "scsi", "protocol": "SCSI"},
    ]
}


def _scanning() -> FakeRun:
    nothing = _report(1, ["/dev/vda: Unable to detect device type"])
    return FakeRun({"--scan": _report(**SCAN), "/dev/sda": _report(**_ata()), "nvme": _report(**_nvme(0)),
                    "megaraid,3": _report(**_ata()), "/dev/vda": nothing})  # fmt: skip


def test_the_disks_are_those_that_smartctl_finds_and_that_answer() -> None:
    run = _scanning()
    monitor = _monitor(run, devices=())
    assert seen(monitor) == {NAME: OK, "smart/db1/nvme0": OK, "smart/db1/bus/0:megaraid,3": OK}
    assert [call[4:] for call in run.calls[1:]] == [
        ["/dev/sda"],
        ["/dev/nvme0", "-d", "nvme"],
        ["/dev/bus/0", "-d", "megaraid,3"],
        ["/dev/vda"],
    ]
    run.answers["--scan"] = _report(devices=SCAN["devices"][1:])
    assert NAME not in seen(monitor)


def test_a_disk_that_answered_once_and_does_not_any_more_is_an_error() -> None:
    run = _scanning()
    monitor = _monitor(run, devices=())
    seen(monitor)
    run.answers["/dev/sda"] = _report(2, ["Smartctl open device: /dev/sda failed: No such device"])
    run.answers["nvme"] = TimeoutError("no end within 60 s")
    run.answers["megaraid,3"] = Finished(0, "no json")
    found = seen(monitor)
    gone = "does not answer any more: "
    assert found[NAME] == ("ERROR", f"{gone}Smartctl open device: /dev/sda failed: No such device")
    assert found["smart/db1/nvme0"] == ("ERROR", f"{gone}no end within 60 s")
    assert found["smart/db1/bus/0:megaraid,3"][1].startswith(f"{gone}smartctl printed no JSON")


def test_a_disk_that_is_named_or_was_bad_must_answer() -> None:
    silent = _report(1, ["Unable to detect device type"])
    assert seen(_monitor(FakeRun({"/dev/sda": silent})))[NAME][0] == "ERROR"
    run = FakeRun({"--scan": _report(devices=SCAN["devices"][:1]), "/dev/sda": silent})
    monitor = _monitor(run, devices=())
    assert seen(monitor) == {}
    monitor.recall([NAME])
    assert seen(monitor)[NAME][0] == "ERROR"


def test_a_smartctl_that_cannot_be_started_is_a_fault_of_the_monitor() -> None:
    with pytest.raises(FileNotFoundError):
        seen(_monitor(FakeRun({"/dev/sda": FileNotFoundError(2, "No such file or directory")})))
    with pytest.raises(ValueError, match="no JSON"):
        seen(_monitor(FakeRun({"--scan": Finished(0, "[]")}), devices=()))
