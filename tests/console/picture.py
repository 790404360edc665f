"""Draws the picture of the README anew: `python tests/console/picture.py` writes console.svg beside this file."""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
from pathlib import Path
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from conftest import NOW
from filling import fill, layout_of, leading, make_cluster, story
from pilots import console

TARGET = Path(__file__).with_name("console.svg")
FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
"""Fetched from elsewhere by whoever looks; any monospaced font will do."""


async def draw(file: Path) -> str:
    with leading(layout_of(file)) as order:
        order(f"sql UPDATE terms SET since = {NOW - 9_000_000_000}")
        async with console(file, (96, 22)) as shown:
            await shown.shows("coordinator db1 term 2", "03:03:23Z")
            await shown.until("no warning", lambda: "GONE" not in shown.text)
            await shown.press("e")
            return FONTS.sub("", shown.app.export_screenshot(title="noroshi console"))


def main() -> None:
    with tempfile.TemporaryDirectory() as directory, patch("noroshi.console.app.app.now_us", lambda: NOW):
        file = make_cluster(Path(directory) / "cluster")
        fill(layout_of(file), lambda connection: story(connection, NOW))
        TARGET.write_text(asyncio.run(draw(file)), encoding="utf-8")
    print(f"{TARGET}: {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
