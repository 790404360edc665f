"""What the tests of editing share: a definition in a real cluster, the editor open on it, the edit of another."""

from __future__ import annotations

from pathlib import Path

from cluster import Cluster
from pilots import Console

from noroshi.console.app.screens.editor import EditorScreen
from noroshi.console.commands.asking import ask_coordinator, place
from noroshi.node.wire.messages import ImportDefinitions
from noroshi.store import definitions, views
from noroshi.store.tables.definitions import VersionRow

TEXT = """\
events:
  - name: chain
    match: {event: "app/chain", state: ERROR}
    notify:
      - {priority: 1, node: a, procedure: process, application: ["PROGRAM", one]}
      - {priority: 2, node: a, procedure: process, application: [/not/allowed]}
"""


def only_chain(cluster: Cluster) -> None:
    """Only `chain`, as TEXT has it."""
    cluster.layout.definitions.unlink(missing_ok=True)
    save(cluster, TEXT.replace("PROGRAM", str(cluster.nodes["a"].program)), "seed", prune=True)


def save(cluster: Cluster, text: str, by: str, *, prune: bool = False) -> None:
    """Another operator's edit."""
    at = place(str(cluster.nodes["a"].config))
    ask_coordinator(at, ImportDefinitions(text, "elsewhere.yaml", by, prune=prune), "import")


def versions(cluster: Cluster, name: str = "chain") -> tuple[VersionRow, ...]:
    return cluster.query(lambda connection: views.definition_versions(connection, name)) or ()


def exported(cluster: Cluster) -> str:
    found, _ = cluster.query(views.definitions_seen) or ((), {})
    return definitions.export(found)


async def open_editor(shown: Console) -> EditorScreen:
    """Stand on `chain` and edit it."""
    await shown.press("4")
    await shown.until("chain is listed", lambda: shown.app.definitions_screen.table.go_to("chain"))
    await shown.press("e")
    await in_front(shown, EditorScreen)
    await shown.shows("NO PROBLEM", "If app/chain became ERROR now:")
    screen = shown.app.screen
    assert isinstance(screen, EditorScreen)
    return screen


async def in_front(shown: Console, screen: type) -> None:
    await shown.until(f"{screen.__name__} in front", lambda: isinstance(shown.app.screen, screen))
    await shown.pilot.pause()


def put(screen: EditorScreen, old: str, new: str) -> None:
    """As if it was typed."""
    assert old in screen.text.text
    screen.text.replace_all(screen.text.text.replace(old, new, 1))


def file_of(cluster: Cluster) -> Path:
    return cluster.nodes["a"].config
