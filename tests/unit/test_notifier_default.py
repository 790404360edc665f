"""The system log: /dev/log as datagram and stream, absent, busy; standard error in its place."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from notifying import FIELDS, job, run

from noroshi.node.notifier import default
from noroshi.node.notifier.default import SystemLog
from noroshi.node.notifier.procedure import Job, Outcome

TEXT = b"raid/db1/md0 DEGRADED seen by db1 2026-11-22T03:04:05.000006Z: sdb1 lost [delivery id1]"
PID = os.getpid()


def written(this: Job, device: Path, stderr: int = 2) -> Outcome:
    return run(SystemLog(device, stderr).run(this))


def test_a_datagram_to_the_system_log(tmp_path: Path) -> None:
    device = tmp_path / "log"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslog:
        syslog.bind(str(device))
        outcome = written(job(None, delivery="id1"), device)
        assert (outcome.outcome, outcome.reason) == ("delivered", f"written to the system log {device}")
        assert syslog.recv(65536) == b"<28>noroshi[%d]: %s" % (PID, TEXT)
        written(job(None, fields={**FIELDS, "state": "DOWN"}), device)
        assert syslog.recv(65536).startswith(b"<27>")


def test_a_system_log_that_listens_for_streams(tmp_path: Path) -> None:
    device = tmp_path / "log"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as syslog:
        syslog.bind(str(device))
        syslog.listen()
        assert written(job(None, delivery="id1"), device).outcome == "delivered"
        connection, _ = syslog.accept()
        with connection:
            assert connection.recv(65536) == b"<28>noroshi[%d]: %s\0" % (PID, TEXT)


@pytest.mark.parametrize("dead", [False, True])
def test_without_a_system_log_standard_error_is_used(tmp_path: Path, dead: bool) -> None:
    if dead:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as gone:
            gone.bind(str(tmp_path / "log"))
    reader, writer = os.pipe()
    outcome = written(job(None, delivery="id1"), tmp_path / "log", writer)
    assert (outcome.outcome, outcome.reason) == ("delivered", "written to the daemon's standard error")
    assert os.read(reader, 65536) == b"<4>noroshi: " + TEXT + b"\n"
    os.close(reader)
    os.close(writer)


def test_a_log_that_takes_nothing_blocks_nothing(tmp_path: Path) -> None:
    device = tmp_path / "log"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslog:
        syslog.bind(str(device))
        outcomes = [written(job(None, timeout=0.1), device) for _ in range(int(_backlog()) + 3)]
    assert outcomes[0].outcome == "delivered"
    assert outcomes[-1].reason == "the system log took nothing within 0.1 s"


def test_a_stalled_standard_error_blocks_nothing(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    while True:
        try:
            os.write(writer, b"x" * 4096)
        except BlockingIOError:
            break
    os.set_blocking(writer, True)
    outcome = written(job(None, timeout=0.1), tmp_path / "log", writer)
    assert outcome.reason == "the system log took nothing within 0.1 s"
    os.close(reader)
    os.close(writer)


def test_a_log_without_permission_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    outcome = written(job(None), tmp_path / "file" / "log")
    assert outcome.outcome == "failed" and outcome.reason.endswith("Not a directory")


def test_the_longest_line_is_written_whole(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    written(
        job(None, fields={"node": "n", "source": "s", "line": "€" * 100_000}, delivery="id1"), tmp_path / "x", writer
    )
    data = os.read(reader, 65536)
    assert len(data) <= default.MAX_LINE + 20 and data.endswith(b"... [delivery id1]\n")
    data.decode()
    os.close(reader)
    os.close(writer)


def _backlog() -> str:
    return Path("/proc/sys/net/unix/max_dgram_qlen").read_text()
