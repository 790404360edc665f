"""The monitors node.yaml may name, and the options each takes.

Role: a registry; a new monitor adds one entry here and one to the schema.
Rules: every option has a default, so that a monitor without an entry runs as it is; `NAME: false` turns one off.
`root` is a prefix of /proc and /sys, `command` the program a monitor asks. `command:` itself is a list of commands of
the user's own, each of them a monitor by the name `command/NAME`.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from noroshi.store import kinds, validation
from noroshi.store.validation import Field, Given, Kind, Report, Rule, record
from noroshi.store.yamlfile import Items, Scalar, Value

Options = dict[str, object]

COMMAND = "command"
"""The key of the user's own commands, and the first segment of their monitors' names."""


@dataclass(frozen=True)
class MonitorOptions:
    """The keys one monitor takes, and what they must be together."""

    fields: dict[str, Field]
    rules: tuple[Rule, ...] = ()

    def kind(self, name: str) -> Kind[Options]:
        """The options as the file gives them, defaults filled in."""
        return record(f"monitor {name}", self.fields, _as_given, self.rules)


def _as_given(**options: object) -> Options:
    return options


# --- the kinds of options ----------------------------------------------------------------------------------------


def program(value: Value, report: Report) -> tuple[str, ...]:
    """A program by its path, or [program, argument, ...] with an absolute path; no search path, no shell."""
    if not isinstance(value, Items):
        return (str(kinds.path("command")(value, report)),)
    words = validation.list_of("command", kinds.argument, least=1)(value, report)
    if not words[0].startswith("/"):
        hint = "no search path is used"
        raise report.refuse(value.values[0], f"the program {words[0]!r} must be an absolute path", hint)
    return words


def _run(value: Value, report: Report) -> tuple[str, ...]:
    if isinstance(value, Scalar):
        raise report.refuse(value, "run must be a list", f"no shell is used: write [{value.text}]")
    return program(value, report)


def _address(value: Value, report: Report) -> str:
    written = kinds.text("address")(value, report)
    try:
        return str(ipaddress.ip_address(written))
    except ValueError:
        raise report.refuse(value, f"{written!r} is not an IP address", "like 192.0.2.7 or 2001:db8::7") from None


def _directory(value: Value, report: Report) -> str:
    return str(kinds.path("a directory in write")(value, report))


def _interval(default: float) -> Field:
    return Field(kinds.duration("interval", 0.1, 86_400), default)


def _window(default: float) -> Field:
    return Field(kinds.duration("window", 1, 30 * 86_400), default)


def _percent(what: str, default: int) -> Field:
    return Field(kinds.integer(what, 1, 100), default)


def _count(what: str, default: int, least: int = 1) -> Field:
    return Field(kinds.integer(what, least, 1_000_000), default)


def _list(what: str, kind: Kind[Any]) -> Field:
    return Field(validation.list_of(what, kind), ())


_ROOT = Field(kinds.path("root"), Path("/"))
_PROGRAM = Field(program, None)
_INTERFACES = _list("interfaces", kinds.text("an interface", longest=15))


def _warning_first(given: Given) -> None:
    warning, error = given.values["warning"], given.values["error"]
    if warning > error:
        name = "warning" if "warning" in given.places else "error"
        given.note(name, f"warning ({warning}) must not be above error ({error})", "both are per cent of use")


# --- the monitors ------------------------------------------------------------------------------------------------

MONITORS: Final[dict[str, MonitorOptions]] = {
    "filesystem": MonitorOptions(
        {
            "interval": _interval(30.0),
            "root": _ROOT,
            "warning": _percent("warning", 90),
            "error": _percent("error", 97),
            "write": _list("write", _directory),
        },
        (Rule(("warning", "error"), _warning_first),),
    ),
    "block": MonitorOptions(
        {"interval": _interval(10.0), "root": _ROOT, "errors": _count("errors", 5), "window": _window(600.0)}
    ),
    "link": MonitorOptions(
        {
            "interval": _interval(5.0),
            "root": _ROOT,
            "interfaces": _INTERFACES,
            "addresses": _list("addresses", _address),
        }
    ),
    "unit": MonitorOptions(
        {
            "interval": _interval(30.0),
            "root": _ROOT,
            "command": _PROGRAM,
            "except": _list("except", kinds.text("a pattern in except")),
        }
    ),
    "pressure": MonitorOptions(
        {
            "interval": _interval(10.0),
            "root": _ROOT,
            "cpu": _percent("cpu", 90),
            "memory": _percent("memory", 20),
            "io": _percent("io", 60),
        }
    ),
    "memory": MonitorOptions(
        {
            "interval": _interval(10.0),
            "root": _ROOT,
            "corrected": _count("corrected", 10),
            "window": _window(86_400.0),
        }
    ),
    "rasdaemon": MonitorOptions(
        {
            "interval": _interval(60.0),
            "root": _ROOT,
            "database": Field(kinds.path("database"), Path("/var/lib/rasdaemon/ras-mc_event.db")),
            "corrected": _count("corrected", 10),
            "window": _window(86_400.0),
        }
    ),
    "raid": MonitorOptions({"interval": _interval(30.0), "root": _ROOT}),
    "lvm": MonitorOptions({"interval": _interval(60.0), "root": _ROOT, "command": _PROGRAM}),
    "zfs": MonitorOptions({"interval": _interval(60.0), "root": _ROOT, "command": _PROGRAM}),
    "btrfs": MonitorOptions({"interval": _interval(60.0), "root": _ROOT}),
    "smart": MonitorOptions(
        {
            "interval": _interval(1800.0),
            "command": _PROGRAM,
            "devices": _list("devices", kinds.text("a device")),
            "retries": _count("retries", 10),
            "window": _window(86_400.0),
        }
    ),
    "bond": MonitorOptions({"interval": _interval(5.0), "root": _ROOT}),
    "multipath": MonitorOptions({"interval": _interval(30.0), "root": _ROOT, "command": _PROGRAM}),
    "nic": MonitorOptions(
        {
            "interval": _interval(30.0),
            "root": _ROOT,
            "interfaces": _INTERFACES,
            "errors": _count("errors", 10),
            "drops": _count("drops", 0, least=0),
            "flaps": _count("flaps", 3),
            "window": _window(600.0),
        }
    ),
}


def defaults() -> dict[str, Options]:
    """Every monitor with its default options; there is no command but those of the file."""
    return {name: {key: field.default for key, field in each.fields.items()} for name, each in MONITORS.items()}


# --- the file ----------------------------------------------------------------------------------------------------

COMMAND_FIELDS: Final[dict[str, Field]] = {
    "name": Field(kinds.name("command")),
    "run": Field(_run),
    "interval": _interval(60.0),
    "timeout": Field(kinds.duration("timeout", 0.1, 3600), 10.0),
    "match": Field(kinds.pattern("match"), None),
}

_COMMANDS = validation.list_of("command", record("a command", COMMAND_FIELDS, _as_given))


def monitors(value: Value, report: Report) -> dict[str, Options]:
    """`monitors:` of node.yaml: the options, defaults filled in, of each monitor to run, by its name."""
    given: dict[str, Options | None] = {}
    for each in _MONITORS(value, report).values():
        given |= each
    return {name: options for name, options in {**defaults(), **given}.items() if options is not None}


def _monitor(key: Scalar, value: Value, report: Report) -> dict[str, Options | None]:
    """What one key means: a monitor, None where the file says false, or the user's commands."""
    if key.text == COMMAND:
        return _commands(value, report)
    if key.text not in MONITORS:
        known = (*MONITORS, COMMAND)
        raise report.refuse(key, f"unknown monitor {key.text!r}", validation.suggestion(key.text, known))
    if isinstance(value, Scalar) and value.value is False:
        return {key.text: None}
    return {key.text: MONITORS[key.text].kind(key.text)(value, report)}


def _commands(value: Value, report: Report) -> dict[str, Options | None]:
    found: dict[str, Options | None] = {}
    for options in _COMMANDS(value, report):
        name = f"{COMMAND}/{options['name']}"
        if name in found:
            raise report.refuse(value, f"a second command named {options['name']!r}", "its state has one name")
        found[name] = options
    return found


_MONITORS = validation.mapping_of("monitors", kinds.text("monitor"), _monitor)
