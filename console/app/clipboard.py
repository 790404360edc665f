"""Copying over SSH and tmux. No terminal acknowledges, so it is "sent", never "copied".

Under tmux the terminal's own sequence (OSC 52) is dropped silently by default; `tmux load-buffer -w -` fills tmux's
buffer and lets tmux pass it on.
"""

from __future__ import annotations

import os
import subprocess

LIMIT = 5.0
"""Seconds given to tmux."""


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
