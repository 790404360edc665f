"""`noroshi console`: the Textual app on this terminal, over SSH like anywhere."""

from __future__ import annotations

import argparse

from noroshi.console.app import THEMES, run_console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--theme", choices=sorted(THEMES), help="the terminal's background (default: COLORFGBG)")
    parser.add_argument("--local", action="store_true", help="times in this machine's zone instead of UTC")
    parser.add_argument("--no-mouse", action="store_true", help="leave the mouse to the terminal, to select and copy")
    parser.add_argument("--read-only", action="store_true", help="no key of the console changes anything")


def run(arguments: argparse.Namespace) -> int:
    return run_console(
        arguments.config,
        mouse=not arguments.no_mouse,
        theme=arguments.theme,
        local=arguments.local,
        read_only=arguments.read_only,
    )
