"""The terminal behind the screen: Textual's own driver, paced by what the terminal takes, in signs it can show.

Rules: a line of 9600 baud takes a screen in two seconds, and what is drawn faster than that would stand in a queue
before every key: so it is counted what was drawn and not taken yet, and the app draws no more until that is little.
A terminal of a kind that has few signs, or whose encoding has, gets ASCII for ours (signs.py).
"""

from __future__ import annotations

import os
from typing import Any, TextIO, cast

from textual.drivers.linux_driver import LinuxDriver

from noroshi.console.signs import encodable, is_unicode

BEHIND = 2048
"""Characters drawn and not taken, from which on a terminal is behind: about a screen."""

FEW_SIGNS = frozenset({"linux", "vt100", "vt102", "vt220", "vt320", "ansi", "dumb"})
"""Kinds of terminals whose fonts have little beyond ASCII."""


class Output:
    """The stream that Textual's writing thread writes to; `taken` counts what the terminal has taken of it.

    `few_signs`: the terminal gets ASCII for our signs, and of what else its encoding lacks as many question marks as
    it has cells: an escape would be longer, and move everything behind it.
    """

    def __init__(self, stream: TextIO, *, few_signs: bool) -> None:
        self._stream = stream
        self._encoding = stream.encoding or "ascii"
        self._few_signs = few_signs or not is_unicode(self._encoding)
        self.taken = 0

    def write(self, text: str) -> None:
        self._stream.write(encodable(text, self._encoding) if self._few_signs else text)
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
        self._output = Output(cast("TextIO", self._file), few_signs=kind in FEW_SIGNS)
        self._file = self._output  # type: ignore[assignment]  # all that the writing thread asks of it
        self._drawn = 0

    def write(self, data: str) -> None:
        self._drawn += len(data)
        super().write(data)

    @property
    def is_behind(self) -> bool:
        return self._drawn - self._output.taken > BEHIND
