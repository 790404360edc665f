"""Our own signs where a terminal has few: ASCII of the same width. A word stands beside each of them anyway; pure."""

from __future__ import annotations

import re

from rich.cells import cell_len

PLAIN: dict[int, str | int] = {
    **str.maketrans("✖▲◐◆○●▶‖▼…·→│─━┃▔▁▂▃▄▅▆▇█", "X!~*o+>|v.->|--|-________"),
    ord("🔎"): "> ",
}

_NOT_ASCII = re.compile("[^\x00-\x7f]")


def is_unicode(encoding: str | None) -> bool:
    """Whether a stream of this encoding takes every character."""
    return (encoding or "ascii").lower().replace("-", "").replace("_", "") in ("utf8", "utf16", "utf32")


def encodable(text: str, encoding: str) -> str:
    """Our signs as ASCII; of what else the encoding lacks, a question mark for each cell."""
    return _NOT_ASCII.sub(lambda found: _sign(found[0], encoding), text.translate(PLAIN))


def _sign(character: str, encoding: str) -> str:
    try:
        character.encode(encoding)
    except UnicodeEncodeError:
        return "?" * cell_len(character)
    return character
