"""Definitions added, removed, rolled back and tested in the console of a real cluster; what is refused or lost."""

from __future__ import annotations

import asyncio

import pytest
from cluster import Cluster
from editing import exported, file_of, in_front, open_editor, put, save, versions
from pilots import console

from noroshi.console.app.screens.choice import ChoiceScreen
from noroshi.console.app.screens.definitions import DefinitionsScreen
from noroshi.console.app.screens.editor import EditorScreen


def test_one_is_added_removed_and_brought_back(cluster: Cluster) -> None:
    async def run() -> None:
        async with console(file_of(cluster)) as shown:
            await open_editor(shown)
            await shown.press("escape", "q")
            await in_front(shown, DefinitionsScreen)
            await shown.press("a", "l")
            await in_front(shown, EditorScreen)
            screen = shown.app.screen
            assert isinstance(screen, EditorScreen)
            await shown.shows("NO PROBLEM", "a new definition")
            put(screen, "new-definition", "chain")
            await shown.shows("there is a definition 'chain' already")
            put(screen, "name: chain", "name: oom")
            await shown.shows("NO PROBLEM", "a line came that the pattern finds")
            await shown.press("ctrl+s")
            await in_front(shown, ChoiceScreen)
            await shown.shows("SAVE oom?", "+   - name: oom")
            await shown.press("y")
            await in_front(shown, DefinitionsScreen)
            await shown.until("it stands there", lambda: shown.app.definitions_screen.table.current_name == "oom")
            await shown.press("d")
            await shown.shows("REMOVE oom v", "-   - name: oom")
            await shown.press("y")
            await shown.shows("REMOVED  1", ": removed")
            assert shown.app.definitions_screen.table.go_to("oom")
            await shown.press("v")
            await shown.shows("VERSIONS of oom", "(removed)")
            await shown.press("j", "r")
            await shown.shows("ROLL BACK oom to v1", "+   - name: oom")
            await shown.press("y")
            await shown.shows("(roll-back to version 1)")
        assert [row.definition is not None for row in versions(cluster, "oom")] == [True, False, True]

    asyncio.run(run())


def test_a_roll_back_that_came_too_late_changes_nothing(cluster: Cluster) -> None:
    async def run() -> None:
        save(cluster, exported(cluster).replace("app/chain", "app/second"), "bob")
        async with console(file_of(cluster)) as shown:
            await shown.press("4")
            await shown.until("chain is listed", lambda: shown.app.definitions_screen.table.go_to("chain"))
            await shown.press("v")
            await shown.shows("app/chain -> app/second")
            save(cluster, exported(cluster).replace("app/second", "app/third"), "carol")
            await shown.press("j", "r", "y")
            await shown.shows("NOT ROLLED BACK", "carol made version")
            await shown.press("escape")
            await shown.shows("app/second -> app/third")
        assert versions(cluster)[-1].author == "carol"

    asyncio.run(run())


def test_a_test_delivery_is_confirmed_and_shows_each_outcome(cluster: Cluster) -> None:
    async def run() -> None:
        async with console(file_of(cluster)) as shown:
            await shown.press("4")
            await shown.until("chain is listed", lambda: shown.app.definitions_screen.table.go_to("chain"))
            await shown.press("x")
            await shown.shows("TEST chain?")
            await shown.press("enter")
            await in_front(shown, DefinitionsScreen)
            assert cluster.nodes["a"].told() == []
            await shown.press("x", "y")
            await shown.shows("● priority 1  a  process  delivered", "✖ priority 2  a  process  failed", within=20)
            await shown.shows("1 of 2 groups delivered")
        ((_, event, state, _, _, _),) = cluster.nodes["a"].told()
        assert (event, state) == ("test/chain", "TEST")

    asyncio.run(run())


def test_a_lost_answer_is_no_lost_edit(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """The coordinator has saved it, and the answer never came."""
    from noroshi.node.wire import requests
    from noroshi.store.errors import NoroshiError

    ask = requests.ask

    def lost(*arguments: object, **options: object) -> None:
        ask(*arguments, **options)  # type: ignore[arg-type]
        raise NoroshiError("no answer from the coordinator at", on="it")

    async def run() -> None:
        async with console(file_of(cluster)) as shown:
            screen = await open_editor(shown)
            put(screen, "app/chain", "app/answered")
            await shown.press("ctrl+s")
            await in_front(shown, ChoiceScreen)
            monkeypatch.setattr(requests, "ask", lost)
            await shown.press("y")
            await in_front(shown, DefinitionsScreen)
            await shown.shows("saved")

    asyncio.run(run())
    made = versions(cluster)[-1].definition
    assert made is not None and made.event == "app/answered"


def test_what_cannot_be_saved_is_told_and_the_text_stays(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    from noroshi.node.wire import requests
    from noroshi.store.errors import NoroshiError

    def refused(*arguments: object, **options: object) -> None:
        raise NoroshiError("no answer from the coordinator at", on="tcp://127.0.0.1:1", why="nothing within 5 s")

    async def run() -> None:
        async with console(file_of(cluster)) as shown:
            screen = await open_editor(shown)
            put(screen, "app/chain", "app/unanswered")
            await shown.press("ctrl+s")
            await in_front(shown, ChoiceScreen)
            monkeypatch.setattr(requests, "ask", refused)
            await shown.press("y")
            await shown.shows("NOT SAVED", "nothing within 5 s", "What you typed is still here")
            await shown.press("escape")
            await in_front(shown, EditorScreen)
            assert "app/unanswered" in screen.text.text

    asyncio.run(run())
