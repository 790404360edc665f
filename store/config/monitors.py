"""The monitors node.yaml may name, and the options each takes.

Role: a registry; a new monitor adds one entry here and one to the schema.
Rules: every option has a default, so that a monitor without an entry runs as it is; `NAME: false` turns one off.
`root` is a prefix of /proc and /sys. Thresholds are per cent of use.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from noroshi.store import kinds
from noroshi.store.validation import Field, Given, Kind, Rule, record

Options = dict[str, object]


@dataclass(frozen=True)
class MonitorOptions:
    """The keys one monitor takes, and what they must be together."""

    fields: dict[str, Field]
    rules: tuple[Rule, ...] = ()

    def kind(self, name: str) -> Kind[Options]:
        """The options as the file gives them, defaults filled in."""
        return record(f"monitor {name}", self.fields, lambda **options: options, self.rules)


_ROOT = Field(kinds.path("root"), Path("/"))


def _interval(default: float) -> Field:
    return Field(kinds.duration("interval", 0.1, 86_400), default)


def _percent(what: str, default: int) -> Field:
    return Field(kinds.integer(what, 1, 100), default)


def _warning_first(given: Given) -> None:
    warning, error = given.values["warning"], given.values["error"]
    if warning > error:
        name = "warning" if "warning" in given.places else "error"
        given.note(name, f"warning ({warning}) must not be above error ({error})", "both are per cent of use")


MONITORS: Final[dict[str, MonitorOptions]] = {
    "filesystem": MonitorOptions(
        {
            "interval": _interval(30.0),
            "root": _ROOT,
            "warning": _percent("warning", 90),
            "error": _percent("error", 97),
        },
        (Rule(("warning", "error"), _warning_first),),
    ),
    "raid": MonitorOptions({"interval": _interval(30.0), "root": _ROOT}),
}


def defaults() -> dict[str, Options]:
    """Every monitor with its default options."""
    return {name: {key: field.default for key, field in each.fields.items()} for name, each in MONITORS.items()}
