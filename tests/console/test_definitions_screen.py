"""The definitions screen: the table of fig. 8, who would be told, what is allowed; in any terminal."""

from __future__ import annotations

import asyncio
import os
import unicodedata
from pathlib import Path

import apsw
import pytest
from filling import HOSTILE, NOW, fill, layout_of, leading, table
from pilots import Console, console, same_as_snapshot

from noroshi.console.app import drafts
from noroshi.console.app.drafts import Draft
from noroshi.console.app.screens.base import NoroshiScreen
from noroshi.console.app.screens.choice import ChoiceScreen
from noroshi.console.app.screens.definitions import DefinitionsScreen
from noroshi.console.app.screens.editor import EditorScreen
from noroshi.console.app.widgets.definition_table import DefinitionTable
from noroshi.console.app.widgets.line_view import LineView
from noroshi.store.model import Definition, Destination

pytestmark = pytest.mark.usefixtures("frozen")


def table_of(shown: Console) -> DefinitionTable:
    return shown.app.definitions_screen.table


async def open_definitions(shown: Console) -> None:
    await shown.press("4")
    await shown.until("the definitions are read", lambda: shown.app.definitions_screen._heads is not None)
    await shown.pilot.pause()


@pytest.mark.parametrize("size", [(80, 24), (160, 30), (20, 5)])
def test_it_is_complete_at_80_by_24_shows_more_when_wide_and_survives_small(
    defined: Path, size: tuple[int, int]
) -> None:
    async def run() -> None:
        async with console(defined, size) as shown:
            await open_definitions(shown)
            await shown.shows("disk-trouble")
            same_as_snapshot(f"definitions-{size[0]}x{size[1]}", shown.text)
            assert all(len(row) <= size[0] for row in shown.rows)

    asyncio.run(run())


def test_destinations_stand_by_priority_and_nodes_that_cannot_be_told_are_marked(defined: Path) -> None:
    async def run() -> None:
        async with console(defined, (160, 30)) as shown:
            await open_definitions(shown)
            rows = [row for row in shown.rows if "/usr/local/bin/page" in row or "queue 0x4e4f524f" in row]
            assert [row.split()[:2] for row in rows] == [["1", "db1"], ["db2", "✖"], ["2", "db3"]]
            assert "DOWN" in rows[1]
            assert "'storage team'" in rows[0]
            (left,) = [row for row in shown.rows if "db9" in row]
            assert "✖ LEFT" in left and "(timeout 3s)" in left
            await shown.shows("1 definition names a node that left", "the coordinator's own node")
            with leading(layout_of(defined)) as order:
                await shown.shows("own node, now db1")
                order("node db1 STOPPED")
                await shown.shows("○ STOPPED")

    asyncio.run(run())


def test_the_cursor_goes_over_destinations_and_from_one_definition_to_the_next(defined: Path) -> None:
    async def run() -> None:
        async with console(defined) as shown:
            await open_definitions(shown)
            names = [table_of(shown).current_name]
            for key in ("j", "j", "j", "j", "n", "n", "n", "N", "g", "G"):
                await shown.press(key)
                names.append(table_of(shown).current_name)
            disk, oom = "disk-trouble", "out-of-memory"
            assert names == [disk, disk, disk, disk, "orders", oom, "old", "old", oom, disk, "old"]

    asyncio.run(run())


def test_a_filter_keeps_a_definition_whole(defined: Path) -> None:
    async def run() -> None:
        async with console(defined) as shown:
            await open_definitions(shown)
            await shown.press("slash", *"db3")
            await shown.shows("filter db3: 1 of 4", "disk-trouble", "page --team")
            assert "orders" not in shown.text
            await shown.press("enter", "slash", *["backspace"] * 3, *"!db", "enter")
            await shown.shows("filter !db: 2 of 4", "orders")
            assert "disk-trouble" not in shown.text
            await shown.press("escape")
            await shown.shows("disk-trouble", "a node that left")

    asyncio.run(run())


