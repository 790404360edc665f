"""`python -m noroshi.node.probe SHARED NODE RUN`: does one step at a time, until its standard input closes.

Started by the daemon (`node.daemon.probing`) when a doctor asks. It holds what a run holds (locks, open files), so its
end ends the run; steps and answers are framed MessagePack on its standard input and output.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from noroshi.node.probe.disk import Disk
from noroshi.node.wire import codec
from noroshi.node.wire.frames import Splitter, frame
from noroshi.store.errors import NoroshiError


def main() -> int:
    """0 once nobody asks any more."""
    os.umask(0o077)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for the daemon
    shared, node, run = sys.argv[1:]
    disk, splitter = Disk(Path(shared), node, run), Splitter()
    while data := os.read(0, 65536):
        for message in splitter.feed(data):
            answer = disk.do(codec.disk_steps.decode(message))
            _write(frame(codec.encode(answer)))
    return 0


def _write(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (NoroshiError, BrokenPipeError):
        sys.exit(1)
