"""Copying over SSH and tmux. No terminal acknowledges, so it is "sent", never "copied".

Under tmux the terminal's own sequence (OSC 52) is dropped silently by default; `tmux load-buffer -w -` fills tmux's
buffer and lets tmux pass it on.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable

LIMIT = 5.0
"""Seconds given to tmux."""


OSC_MOST = 74_000
"""Characters: terminals drop a longer OSC 52 sequence, silently."""


def send(text: str, by_terminal: Callable[[str], None]) -> str:
    """Give it to tmux, or else `by_terminal`; what to say of it. May take LIMIT."""
    way = "tmux"
    if not send_by_tmux(text):
        if len(text) > OSC_MOST:
            return f"{len(text):,} characters are too long for the terminal: save to a file, w"
        by_terminal(text)
        way = f"the terminal (OSC 52{'; tmux may drop it' if os.environ.get('TMUX') else ''})"
    return f"{len(text):,} characters sent to {way}"


def send_by_tmux(text: str) -> bool:
    """Give `text` to tmux; False where there is none or it refuses (before 3.2 it knows no -w)."""
    if not os.environ.get("TMUX"):
        return False
    try:
        ended = subprocess.run(
            ["tmux", "load-buffer", "-w", "-"],
            input=text.encode("utf-8", "replace"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=LIMIT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return ended.returncode == 0