def test_enter_shows_all_of_it_and_who_would_be_told_now(defined: Path) -> None:
    async def run() -> None:
        async with console(defined, (100, 40)) as shown:
            await open_definitions(shown)
            await shown.press("enter")
            await shown.shows("v1  alice  2025-11-22 00:04:05Z  (import defs.yaml)", "repeat: 5m")
            await shown.shows("If raid/db1/md0 became DEGRADED now:", "told, all of a group is enough")
            await shown.shows("skipped  db2  process  /usr/local/bin/page (node is down)", "when priority 1 has failed")
            await shown.shows("It matches 1 of the events known now: raid/db1/md0 DEGRADED")
            await shown.press("escape", "n", "n", "enter")
            await shown.shows("If a line came that the pattern finds now:", "node is not in cluster.yaml")

    asyncio.run(run())


def test_without_a_coordinator_edits_can_be_prepared_and_the_rest_waits(defined: Path) -> None:
    async def run() -> None:
        async with console(defined) as shown:
            await open_definitions(shown)
            await shown.shows("saving waits for a coordinator")
            screen = shown.app.definitions_screen
            assert screen.key_bar._dimmed == {"d", "x"}
            await shown.press("d")
            await shown.shows("there is no coordinator now: removing one waits for one")
            await shown.press("x")
            await shown.shows("there is no coordinator now: a test waits for one")
            assert shown.app.screen is screen
            await shown.press("e")
            await shown.shows("NO COORDINATOR: saving waits for one", "NO PROBLEM")
            await shown.press("end", *" # x", "ctrl+s")
            await shown.shows("nothing differs from what is in force")
            await shown.press(*["down"] * 4, "home", "ctrl+k", "ctrl+s")
            await shown.shows("not saved: no coordinator, saving waits for one; the draft is kept")

    asyncio.run(run())


def test_read_only_takes_the_editing_keys_away_and_says_so(defined: Path) -> None:
    async def run() -> None:
        with leading(layout_of(defined)):
            async with console(defined, read_only=True) as shown:
                await open_definitions(shown)
                await shown.shows("READ ONLY")
                for key in "eadx":
                    shown.app.say("")
                    await shown.press(key)
                    await shown.shows("this console was started with --read-only")
                    assert isinstance(shown.app.screen, DefinitionsScreen), key
                await shown.press("v")
                await shown.shows("VERSIONS of disk-trouble", "(import defs.yaml)")
                await shown.press("r")
                await shown.shows("this console was started with --read-only")
                assert not isinstance(shown.app.screen, ChoiceScreen)

    asyncio.run(run())


def test_a_key_that_has_nothing_to_work_on_says_so(defined: Path) -> None:
    async def run() -> None:
        with leading(layout_of(defined)):
            async with console(defined) as shown:
                await open_definitions(shown)
                await shown.press("N")
                await shown.shows("this is the first definition listed")
                await shown.press(*"nnnn")
                await shown.shows("this is the last definition listed")
                shown.app.definitions_screen.stand_on("old")
                for key in "dx":
                    shown.app.say("")
                    await shown.press(key)
                    await shown.shows("it is removed already: 'e' begins it anew, 'v' rolls back")
                await nothing_found(shown)
                for key in "edxvy":
                    shown.app.say("")
                    await shown.press(key)
                    await shown.shows("there is no definition")
                for number, name, keys in (("1", "STATUS", "yLvaS"), ("2", "LOG", "y"), ("3", "NOTIFICATIONS", "yvDa")):
                    await shown.press(number)
                    await shown.shows(f" {name}  demo")
                    await nothing_found(shown)
                    for key in (*keys, "enter"):
                        shown.app.say("")
                        await shown.press(key)
                        wanted = "nothing to acknowledge" if (number, key) == ("3", "a") else "there is no row here"
                        await shown.shows(wanted)

    asyncio.run(run())


