"""A definition edited in the console of a real cluster: checked, saved, in conflict, kept as a draft."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import Cluster
from conftest import Tmux
from editing import exported, file_of, in_front, open_editor, put, save, versions
from pilots import Console, console
from terminals import COMMAND
from waiting import wait_until

from noroshi.console.app.screens.choice import ChoiceScreen
from noroshi.console.app.screens.definitions import DefinitionsScreen
from noroshi.console.app.screens.editor import EditorScreen
from noroshi.console.app.widgets.text_view import TextView
from noroshi.console.commands import asking
from noroshi.console.commands.asking import author
from noroshi.console.queries import Queries


def test_an_edit_is_checked_as_it_is_typed_shown_as_a_difference_and_saved(cluster: Cluster) -> None:
    async def run() -> None:
        before = versions(cluster)
        async with console(file_of(cluster)) as shown:
            await open_editor(shown)
            # in one burst, as a slow line delivers it
            await shown.press("down", "down", "end", "enter", *"enough", "colon", "space", *"alk")
            await shown.shows("1 PROBLEM: nothing can be saved", "line 4: unknown enough 'alk' (did you mean 'all'?)")
            await shown.press("ctrl+s")
            await shown.shows("1 to be mended first")
            await shown.press("escape", "enter")
            await shown.press("end", "backspace", "l")
            await shown.shows("NO PROBLEM", "told, all of a group is enough")
            await shown.press("ctrl+s")
            await in_front(shown, ChoiceScreen)
            await shown.shows("SAVE chain, changing v", "+     enough: all")
            await shown.press("enter")
            await in_front(shown, EditorScreen)
            assert versions(cluster) == before, "Enter says no"
            await shown.press("ctrl+s")
            await in_front(shown, ChoiceScreen)
            await shown.press("y")
            await in_front(shown, DefinitionsScreen)
            await shown.shows(f"chain v{before[-1].version + 1} saved", "all of a group")
        made = versions(cluster)[-1]
        assert (made.version, made.author, made.note) == (before[-1].version + 1, author(), "edited in the console")
        assert made.definition is not None and made.definition.enough == "all"

    asyncio.run(run())


def test_undo_and_redo_and_every_action_by_a_plain_key(cluster: Cluster) -> None:
    async def run() -> None:
        async with console(file_of(cluster)) as shown:
            screen = await open_editor(shown)
            text = screen.text.text
            await shown.press(*"# x", "enter")
            await shown.press("escape", "z", "z")
            await shown.until("undone", lambda: screen.text.text == text)
            await shown.press("Z", "Z")
            await shown.until("done again", lambda: screen.text.text == f"# x\n{text}")
            await shown.press("s")
            await shown.shows("nothing differs from what is in force")
            await shown.press("i", "ctrl+z", "ctrl+z")
            await shown.press("escape", "q")
            await in_front(shown, DefinitionsScreen)

    asyncio.run(run())


def test_a_conflict_shows_both_and_mine_goes_on_top_of_theirs(cluster: Cluster) -> None:
    async def run() -> None:
        async with console(file_of(cluster), (100, 40)) as shown:
            screen = await open_editor(shown)
            put(screen, "state: [ERROR]", "state: [ERROR, FATAL]")
            save(cluster, exported(cluster).replace("    notify:", "    timeout: 3s\n    notify:"), "bob")
            theirs = versions(cluster)[-1]
            await conflict(shown)
            await shown.shows(f"THEIRS  version {theirs.version}, bob, ", "+     timeout: 3s", "import elsewhere.yaml")
            await shown.shows("YOURS, on top of theirs", "-     timeout: 3s", "FATAL")
            await shown.press("escape")
            await in_front(shown, EditorScreen)
            assert "FATAL" in screen.text.text
            assert versions(cluster)[-1] == theirs, "nothing was overwritten"
            await conflict(shown)
            await shown.press("m")
            await in_front(shown, EditorScreen)
            await shown.shows(f"yours, now on top of v{theirs.version}")
            await shown.press("ctrl+s")
            await in_front(shown, ChoiceScreen)
            await shown.shows("SAVE chain, changing", "-     timeout: 3s")
            await shown.press("y")
            await in_front(shown, DefinitionsScreen)
        made = versions(cluster)[-1].definition
        assert made is not None and made.state == ("ERROR", "FATAL") and made.timeout == 10.0

    asyncio.run(run())


async def conflict(shown: Console) -> None:
    """Save, which somebody else was faster than."""
    await shown.press("ctrl+s")
    await in_front(shown, ChoiceScreen)
    await shown.shows("SAVE chain")
    await shown.press("y")
    await shown.shows("CONFLICT")


def test_an_edit_of_somebody_else_is_seen_while_typing(cluster: Cluster) -> None:
    async def run() -> None:
        async with console(file_of(cluster)) as shown:
            await open_editor(shown)
            assert "IS THERE NOW" not in shown.text
            save(cluster, exported(cluster).replace("app/chain", "app/other"), "bob")
            await shown.shows(f"v{versions(cluster)[-1].version} IS THERE NOW: saving shows both")

    asyncio.run(run())


def test_theirs_can_be_taken_and_undo_brings_mine_back(cluster: Cluster) -> None:
    async def run() -> None:
        async with console(file_of(cluster)) as shown:
            screen = await open_editor(shown)
            put(screen, "app/chain", "app/mine")
            mine = screen.text.text
            save(cluster, exported(cluster).replace("app/chain", "app/theirs"), "bob")
            await conflict(shown)
            await shown.press("t")
            await in_front(shown, EditorScreen)
            await shown.until("theirs", lambda: "app/theirs" in screen.text.text)
            assert not screen.unsaved
            await shown.press("ctrl+z")
            await shown.until("mine", lambda: screen.text.text == mine)
            assert screen.unsaved

    asyncio.run(run())


def test_what_is_typed_survives_a_coordinator_that_is_gone_and_a_console_that_ends(
    cluster: Cluster, state_home: Path
) -> None:
    async def run() -> None:
        async with console(file_of(cluster)) as shown:
            screen = await open_editor(shown)
            put(screen, "app/chain", "app/kept")
            await shown.shows("app/kept", "unsaved")
        (draft,) = (state_home / "noroshi" / "drafts").iterdir()
        assert draft.stat().st_mode & 0o777 == 0o600
        assert draft.parent.stat().st_mode & 0o777 == 0o700
        seen = versions(cluster)[-1].version
        save(cluster, exported(cluster).replace("    notify:", "    timeout: 3s\n    notify:"), "bob")
        async with console(file_of(cluster)) as shown:
            await shown.press("4")
            await shown.until("chain is listed", lambda: shown.app.definitions_screen.table.go_to("chain"))
            await shown.press("e")
            await shown.shows("A DRAFT of yours is kept", f"begun on version {seen}; version {seen + 1} is there now")
            await shown.press("c")
            await in_front(shown, EditorScreen)
            await shown.shows("NO PROBLEM", "app/kept")
            await conflict(shown)
            await shown.press("escape", "escape", "q")
            await shown.shows("LEAVE?", "app/kept")
            await shown.press("D")
            await in_front(shown, DefinitionsScreen)
            await shown.until("no draft", lambda: not draft.exists())

    asyncio.run(run())


def test_quitting_with_unsaved_text_asks(cluster: Cluster, state_home: Path) -> None:
    async def run() -> None:
        async with console(file_of(cluster)) as shown:
            screen = await open_editor(shown)
            put(screen, "app/chain", "app/kept")
            await shown.press("ctrl+q")
            await shown.shows("LEAVE?", "It is kept as a draft")
            await shown.press("enter")
            await in_front(shown, EditorScreen)
            await shown.press("ctrl+q", "l")
            await shown.until("the app ends", lambda: not shown.app.is_running)
        (draft,) = (state_home / "noroshi" / "drafts").iterdir()
        assert "app/kept" in draft.read_text()

    asyncio.run(run())


def test_without_a_place_for_drafts_it_says_so(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/nowhere")

    async def run() -> None:
        async with console(file_of(cluster), (120, 24)) as shown:
            screen = await open_editor(shown)
            put(screen, "app/chain", "app/lost")
            await shown.shows("NO DRAFT IS KEPT")
            await checked_again(shown)
            assert "NO DRAFT IS KEPT" in shown.text, "that the cluster changed mends nothing"
            await shown.press("ctrl+q")
            await shown.shows("leaving loses it")

    asyncio.run(run())


def test_a_fault_of_our_own_ends_the_saving_and_says_that_it_is_not_saved(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        async with console(file_of(cluster)) as shown:
            screen = await open_editor(shown)
            put(screen, "app/chain", "app/faulty")
            await shown.shows("If app/faulty became ERROR now:")
            await shown.press("ctrl+s")
            await in_front(shown, ChoiceScreen)
            with monkeypatch.context() as patched:
                patched.setattr(asking, "place", lambda config: 1 / 0)
                await shown.press("y")
                await shown.shows("NOT SAVED", "ZeroDivisionError", "What you typed is still here")
            await shown.until("it was handed over", lambda: shown.app.faults)
            await shown.press("escape")
            await in_front(shown, EditorScreen)
            await shown.press("ctrl+s")
            await in_front(shown, ChoiceScreen)
            await shown.press("y")
            await shown.shows("saved")
            await in_front(shown, DefinitionsScreen)

    with pytest.raises(ZeroDivisionError):
        asyncio.run(run())
    assert "app/faulty" in exported(cluster)


async def checked_again(shown: Console) -> None:
    """As when the cluster changed: who would be told may be others."""
    assert shown.app.picture is not None
    screen = shown.app.screen
    assert isinstance(screen, EditorScreen)
    screen.show_picture(shown.app.picture)
    await shown.until("checked", lambda: not shown.app.asker.has("check"))
    await shown.pilot.pause()


def test_a_check_that_takes_the_place_of_another_keeps_the_draft_all_the_same(
    cluster: Cluster, state_home: Path
) -> None:
    """The cluster changes in the moment after the last letter, while the thread that keeps drafts is busy."""
    begun, go = threading.Event(), threading.Event()

    def busy(queries: Queries) -> Iterator[None]:
        begun.set()
        go.wait(30)
        yield None

    async def run() -> None:
        async with console(file_of(cluster)) as shown:
            screen = await open_editor(shown)
            shown.app.asker.submit("busy", busy)
            await shown.until("it is busy", begun.is_set)
            put(screen, "app/chain", "app/kept")
            await shown.until("its check waits", lambda: shown.app.asker.has("check"))
            assert shown.app.picture is not None
            screen.show_picture(shown.app.picture)
            go.set()
            await shown.until("checked", lambda: not shown.app.asker.has("check"))
            kept = [file.read_text() for file in (state_home / "noroshi" / "drafts").iterdir()]
            assert any("app/kept" in text for text in kept), kept

    asyncio.run(run())


def test_a_save_waits_for_a_coordinator_and_then_goes_through(cluster: Cluster) -> None:
    async def run() -> None:
        async with console(file_of(cluster)) as shown:
            screen = await open_editor(shown)
            put(screen, "app/chain", "app/later")
            before = versions(cluster)
            cluster.stop("a")
            await shown.shows("NO COORDINATOR: saving waits for one", "NO PROBLEM")
            await shown.press("ctrl+s")
            await shown.shows("not saved: no coordinator")
            cluster.start("a")
            await shown.until("led again", lambda: shown.app.led, within=20)
            await shown.until("nothing keeps it", lambda: "NO COORDINATOR" not in shown.text)
            assert screen.text.text.count("app/later") == 1
            await shown.press("ctrl+s")
            await in_front(shown, ChoiceScreen)
            await shown.press("y")
            await in_front(shown, DefinitionsScreen)
        assert len(versions(cluster)) == len(before) + 1

    try:
        asyncio.run(run())
    finally:
        if not cluster.nodes["a"].running:
            cluster.start("a")
        cluster.await_up()


@pytest.mark.parametrize("size", [(80, 24), (130, 30), (20, 5)])
def test_the_editor_fits_any_terminal(cluster: Cluster, size: tuple[int, int]) -> None:
    async def run() -> None:
        async with console(file_of(cluster), size) as shown:
            await shown.press("4")
            await shown.until("chain is listed", lambda: shown.app.definitions_screen.table.go_to("chain"))
            await shown.press("e")
            await in_front(shown, EditorScreen)
            await shown.shows("events:", "chain")
            await shown.press("escape")
            await shown.until("the pane", lambda: "NO PROBLEM" in shown.text)
            assert all(len(row) <= size[0] for row in shown.rows)
            pane = shown.app.screen.query_one("#pane", TextView)
            assert pane.has_focus
            beside = pane.region.x > 0
            assert beside is (size[0] >= 120)
            await shown.press("i")
            await shown.shows("events:")

    asyncio.run(run())


def test_in_tmux_an_operator_changes_who_is_told_and_the_next_event_goes_there(cluster: Cluster, tmux: Tmux) -> None:
    """The whole way: a terminal, keys, the coordinator, and a program that is started by the definition saved."""

    def shows(*texts: str) -> None:
        wait_until(f"{texts}", lambda: all(text in tmux("capture-pane", "-p") for text in texts), 40)

    tmux("new-session", "-d", "-x", "80", "-y", "24", *COMMAND, "--config", str(file_of(cluster)))
    shows("STATUS", "coordinator a")
    tmux("send-keys", "4")
    shows("DEFINITIONS", "chain", "app/chain")
    tmux("send-keys", "e")
    shows("EDIT", "NO PROBLEM", "priority 1, now")
    tmux("send-keys", "Down", "Down", "End", "Left", *["BSpace"] * len("[ERROR]"))
    tmux("send-keys", "-l", "[BURNS]")
    shows("[BURNS]}", "If app/chain became BURNS now:")
    tmux("send-keys", "Escape")
    shows("Enter type on")
    tmux("send-keys", "s")
    shows("SAVE chain, changing v", "+     match: {event: app/chain, state: [BURNS]}")
    tmux("send-keys", "y")
    shows("saved", "BURNS")
    (cluster.nodes["a"].home / "told.txt").unlink(missing_ok=True)
    cluster.raise_on("a", "app/chain", "BURNS", "by the definition just saved")
    (told,) = wait_until("told", cluster.nodes["a"].told)
    assert told[1:4] == ["app/chain", "BURNS", "by the definition just saved"]
