"""Procedure default: where no application is defined, the notification goes to this node's system log (spec 4.2).

Role: one line to /dev/log, facility daemon; without a /dev/log to the daemon's standard error with the <N> prefix that
systemd reads. (A `notifier.default` in node.yaml comes before this; the notifier sees to that.)
Rules: the line is text from outside, so every character that could move a terminal is made visible; at most 2 KiB.
Nothing blocks: a log that takes nothing within the time limit is a failure.
"""

from __future__ import annotations

import asyncio
import errno
import os
import select
import socket
from pathlib import Path

from noroshi.node.notifier.procedure import Job, Outcome, Ready, Slots, delivered, failed, pauses
from noroshi.node.stderr import visible

FACILITY_DAEMON = 3
ERROR, WARNING, NOTICE = 3, 4, 5
MAX_LINE = 2048
"""Bytes; within what every syslog daemon takes, and below PIPE_BUF."""

_SEVERITY = {"DOWN": ERROR, "ERROR": ERROR, "DEGRADED": WARNING, "WARNING": WARNING}
_ABSENT = {errno.ENOENT, errno.ECONNREFUSED}


class SystemLog:
    """Writes to the node's system log; see the module."""

    def __init__(self, device: Path = Path("/dev/log"), stderr: int = 2) -> None:
        self.slots = Slots(1)
        self._device, self._stderr = device, stderr

    def check(self, job: Job) -> None:
        """Takes every job."""

    def prepare(self, job: Job) -> Ready:
        return Ready(lambda: self.run(job))

    async def run(self, job: Job) -> Outcome:
        """Write the line, trying for as long as the job allows."""
        text, severity = line_of(job), severity_of(job)
        try:
            async with asyncio.timeout(job.timeout):
                for pause in pauses():
                    if where := self._written(text, severity):
                        return delivered(f"written to {where}")
                    await asyncio.sleep(pause)
        except TimeoutError:
            pass
        except OSError as error:
            return failed(f"the system log {self._device}: {error.strerror or error}")
        return failed(f"the system log took nothing within {job.timeout:g} s")

    def _written(self, text: bytes, severity: int) -> str:
        """Where it went; empty when it has to be tried again."""
        try:
            _to_syslog(self._device, text, severity)
        except BlockingIOError:
            return ""
        except OSError as error:
            if error.errno not in _ABSENT:
                raise
            return "the daemon's standard error" if self._to_stderr(text, severity) else ""
        return f"the system log {self._device}"

    def _to_stderr(self, text: bytes, severity: int) -> bool:
        _, writable, _ = select.select([], [self._stderr], [], 0)
        if writable:  # then up to PIPE_BUF bytes go in whole, without blocking
            os.write(self._stderr, b"<%d>noroshi: %s\n" % (severity, text))
        return bool(writable)


def severity_of(job: Job) -> int:
    """The syslog severity: error, warning, or notice for what is neither."""
    return WARNING if job.text("line") else _SEVERITY.get(job.text("state"), NOTICE)


def line_of(job: Job) -> bytes:
    """What the log shows: an event's name, state and supplement, or a log line with its source."""
    node, at = job.text("node") or "?", job.text("observed_at")
    if job.text("line"):
        what = f"{node}:{job.text('source')}: {job.text('line')}"
    else:
        what = f"{job.text('event')} {job.text('state')} seen by {node} {at}: {job.text('supplement')}"
    tail = f" [delivery {visible(job.delivery)}]".encode()
    return _cut(visible(what).encode(), MAX_LINE - len(tail)) + tail


def _cut(data: bytes, limit: int) -> bytes:
    return data if len(data) <= limit else data[: limit - 3].decode(errors="ignore").encode() + b"..."


def _to_syslog(device: Path, text: bytes, severity: int) -> None:
    """One message as RFC 3164 and syslog(3) have it. Raises OSError, BlockingIOError while the log is busy."""
    message = b"<%d>noroshi[%d]: %s" % (FACILITY_DAEMON * 8 + severity, os.getpid(), text)
    try:
        _send(device, socket.SOCK_DGRAM, message)
    except OSError as error:
        if error.errno != errno.EPROTOTYPE:
            raise
        _send(device, socket.SOCK_STREAM, message + b"\0")


def _send(device: Path, kind: int, message: bytes) -> None:
    with socket.socket(socket.AF_UNIX, kind) as connection:
        connection.setblocking(False)
        connection.connect(str(device))
        connection.send(message)
