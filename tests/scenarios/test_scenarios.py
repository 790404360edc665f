"""Replays the transcripts beside this file: commands after `> `, below each what was decided and asked for.

Role: one transcript for each branch of fig. 7, readable by someone who knows only the figure.
Rules: NOROSHI_REWRITE=1 writes the transcripts anew from what happened; look at the difference before keeping it.

Commands
    definition NAME EVENT STATE[,STATE]|any [enough=all] [timeout=10] [duplicates=allow]    again: the next version
    logs NAME NODE SOURCE PATTERN                        a log definition
    tell NAME PRIORITY NODE|- PROGRAM [timeout=5]        one destination; - names no node
    node NODE STATE                                      the engine is told a node's state
    event EVENT STATE [SUPPLEMENT] [from=NODE] [at=SECONDS]
    line NODE SOURCE TEXT
    answer DELIVERY delivered|failed [REASON]
    wait SECONDS                                         time goes by, then a tick
    meanwhile NODE STATE                                 a node changes while there is no coordinator
    take over NODE                                       the coordinator is gone; NODE goes on from the database
    history                                              what the database has
    figure                                               the transition table
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from ledger import Desk

from noroshi.node.core import engine
from noroshi.node.core.duplicates import Handling, Observed, judge
from noroshi.node.core.engine import (
    Action,
    Answered,
    AttemptEnded,
    AttemptRepeated,
    AttemptSkipped,
    AttemptStarted,
    Closed,
    Held,
    LateAnswer,
    NodeChanged,
    NodeState,
    Notify,
    Opened,
    RaiseFailure,
    Subject,
)
from noroshi.node.core.fig7 import TABLE, Found, Step, follow
from noroshi.node.core.matching import match_event, match_line
from noroshi.node.core.reasons import Reason, named
from noroshi.store.model import Definition, Destination

SCENARIOS = sorted(Path(__file__).parent.glob("*.txt"))


class Stage:
    """One cluster with its coordinator on db1, periods of 1 s; a method for each command gives the lines to print."""

    def __init__(self) -> None:
        self.desk = Desk()
        self.states: dict[str, Observed] = {}
        self.group: dict[int, int | None] = {}
        """The priority each notification is at, None when it has ended, as far as printed."""

    def play(self, command: str) -> list[str]:
        name, *words = shlex.split(command)
        options = {key: value for key, _, value in (word.partition("=") for word in words if _is_option(word))}
        plain = [word for word in words if not _is_option(word)]
        method: Callable[..., Iterator[str]] = getattr(self, f"do_{name}")
        return list(method(*plain, **{f"{key}_": value for key, value in options.items()}))

    def crash(self, command: str) -> list[str]:
        """The command is played and its transaction lost; a new engine goes on. What that sends again."""
        states, group = dict(self.states), dict(self.group)
        self.desk.rolled_back(lambda: self.play(command))
        self.states, self.group = states, group
        return list(self.printed(self.desk.take_over()))

    def do_definition(
        self,
        name: str,
        event: str,
        state: str,
        enough_: str = "any",
        timeout_: str = "10",
        duplicates_: str = "suppress",
    ) -> Iterator[str]:
        old = self.desk.current.get(name)
        new = Definition(
            name=name,
            kind="event",
            event=event,
            state=() if state == "any" else tuple(state.split(",")),
            enough=enough_,
            timeout=float(timeout_),
            duplicates=duplicates_,
            version=old.version + 1 if old else 1,
        )
        self.desk.define(new)
        yield from ()

    def do_logs(self, name: str, node: str, source: str, pattern: str) -> Iterator[str]:
        self.desk.define(Definition(name=name, kind="log", node=node, source=source, pattern=pattern, version=1))
        yield from ()

    def do_tell(self, name: str, priority: str, node: str, program: str, timeout_: str | None = None) -> Iterator[str]:
        old = self.desk.current[name]
        one = Destination(
            priority=int(priority),
            node=None if node == "-" else node,
            procedure="process",
            application=[program],
            timeout=None if timeout_ is None else float(timeout_),
        )
        self.desk.define(msgspec.structs.replace(old, notify=(*old.notify, one)))
        yield from ()

    def do_node(self, node: str, state: NodeState) -> Iterator[str]:
        yield from self.printed(self.desk.give(NodeChanged(node, state)))

    def do_event(
        self, event: str, state: str, supplement: str = "", from_: str = "db1", at_: str | None = None
    ) -> Iterator[str]:
        matching = match_event(self.desk.current.values(), event, state)
        at = self.desk.now if at_ is None else float(at_)
        report = Observed(state, supplement, from_, int(at * 1_000_000))
        verdict = judge(report, self.states.get(event), matching)
        yield f"{_FIGURE_4[verdict.handling]}: {verdict.reason}"
        if verdict.handling is Handling.UPDATE:
            self.states[event] = report
            if not matching:
                yield "S1 not defined"
            yield from self.printed(
                action
                for one in verdict.notify
                for action in self.desk.give(Notify(one, Subject("event", f"{event} {state}", b"{}", event_id=1)))
            )

    def do_line(self, node: str, source: str, text: str) -> Iterator[str]:
        matching = match_line(self.desk.current.values(), node, source, text, _found)
        if not matching:
            yield "S1 not defined"
        for one in matching:
            yield from self.printed(self.desk.give(Notify(one, Subject("line", f"{source}: {text}", b"{}", log_id=1))))

    def do_answer(self, delivery: str, outcome: str, reason: str = "") -> Iterator[str]:
        yield from self.printed(self.desk.give(Answered(delivery, outcome, reason)))

    def do_wait(self, seconds: str) -> Iterator[str]:
        yield from self.printed(self.desk.tick(float(seconds)))

    def do_take(self, _over: str, node: str) -> Iterator[str]:
        yield from self.printed(self.desk.take_over(node))

    def do_meanwhile(self, node: str, state: NodeState) -> Iterator[str]:
        self.desk.nodes[node] = state
        yield from ()

    def do_history(self) -> Iterator[str]:
        for number, row in self.desk.ledger.notifications.items():
            yield f"notification {number} {row.definition[0] or '(none)'} {row.status}" + (
                f": {row.reason}" if row.reason else ""
            )
            for delivery, attempt in self.desk.ledger.attempts_of(number):
                yield f"    {delivery} priority {attempt.priority} {attempt.node} {attempt.outcome or 'under way'}" + (
                    f": {attempt.reason}" if attempt.reason else ""
                )

    def do_figure(self) -> Iterator[str]:
        for (step, found), after in TABLE.items():
            yield f"{step:>3} -> {after:<3} {found}"

    def printed(self, actions: Iterator[Action] | list[Action]) -> Iterator[str]:
        for action in actions:
            yield self.line_of(action)

    def line_of(self, action: Action) -> str:
        match action:
            case Opened():
                by = action.definition or "no definition"
                return f"S2  notification {action.notification} by {by}: {action.subject.about}"
            case Held():
                return f"--  notification {action.notification} by {action.definition} held back: {action.reason}"
            case AttemptSkipped():
                self.group[action.notification] = action.priority
                return f"S3  {action.delivery} skipped, priority {action.priority}, {action.node}: {action.reason}"
            case AttemptStarted():
                self.group[action.notification] = action.priority
                return f"S4  {action.delivery} sent, priority {action.priority}, {_where(action)}"
            case AttemptRepeated(attempt=started):
                return f"S4  {started.delivery} sent again, priority {started.priority}, {_where(started)}"
            case AttemptEnded():
                return f"{self.step_of(action)} {action.delivery} {action.outcome}: {action.reason}"
            case LateAnswer():
                return f"--  {action.delivery} {action.outcome} after its end, recorded only: {action.reason}"
            case Closed():
                self.group[action.notification] = None
                return f"{_CLOSED[action.status]} notification {action.notification} {action.status}: {action.reason}"
            case RaiseFailure():
                return f"S11 notification-failure event: {action.supplement}"

    def step_of(self, ended: AttemptEnded) -> str:
        """S6 for an answer, S5 for what ended without one, `--` for what decides nothing any more."""
        if self.desk.ledger.attempts[ended.delivery].priority != self.group[ended.notification]:
            return "-- "
        return "S5 " if named(ended.reason) in (Reason.NO_ANSWER, Reason.WENT_DOWN, Reason.WAS_STOPPED) else "S6 "


_FIGURE_4 = {
    Handling.COUNT: "fig. 4 S4-3 counted only",
    Handling.HISTORY: "fig. 4 history only",
    Handling.UPDATE: "fig. 4 S4-4 state table updated",
}
_CLOSED = {"delivered": "S7 ", "failed": "S10", "abandoned": "S12"}


def _is_option(word: str) -> bool:
    return re.fullmatch(r"[a-z]+=\S*", word) is not None


def _found(pattern: str, line: str) -> bool:
    return re.search(pattern, line) is not None


def _where(started: AttemptStarted) -> str:
    application = started.application
    program = application[0] if isinstance(application, list) else "default"
    return f"{started.node}, {program}, time limit {started.timeout:g}s"


INPUTS = ("event", "line", "answer", "node", "wait")


def replay(text: str, *, take_overs: bool = False, crashes: bool = False) -> str:
    """The transcript with what its commands give now; comments and empty lines stay.

    `take_overs`: a new engine goes on from what is stored after each command. `crashes`: what each input leads to is
    lost once before its commit, and then comes again to the engine that is restored.
    """
    stage, out = Stage(), []
    for line in text.splitlines():
        if line.startswith("> "):
            if crashes and line[2:].split()[0] in INPUTS:
                out += stage.crash(line[2:])
            out += [line, *stage.play(line[2:])]
            if take_overs:
                out += stage.printed(stage.desk.take_over())
        elif not line or line.startswith("#"):
            out.append(line)
    return "\n".join(out) + "\n"


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_transcript(path: Path) -> None:
    written = path.read_text(encoding="utf-8")
    played = replay(written)
    if os.environ.get("NOROSHI_REWRITE"):
        path.write_text(played, encoding="utf-8")
    else:
        assert played == written, f"{path.name}: NOROSHI_REWRITE=1 writes it anew"


TIME_PASSES = ("s5_each_its_own_limit", "s5_time_over", "take_over")
"""Where a time limit that begins again in full is seen, as after a take-over it has to."""
STEADY = [path for path in SCENARIOS if path.stem not in TIME_PASSES]


def _without_repeats(text: str) -> list[str]:
    """Deliveries that a take-over sends again are the one thing that may differ."""
    return [line for line in text.splitlines() if " sent again, " not in line]


@pytest.mark.parametrize("path", STEADY, ids=lambda path: path.stem)
def test_a_take_over_after_each_command_changes_nothing(path: Path) -> None:
    written = path.read_text(encoding="utf-8")
    assert _without_repeats(replay(written, take_overs=True)) == _without_repeats(written)


@pytest.mark.parametrize("path", STEADY, ids=lambda path: path.stem)
def test_a_turn_lost_before_its_commit_changes_nothing(path: Path) -> None:
    written = path.read_text(encoding="utf-8")
    assert _without_repeats(replay(written, crashes=True)) == _without_repeats(written)


def arrows_walked(monkeypatch: pytest.MonkeyPatch, paths: list[Path]) -> set[tuple[Step, Found]]:
    """Every arrow of the table that these transcripts take."""
    walked: set[tuple[Step, Found]] = set()

    def recorded(step: Step, found: Found) -> Step:
        walked.add((step, found))
        return follow(step, found)

    monkeypatch.setattr(engine, "follow", recorded)
    for path in paths:
        replay(path.read_text(encoding="utf-8"))
    return walked


def test_the_transcripts_walk_every_arrow_of_the_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    """One for each branch; how a test ends is in test_operators.py, it is no branch of the figure."""
    assert set(TABLE) - arrows_walked(monkeypatch, SCENARIOS) == {(Step.KIND, Found.TEST)}


def test_log_lines_walk_them_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that the figure itself draws; what its groups of several add does not ask what is told."""
    lines = [path for path in SCENARIOS if path.stem.startswith("log_lines")]
    missing = set(TABLE) - arrows_walked(monkeypatch, lines)
    assert {found for _, found in missing} <= {Found.TEST, Found.OTHERS_OUT, Found.STRAGGLER}
