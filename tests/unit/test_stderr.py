"""What the programs say of what came from outside: visible, in one line, a traceback in several."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import logging
from noroshi.node.stderr import log_to_stderr
log_to_stderr("node")
logging.info("started")
logging.warning("%s is gone", "a\\x1b]0;owned\\x07\\n<2>forged\\u202e\\udcff")
try:
    raise ValueError("\\x1b[2J")
except ValueError:
    logging.exception("failed")
"""


def said(environment: dict[str, str]) -> str:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
    ).stderr


@pytest.mark.parametrize("journal", [False, True])
def test_what_could_move_a_terminal_is_visible_and_no_message_looks_like_two(journal: bool) -> None:
    text = said({"PYTHONUTF8": "1", **({"JOURNAL_STREAM": "8:1"} if journal else {})})
    assert not {character for character in text if not character.isprintable()} - {"\n"}
    lines = text.splitlines()
    gone = r"a\x1b]0;owned\x07\n<2>forged\u202e\udcff is gone"
    if journal:
        assert lines[:2] == ["<6>node: started", f"<4>node: {gone}"]
        assert lines[2].startswith("<3>node: failed | Traceback") and lines[2].endswith(r"ValueError: \x1b[2J")
        assert len(lines) == 3
    else:
        assert lines[0].endswith(" node INFO started")
        assert lines[1].endswith(f" node WARNING {gone}")
        assert lines[2].endswith(" node ERROR failed") and lines[-1] == r"ValueError: \x1b[2J"
