"""A night's notifications, one of each kind; and the screen that shows them."""

from __future__ import annotations

import json

import apsw
from filling import DELIVERED, FAILED, NOW, SECOND, Try, event, lines, notification, told
from pilots import Console

from noroshi.console.app.screens.notifications import NotificationsScreen
from noroshi.store.tables.notifications import NotificationRow


def row(about: int | None, status: str, definition: str = "orders", **more: object) -> NotificationRow:
    return NotificationRow(0, definition, 2, about, more.pop("log", None), more.pop("failure", None), status, **more)  # type: ignore[arg-type]


def night(connection: apsw.Connection) -> None:
    """One of each kind, oldest first; the newest is under way."""
    disk = event(connection, "raid/db1/md0", "DEGRADED", "sdb1 removed, 1 of 2 left", at=NOW - 86400 * SECOND)
    orders = event(connection, "app/orders", "ERROR", "queue is full", "db3", at=NOW - 700 * SECOND)
    link = event(connection, "link/db2/eth1", "DOWN", "carrier lost", "db2", at=NOW - 600 * SECOND)
    why = json.dumps({"notification": 2, "definition": "orders", "about": "app/orders ERROR", "why": "no group left"})
    failure = event(connection, "notification-failure", "ERROR", why, at=NOW - 500 * SECOND)
    lines(connection, ["Out of memory: killed process 4242"], "db2", "/var/log/kern.log", at=NOW - 400 * SECOND)
    notification(connection, disk, "delivered", "a destination delivered", NOW - 86400 * SECOND)
    output = "connecting\n\x1b[31mno line to the pager\x1b[0m"
    told(
        connection,
        row(orders, "failed"),
        [Try("db2", "failed", "exit status 7", output), Try("db3", "timeout", "no answer within the time limit: 10s")],
        NOW - 690 * SECOND,
        "no group left",
    )
    told(connection, row(failure, "delivered", "failures", failure=2), [DELIVERED], NOW - 500 * SECOND)
    told(connection, row(link, "held", "links"), [], NOW - 450 * SECOND, "silenced: ann, work on the switch")
    told(connection, row(None, "delivered", "out-of-memory", log=1), [DELIVERED], NOW - 400 * SECOND)
    told(connection, row(orders, "delivered", notice="repeat"), [DELIVERED], NOW - 90 * SECOND)
    told(connection, row(orders, "pending", notice="escalation"), [FAILED, Try("ops2", None)], NOW - 42 * SECOND)


async def open_history(shown: Console) -> None:
    await shown.press("3")
    await shown.until("in front", lambda: isinstance(shown.app.screen, NotificationsScreen))
    await shown.until("rows are there", lambda: shown.notifications.row_count == 0 or "…" not in shown.rows[3:4])
