"""`dying_coordinator.py CONFIG EVENT N POINTS`: the coordinator, dead by SIGKILL at the n-th step of one notification.

The steps count from the report of EVENT on: received, decided (before the commit), committed, sent, acknowledged; for
an answer the same. POINTS is a file that gets the name of each step passed, so that a test sees there was none left.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from noroshi.node.coordinator import app
from noroshi.node.coordinator.deliveries import DeliverySockets
from noroshi.node.coordinator.intake import Asked, Intake
from noroshi.node.wire.messages import Answer, EventBatch
from noroshi.store.writer import Writer


class Steps:
    """Counts the steps of turns that concern the event, and ends the process at the fatal one."""

    def __init__(self, event: str, fatal: int, points: Path) -> None:
        self._event, self._fatal, self._points = event, fatal, points
        self._armed = self._concerned = False
        self._passed = 0

    def turn(self, items: list[Any]) -> None:
        """A turn begins."""
        reported = any(self._is_report(item) for item in items)
        self._armed = self._armed or reported
        self._concerned = self._armed and (reported or any(isinstance(item, Answer) for item in items))
        self.step("received")

    def step(self, name: str) -> None:
        if not self._concerned:
            return
        self._passed += 1
        with self._points.open("a") as points:
            points.write(f"{name}\n")
        if self._passed == self._fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    def _is_report(self, item: Any) -> bool:
        batch = item.request.body if isinstance(item, Asked) else None
        return isinstance(batch, EventBatch) and any(report.event == self._event for report in batch.reports)


def arm(steps: Steps) -> None:
    """Take the steps into the coordinator of this process."""
    commit, transaction = app.Coordinator._commit, Writer.transaction
    reply, send = Intake.reply, DeliverySockets.send

    def counted_commit(self: app.Coordinator, items: list[Any]) -> None:
        steps.turn(items)
        commit(self, items)

    @contextmanager
    def counted_transaction(self: Writer) -> Iterator[Any]:
        with transaction(self) as connection:
            yield connection
            steps.step("decided")
        steps.step("committed")

    def counted_reply(self: Intake, *arguments: Any) -> None:
        reply(self, *arguments)
        steps.step("acknowledged")

    def counted_send(self: DeliverySockets, *arguments: Any) -> None:
        send(self, *arguments)
        steps.step("sent")

    app.Coordinator._commit = counted_commit  # type: ignore[method-assign]
    Writer.transaction = counted_transaction  # type: ignore[method-assign]
    Intake.reply = counted_reply  # type: ignore[method-assign]
    DeliverySockets.send = counted_send  # type: ignore[method-assign]


if __name__ == "__main__":
    os.umask(0o077)
    arm(Steps(sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])))
    sys.exit(app.run(Path(sys.argv[1])))
