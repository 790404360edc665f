"""Which of a turn's items it failed for: what to try by itself next.

Rules: more than one, each by itself. What rode in packets is tried once more as it is, for the desk that it failed at
is gone by then; then in halves, down to the one item, which is to be set aside. A request is its sender's to narrow
down, who is told that it is bad.
"""

from __future__ import annotations

from noroshi.node.coordinator.desk import Item
from noroshi.node.core.batches import narrowed
from noroshi.node.wire.messages import Heard


class Narrowing:
    """Remembers what was tried once more."""

    def __init__(self) -> None:
        self._again: Heard | None = None

    def of(self, items: list[Item], error: Exception) -> list[Item]:
        """What to try, each by itself, after these failed together; nothing where there is nothing left to try."""
        if len(items) > 1:
            return items
        (item,) = items
        if not isinstance(item, Heard):
            return []
        if item is not self._again:
            self._again = item
            return [item]
        return [Heard(item.node, part) for part in narrowed(item.batch, f"{type(error).__name__}: {error}")]
