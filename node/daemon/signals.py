"""Signals to the node daemon that the node file maps to events (spec 2.2): `kill -USR1 PID` raises one.

Rules: several of one signal in a row are one event or more, as the kernel counts them; between different signals the
order of raising is the order in which the loop heard them.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Sequence

from noroshi.store.config import SignalRule
from noroshi.store.errors import NoroshiError

_log = logging.getLogger(__name__)


class SignalEvents:
    """Listens until `close`. `raise_event(event, state, supplement)` is done when the event is safe."""

    def __init__(self, rules: Sequence[SignalRule], raise_event: Callable[[str, str, str], Awaitable[object]]) -> None:
        self._raise = raise_event
        self._loop = asyncio.get_running_loop()
        self._raising: set[asyncio.Task[None]] = set()
        self._numbers = [number_of(rule.name) for rule in rules]
        for number, rule in zip(self._numbers, rules, strict=True):
            self._loop.add_signal_handler(number, self._heard, rule)

    def close(self) -> None:
        """The signals mean what they mean to the system again."""
        for number in self._numbers:
            self._loop.remove_signal_handler(number)

    def _heard(self, rule: SignalRule) -> None:
        task = self._loop.create_task(self._tell(rule))
        self._raising.add(task)
        task.add_done_callback(self._raising.discard)

    async def _tell(self, rule: SignalRule) -> None:
        try:
            await self._raise(rule.event, rule.state, rule.supplement)
        except (NoroshiError, OSError, ValueError) as error:
            _log.error("signal %s: %s %s could not be raised: %s", rule.name, rule.event, rule.state, error)


def number_of(name: str) -> int:
    """USR1, RTMIN+3, as the node file writes them."""
    base, _, offset = name.partition("+")
    return signal.Signals[f"SIG{base}"] + int(offset or 0)
