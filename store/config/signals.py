"""`signals:` of node.yaml: an event for each signal that somebody may send to the node daemon (spec 2.2).

Rules: only signals that mean nothing else, to the daemon or to a service manager: USR1, USR2 and the real-time ones.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from noroshi.store import kinds, validation
from noroshi.store.validation import Field, Report, record, shown
from noroshi.store.yamlfile import Scalar, Value

_NAME = re.compile(r"USR1|USR2|RTMIN(\+([1-9]|1[0-9]|2[0-9]|30))?")
_KNOWN = "USR1, USR2, RTMIN or RTMIN+1 to RTMIN+30"


@dataclass(frozen=True)
class SignalRule:
    """What the daemon raises when it gets the signal `name`."""

    name: str
    event: str
    state: str
    supplement: str = ""


def _name(value: Value, report: Report) -> str:
    name = kinds.text("signal")(value, report)
    if not _NAME.fullmatch(name):
        raise report.refuse(value, f"no signal that can be mapped: {shown(name)}", _KNOWN)
    return name


_FIELDS = {
    "event": Field(kinds.text("event", longest=256)),
    "state": Field(kinds.text("state", longest=64)),
    "supplement": Field(kinds.text("supplement", longest=1000), ""),
}


def _rule(key: Scalar, value: Value, report: Report) -> SignalRule:
    return record("a signal", _FIELDS, lambda **said: SignalRule(key.text, **said))(value, report)


_RULES = validation.mapping_of("signals", _name, _rule)


def signals(value: Value, report: Report) -> tuple[SignalRule, ...]:
    """The rules in the order of the file."""
    return tuple(_RULES(value, report).values())