async def nothing_found(shown: Console) -> None:
    """Filter by what nothing has; keys are for the list again."""
    await shown.press("slash", *"nosuch", "enter")
    screen = shown.app.screen
    assert isinstance(screen, NoroshiScreen)
    await shown.until("the prompt is closed", lambda: not screen.entry.display and not screen.entry.has_focus_within)
    await shown.until("nothing is listed", lambda: screen.query_one(LineView).row_count == 0)


def test_who_may_not_read_the_nodes_key_is_told_that_nothing_can_be_changed(defined: Path) -> None:
    cluster = layout_of(defined).cluster
    cluster.write_text(cluster.read_text().replace("nodes:", "security: curve\nkeys: keys\nnodes:"))

    async def run() -> None:
        with leading(layout_of(defined)):
            async with console(defined) as shown:
                await open_definitions(shown)
                await shown.shows("READ ONLY")
                await shown.press("e", "a", "d", "x")
                assert isinstance(shown.app.screen, DefinitionsScreen)

    asyncio.run(run())


def test_what_was_removed_is_listed_with_its_versions(defined: Path) -> None:
    async def run() -> None:
        async with console(defined) as shown:
            await open_definitions(shown)
            await shown.press("G", "v")
            await shown.shows("v2  2025-11-22 03:01:05Z", "bob  (removed)", "- old event {event:", "+ old event")
            await shown.press("G", "enter")
            await shown.until("one of the versions", lambda: "old v" in shown.rows[0])

    asyncio.run(run())


def test_the_screen_is_in_the_palette_and_in_the_round_of_tab(defined: Path) -> None:
    async def run() -> None:
        async with console(defined) as shown:
            await shown.press("colon", *"definitions")
            await shown.shows("who is told of what")
            await shown.press("enter")
            await shown.until("there", lambda: isinstance(shown.app.screen, DefinitionsScreen))
            await shown.press("question_mark")
            await shown.shows("HELP: DEFINITIONS", "who would be told now")

    asyncio.run(run())


def test_a_thousand_definitions_open_and_scroll(filled: Path) -> None:
    def crowd(connection: apsw.Connection) -> None:
        for at in range(1000):
            one = Definition(name=f"d{at:04}", kind="event", event="x/*", notify=(Destination(1, "db1"),))
            table.add_version(connection, one.name, one, "seed", NOW)

    fill(layout_of(filled), crowd)

    async def run() -> None:
        async with console(filled) as shown:
            await open_definitions(shown)
            await shown.shows("d0000", "EVENTS  1000")
            await shown.press("G")
            await shown.shows("d0999")
            assert table_of(shown).row_count == 2001

    asyncio.run(run())


# --- hostile -----------------------------------------------------------------------------------------------------


def hostile_definitions(connection: apsw.Connection) -> None:
    """As no coordinator would store them, but a damaged disk or another version might."""
    texts = [text[:300] for text in HOSTILE]
    notify = tuple(
        Destination(at, f"{text}{at}", "process", [text, text]) if at % 2 else Destination(at, None, "socket", text)
        for at, text in enumerate(texts, 1)
    )
    for at, text in ((1, texts[1]), (4, texts[4])):
        event = Definition(name=f"{at}{text}", kind="event", event=text, state=tuple(texts), notify=notify)
        line = Definition(name=f"log{at}{text}", kind="log", node=text, source=text, pattern=text, notify=notify)
        for one in (event, line):
            table.add_version(connection, one.name, one, text, NOW, text)
    for at, text in enumerate(texts):
        table.add_version(connection, f"gone{at}", None, text, NOW, text)


