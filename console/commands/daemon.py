"""`noroshi node` and `noroshi coordinator`: become that program.

The console imports nothing of the daemons (import-linter), so this process is replaced by theirs: a supervisor sees
one process, signals reach it, and no code of the console stays in its memory.
"""

from __future__ import annotations

import argparse
import os
import sys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Nothing but --config, which every command takes."""
    del parser


def run(arguments: argparse.Namespace) -> int:
    """Replace this process. Returns only where that fails."""
    # -P: the directory it is called in is no place for modules
    words = [sys.executable, "-P", "-m", "noroshi.node", arguments.command, "--config", arguments.config]
    os.execv(sys.executable, words)  # noqa: S606 - no shell is wanted
