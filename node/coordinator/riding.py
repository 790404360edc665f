"""Which deferred deliveries wait in the daemon for a periodic packet, and which are sent at once instead (spec 5).

Rules: at once goes what is too big for an empty packet, and what would make more wait for one node than its bound: a
delivery must not be dropped because many others wait.
"""

from __future__ import annotations

from collections import Counter

from noroshi.node.wire.codec import encode
from noroshi.node.wire.messages import Deliver

WAITING_MOST = 1024 * 1024
"""Bytes of deliveries that may wait for a packet to one node."""


class Riding:
    """`item_most`: bytes of the largest item that an empty packet carries."""

    def __init__(self, item_most: int) -> None:
        self._item_most = item_most
        self._waiting: dict[str, tuple[str, int]] = {}
        self._bytes: Counter[str] = Counter()

    def takes(self, node: str, message: Deliver) -> bool:
        """Whether it may ride; then it counts as waiting until it is `gone`."""
        size = len(encode(message))
        if size > self._item_most or self._bytes[node] + size > WAITING_MOST:
            return False
        self.gone(message.delivery)
        self._waiting[message.delivery] = node, size
        self._bytes[node] += size
        return True

    def gone(self, delivery: str) -> None:
        """It left in a packet, or its attempt has ended; one that does not wait: nothing happens."""
        if (waited := self._waiting.pop(delivery, None)) is not None:
            node, size = waited
            self._bytes[node] -= size
