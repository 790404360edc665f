"""Deciding from a list: a comment, how long, and yes; then the coordinator is asked. Anything else is no."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from noroshi.console.app.decision_job import decision_job
from noroshi.console.app.messages import DecisionAnswered
from noroshi.console.app.notification_rows import shown
from noroshi.console.app.screens.detail import DetailScreen
from noroshi.console.commands.asking import author, duration
from noroshi.node.wire.operating import Acknowledge, AddSilence

if TYPE_CHECKING:
    from noroshi.console.app.screens.base import NoroshiScreen


@dataclass(frozen=True)
class Decision:
    """What is decided of `about`: `words` say it, `done` says it was done, `kind` is the noun with its article.

    `forever` says what no duration means, empty where one must be given; `key` is the one that began it.
    """

    about: str
    words: str
    done: str
    kind: str
    forever: str
    key: str
    body: Callable[[str, float | None], Acknowledge | AddSilence]


def acknowledgement(event: str, state: str) -> Decision:
    """An operator looks after an event in this state."""
    return Decision(
        event,
        f"acknowledge {event}",
        "acknowledged",
        "an acknowledgement",
        f"while it is {state}",
        "a",
        lambda comment, seconds: Acknowledge(event, 0, author(), comment, seconds),
    )


def silence(event: str) -> Decision:
    """Nobody is told of an event for a while."""
    return Decision(
        event,
        f"silence {event}",
        "silenced",
        "a silence",
        "",
        "S",
        lambda comment, seconds: AddSilence(event, "", author(), comment, seconds or 0.0),
    )


def maintenance(node: str) -> Decision:
    """Nobody is told for a while of what is about a node, or seen by it."""
    return Decision(
        node,
        f"maintenance of {node}",
        "put into maintenance",
        "maintenance",
        "",
        "S",
        lambda comment, seconds: AddSilence("", node, author(), comment, seconds or 0.0),
    )


class Deciding:
    """One question after the other in the prompt of `screen`. What was typed is offered again after a refusal."""

    def __init__(self, screen: NoroshiScreen) -> None:
        self._screen = screen
        self._decision: Decision | None = None
        self._comment, self._for = "", ""

    def begin(self, decision: Decision) -> None:
        """Ask for a comment, if there is somebody to ask."""
        if why := self._obstacle(decision):
            self._screen.say(why)
            return
        before, self._decision = self._decision, decision
        if before is None or (before.about, before.key) != (decision.about, decision.key):
            self._comment, self._for = "", ""
        self._screen.prompt("decide comment", "comment: ", self._comment, f"for the others, on {shown(decision.about)}")

    def answered(self, purpose: str, text: str) -> bool:
        """What the operator typed; False for a question that is not ours."""
        decision = self._decision
        if not purpose.startswith("decide ") or decision is None:
            return False
        if purpose == "decide comment":
            self._comment = text
            self._ask_how_long(decision)
        elif purpose == "decide for":
            self._take_how_long(decision, text.strip())
        else:
            self._take_yes(decision, text.strip().lower())
        return True

    def ended(self, event: DecisionAnswered) -> None:
        """The coordinator answered, or nobody did: a refusal stands until it is closed."""
        decision = self._decision
        if event.refused and decision is not None:
            again = f"{decision.key} asks again, with what was typed"
            fields = [("not done", event.refused), ("", ""), ("what now", again)]
            self._screen.console.push_screen(DetailScreen("refusal", fields, f"NOT {decision.done.upper()}"))
        else:
            self._comment, self._for = "", ""
            self._screen.console.say(shown(event.told))

    def _obstacle(self, decision: Decision) -> str:
        console = self._screen.console
        if console.read_only:
            return "this console is read-only"
        return "" if console.led else f"there is no coordinator now: {decision.kind} waits for one"

    def _ask_how_long(self, decision: Decision) -> None:
        empty = f"; empty: {shown(decision.forever)}" if decision.forever else ""
        self._screen.prompt("decide for", "for: ", self._for, f"30m, 2h, 1d{empty}")

    def _take_how_long(self, decision: Decision, text: str) -> None:
        try:
            if text or not decision.forever:
                duration(text)
        except argparse.ArgumentTypeError as error:
            self._ask_how_long(decision)
            self._screen.say(shown(str(error)))
            return
        self._for = text
        whole = shown(f"{decision.words} as {author()}" + (f" for {text}" if text else ""))
        self._screen.prompt("decide yes", "y/N: ", "", whole)

    def _take_yes(self, decision: Decision, text: str) -> None:
        if text not in ("y", "yes"):
            self._screen.say(f"not {decision.done}")
            return
        body = decision.body(self._comment, duration(self._for) if self._for else None)
        self._screen.say("asking the coordinator …")
        self._screen.console.asker.submit("decision", decision_job(body, decision.kind, self))
