"""MessagePack in and out; whatever a peer sends that does not fit becomes one exception.

Rules: `BadMessage` is the peer's fault (counted, logged with its sender, never a crash); any other exception is ours.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from noroshi.node.wire import messages, probing

T = TypeVar("T")


class BadMessage(Exception):
    """Bytes from a peer that are no message of the kind expected; str() says why."""


_encoder = msgspec.msgpack.Encoder()
encode = _encoder.encode


class Codec(Generic[T]):
    """Decodes one union of messages."""

    def __init__(self, kind: object) -> None:
        self._decoder: msgspec.msgpack.Decoder[T] = msgspec.msgpack.Decoder(kind)

    def decode(self, data: bytes | memoryview) -> T:
        """Raises BadMessage."""
        try:
            return self._decoder.decode(data)
        except (ValueError, RecursionError) as error:  # msgspec's own errors are ValueErrors
            raise BadMessage(f"{type(error).__name__}: {error}") from error


requests: Codec[messages.Request] = Codec(messages.Request)
replies: Codec[messages.Reply] = Codec(messages.Reply)
deliveries: Codec[messages.Deliver] = Codec(messages.Deliver)
answers: Codec[messages.Answer] = Codec(messages.Answer)
to_notifier: Codec[messages.Deliver | probing.Probe] = Codec(messages.Deliver | probing.Probe)
probed: Codec[probing.Probed] = Codec(probing.Probed)
disk_steps: Codec[probing.DiskStep] = Codec(probing.DiskStep)
disk_answers: Codec[probing.DiskAnswer] = Codec(probing.DiskAnswer)
to_coordinator: Codec[messages.ToCoordinator] = Codec(messages.ToCoordinator)
to_daemon: Codec[messages.ToDaemon] = Codec(messages.ToDaemon)
