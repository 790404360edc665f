"""The terminal behind the screen: Textual's own driver, paced by what the terminal takes, in signs it can show.

Rules: a line of 9600 baud takes a screen in two seconds, and what is drawn faster than that would stand in a queue
before every key: so it is counted what was drawn and not taken yet, and the app draws no more until that is little.
A terminal of a kind that has few signs gets ASCII for ours; a word stands beside each of them anyway.
"""

from __future__ import annotations

import os
from typing import IO, Any, cast

from textual.drivers.linux_driver import LinuxDriver

BEHIND = 2048
"""Characters drawn and not taken, from which on a terminal is behind: about a screen."""

FEW_SIGNS = frozenset({"linux", "vt100", "vt102", "vt220", "vt320", "ansi", "dumb"})
"""Kinds of terminals whose fonts have little beyond ASCII."""

_PLAIN: dict[int, str | int] = {
    **str.maketrans("✖▲◐◆○●▶‖▼…·│─━┃▔▁▂▃▄▅▆▇█", "X!~*o+>|v.-|--|-________"),
    ord("🔎"): "> ",
}


class Output:
    """The stream that Textual's writing thread writes to; `taken` counts what the terminal has taken of it."""

    def __init__(self, stream: IO[str], table: dict[int, str | int]) -> None:
        self._stream, self._table = stream, table
        self.taken = 0

    def write(self, text: str) -> None:
        self._stream.write(text.translate(self._table) if self._table else text)
        self._stream.flush()  # else a stream's buffer would count as the terminal
        self.taken += len(text)

    def flush(self) -> None:
        self._stream.flush()

    def fileno(self) -> int:
        return self._stream.fileno()


class PacedDriver(LinuxDriver):
    """`is_behind` while the terminal has not taken what was drawn."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        kind = os.environ.get("TERM", "").partition("-")[0]
        self._output = Output(cast("IO[str]", self._file), _PLAIN if kind in FEW_SIGNS else {})
        self._file = self._output  # type: ignore[assignment]  # all that the writing thread asks of it
        self._drawn = 0

    def write(self, data: str) -> None:
        self._drawn += len(data)
        super().write(data)

    @property
    def is_behind(self) -> bool:
        return self._drawn - self._output.taken > BEHIND
