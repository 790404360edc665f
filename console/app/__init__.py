"""The console: a Textual app over the headless queries (design section 8).

Layout: `app.py` the app, `screens/`, `widgets/`, `messages.py`, `reading.py` the threads that ask, `terminal.py` what
the terminal takes, `noroshi.tcss`.
Rules: nothing here imports the store's statements; threads ask through `Queries` and post messages, handlers alone
touch widgets; text from outside passes the sanitiser and is never markup. textual is imported by `run_console`, not
before, because it reads its settings from the environment at import.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

MOST = 3
"""Faults of our own that are kept, and told whole at the end."""

THEMES = {"dark": "ansi-dark", "light": "ansi-light"}


def run_console(
    config_path: str | Path,
    *,
    mouse: bool = True,
    theme: str | None = None,
    local: bool = False,
    read_only: bool = False,
) -> int:
    """Open the console of the cluster that the node file names; return the exit status.

    `theme` is dark, light or None (as COLORFGBG says, else dark); `local` shows times in this machine's zone;
    `read_only` takes away the keys that change something.
    1 where the console had faults of its own, which are printed. Raises ConfigError where the node file is wrong,
    NoroshiError without a terminal.
    """
    from noroshi.console.queries import open_queries
    from noroshi.store.errors import NoroshiError

    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):  # Textual draws on stderr
        raise NoroshiError("the console needs a terminal", hint="use `noroshi status` or `noroshi log` in a script")
    queries = [open_queries(config_path) for _ in range(3)]
    prepare_environment()
    from noroshi.console.app.app import NoroshiApp
    from noroshi.console.app.terminal import PacedDriver

    theme = THEMES[theme or background()]
    app = NoroshiApp(*queries, theme=theme, local=local, read_only=read_only, driver_class=PacedDriver)
    app.run(mouse=mouse)
    _print_faults(app.faults, app.fault_count)
    return app.return_code or (1 if app.faults else 0)


def _print_faults(faults: Sequence[Exception], count: int) -> None:
    """The first ones whole, and how many came after them."""
    from noroshi.console.sanitise import visible

    for fault in faults:
        print("\n".join(map(visible, "".join(traceback.format_exception(fault)).splitlines())), file=sys.stderr)
    if more := count - len(faults):
        print(f"and {more:,} more", file=sys.stderr)


def prepare_environment() -> None:
    """Settings textual reads when it is imported: no animations, and few frames over SSH (measured: 6 % against 57)."""
    os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
    os.environ.setdefault("TEXTUAL_SMOOTH_SCROLL", "0")
    if "SSH_CONNECTION" in os.environ:
        os.environ.setdefault("TEXTUAL_FPS", "15")


def background() -> str:
    """dark or light, by the last field of COLORFGBG where the terminal sets it: 7 and 15 are white."""
    return "light" if os.environ.get("COLORFGBG", "").rpartition(";")[2] in ("7", "15") else "dark"
