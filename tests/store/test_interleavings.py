"""Random histories of leaders and a reader, step by step, in one process: every reading is one committed state.

Between any two steps of the reader (mark, log in two pieces, each account, mark) leaders commit, go one step further
in a checkpoint, die, are paused and replaced, and wake up again. What no history may show: a reading made of two
moments, or older than what was acknowledged before it began; a take-over that lost what was acknowledged.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stores import ACCOUNTS, Seen, checked, drop_lock, forget, lead, memory, move, one_process, open_accounts

from noroshi.store import reader
from noroshi.store.disk import read_at
from noroshi.store.errors import Deposed
from noroshi.store.layout import Layout
from noroshi.store.reader import SharedReader
from noroshi.store.writer import Writer
from noroshi.store.writer_checkpoint import STEPS

MOVES = ("move ab", "move bc", "move ca")
ACTIONS = (*MOVES, *MOVES, *["step"] * 8, "die", "pause", "wake", "settle")
SLOTS = 4 + len(ACCOUNTS)
HEADER, FRAME = 32, 24 + 4096
"""Bytes of a log's header, and of a page with its own."""


class History:
    """One directory, the present leader, the paused ones, and the last acknowledged serial."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.leader = lead(layout, "n0")
        self.paused: list[Writer] = []
        self.steps: dict[Writer, int] = {}
        self.acknowledged = 0
        open_accounts(self.leader)
        self.leader.checkpoint_if_due(idle=True)

    def do(self, action: str) -> None:
        if action.startswith("move"):
            self._move(self.leader, action[-2], action[-1])
        else:
            getattr(self, f"_{action}")()

    def _move(self, leader: Writer, source: str, target: str) -> None:
        while self.steps.get(leader):
            self._step()
        self.acknowledged = move(leader, source, target)

    def _step(self) -> None:
        """The present leader's checkpoint goes one step on; it begins one only where it may."""
        if not self.leader.unsettled:
            self._step_of(self.leader)

    def _step_of(self, leader: Writer) -> None:
        done = self.steps.get(leader, 0)
        assert getattr(leader._checkpoint, STEPS[done])() is not False
        self.steps[leader] = (done + 1) % len(STEPS)

    def _die(self) -> None:
        forget(self.leader)
        self._replace()

    def _pause(self) -> None:
        self.paused.append(self.leader)
        drop_lock(self.layout)
        self._replace()

    def _replace(self) -> None:
        self.leader = lead(self.layout, f"n{self.leader.term}")
        assert self.leader.read(checked).serial >= self.acknowledged

    def _wake(self) -> None:
        """The leader paused longest goes on: with the checkpoint it was in, else with a commit; then it is deposed."""
        if not self.paused:
            return
        old = self.paused.pop(0)
        while self.steps.get(old):
            self._step_of(old)
        with pytest.raises(Deposed):
            move(old, "a", "b")
        old.close()

    def _settle(self) -> None:
        """The paused ones end; the leader is told that all before it have."""
        while self.paused:
            self._wake()
        self.leader.previous_leader_ended()

    def end(self) -> None:
        for leader in (*self.paused, self.leader):
            leader.close()


class SteppedReader:
    """A query that lets a piece of history happen at each of its SLOTS."""

    def __init__(self, history: History, slots: list[list[str]]) -> None:
        self._history, self._slots = history, iter(slots)
        self._playing = False

    def pause(self) -> None:
        """Play the next slot; nothing within it, where a new leader reads too."""
        if not self._playing:
            self._playing = True
            for action in next(self._slots, []):
                self._history.do(action)
            self._playing = False

    def read_at(self, descriptor: int, amount: int, offset: int) -> bytes:
        """The log in two pieces, with history before, between and after them; cut between two of its frames."""
        self.pause()
        cut = max(0, HEADER + (amount - HEADER) // FRAME // 2 * FRAME)
        piece = read_at(descriptor, cut, offset)
        self.pause()
        data = piece + read_at(descriptor, amount - cut, offset + cut)
        self.pause()
        return data

    def balances(self, connection: apsw.Connection) -> Seen:
        found = []
        for name in ACCOUNTS:
            self.pause()
            found.append(int(connection.execute(f"SELECT v FROM {name}").get))
        serial = int(connection.execute("SELECT v FROM serial").get)
        self.pause()
        return Seen(tuple(found), serial)


actions = st.sampled_from(ACTIONS)
moments = st.dictionaries(st.integers(0, SLOTS - 1), st.lists(actions, min_size=1, max_size=6), max_size=2)
"""What happens at which slots of a reader: little at a time, or every example is only retried."""


@settings(max_examples=80, deadline=None)
@given(before=st.lists(actions, max_size=8), during=moments)
def test_no_history_gives_a_reader_anything_but_a_committed_state(
    before: list[str], during: dict[int, list[str]]
) -> None:
    with TemporaryDirectory(dir=memory()) as directory, pytest.MonkeyPatch.context() as patched:
        one_process(patched)
        history = History(Layout(Path(directory)))
        try:
            for action in before:
                history.do(action)
            acknowledged = history.acknowledged
            stepped = SteppedReader(history, [during.get(slot, []) for slot in range(SLOTS)])
            patched.setattr(reader, "read_at", stepped.read_at)
            seen = SharedReader(history.layout).query(stepped.balances, timeout=2)
            assert seen.whole
            assert seen.serial >= acknowledged
        finally:
            history.end()
