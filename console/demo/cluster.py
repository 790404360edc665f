"""The running demo cluster: real node daemons, started and stopped, nothing left behind.

Rules: each daemon leads a process group of its own, so that killing a node takes its coordinator too; `close` ends
every group and removes every file, whatever state the cluster is in.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType

from noroshi.console.demo import files as demo_files
from noroshi.console.demo.files import DemoFiles

STOP_LIMIT = 10.0
ROOM_FOR_TMP = 50
"""Bytes; behind them come /noroshi-demo-XXXXXXXX/db1/run/coordinator.sock."""


class DemoCluster:
    """A context manager: files laid out on entry, daemons by `start`, all gone on exit."""

    def __init__(self, interval: str = "200ms", root: Path | None = None) -> None:
        self._interval, self._root = interval, root
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self.files: DemoFiles

    def __enter__(self) -> DemoCluster:
        base = _temporary() if self._root is None else self._root
        self._base = base
        self.files = demo_files.write(base, self._interval)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def running(self) -> list[str]:
        """The nodes whose daemon runs."""
        return [name for name, daemon in self._daemons.items() if daemon.poll() is None]

    def start(self, *names: str) -> None:
        """Start the daemons of these nodes, of all when none is named."""
        for name in names or demo_files.NODES:
            self._start(name)

    def _start(self, name: str) -> None:
        node = self.files.node(name)
        with node.messages.open("ab") as messages:
            self._daemons[name] = subprocess.Popen(
                [sys.executable, "-P", "-m", "noroshi.node", "node", "--config", str(node.config)],
                stdin=subprocess.DEVNULL,
                stdout=messages,
                stderr=messages,
                start_new_session=True,
            )

    def kill(self, name: str) -> None:
        """SIGKILL to everything of the node, as when its power goes."""
        self._signal(name, signal.SIGKILL)
        self._daemons[name].wait()

    def pid(self, name: str) -> int:
        """The daemon's process id."""
        return self._daemons[name].pid

    def ended(self) -> str | None:
        """The name of a daemon that ended though nobody asked it to, with what it said last; None if all run."""
        for name, daemon in self._daemons.items():
            if daemon.poll() is not None and daemon.returncode != -signal.SIGKILL:
                return f"{name} (exit status {daemon.returncode}): {self.last_words(name)}"
        return None

    def last_words(self, name: str) -> str:
        """The end of what the daemon wrote to standard error."""
        try:
            return self.files.node(name).messages.read_text(errors="replace")[-2000:]
        except FileNotFoundError:
            return ""

    def close(self) -> None:
        """Stop all daemons and remove all files."""
        for name in self._daemons:
            self._signal(name, signal.SIGTERM)
        for name, daemon in self._daemons.items():
            try:
                daemon.wait(STOP_LIMIT)
            except subprocess.TimeoutExpired:
                pass
            finally:
                self._signal(name, signal.SIGKILL)
                daemon.wait()
        self._daemons.clear()
        shutil.rmtree(self._base, ignore_errors=True)

    def _signal(self, name: str, number: signal.Signals) -> None:
        try:
            os.killpg(self._daemons[name].pid, number)
        except ProcessLookupError:
            return  # the whole group is gone already


def _temporary() -> Path:
    """A new directory for temporary files, short enough for the sockets in it (a path has 108 bytes)."""
    usual = tempfile.gettempdir()
    return Path(tempfile.mkdtemp(prefix="noroshi-demo-", dir=usual if len(usual) <= ROOM_FOR_TMP else "/tmp"))  # noqa: S108 - mkdtemp
