"""What an operator types after `/`, as a filter; pure.

`oom killer`: that text. `!oom`: everything without it. `node:db1 source:/var/log/** oom`: in the log, also by the
pattern of names; `status:failed event:app/* definition:disk node:db1 oom`: among the notifications. A name with spaces
stands in quotes: `event:"my job"`. Capital letters are told from small ones as soon as one is typed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from noroshi.store.views import HistorySearch, LogFilter

LONGEST = 500
_NAME = r'(?:"([^"]+)"(?!\S)|(\S+))\s*'
_LOG_NAMED = re.compile(f"(node|source):{_NAME}")
_HISTORY_NAMED = re.compile(f"(status|event|definition|node):{_NAME}")


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
    parts, text = _split(typed, _LOG_NAMED)
    words = (text.text,) if text.text else ()
    return LogFilter(**parts, text=words, ignore_case=text.ignore_case, inverted=text.inverted), text


def parse_history(typed: str) -> tuple[HistorySearch, TextFilter]:
    """For the notifications, likewise; `status` takes several, with commas between."""
    parts, text = _split(typed, _HISTORY_NAMED)
    statuses = tuple(filter(None, parts.pop("status", "").lower().split(",")))
    about = HistorySearch(statuses=statuses, text=text.text, ignore_case=text.ignore_case, inverted=text.inverted)
    names: dict[str, Any] = dict(parts)
    return replace(about, **names), text


def with_status(typed: str, statuses: str) -> str:
    """The same filter for these statuses alone; without any, where it was for them already."""
    rest = _STATUS.sub("", typed).strip()
    asked = f"status:{statuses}"
    return rest if asked in typed.split() else f"{asked} {rest}".strip()


_STATUS = re.compile(r"(?<!\S)status:\S+\s*")


def _split(typed: str, names: re.Pattern[str]) -> tuple[dict[str, str], TextFilter]:
    """The named parts at the beginning, and the text that follows."""
    parts: dict[str, str] = {}
    rest = typed.strip()
    while found := names.match(rest):
        parts[found[1]] = found[2] or found[3]
        rest = rest[found.end() :]
    return parts, parse_text(rest)


def named(kind: str, name: str) -> str:
    """The beginning of a filter for this name alone, as it would be typed."""
    return f'{kind}:"{name}" ' if " " in name and '"' not in name else f"{kind}:{name} "
