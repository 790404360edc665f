"""What becomes of a turn that the database itself keeps from being worked on: it is mended, told, and worked on again.

Role: the shell of store/mending.py and store/values.py for what is met at work; what a take-over mends is the desk's.
"""

from __future__ import annotations

import logging

from noroshi.node.coordinator.desk import LOOK_AT, Noticed
from noroshi.node.coordinator.watchdog import Watchdog
from noroshi.store.mending import mend_text
from noroshi.store.values import Spoilt, set_aside
from noroshi.store.writer import Writer

log = logging.getLogger(__name__)


class Mender:
    """`mend` after a turn that was rolled back."""

    def __init__(self, writer: Writer, watchdog: Watchdog) -> None:
        self._writer, self._watchdog = writer, watchdog

    def mend(self, error: UnicodeDecodeError | Spoilt, at: int) -> Noticed | None:
        """Mend, in a transaction of its own, what a turn failed for; what to tell of it.

        None where there was nothing to mend: then the turn would fail again. Raises as `Writer.transaction`.
        """
        what = self._set_aside(error, at) if isinstance(error, Spoilt) else self._mend_text(error)
        return None if what is None else Noticed("coordinator/database", "WARNING", f"{what}: {LOOK_AT}")

    def _mend_text(self, error: UnicodeDecodeError) -> str | None:
        with self._watchdog.watch("mending text"), self._writer.transaction() as connection:
            mended = ", ".join(mend_text(connection))
        if not mended:
            return None
        log.error("text in the database was no UTF-8 (%s): mended in %s", error, mended)
        return f"text was no UTF-8, and was mended in {mended}"

    def _set_aside(self, spoilt: Spoilt, at: int) -> str | None:
        with self._watchdog.watch("setting a row aside"), self._writer.transaction() as connection:
            done = set_aside(connection, spoilt, at)
        if not done:
            return None
        log.error("set aside, for what is due of it cannot be done: %s", spoilt, exc_info=spoilt)
        return f"what was due could not be done and was set aside: {spoilt}"
