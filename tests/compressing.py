"""Logs that are compressed as logrotate does it, for the tests of what the log monitor makes of them."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from logstand import MonitorProcess, Stand, append


def zstd(data: bytes) -> bytes:
    return subprocess.run(["zstd", "--quiet", "--stdout"], input=data, capture_output=True, check=True).stdout


PACKERS: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
if shutil.which("zstd"):
    PACKERS[".zst"] = zstd


def rotate(stand: Stand, to: str, suffix: str, pack: Callable[[bytes], bytes] | None = None) -> Path:
    """Rename app.log and compress it, keeping its time as logrotate does."""
    log, packed = stand.file("app.log"), stand.file(to + suffix)
    seen = log.stat()
    packed.write_bytes((pack or PACKERS[suffix])(log.read_bytes()))
    os.utime(packed, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    log.unlink()
    return packed


def begun(stand: Stand, *lines: str) -> None:
    """A monitor has followed app.log up to these lines, and was stopped."""
    append(stand.file("app.log"), "first")
    monitor = stand.follow("app.log")
    append(stand.file("app.log"), *lines)
    stand.wait_for("app.log", list(lines))
    monitor.stop()


def looked(monitor: MonitorProcess) -> None:
    """It has looked at its files again, and saved what came of it."""
    monitor.await_looks()
