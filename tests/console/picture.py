"""Draws the picture of the README anew: `python tests/console/picture.py` writes console.svg beside this file."""

from __future__ import annotations

import asyncio
import html
import re
import sys
import tempfile
from pathlib import Path
from unittest.mock import Mock, patch

import msgspec

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from filling import NOW, fill, layout_of, leading, make_cluster, story
from pilots import console

from noroshi.store import lock
from noroshi.store.layout import Layout
from noroshi.store.lock import LockRecord

TARGET = Path(__file__).with_name("console.svg")
FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
"""Fetched from elsewhere by whoever looks; any monospaced font will do."""
TEXT = re.compile(
    r'<text class="(?P<style>[^"]+)" x="(?P<x>[\d.]+)" (?P<y>y="[^"]+") textLength="[^"]+" (?P<clip>[^>]+)>'
    r"(?P<text>[^<]*)</text>"
)
WORDS = re.compile(r"[^\xa0]+(?:\xa0[^\xa0]+)*")
CELL = 12.2
"""Of the picture's units: what one character takes."""


async def draw(file: Path) -> str:
    with leading(layout_of(file)) as order:
        order(f"sql UPDATE terms SET since = {NOW - 9_000_000_000}")
        async with console(file, (96, 22)) as shown:
            await shown.shows("coordinator db1 term 2", "03:03:23Z")
            await shown.until("no warning", lambda: "GONE" not in shown.text)
            await shown.press("e")
            return in_place(FONTS.sub("", shown.app.export_screenshot(title="noroshi console")))


def in_place(svg: str) -> str:
    """Each text at its own place: not every viewer heeds textLength, or spaces that a text begins with."""
    underlined = set(re.findall(r"\.(\S+) \{[^}]*underline", svg))

    def apart(found: re.Match[str]) -> str:
        text = html.unescape(found["text"])
        if found["style"] in underlined:  # the line goes on between the words
            return found[0]
        return "".join(
            f'<text class="{found["style"]}" x="{float(found["x"]) + word.start() * CELL:.1f}" {found["y"]} '
            f'textLength="{len(word[0]) * CELL:.1f}" {found["clip"]}>{html.escape(word[0])}</text>'
            for word in WORDS.finditer(text)
        )

    return TEXT.sub(apart, svg)


def leader(layout: Layout) -> LockRecord | None:
    """Whoever leads has done so for two hours and a half."""
    record = lock.read_lock(layout)
    return record and msgspec.structs.replace(record, since_us=NOW - 9_000_000_000)


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as directory,
        patch("noroshi.console.app.app.now_us", lambda: NOW),
        patch("noroshi.console.queries.lock", Mock(wraps=lock, read_lock=leader)),
    ):
        file = make_cluster(Path(directory) / "cluster")
        fill(layout_of(file), lambda connection: story(connection, NOW))
        TARGET.write_text(asyncio.run(draw(file)), encoding="utf-8")
    print(f"{TARGET}: {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
