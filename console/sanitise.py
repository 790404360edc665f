"""Text from outside, made safe to show: the one function that stands before every widget and every terminal.

Log lines, names and supplements are stored as they came. Shown as they came, their escape sequences would reach the
operator's terminal (titles changed, screens cleared, answers typed), their bidi controls would turn a line around,
and a newline would pretend to be another record.
Rules: what `visible` returns holds no C0, DEL or C1 control, no line or paragraph separator, no invisible format
control but the joiners that scripts need, and no lone surrogate; everything else is unchanged. It is idempotent.
"""

from __future__ import annotations

import re

# Cc and Cs are found by range; these are the Cf, Zl and Zp characters, the joiners U+200C and U+200D excepted.
_FORMAT = (
    "\u00ad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0001-\U000e007f"
)
_UNSAFE = re.compile(f"[\x00-\x1f\x7f-\x9f\ud800-\udfff{_FORMAT}]")
_UNSAFE_BUT_TAB = re.compile(f"[\x00-\x08\x0a-\x1f\x7f-\x9f\ud800-\udfff{_FORMAT}]")
_UNSAFE_OR_NOT_ASCII = re.compile("[^\x20-\x7e]")
_TAB = 8


def visible(text: str) -> str:
    """`text` on one line, unsafe characters as something to see: ␛ ␊ ␀ for C0, ␡, \\x9b, \\u202e; tabs as spaces.

    What is no text, as a damaged row may hold, is shown as one.
    """
    if not isinstance(text, str):
        return visible(str(text))
    if not _UNSAFE.search(text):
        return text
    return _UNSAFE_BUT_TAB.sub(_shown, text).expandtabs(_TAB)


def visible_lines(text: str) -> list[str]:
    """The lines of a record of several, each safe; at least one."""
    return [visible(line) for line in text.split("\n")]


def is_safe(character: str) -> bool:
    """Whether `visible` leaves this character alone."""
    return not _UNSAFE.match(character)


def escaped_json(encoded: str, *, ascii_only: bool = False) -> str:
    """JSON text whose strings hold none of the unsafe characters raw; the value is the same."""
    return (_UNSAFE_OR_NOT_ASCII if ascii_only else _UNSAFE).sub(_json_escape, encoded)


def _shown(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _json_escape(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", errors="surrogatepass")
    return "".join(f"\\u{units[at] << 8 | units[at + 1]:04x}" for at in range(0, len(units), 2))
