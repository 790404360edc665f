"""Replays the transcripts in `operating/`: what operators do, and what follows a notification (spec 7).

Role: one transcript a feature, through the coordinator's own managers and a real database; db1 leads, periods of 1 s.
Rules: NOROSHI_REWRITE=1 writes the transcripts anew from what happened; look at the difference before keeping it.

Commands
    define YAML                                a definition, as one line of flow YAML; {P1}, {P2} are destinations of
                                               priority 1 on db2 and 2 on db3, each a program
    event EVENT STATE [SUPPLEMENT] [from=NODE]
    answer DELIVERY delivered|failed [REASON]
    wait SECONDS                               time goes by in steps, as the coordinator asks to be woken
    ack EVENT|NOTIFICATION [for=SECONDS] [withdraw=yes]
    silence PATTERN SECONDS [in=SECONDS] | maintenance NODE SECONDS | end NUMBER
    overall COUNT WITHIN                       the cluster's own limit; the coordinator begins anew with it
    take over NODE
    history
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from coordinating import Coordinating

from noroshi.node.wire import operating
from noroshi.node.wire.messages import Changed, Refused, Reply
from noroshi.store import views
from noroshi.store.model import Limit

SCENARIOS = sorted((Path(__file__).parent / "operating").glob("*.txt"))

SHORT = [path for path in SCENARIOS if path.stem != "late"]
"""Without those in which a time limit passes: a turn that is lost begins it again in full (design section 7)."""

P1 = "{priority: 1, node: db2, procedure: process, application: [/bin/first]}"
P2 = "{priority: 2, node: db3, procedure: process, application: [/bin/second]}"
EVERYTHING = views.HistoryFilter()


class Stage:
    """Gives deliveries short names, and prints what each command brought about."""

    def __init__(self, shared: Path) -> None:
        self.desk = Coordinating(shared)
        self.names: dict[str, str] = {}
        self.printed = 0
        self.statuses: dict[int, str] = {}

    def play(self, command: str) -> list[str]:
        name, *words = shlex.split(command) if not command.startswith("define ") else ["define", command[7:]]
        options = {key: value for key, _, value in (word.partition("=") for word in words if _is_option(word))}
        plain = [word for word in words if not _is_option(word)]
        method: Callable[..., Iterator[str] | None] = getattr(self, f"do_{name}")
        said = list(method(*plain, **{f"{key}_": value for key, value in options.items()}) or ())
        return [*said, *self.news()]

    def news(self) -> Iterator[str]:
        """Deliveries that went out, notifications that began, were held or ended."""
        rows = self.desk.query(lambda c: views.notifications(c, EVERYTHING, 1000))
        for row in rows:
            if row.id not in self.statuses:
                held = f" held: {row.reason}" if row.status == "held" else ""
                held = f": {row.supplement}" if row.notice == "summary" else held
                by = row.definition or "(none)"
                yield f"notification {row.id} {row.notice} by {by}: {row.event} {row.state}{held}"
        for node, message in self.desk.deliveries[self.printed :]:
            known = message.delivery in self.names
            name = self.names.setdefault(message.delivery, f"D{len(self.names) + 1}")
            again = "again to" if known else "to"
            yield f"    {name} {again} {node}, {_application(message.application)}{_marks(message.payload)}"
        self.printed = len(self.desk.deliveries)
        for row in rows:
            if row.status not in ("pending", "held") and self.statuses.get(row.id) != row.status:
                yield f"notification {row.id} {row.status}: {row.reason}"
            self.statuses[row.id] = row.status

    def do_define(self, text: str) -> Iterator[str]:
        yield from _said(self.desk.define(f"events: [{text.replace('{P1}', P1).replace('{P2}', P2)}]"))

    def do_event(self, event: str, state: str, supplement: str = "", from_: str = "db4") -> None:
        self.desk.event(event, state, supplement, from_)

    def do_answer(self, name: str, outcome: str, reason: str = "exit status 0") -> None:
        delivery = next(delivery for delivery, short in self.names.items() if short == name)
        self.desk.answer(delivery, outcome, reason)

    def do_wait(self, seconds: str) -> Iterator[str]:
        end = self.desk.seconds + float(seconds)
        while (due := self.desk.due_in()) is not None and self.desk.seconds + due <= end:
            self.desk.wait(max(0.0, due))
            yield from (f"{self.desk.seconds:g} s: {line}" for line in self.news())
        self.desk.wait(end - self.desk.seconds)

    def do_ack(self, what: str, for_: str | None = None, withdraw_: str = "") -> Iterator[str]:
        number = int(what) if what.isdecimal() else 0
        duration = None if for_ is None else float(for_)
        event = "" if number else what
        yield from _said(self.desk.ask(operating.Acknowledge(event, number, "ann", "mine", duration, bool(withdraw_))))

    def do_silence(self, pattern: str, seconds: str, in_: str = "0") -> Iterator[str]:
        asked = operating.AddSilence(pattern, "", "ann", "upgrade", float(seconds), float(in_))
        yield from _said(self.desk.ask(asked))

    def do_maintenance(self, node: str, seconds: str) -> Iterator[str]:
        yield from _said(self.desk.ask(operating.AddSilence("", node, "ann", "memory", float(seconds))))

    def do_end(self, number: str) -> Iterator[str]:
        yield from _said(self.desk.ask(operating.EndSilence("ann", int(number))))

    def do_overall(self, count: str, within: str) -> None:
        self.desk.cluster = replace(self.desk.cluster, limit=Limit(int(count), float(within)))
        self.desk.take_over("db1")

    def do_take(self, _over: str, node: str) -> None:
        self.desk.take_over(node)

    def do_history(self) -> Iterator[str]:
        for row in self.desk.query(lambda c: views.notifications(c, EVERYTHING, 1000)):
            yield f"{row.id} {row.notice} {row.definition} {row.event} {row.state} {row.status}: {row.reason}"
            for attempt in row.attempts:
                yield f"    priority {attempt.priority} {attempt.node} {attempt.outcome}: {attempt.reason}"


def _said(reply: Reply) -> Iterator[str]:
    if isinstance(reply, Changed):
        yield from (f"- {line}" for text in reply.lines for line in text.splitlines())
    else:
        assert isinstance(reply, Refused)
        yield from f"refused: {reply.message}".splitlines()


def _is_option(word: str) -> bool:
    return re.fullmatch(r"[a-z]+=\S*", word) is not None


def _application(application: object) -> str:
    return str(application[0]) if isinstance(application, list) else "default"


def _marks(payload: bytes) -> str:
    told = json.loads(payload)
    return f", notice {told['notice']}" if "notice" in told else ""


def replay(text: str, shared: Path, *, take_overs: bool = False, crashes: bool = False) -> str:
    """The transcript with what its commands give now; comments and empty lines stay.

    `take_overs`: another coordinator goes on after each command. `crashes`: each turn is lost once before its commit.
    """
    stage, out = Stage(shared), []
    stage.desk.crashing = crashes
    try:
        for line in text.splitlines():
            if line.startswith("> "):
                out += [line, *stage.play(line[2:])]
                if take_overs:
                    stage.desk.take_over(stage.desk.node)
                    out += list(stage.news())
            elif not line or line.startswith("#"):
                out.append(line)
    finally:
        stage.desk.close()
    return "\n".join(out) + "\n"


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_transcript(path: Path, tmp_path: Path) -> None:
    written = path.read_text(encoding="utf-8")
    played = replay(written, tmp_path / "shared")
    if os.environ.get("NOROSHI_REWRITE"):
        path.write_text(played, encoding="utf-8")
    else:
        assert played == written, f"{path.name}: NOROSHI_REWRITE=1 writes it anew"


def _without_repeats(text: str) -> list[str]:
    """Deliveries that a take-over sends again are the one thing that may differ."""
    return [line for line in text.splitlines() if " again to " not in line]


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_a_take_over_after_each_step_changes_nothing(path: Path, tmp_path: Path) -> None:
    written = path.read_text(encoding="utf-8")
    assert _without_repeats(replay(written, tmp_path / "shared", take_overs=True)) == _without_repeats(written)


@pytest.mark.parametrize("path", SHORT, ids=lambda path: path.stem)
def test_a_turn_lost_before_its_commit_changes_nothing(path: Path, tmp_path: Path) -> None:
    written = path.read_text(encoding="utf-8")
    assert _without_repeats(replay(written, tmp_path / "shared", crashes=True)) == _without_repeats(written)
