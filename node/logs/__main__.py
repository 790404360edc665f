"""`python -m noroshi.node.logs`: the log monitor, started by the node daemon with their link as standard input.

Exit status: 0 the daemon went away, 1 failed (standard error says why).
"""

from __future__ import annotations

import logging
import os
import resource
import signal
import socket
import sys
import time
from pathlib import Path

from noroshi.node.logs.link import Link
from noroshi.node.logs.messages import Settings
from noroshi.node.logs.monitor import Monitor, wait_for
from noroshi.node.logs.saved import Store
from noroshi.node.stderr import log_to_stderr
from noroshi.node.wire.codec import BadMessage
from noroshi.store.errors import NoroshiError

SETTINGS_WITHIN = 30.0
STORE_WITHIN = 3.0


def main() -> int:
    os.umask(0o077)
    # A terminal's Ctrl-C and a service manager's stop reach all processes: the daemon heeds them and closes the link.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    log_to_stderr("logs")
    try:
        _run(Link(socket.socket(fileno=os.dup(0))))
    except (NoroshiError, BadMessage, OSError) as error:
        logging.getLogger("noroshi").error("%s", error)
        return 1
    return 0


def _run(link: Link) -> None:
    settings = _settings(link)
    if settings is None:
        return
    _allow_many_files()
    store = Store(Path(settings.state) / "logs")
    if not wait_for(store.open, STORE_WITHIN):
        raise NoroshiError(
            "another log monitor has the read positions", on=settings.state, hint="end it, or name another 'state'"
        )
    try:
        Monitor(settings, link, store).run()
    finally:
        store.close()


def _settings(link: Link) -> Settings | None:
    """The first message; None where the daemon goes away before it."""
    until = time.monotonic() + SETTINGS_WITHIN
    while not link.closed:
        link.receive()
        if link.arrived:
            first = link.arrived.popleft()
            return first if isinstance(first, Settings) else None
        if time.monotonic() > until:
            raise NoroshiError("no settings came", hint="the node daemon starts this program, nobody else")
        time.sleep(0.005)
    return None


def _allow_many_files() -> None:
    """Each file followed is held open, so that it can be read to its end after it was renamed or removed."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


if __name__ == "__main__":
    sys.exit(main())
