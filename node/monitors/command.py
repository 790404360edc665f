"""A command of the user's own, in the manner of a Nagios plugin.

Exit 0 is OK, 1 WARNING, 2 ERROR; 3 and every other end is an ERROR that says so. The first line printed, up to the `|`
before performance data, is the supplement. With `match`, an exit of 0 is OK only if the pattern is found in the output.
Rules: what changes in the line but its numbers is another supplement; a new number alone (a fill level) is not, or a
command that prints one would raise an event at every look.
"""

from __future__ import annotations

import re

from noroshi.node.monitors.matching import Found
from noroshi.node.monitors.observation import ERROR, OK, WARNING, Condition, Monitor, Observation
from noroshi.node.monitors.options import Options
from noroshi.node.monitors.program import Finished, Run, ending

LONGEST = 500
"""Characters of a supplement."""

GRACE = 30.0
"""Seconds beyond the time limit after which a look counts as hanging: not even KILL ends the command."""

_STATES = {0: OK, 1: WARNING, 2: ERROR}
_NUMBERS = re.compile(r"\d+(?:[.,]\d+)*")


class CommandMonitor(Monitor):
    """command/NODE/NAME."""

    def __init__(self, node: str, options: Options, run: Run, found: Found) -> None:
        self.interval = options.interval
        self._name = f"command/{node}/{options.text('name')}"
        self._arguments, self._timeout = options.texts("run"), options.number("timeout")
        self._match = options.text("match")
        self.limit = self._timeout + GRACE
        self._run, self._found = run, found
        self._last: Condition = (OK, "")

    def observe(self, now: float) -> list[Observation]:
        try:
            condition = self._judge(self._run(self._arguments, self._timeout))
        except OSError as error:
            condition = ERROR, f"unknown: {error.strerror or error}"
        if _steady(condition) != _steady(self._last):
            self._last = condition
        return [Observation(self._name, *self._last)]

    def _judge(self, done: Finished) -> Condition:
        said = first_line(done.output) or first_line(done.complaint)
        if done.status not in _STATES:
            why = "" if done.status == 3 else ending(done.status)
            return ERROR, ": ".join(part for part in ("unknown", why, said) if part)
        if done.status == 0 and self._match and not self._found(self._match, done.output):
            return ERROR, ": ".join(part for part in ("not found in its output", said) if part)
        return _STATES[done.status], said


def first_line(text: str) -> str:
    """The first line without its performance data."""
    return text.strip().partition("\n")[0].partition("|")[0].strip()[:LONGEST]


def _steady(condition: Condition) -> Condition:
    """What of a condition makes it another one."""
    return condition[0], _NUMBERS.sub("#", condition[1])
