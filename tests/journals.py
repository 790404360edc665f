"""A systemd journal made by systemd's own tools: entries in the export format, put into files of a directory."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

REMOTE = shutil.which("systemd-journal-remote", path="/lib/systemd:/usr/lib/systemd")
JOURNALCTL = shutil.which("journalctl")

needs_journal = pytest.mark.skipif(
    REMOTE is None or JOURNALCTL is None, reason="wants journalctl and systemd-journal-remote"
)

Value = str | bytes | list[str]


class Journal:
    """Entries go to the newest file of `directory`; `rotate` begins another. Their times are seconds apart."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()
        self.count = self.files = 0

    @property
    def command(self) -> list[str]:
        return [str(JOURNALCTL), "-D", str(self.directory)]

    @property
    def file(self) -> Path:
        return self.directory / f"system-{self.files}.journal"

    def rotate(self) -> None:
        self.files += 1

    def write(self, *messages: Value, unit: str = "app.service", **fields: str) -> None:
        """One entry a message; a list is one entry with a repeated field."""
        self.write_all([(message, {"_SYSTEMD_UNIT": unit, **fields}) for message in messages])

    def write_all(self, entries: list[tuple[Value, dict[str, str]]]) -> None:
        """Entries of several units, in order."""
        text = b"".join(self._entry(message, fields) for message, fields in entries)
        subprocess.run([str(REMOTE), "-o", self.file, "-"], input=text, check=True, stderr=subprocess.DEVNULL)

    def _entry(self, message: Value, fields: dict[str, str]) -> bytes:
        self.count += 1
        known = {
            "__REALTIME_TIMESTAMP": str(1_700_000_000_000_000 + self.count * 1_000_000),
            "__MONOTONIC_TIMESTAMP": str(self.count * 1_000_000),
            "_BOOT_ID": "0123456789abcdef0123456789abcdef",
            "SYSLOG_IDENTIFIER": "app",
            "_PID": "12",
            **fields,
        }
        values = message if isinstance(message, list) else [message]
        body = b"".join(f"{name}={value}\n".encode() for name, value in known.items())
        return body + b"".join(_field(value) for value in values) + b"\n"


def _field(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return b"MESSAGE\n" + struct.pack("<Q", len(data)) + data + b"\n"
