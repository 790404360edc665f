"""Code that every Python of a program runs before anything else: a stand-in at the operating system's own boundary."""

from __future__ import annotations

import os
from pathlib import Path

DAEMON = """
import sys
if "noroshi.node" in sys.orig_argv and "node" in sys.orig_argv:
    from noroshi.node.daemon import probing
    {body}
"""
"""In the node daemon alone; `body` changes a limit of its part in a doctor's round."""

COORDINATOR = """
import sys
if "noroshi.node" in sys.orig_argv and "coordinator" in sys.orig_argv:
    {body}
"""
"""In the coordinator alone."""
SILENT_SOONER = DAEMON.format(body="from noroshi.node.daemon import app; app.ANSWER_LIMIT = 5.0") + COORDINATOR.format(
    body="from noroshi.node.coordinator import watchdog; watchdog.DISK_LIMIT = 3.0"
)
"""What gives up a coordinator, and a disk, that does not answer does so sooner."""


def run_first(folder: Path, code: str) -> dict[str, str]:
    """The environment in which `code` runs first; `folder` is made."""
    folder.mkdir(parents=True)
    (folder / "sitecustomize.py").write_text(code)
    return {"PYTHONPATH": os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])}
