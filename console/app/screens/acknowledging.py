"""Acknowledging from a list: a comment, how long, and yes; then the coordinator is asked. Anything else is no."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from noroshi.console.app.messages import AcknowledgementAnswered
from noroshi.console.app.notification_detail import acknowledge_job
from noroshi.console.app.notification_rows import shown
from noroshi.console.app.screens.detail import DetailScreen
from noroshi.console.commands.asking import author, duration
from noroshi.node.wire.operating import Acknowledge
from noroshi.store.views import Notification

if TYPE_CHECKING:
    from noroshi.console.app.screens.base import NoroshiScreen

WAITS = "there is no coordinator now: an acknowledgement waits for one"


class Acknowledging:
    """One question after the other in the prompt of `screen`. What was typed is offered again after a refusal."""

    def __init__(self, screen: NoroshiScreen) -> None:
        self._screen = screen
        self._event, self._state, self._comment, self._for = "", "", "", ""

    def begin(self, row: Notification | None) -> None:
        """Ask for a comment, if there is an event that can be acknowledged and somebody to ask."""
        if (why := self._obstacle(row)) or row is None:
            self._screen.say(why)
            return
        if row.event != self._event:
            self._comment, self._for = "", ""
        self._event, self._state = row.event or "", row.state or ""
        self._screen.prompt("ack comment", "comment: ", self._comment, f"for the others, on {shown(self._event)}")

    def answered(self, purpose: str, text: str) -> bool:
        """What the operator typed; False for a question that is not ours."""
        if purpose == "ack comment":
            self._comment = text
            self._ask_how_long()
        elif purpose == "ack for":
            self._take_how_long(text.strip())
        elif purpose == "ack yes":
            self._take_yes(text.strip().lower())
        return purpose.startswith("ack ")

    def ended(self, event: AcknowledgementAnswered) -> None:
        """The coordinator answered, or nobody did: a refusal stands until it is closed."""
        if event.refused:
            fields = [("not done", event.refused), ("", ""), ("what now", "a asks again, with what was typed")]
            self._screen.console.push_screen(DetailScreen("refusal", fields, "NOT ACKNOWLEDGED"))
        else:
            self._comment, self._for = "", ""
            self._screen.console.say(shown(event.told))

    def _obstacle(self, row: Notification | None) -> str:
        console = self._screen.console
        if row is None or row.event is None:
            return "only an event can be acknowledged, and this tells of a line" if row else "nothing to acknowledge"
        if console.read_only:
            return "this console is read-only"
        return "" if console.led else WAITS

    def _ask_how_long(self) -> None:
        self._screen.prompt("ack for", "for: ", self._for, f"30m, 2h, 1d; empty: while it is {shown(self._state)}")

    def _take_how_long(self, text: str) -> None:
        try:
            if text:
                duration(text)
        except argparse.ArgumentTypeError as error:
            self._ask_how_long()
            self._screen.say(shown(str(error)))
            return
        self._for = text
        whole = shown(f"acknowledge {self._event} as {author()}" + (f" for {text}" if text else ""))
        self._screen.prompt("ack yes", "y/N: ", "", whole)

    def _take_yes(self, text: str) -> None:
        if text not in ("y", "yes"):
            self._screen.say("not acknowledged")
            return
        seconds = duration(self._for) if self._for else None
        asked = Acknowledge(self._event, 0, author(), self._comment, seconds)
        self._screen.say("asking the coordinator …")
        self._screen.console.asker.submit("acknowledge", acknowledge_job(asked))
