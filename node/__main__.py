"""`python -m noroshi.node node|coordinator --config FILE`: the two long-running programs.

Own messages go to standard error: with <N> priorities under systemd, with the time elsewhere.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from pathlib import Path

from noroshi.store.errors import NoroshiError

_PRIORITY = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


class _JournalFormatter(logging.Formatter):
    """The <N> prefix that systemd reads (sd-daemon(3))."""

    def format(self, record: logging.LogRecord) -> str:
        return f"<{_PRIORITY.get(record.levelno, 6)}>" + super().format(record).replace("\n", " | ")


def main() -> int:
    """The exit status: 0 stopped as asked, 1 failed, 2 called wrongly; the coordinator's others in leadership.py."""
    parser = argparse.ArgumentParser(prog="noroshi")
    parser.add_argument("program", choices=["node", "coordinator"])
    parser.add_argument("--config", type=Path, required=True)
    arguments = parser.parse_args()
    _log_to_stderr(arguments.program)
    try:
        return _run(arguments.program, arguments.config)
    except NoroshiError as error:
        for line in str(error).splitlines():
            logging.getLogger("noroshi").error("%s", line)
        return 1


def _run(program: str, config: Path) -> int:
    os.umask(0o077)  # what these programs create is for their user alone
    if program == "node":
        keep_ignored_signals_here()
        from noroshi.node.daemon.app import run

        return run(config)
    from noroshi.node.coordinator.app import run as run_coordinator

    return run_coordinator(config)


def keep_ignored_signals_here() -> None:
    """Signals that this process was started with as ignored (nohup, a shell's background) it goes on ignoring.

    The programs it starts must not: what is ignored passes through exec, a handler does not.
    """
    for number in signal.valid_signals() - {signal.SIGPIPE}:  # Python's own; subprocess restores it
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda number, frame: None)


def _log_to_stderr(program: str) -> None:
    handler = logging.StreamHandler(sys.stderr)
    if "JOURNAL_STREAM" in os.environ:
        handler.setFormatter(_JournalFormatter(f"{program}: %(message)s"))
    else:
        handler.setFormatter(logging.Formatter(f"%(asctime)s {program} %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


if __name__ == "__main__":
    sys.exit(main())
