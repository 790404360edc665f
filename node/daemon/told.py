"""What the monitors' things were last said to be, and so what is news; kept over a restart as far as that needs.

Rules: pure but for `load` and `save`. After a restart the first state of everything is said again (duplicate control
holds it back). A thing that is not observed any more is said to be OK, with its monitor's word for that; so is one that
was not OK when the daemon ended and is not there, or not watched, when it is back.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from noroshi.node.monitors.observation import FINE, OK, Condition, Observation

NOT_WATCHED = "not watched any more"

OWN = ""
"""Stands in a monitor's place for what is said of the monitors themselves."""


@dataclass(frozen=True)
class News:
    """What is to be said of a monitor's thing; `ends`: it is not there any more."""

    monitor: str
    observation: Observation
    ends: bool = False


@dataclass
class Told:
    """By monitor: each thing's condition. `left` are the names that were not OK when an earlier daemon ended."""

    left: dict[str, set[str]] = field(default_factory=dict)
    _said: dict[str, dict[str, Condition]] = field(default_factory=dict)

    def news(self, monitor: str, seen: Iterable[Observation], gone: str) -> list[News]:
        """What of a look at everything has to be said; what was is told by `said`."""
        said = self._said.get(monitor, {})
        now = {each.name: each for each in seen}
        changed = [each for each in now.values() if said.get(each.name) != (each.state, each.supplement)]
        ended = (said.keys() | self.left.get(monitor, set())) - now.keys()
        return [News(monitor, each) for each in changed] + [
            News(monitor, Observation(name, OK, gone), ends=True)
            for name in sorted(ended)
            if said.get(name) != (OK, gone)
        ]

    def own(self, name: str, condition: Condition) -> list[News]:
        """News of a monitor itself, as the event `name`; to be OK at first is not worth an event."""
        first = None if name in self.left.get(OWN, set()) else FINE
        said = self._said.get(OWN, {}).get(name, first)
        return [] if said == condition else [News(OWN, Observation(name, *condition))]

    def unwatched(self, monitors: Mapping[str, str]) -> list[News]:
        """The ends of things whose monitors run no more. `monitors`: name -> the event of the monitor itself."""
        lost = [
            (monitor, name) for monitor in self.left.keys() - monitors.keys() - {OWN} for name in self.left[monitor]
        ]
        lost += [(OWN, name) for name in self.left.get(OWN, set()) - set(monitors.values())]
        return [News(monitor, Observation(name, OK, NOT_WATCHED), ends=True) for monitor, name in sorted(lost)]

    def said(self, news: News) -> None:
        """It was raised."""
        name = news.observation.name
        self.left.get(news.monitor, set()).discard(name)
        if news.ends:
            self._said.get(news.monitor, {}).pop(name, None)
        else:
            self._said.setdefault(news.monitor, {})[name] = (news.observation.state, news.observation.supplement)

    def again(self) -> None:
        """Everything is to be said once more, as after a restart: whoever heard it may have lost it."""
        self.left = {monitor: set(names) for monitor, names in self.not_ok().items()}
        self._said = {}

    def not_ok(self) -> dict[str, list[str]]:
        """The names to remember, by monitor."""
        bad = {monitor: set(names) for monitor, names in self.left.items()}
        for monitor, said in self._said.items():
            bad.setdefault(monitor, set()).update(name for name, (state, _) in said.items() if state != OK)
        return {monitor: sorted(names) for monitor, names in sorted(bad.items()) if names}


def load(path: Path) -> Told:
    """What `save` kept; nothing where there is no file or it cannot be understood. Raises OSError."""
    try:
        found = json.loads(path.read_bytes())
        return Told({str(monitor): {str(name) for name in names} for monitor, names in found.items()})
    except FileNotFoundError:
        return Told()
    except (ValueError, AttributeError, TypeError):
        path.replace(path.with_suffix(".damaged"))
        return Told()


def save(path: Path, not_ok: Mapping[str, list[str]]) -> None:
    """Replace the file as a whole. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = path.with_suffix(".new")
    file = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(file, json.dumps(not_ok).encode())
        os.fsync(file)
    finally:
        os.close(file)
    unfinished.replace(path)
