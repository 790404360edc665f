"""`python -m noroshi.node node|coordinator --config FILE`: the two long-running programs.

Own messages go to standard error (stderr.py).
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from pathlib import Path

from noroshi.node.stderr import log_to_stderr
from noroshi.store.errors import NoroshiError


def main() -> int:
    """The exit status: 0 stopped as asked, 1 failed, 2 called wrongly; the coordinator's others in leadership.py."""
    parser = argparse.ArgumentParser(prog="noroshi")
    parser.add_argument("program", choices=["node", "coordinator"])
    parser.add_argument("--config", type=Path, required=True)
    arguments = parser.parse_args()
    log_to_stderr(arguments.program)
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


if __name__ == "__main__":
    sys.exit(main())
