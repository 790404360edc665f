"""Are a replaced holder's late writes refused? Shown by cutting a node off from its disk, which an operator does.

The story is the one that hurts (design section 3, What the disk must give): a node holds the locks, is cut off from the
disk, has a write under way; another obtains the locks and writes; the first reaches the disk again. Its write must not
arrive any more.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from noroshi.console.doctor.asking import Round
from noroshi.console.doctor.check import Check, failed, not_measured, ok
from noroshi.console.doctor.filesystems import EXTERNAL, family_of
from noroshi.node.wire.panel import Panel
from noroshi.node.wire.probing import Clear, Done, Found, Locate, Located, Lock, Read, Stay, Tried, TryLock, Write
from noroshi.store.config import NodeAddress

PATIENCE = 300.0
"""Seconds for the operator, and for the storage to give up on a node: each time."""
SETTLE = 1.0
"""Seconds after which what was under way has arrived, if it ever does."""
_SUBJECT = "fencing"


def measure_fencing(panel: Panel, victim: NodeAddress, other: NodeAddress, say: Callable[[str], None]) -> Check:
    """What happened; `say` tells the operator what to do next."""
    fence = Fencing(panel, victim, other, say)
    try:
        return fence.check()
    finally:
        fence.clear()


class Fencing:
    """One story. The victim is asked in rounds of its own, for it is expected to hang."""

    def __init__(self, panel: Panel, victim: NodeAddress, other: NodeAddress, say: Callable[[str], None]) -> None:
        self._panel, self._victim, self._other, self._say = panel, victim, other, say
        self._round = Round(panel, [victim, other])
        self._kind = ""

    def check(self) -> Check:
        located = self._round.all(Locate(), Located)
        self._round.one(self._victim, Write(1), Done)
        self._round.one(self._victim, Lock(), Done)
        held = self._round.one(self._other, TryLock(self._victim.name), Tried)
        if len(located) < 2 or held is None or held.flock or held.fcntl:
            busy = [f"another doctor measures on {name}" for name in self._round.busy]
            why = "; ".join([*self._round.troubles(), *self._round.hung.values(), *busy]) or "the locks exclude nobody"
            return failed(_SUBJECT, f"not tried: {why}", "see to what `noroshi doctor` finds first")
        self._kind = located[self._victim.name].kind
        self._say(f"cut {self._victim.name} off from the shared disk now, but not from the other nodes")
        freed = self._freed()
        for node in (self._victim, self._other):
            if node not in self._round.nodes:  # then no late write is under way, or nobody could see it arrive
                why = f"{node.name} gives no answer any more ({self._round.hung.get(node.name, 'busy')})"
                return not_measured(_SUBJECT, why, "cut it off from the disk alone, not from the nodes; ask again")
        if freed is None:
            why = f"{self._victim.name}'s locks did not come free within {PATIENCE:g} s"
            return not_measured(_SUBJECT, why, "was it cut off? If it was, nobody can take its role over meanwhile")
        return self._replaced(freed)

    def clear(self) -> None:
        again = Round(self._panel, [self._victim, self._other])
        again.all(Locate(), Located)
        again.all(Clear(), Done)

    def _freed(self) -> float | None:
        """Seconds until the other node obtained both locks; it keeps them."""
        began = time.monotonic()
        while time.monotonic() < began + PATIENCE and len(self._round.nodes) == 2:
            self._round.one(self._victim, Stay(), Done)
            tried = self._round.one(self._other, TryLock(self._victim.name, 5.0), Tried)
            if tried and tried.flock and tried.fcntl and self._round.one(self._other, Lock(self._victim.name), Done):
                return time.monotonic() - began
        return None

    def _replaced(self, freed: float) -> Check:
        victim, other = self._victim.name, self._other.name
        took = f"{other} obtained its locks after {freed:.1f} s"
        if self._round.one(self._victim, Write(2), Done):
            return failed(
                _SUBJECT, f"{took}, and {victim} wrote on: it was not cut off, or it lost its locks", self._cure
            )
        if not self._round.one(self._other, Write(3, victim), Done):
            return failed(_SUBJECT, f"{took} and could not write: {self._round.troubles()}", "see the disk of " + other)
        self._say(f"let {victim} reach the shared disk again")
        if not self._back():
            return not_measured(_SUBJECT, f"{victim} did not reach its disk within {PATIENCE:g} s", "ask again")
        time.sleep(SETTLE)
        found = Round(self._panel, [self._victim, self._other]).all(Read(victim), Found)
        late = [name for name, at in found.items() if not at.whole or at.number != 3]
        if not found:
            return not_measured(_SUBJECT, f"{took}; then nobody could read what was written", "ask again")
        if late:
            return failed(
                _SUBJECT, f"{took}; then {victim}'s late write overwrote what {other} had written", self._cure
            )
        return ok(_SUBJECT, f"{took}; the late write of {victim} did not arrive", freed=round(freed, 1))

    def _back(self) -> bool:
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            self._round.one(self._other, Stay(), Done)
            if Round(self._panel, [self._victim]).one(self._victim, Locate(), Located):
                return True
            time.sleep(SETTLE)
        return False

    @property
    def _cure(self) -> str:
        return family_of(self._kind).fence[1] or EXTERNAL
