"""The console as operators use it: over SSH, on a real sshd, in a real terminal, until the connection drops."""

from __future__ import annotations

import getpass
import os
import shlex
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from filling import layout_of, leading
from ports import free_ports
from terminals import COMMAND
from waiting import wait_until

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="sshd takes its privileges from root"),
    pytest.mark.skipif(SSHD is None or shutil.which("ssh") is None, reason="no OpenSSH here"),
]

CONFIG = """
Port {port}
ListenAddress 127.0.0.1
HostKey {home}/host
AuthorizedKeysFile {home}/user.pub
PidFile none
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
StrictModes no
"""


@dataclass(frozen=True)
class Server:
    """An sshd of our own on loopback that knows one key."""

    home: Path
    port: int

    def command(self, *words: str) -> list[str]:
        """How a client asks it for a terminal in which `words` run."""
        options = [
            "StrictHostKeyChecking=no",
            f"UserKnownHostsFile={self.home}/known",
            "LogLevel=ERROR",
            "BatchMode=yes",
        ]
        settings = [word for option in options for word in ("-o", option)]
        client = ["ssh", "-F", "none", "-tt", "-i", str(self.home / "user"), "-p", str(self.port), *settings]
        return [*client, f"{getpass.getuser()}@127.0.0.1", shlex.join(words)]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name], check=True)
    (port,) = free_ports(1)
    (tmp_path / "sshd_config").write_text(CONFIG.format(port=port, home=tmp_path))
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    assert SSHD is not None
    process = subprocess.Popen([SSHD, "-D", "-e", "-f", tmp_path / "sshd_config"], stderr=subprocess.DEVNULL)
    try:
        wait_until("sshd listens", lambda: _listens(port))
        yield Server(tmp_path, port)
    finally:
        process.terminate()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _ended(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _consoles(file: Path) -> list[psutil.Process]:
    """The console at the far end: Python itself, not the ssh or the shell that carry its words."""
    found = []
    for process in psutil.process_iter(["cmdline", "exe"]):
        words = process.info["cmdline"] or []
        if str(file) in words and "noroshi.console.main" in words:
            found.append(process)
    return found


def test_over_ssh_it_is_whole_answers_keys_and_ends_with_the_connection(
    filled: Path, server: Server, tmux: Callable[..., str]
) -> None:
    environment = [f"PYTHONPATH={os.environ['PYTHONPATH']}"] if "PYTHONPATH" in os.environ else []
    words = ["env", *environment, "LANG=C.UTF-8", *COMMAND, "--config", str(filled)]
    with leading(layout_of(filled)) as order:
        tmux("new-session", "-d", "-x", "80", "-y", "24", *server.command(*words))
        wait_until("the status", lambda: "NODES" in tmux("capture-pane", "-p"), 60)
        order("event app/over-ssh ERROR seen from afar")
        wait_until("what is new", lambda: "seen from afar" in tmux("capture-pane", "-p"))
        tmux("send-keys", "2")
        wait_until("the log", lambda: "FOLLOWING" in tmux("capture-pane", "-p"))
        (console,) = _consoles(filled)
        tmux("kill-server")  # the laptop's lid is closed
        wait_until("the console ends too", lambda: _ended(console))
