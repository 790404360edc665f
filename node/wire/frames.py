"""Length-prefixed frames on a stream between two processes of one node: 4 bytes big-endian, then the message.

Sans-IO: `Splitter` takes bytes in any pieces and gives whole messages out.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from noroshi.node.wire.codec import BadMessage
from noroshi.node.wire.messages import MAX_MESSAGE

_LENGTH = struct.Struct(">I")


def frame(message: bytes) -> bytes:
    """The message with its length before it."""
    return _LENGTH.pack(len(message)) + message


class Splitter:
    """Collects bytes; `feed` yields every message that is whole. Raises BadMessage on an impossible length."""

    def __init__(self, limit: int = MAX_MESSAGE) -> None:
        self._buffer = bytearray()
        self._limit = limit

    def feed(self, data: bytes) -> Iterator[bytes]:
        self._buffer += data
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if length > self._limit:
                raise BadMessage(f"a frame of {length} bytes, the limit is {self._limit}")
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                return
            message = bytes(self._buffer[_LENGTH.size : end])
            del self._buffer[:end]
            yield message
