"""Disks by their own account (SMART), through smartctl.

Source: smartctl(8), --json; its exit status is a mask in which only bits 0 and 1 mean that nothing was learned. Disks
that sleep are let sleep and keep their state. Retries (CRC errors on the cable, sectors set aside, logged errors) count
by rate, each with its time; what the disk itself says is failing counts at once.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from typing import Any

from noroshi.node.monitors import program
from noroshi.node.monitors.observation import ERROR, FINE, WARNING, Condition, Monitor, Observation, worst
from noroshi.node.monitors.options import Options
from noroshi.node.monitors.program import Run
from noroshi.node.monitors.record import Record
from noroshi.store.kinds import format_duration

LIMIT = 60.0
"""Seconds for one disk."""

NOT_LEARNED = 0b11
FAILING = 1 << 3
PREFAIL = 1 << 4

_GUESSED = ("ata", "scsi")
"""Types that --scan says by guess; smartctl finds out better by itself when it is not told."""

_ASLEEP = ("STANDBY", "SLEEP", "IDLE")
_RETRIES = {199: "CRC errors", 5: "sectors set aside"}
_UNREADABLE = (197, 198)
_NVME = {
    1: (WARNING, "spare blocks are running out"),
    2: (WARNING, "too hot or too cold"),
    4: (ERROR, "unreliable"),
    8: (ERROR, "read-only"),
    16: (WARNING, "its cache has lost its backup"),
}
"""critical_warning of the NVMe health log, by bit."""

Report = dict[str, Any]


class SmartMonitor(Monitor):
    """smart/NODE/DISK for every disk that answers."""

    limit = 900.0

    def __init__(self, node: str, options: Options, run: Run, record: Record) -> None:
        self.interval = options.interval
        self._prefix, self._run = f"smart/{node}/", run
        self._command = options.texts("command")
        self._devices = [device.split() for device in options.texts("devices")]
        self._most = int(options.number("retries"))
        self._counted = record.counting(options.number("window"))
        self._last: dict[str, Condition] = {}
        self._answered = {_name(arguments) for arguments in self._devices}

    def recall(self, names: Collection[str]) -> None:
        """A disk that was bad and does not answer now is not one without SMART."""
        self._answered |= {name.removeprefix(self._prefix) for name in names}

    def observe(self, now: float) -> list[Observation]:
        smartctl = program.command(self._command, "smartctl")
        if smartctl is None:
            return []
        found: dict[str, Condition] = {}
        for arguments in self._devices or self._scan(smartctl):
            name = _name(arguments)
            condition = self._condition(name, self._ask(smartctl, arguments), now) or self._last.get(name)
            if condition is not None:
                found[name] = condition
        self._last = found
        return [Observation(self._prefix + name, *condition) for name, condition in found.items()]

    def _scan(self, smartctl: tuple[str, ...]) -> list[list[str]]:
        """The arguments that name each disk."""
        done = self._run([*smartctl, "--json", "--scan"], LIMIT)
        devices = _read(done.output).get("devices", [])
        typed = [(str(device["name"]), str(device.get("type", ""))) for device in devices]
        return [[name] if not kind or kind in _GUESSED else [name, "-d", kind] for name, kind in typed]

    def _ask(self, smartctl: tuple[str, ...], arguments: list[str]) -> Report:
        """One disk's report; of a disk that hangs, one that says so. Raises OSError where smartctl does not run."""
        try:
            done = self._run([*smartctl, "--json", "--nocheck=standby", "--all", *arguments], LIMIT)
            report = _read(done.output)
        except (TimeoutError, ValueError) as error:
            return {"smartctl": {"exit_status": NOT_LEARNED, "messages": [{"string": str(error)}]}}
        report.setdefault("smartctl", {}).setdefault("exit_status", done.status)
        return report

    def _condition(self, name: str, report: Report, now: float) -> Condition | None:
        """None for a disk that sleeps, and for one that has never answered: it has no SMART."""
        status = int(report["smartctl"]["exit_status"])
        if status & NOT_LEARNED:
            said = _messages(report)
            if any(word in said for word in _ASLEEP) or name not in self._answered:
                return None
            return ERROR, "does not answer any more" + (f": {said}" if said else "")
        self._answered.add(name)
        return worst(*judge(report, status), self._retries(name, report, now))

    def _retries(self, name: str, report: Report, now: float) -> Condition:
        over = []
        for kind, total in totals(report):
            what = f"{self._prefix}{name} {kind}"
            self._counted.take(what, total, now)
            if self._counted.within(what, now) >= self._most:
                over.append(f"{self._most} or more {kind}")
        return (WARNING, f"{', '.join(over)} within {format_duration(self._counted.window)}") if over else FINE


def judge(report: Report, status: int) -> Iterator[Condition]:
    """What the disk says of itself now."""
    if status & FAILING or report.get("smart_status", {}).get("passed") is False:
        yield ERROR, "says that it is failing"
    warning = int(report.get("nvme_smart_health_information_log", {}).get("critical_warning", 0))
    yield from (condition for bit, condition in _NVME.items() if warning & bit)
    attributes = _attributes(report)
    if status & PREFAIL:
        names = [str(each.get("name", each["id"])) for each in attributes if each.get("when_failed") == "now"]
        yield WARNING, f"below its threshold: {', '.join(names)}" if names else "an attribute is below its threshold"
    if any(each["id"] in _UNREADABLE and _raw(each) for each in attributes):
        yield WARNING, "sectors that cannot be read"
    if _last_test_failed(report):
        yield WARNING, "its last self-test failed"


def totals(report: Report) -> Iterator[tuple[str, int]]:
    """What counts by rate, by its name."""
    for each in _attributes(report):
        if each["id"] in _RETRIES:
            yield _RETRIES[each["id"]], _raw(each)
    logs = report.get("ata_smart_error_log", {})
    for log in ("extended", "summary"):
        if log in logs:
            yield "logged errors", int(logs[log].get("count", 0))
            break
    if "media_errors" in (health := report.get("nvme_smart_health_information_log", {})):
        yield "media errors", int(health["media_errors"])
    if "scsi_grown_defect_list" in report:
        yield "grown defects", int(report["scsi_grown_defect_list"])


def _attributes(report: Report) -> list[Report]:
    found: list[Report] = report.get("ata_smart_attributes", {}).get("table", [])
    return [each for each in found if "id" in each]


def _raw(attribute: Report) -> int:
    return int(attribute.get("raw", {}).get("value", 0))


def _last_test_failed(report: Report) -> bool:
    logs = report.get("ata_smart_self_test_log", {})
    table = (logs.get("extended") or logs.get("standard") or {}).get("table", [])
    return bool(table) and table[0].get("status", {}).get("passed") is False


def _messages(report: Report) -> str:
    return "; ".join(str(each.get("string", "")) for each in report["smartctl"].get("messages", []))


def _name(arguments: list[str]) -> str:
    """sda; for a disk behind a controller its type as well: bus/0:megaraid,3."""
    name = arguments[0].removeprefix("/dev/")
    return f"{name}:{arguments[-1]}" if len(arguments) > 2 and arguments[-1] not in ("sat", "nvme") else name


def _read(text: str) -> Report:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ValueError(f"smartctl printed no JSON: {error}") from error
    if not isinstance(found, dict):
        raise ValueError("smartctl printed no JSON object")
    return found