def check(shown: Console) -> None:
    """The screen holds nothing a terminal would obey, and is not wider than it is."""
    for row in shown.rows:
        assert not [one for one in row if unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp")], row
        assert not set("\u202e\u2066\u200f\ufeff") & set(row), row


@pytest.mark.parametrize("size", [(130, 30), (20, 5)])
def test_the_table_shows_every_text_and_obeys_none(file: Path, size: tuple[int, int]) -> None:
    fill(layout_of(file), hostile_definitions)

    async def run() -> None:
        async with console(file, size) as shown:
            await open_definitions(shown)
            for _ in range(table_of(shown).row_count // 20 + 2):
                check(shown)
                await shown.press("pagedown")
            await shown.press("G")
            check(shown)

    asyncio.run(run())


def test_everything_opened_shows_every_text_and_obeys_none(file: Path) -> None:
    fill(layout_of(file), hostile_definitions)

    async def run() -> None:
        with leading(layout_of(file)):
            async with console(file) as shown:
                await open_definitions(shown)
                for key, closing in (("enter", 1), ("v", 1), ("x", 1), ("d", 1), ("e", 2)):
                    await look(shown, key, closing)
                await shown.press("n", "n")
                for key, closing in (("enter", 1), ("e", 2)):
                    await look(shown, key, closing)

    asyncio.run(run())


async def look(shown: Console, key: str, closing: int) -> None:
    """Open, look at all of it, close."""
    await shown.press(key)
    await shown.until("opened", lambda: not isinstance(shown.app.screen, DefinitionsScreen))
    check(shown)
    await shown.press("pagedown")
    check(shown)
    await shown.press(*["escape"] * closing)
    await shown.until("closed", lambda: isinstance(shown.app.screen, DefinitionsScreen))


def test_pasted_text_is_made_visible_in_the_editor_too(defined: Path) -> None:
    from textual import events

    async def run() -> None:
        async with console(defined) as shown:
            await open_definitions(shown)
            await shown.press("e")
            await shown.until("the editor", lambda: isinstance(shown.app.screen, EditorScreen))
            shown.app.post_message(events.Paste("\x1b]0;owned\x07\r\nlogs:\u202e\tx\n"))
            await shown.shows("␛]0;owned␇", "logs:\\u202e")
            check(shown)

    asyncio.run(run())


def test_another_console_that_edits_the_same_is_told_and_each_keeps_its_own_draft(defined: Path) -> None:
    other = drafts.claim("demo", "disk-trouble", "event")

    async def run() -> None:
        async with console(defined, (100, 24)) as shown:
            await open_definitions(shown)
            assert table_of(shown).go_to("disk-trouble")
            await shown.press("e")
            await shown.shows("NO PROBLEM", f"ALSO OPEN in process {os.getpid()}", "another console of yours edits")
            await shown.press("#", "x", "enter")
            other.keep(Draft("demo", "disk-trouble", "event", 1, "theirs", NOW))
            other.end()
            await shown.press("#", "y", "enter")
            await shown.until("it is alone again", lambda: "ALSO OPEN" not in shown.text)
            await shown.press("escape", "q")
            await shown.shows("LEAVE?", "It is kept as a draft")
            await shown.press("l")
            kept = {claim.find().text for claim in two_claims()}  # type: ignore[union-attr]
            assert "theirs" in kept and any(text.startswith("#x\n#y\n") for text in kept)

    asyncio.run(run())


def two_claims() -> list[drafts.Claim]:
    return [drafts.claim("demo", "disk-trouble", "event") for _ in range(2)]


def test_an_edit_asked_for_twice_opens_one_editor_and_gives_the_other_draft_up(defined: Path) -> None:
    async def run() -> None:
        async with console(defined) as shown:
            await open_definitions(shown)
            screen = shown.app.definitions_screen
            assert table_of(shown).go_to("disk-trouble")
            screen.action_edit()
            await shown.until("the editor", lambda: isinstance(shown.app.screen, EditorScreen))
            screen.action_edit()
            await shown.until("nothing is asked", lambda: not shown.app.asker.has("open"))
            await shown.pilot.pause()
            assert [isinstance(each, EditorScreen) for each in shown.app.screen_stack].count(True) == 1
            free = drafts.claim("demo", "disk-trouble", "event")
            assert len(free.elsewhere()) == 1

    asyncio.run(run())
