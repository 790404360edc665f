"""The definitions in force: read from the database, matched against events and lines, changed by imports.

Rules: the database is the authority; the seed file is read once, into an empty database (design section 5). A
notification keeps the version it began with; a change concerns later ones only. Every change names the versions its
author saw; where somebody else was faster nothing is changed, and both changes are told (spec 7).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from noroshi.node.coordinator.turn import Turn
from noroshi.node.core.matching import Matcher
from noroshi.node.wire.messages import Changed, ImportDefinitions, Refused
from noroshi.node.wire.operating import RemoveDefinitions, RollBack
from noroshi.store import changes, definitions
from noroshi.store.connection import Connection
from noroshi.store.errors import ConfigError
from noroshi.store.layout import Layout
from noroshi.store.model import Definition
from noroshi.store.tables import definitions as table
from noroshi.store.tables import meta

log = logging.getLogger(__name__)

SEEDED = "definitions_seeded"


class DefinitionManager:
    """`matcher` answers S1; it is replaced when the definitions change."""

    def __init__(self, layout: Layout, names: tuple[str, ...], term: int) -> None:
        self._layout, self._names, self._term = layout, names, term
        self.matcher = Matcher(())
        self._current: dict[str, Definition] = {}
        self.damped: tuple[Definition, ...] = ()
        """Those with flap damping."""

    def restore(self, connection: Connection) -> None:
        """Take what the database holds."""
        found = table.current(connection)
        self.matcher = Matcher(found)
        self._current = {one.name: one for one in found}
        self.damped = tuple(one for one in found if one.flap is not None)

    def current(self, name: str) -> Definition | None:
        """The definition of that name now in force."""
        return self._current.get(name)

    def strangers(self) -> dict[str, list[str]]:
        """Each definition that names nodes which are not in the cluster, with those nodes."""
        found = {name: changes.strangers(one, self._names) for name, one in self._current.items()}
        return {name: nodes for name, nodes in found.items() if nodes}

    def unreadable(self, connection: Connection) -> dict[str, str]:
        """Each definition whose newest version cannot be read, with the reason: nothing goes by it."""
        return table.unreadable(connection)

    def seed(self, connection: Connection, at: int) -> str | None:
        """On the first start of an empty database import definitions.yaml; what is wrong with it, None if nothing."""
        if meta.get(connection, SEEDED) is not None or not self._layout.definitions.exists():
            return None
        try:
            found = definitions.load(self._layout.definitions, self._names)
        except ConfigError as error:
            log.error("the definitions are not imported: %s", error)
            return f"not imported: {str(error).splitlines()[0]}"
        self._store(connection, changes.between((), found, prune=False), "seed", at, self._layout.definitions.name)
        meta.put(connection, SEEDED, str(at))
        log.info("imported %d definitions from %s", len(found), self._layout.definitions)
        return None

    def work(self, connection: Connection, turn: Turn, request: ImportDefinitions) -> Changed | Refused:
        """An import or an edit."""
        try:
            found = definitions.parse(request.text, Path(request.file), self._names)
        except ConfigError as error:
            return Refused("definitions", str(error), "correct the file; nothing was changed")
        changed = changes.between(table.current(connection), found, prune=request.prune)
        note = request.note or f"import {request.file}"
        return self._change(connection, turn, changed, request.seen, request.author, note)

    def remove(self, connection: Connection, turn: Turn, request: RemoveDefinitions) -> Changed | Refused:
        """Remove by name."""
        changed = [changes.Change(name, self._current.get(name), None) for name in sorted(request.seen)]
        missing = [change.name for change in changed if change.old is None]
        if missing:
            return _unknown(", ".join(missing))
        return self._change(connection, turn, changed, request.seen, request.author, "removed")

    def roll_back(self, connection: Connection, turn: Turn, request: RollBack) -> Changed | Refused:
        """Make an older version the newest one; without a number the one before the newest."""
        made = table.versions(connection, request.name)
        if not made:
            return _unknown(request.name)
        number = request.version or made[-1].version - 1
        wanted = next((row.definition for row in made if row.version == number), None)
        if wanted is None:
            return _no_version(request.name, number, made[-1].version)
        last = made[-1].definition
        change = changes.Change(request.name, last and changes.unversioned(last), changes.unversioned(wanted))
        if change.old == change.new:
            return Changed(self._term, [])
        seen = {request.name: request.seen}
        return self._change(connection, turn, [change], seen, request.author, f"roll-back to version {number}")

    def _change(
        self,
        connection: Connection,
        turn: Turn,
        changed: list[changes.Change],
        seen: Mapping[str, int] | None,
        author: str,
        note: str,
    ) -> Changed | Refused:
        if seen is not None:
            history = [row for change in changed for row in table.versions(connection, change.name)]
            refused = changes.conflicts(changed, seen, history)
            if refused:
                return Refused("conflict", "\n".join(refused), "look at both, then do it again")
        self._store(connection, changed, author, turn.at, note)
        return Changed(self._term, changes.describe(changed))

    def _store(self, connection: Connection, changed: list[changes.Change], author: str, at: int, note: str) -> None:
        for change in changed:
            table.add_version(connection, change.name, change.new, author, at, note)
        self.restore(connection)


def _no_version(name: str, number: int, newest: int) -> Refused:
    log_hint = f"`noroshi definitions log {name}` shows the versions"
    if not number:
        return Refused("definitions", f"{name} has one version, none before it", f"`noroshi definitions remove {name}`")
    did = "removed it" if 0 < number <= newest else "never was"
    return Refused("definitions", f"version {number} of {name} {did}", log_hint)


def _unknown(names: str) -> Refused:
    return Refused("unknown", f"no definition {names}", "`noroshi definitions export` shows them")
