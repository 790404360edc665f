"""What an operator types after `/`, as a filter; pure.

`oom killer`: that text. `!oom`: everything without it. `node:db1 source:/var/log/** oom`: in the log, also by the
pattern of names. Capital letters are told from small ones as soon as one is typed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from noroshi.store.views import LogFilter

LONGEST = 500
_NAMED = re.compile(r"(node|source):(\S+)\s*")


@dataclass(frozen=True)
class TextFilter:
    """Text to find, or with `inverted` to do without."""

    text: str = ""
    inverted: bool = False

    @property
    def ignore_case(self) -> bool:
        return self.text == self.text.lower()

    def spans(self, shown: str) -> list[tuple[int, int]]:
        """Where the text stands in what is shown; empty for an inverted filter."""
        if not self.text or self.inverted:
            return []
        flags = re.IGNORECASE if self.ignore_case else 0
        return [found.span() for found in re.finditer(re.escape(self.text), shown, flags)]

    def accepts(self, *shown: str) -> bool:
        """Whether one of the texts holds it (or, inverted, none does)."""
        if not self.text:
            return True
        if self.ignore_case:
            return any(self.text in text.lower() for text in shown) is not self.inverted
        return any(self.text in text for text in shown) is not self.inverted


def parse_text(typed: str) -> TextFilter:
    """For the status screen."""
    typed = typed.strip()[:LONGEST]
    return TextFilter(typed[1:].strip(), True) if typed.startswith("!") else TextFilter(typed)


def parse_log(typed: str) -> tuple[LogFilter, TextFilter]:
    """For the log: the filter to search by, and the text alone to highlight."""
    named: dict[str, str] = {}
    rest = typed.strip()
    while found := _NAMED.match(rest):
        named[found[1]] = found[2]
        rest = rest[found.end() :]
    text = parse_text(rest)
    words = (text.text,) if text.text else ()
    return LogFilter(**named, text=words, ignore_case=text.ignore_case, inverted=text.inverted), text
