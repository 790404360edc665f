"""Something happens in the demo cluster while an operator looks at it: lines are logged, events raised."""

from __future__ import annotations

import contextlib
import itertools
import threading
from types import TracebackType

from noroshi.console.demo.files import DemoFiles
from noroshi.node.client import RaiseError, raise_event

PACE = 2.0
"""Seconds between two happenings."""

_LINES = (
    "GET /orders 200 in 12 ms",
    "error: connection to billing reset by peer",
    "retry 1 of 3 failed",
    "failed, but harmless",
    "error: [db1] disk /dev/sda7 slow: 1900 ms",
)
_EVENTS = (
    ("app/orders", "ERROR", "queue is full"),
    ("app/printer", "OK", "paper refilled"),
    ("app/orders", "OK", "queue drained"),
    ("memory/db3/mc0", "WARNING", "31 corrected errors in an hour"),
)


class Life:
    """A context manager around a background thread."""

    def __init__(self, files: DemoFiles) -> None:
        self._files = files
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._live, name="demo-life", daemon=True)

    def __enter__(self) -> Life:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _live(self) -> None:
        nodes = itertools.cycle(self._files.nodes)
        events = itertools.cycle(_EVENTS)
        for number, line in enumerate(itertools.cycle(_LINES)):
            if self._stop.wait(PACE):
                return
            node = next(nodes)
            with node.log.open("a") as log:
                log.write(f"{line} (#{number})\n")
            if number % 3 == 2:
                # A node that is just starting, or was killed from outside, takes no event: the next one will.
                with contextlib.suppress(RaiseError):
                    raise_event(*next(events), socket=str(node.agent))
