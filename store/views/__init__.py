"""Read statements for people: what the console and the reading commands ask of the database.

Rules: each function takes an apsw connection (normally inside `SharedReader.query`), reads only, fetches everything
it returns, and gives frozen dataclasses with instants in microseconds UTC. Nothing here walks a table without a
bound: pages follow the row id or the index on time, and the text filter goes in steps that can be stopped.
"""

from noroshi.store.views.events import Event, EventFilter, events
from noroshi.store.views.facts import facts
from noroshi.store.views.history import (
    Acknowledgement,
    Attempt,
    HistoryFilter,
    Notification,
    WholeNotification,
    notification_page,
    notifications_numbered,
    whole_notification,
)
from noroshi.store.views.history_search import (
    HistorySearch,
    HistoryStep,
    history_bounds,
    notification_id_at,
    pending_count,
    scan_history,
    still_matching,
)
from noroshi.store.views.history_steps import newest, notifications, notifications_before
from noroshi.store.views.holding import Held, Holding, WholeHolding, WholeSilence, holding, whole_holding
from noroshi.store.views.logs import (
    LogFilter,
    LogLine,
    log_after,
    log_before,
    log_bounds,
    log_id_at,
    log_line,
    log_lines,
)
from noroshi.store.views.operating import (
    Acknowledged,
    Covered,
    PastSilence,
    acknowledgements,
    covered,
    covered_sources,
    damaged_silences,
    definition_heads,
    definition_versions,
    definitions_named,
    definitions_seen,
    past_silences,
    silences,
)
from noroshi.store.views.pages import UNCUT, Bounds
from noroshi.store.views.search import ScanStep, Window, WindowStep, scan, scan_window
from noroshi.store.views.states import NodeState, State, Term, last_write, node_states, states, terms

__all__ = [
    "UNCUT",
    "Acknowledged",
    "Acknowledgement",
    "Attempt",
    "Bounds",
    "Covered",
    "Event",
    "EventFilter",
    "Held",
    "HistoryFilter",
    "HistorySearch",
    "HistoryStep",
    "Holding",
    "LogFilter",
    "LogLine",
    "NodeState",
    "Notification",
    "PastSilence",
    "ScanStep",
    "State",
    "Term",
    "WholeHolding",
    "WholeNotification",
    "WholeSilence",
    "Window",
    "WindowStep",
    "acknowledgements",
    "covered",
    "covered_sources",
    "damaged_silences",
    "definition_heads",
    "definition_versions",
    "definitions_named",
    "definitions_seen",
    "events",
    "facts",
    "history_bounds",
    "holding",
    "last_write",
    "log_after",
    "log_before",
    "log_bounds",
    "log_id_at",
    "log_line",
    "log_lines",
    "newest",
    "node_states",
    "notification_id_at",
    "notification_page",
    "notifications",
    "notifications_before",
    "notifications_numbered",
    "past_silences",
    "pending_count",
    "scan",
    "scan_history",
    "scan_window",
    "silences",
    "states",
    "still_matching",
    "terms",
    "whole_holding",
    "whole_notification",
]
