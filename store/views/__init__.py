"""Read statements for people: what the console and the reading commands ask of the database.

Rules: each function takes an apsw connection (normally inside `SharedReader.query`), reads only, fetches everything
it returns, and gives frozen dataclasses with instants in microseconds UTC. Nothing here walks a table without a
bound: pages follow the row id or the index on time, and the text filter goes in steps that can be stopped.
"""

from noroshi.store.views.events import Event, EventFilter, events
from noroshi.store.views.history import (
    Attempt,
    HistoryFilter,
    Notification,
    notifications,
    notifications_numbered,
)
from noroshi.store.views.logs import (
    UNCUT,
    LogBounds,
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
    Covered,
    covered,
    definition_versions,
    definitions_named,
    definitions_seen,
    facts,
    silences,
)
from noroshi.store.views.search import ScanStep, Window, WindowStep, scan, scan_window
from noroshi.store.views.states import NodeState, State, Term, last_write, node_states, states, terms

__all__ = [
    "UNCUT",
    "Attempt",
    "Covered",
    "Event",
    "EventFilter",
    "HistoryFilter",
    "LogBounds",
    "LogFilter",
    "LogLine",
    "NodeState",
    "Notification",
    "ScanStep",
    "State",
    "Term",
    "Window",
    "WindowStep",
    "covered",
    "definition_versions",
    "definitions_named",
    "definitions_seen",
    "events",
    "facts",
    "last_write",
    "log_after",
    "log_before",
    "log_bounds",
    "log_id_at",
    "log_line",
    "log_lines",
    "node_states",
    "notifications",
    "notifications_numbered",
    "scan",
    "scan_window",
    "silences",
    "states",
    "terms",
]
