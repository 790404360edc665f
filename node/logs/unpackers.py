"""Opens compressed files: what each suffix needs, in this process or by a program.

Rules: gzip, bzip2 and xz are Python's own. Zstandard is the program `zstd`, which a host has whose logrotate uses it:
`zstd --decompress --stdout --quiet`, the file as its standard input. It ends with its reader. What is of another kind,
or whose program is not installed, cannot be opened here; that is for the caller to say.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import os
import shutil
import subprocess
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Protocol

from noroshi.node.logs.opening import open_log

BROKEN = (OSError, EOFError, zlib.error, lzma.LZMAError)
"""What reading a compressed file raises that is damaged, cut off or of another kind than its name says."""

ZSTD = "zstd"


class Unpacked(Protocol):
    """The content of a compressed file."""

    def read(self, size: int, /) -> bytes: ...

    def close(self) -> None: ...


@dataclass
class Opened:
    """A compressed file and its content; `close` gives both back."""

    file: IO[bytes]
    content: Unpacked

    def close(self) -> None:
        self.content.close()
        self.file.close()


class _Program:
    """What a program prints that unpacks its standard input."""

    def __init__(self, command: list[str], file: IO[bytes]) -> None:
        self._process = subprocess.Popen(command, stdin=file, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self._name = command[0]

    def read(self, size: int, /) -> bytes:
        """Raises OSError at the end of what a program printed that failed."""
        pipe = self._process.stdout
        data = b"" if pipe is None else pipe.read(size)
        if not data and self._process.wait():
            raise OSError(f"{self._name} ended with status {self._process.returncode}")
        return data

    def close(self) -> None:
        self._process.kill()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process.wait()


def _zstd(file: IO[bytes]) -> Unpacked:
    program = shutil.which(ZSTD)
    if program is None:
        raise OSError(f"{ZSTD} is not installed")
    return _Program([program, "--decompress", "--stdout", "--quiet"], file)


_OPENERS: dict[str, Callable[[IO[bytes]], Unpacked]] = {
    ".gz": lambda file: gzip.GzipFile(fileobj=file),
    ".bz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
    ".zst": _zstd,
}


def unpack(path: str) -> Opened:
    """The file and what it holds. Raises one of BROKEN."""
    opener = next((opener for suffix, opener in _OPENERS.items() if path.endswith(suffix)), None)
    if opener is None:
        raise OSError("cannot be unpacked here")
    file = os.fdopen(open_log(path), "rb")
    with contextlib.ExitStack() as closing:
        closing.callback(file.close)
        opened = Opened(file, opener(file))
        closing.pop_all()
    return opened
