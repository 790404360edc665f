"""The definitions in force: read from the database, matched against events and lines, changed by imports.

Rules: the database is the authority; the seed file is read once, into an empty database (design section 5). A
notification keeps the version it began with; a change concerns later ones only.
"""

from __future__ import annotations

import logging
from pathlib import Path

from noroshi.node.coordinator.turn import Turn
from noroshi.node.core.matching import Matcher
from noroshi.node.wire.messages import Changed, ImportDefinitions, Refused
from noroshi.store import changes, definitions
from noroshi.store.connection import Connection
from noroshi.store.errors import ConfigError
from noroshi.store.layout import Layout
from noroshi.store.tables import definitions as table
from noroshi.store.tables import meta

log = logging.getLogger(__name__)

SEEDED = "definitions_seeded"


class DefinitionManager:
    """`matcher` answers S1; it is replaced when the definitions change."""

    def __init__(self, layout: Layout, names: tuple[str, ...], term: int) -> None:
        self._layout, self._names, self._term = layout, names, term
        self.matcher = Matcher(())

    def restore(self, connection: Connection) -> None:
        """Take what the database holds."""
        self.matcher = Matcher(table.current(connection))

    def seed(self, connection: Connection, at: int) -> str | None:
        """On the first start of an empty database import definitions.yaml; what is wrong with it, None if nothing."""
        if meta.get(connection, SEEDED) is not None or not self._layout.definitions.exists():
            return None
        try:
            found = definitions.load(self._layout.definitions, self._names)
        except ConfigError as error:
            log.error("the definitions are not imported: %s", error)
            return f"not imported: {str(error).splitlines()[0]}"
        self._store(connection, changes.between((), found, prune=False), "seed", at)
        meta.put(connection, SEEDED, str(at))
        log.info("imported %d definitions from %s", len(found), self._layout.definitions)
        return None

    def work(self, connection: Connection, turn: Turn, request: ImportDefinitions) -> Changed | Refused:
        """An import by command."""
        try:
            found = definitions.parse(request.text, Path(request.file), self._names)
        except ConfigError as error:
            return Refused("definitions", str(error), "correct the file; nothing was changed")
        changed = changes.between(table.current(connection), found, prune=request.prune)
        if not request.dry_run:
            self._store(connection, changed, request.author, turn.at)
        return Changed(self._term, changes.describe(changed))

    def _store(self, connection: Connection, changed: list[changes.Change], author: str, at: int) -> None:
        for change in changed:
            table.add_version(connection, change.name, change.new, author, at)
        self.restore(connection)
