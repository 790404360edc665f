"""The app as a whole: keys, palette, help, times, themes, copying, ending."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from filling import layout_of, leading
from pilots import Console, console

from noroshi.console import app as entry
from noroshi.console.app import prepare_environment, run_console
from noroshi.console.app.app import NoroshiApp
from noroshi.console.app.definition_jobs import Rehearsed
from noroshi.console.app.messages import Answered, DetailRead, PictureRead, ReadingBroke, RowsSaved
from noroshi.console.app.screens.base import NoroshiScreen
from noroshi.console.app.screens.definitions import DefinitionsScreen
from noroshi.console.app.screens.editor import EditorScreen
from noroshi.console.app.screens.filtered import FilteredScreen
from noroshi.console.app.screens.log import LogScreen
from noroshi.console.app.screens.notifications import NotificationsScreen
from noroshi.console.app.screens.paged import PagedScreen
from noroshi.console.app.screens.status import StatusScreen
from noroshi.console.app.widgets.line_view import LineView
from noroshi.console.severity import severity_of
from noroshi.store.errors import ConfigError, NoroshiError
from noroshi.store.model import Definition

pytestmark = pytest.mark.usefixtures("frozen")


def test_the_screens_are_one_key_apart_and_keep_their_place(filled: Path) -> None:
    async def run() -> None:
        async with console(filled) as shown:
            await shown.press("e", "e")
            for key, screen in (
                ("2", LogScreen),
                ("3", NotificationsScreen),
                ("1", StatusScreen),
                ("tab", LogScreen),
                ("tab", NotificationsScreen),
                ("4", DefinitionsScreen),
                ("tab", StatusScreen),
            ):
                await shown.press(key)
                assert isinstance(shown.app.screen, screen)
            assert shown.table.current and shown.table.current.key == "state unit/db3/postfix.service"
            assert isinstance(shown.app.focused, LineView)

    asyncio.run(run())


NAMES = {
    "slash": "/",
    "ctrl+p": "Ctrl+P",
    "ctrl+s": "Ctrl+S",
    "ctrl+y": "Ctrl+Y",
    "at": "@",
    "colon": ":",
    "question_mark": "?",
    "space": "Space",
    "tab": "Tab",
    "escape": "Esc",
}


def keys_of(owner: type) -> set[str]:
    return {key for binding in vars(owner).get("BINDINGS", ()) for key in binding.key.split(",")}


@pytest.mark.parametrize("screen", ["1", "2", "3", "4", "editor"])
def test_help_tells_every_key_of_the_screen(defined: Path, screen: str) -> None:
    async def run() -> None:
        async with console(defined, (80, 50)) as shown:
            if screen == "editor":
                await open_editor(shown)
                await shown.press("escape")
                bound = keys_of(EditorScreen)
                assert "s" in bound
            else:
                await shown.press(screen)
                owners = [each for each in type(shown.app.screen).__mro__ if issubclass(each, NoroshiScreen)]
                bound = set().union(*map(keys_of, (NoroshiApp, *owners)))
                assert "1" in bound
            await shown.press("question_mark")
            await shown.shows("HELP", "SUSPECT, DEGRADED")
            words = {word for row in shown.rows for word in row[:18].split()}
            told = {key for key in bound if NAMES.get(key, key) in words}
            assert bound - told - {"escape"} == set()
            assert ("quit" in shown.text) is (screen != "editor"), "there, q leaves the editor"
            await shown.press("escape")

    asyncio.run(run())


async def open_editor(shown: Console) -> None:
    """That of the first definition."""
    await shown.press("4")
    await shown.until("it is listed", lambda: shown.app.definitions_screen.table.current_name)
    await shown.press("e")
    await shown.until("the editor", lambda: isinstance(shown.app.screen, EditorScreen))
    await shown.shows("NO PROBLEM")


def test_every_action_works_without_control_alt_or_function_keys() -> None:
    screens = (StatusScreen, LogScreen, PagedScreen, NotificationsScreen, DefinitionsScreen, EditorScreen)
    for owner in (NoroshiApp, NoroshiScreen, FilteredScreen, *screens, LineView):
        for binding in owner.BINDINGS:
            keys = binding.key.split(",")  # type: ignore[union-attr]
            assert [key for key in keys if not key.startswith(("ctrl", "alt", "f1"))], binding


def test_the_palette_goes_anywhere(filled: Path) -> None:
    async def run() -> None:
        async with console(filled) as shown:
            await shown.press("colon", *"log of node db3")
            await shown.shows("Log of node db3")
            await shown.press("enter")
            await shown.shows("/node:db3: 2 found")
            await shown.press("ctrl+p", *"go to node db1")
            await shown.shows("its row in the status")
            await shown.press("enter")
            await shown.until("the node's row", lambda: isinstance(shown.app.screen, StatusScreen))
            await shown.until("stands there", lambda: shown.table.current and shown.table.current.key == "node db1")

    asyncio.run(run())


def test_times_in_utc_or_local_with_the_zone_always_shown(
    filled: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    import time

    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    request.addfinalizer(lambda: (monkeypatch.undo(), time.tzset()))

    async def run() -> None:
        async with console(filled, (160, 30)) as shown:
            await shown.shows("data of 03:03:23Z", "02:51:31Z")
            await shown.press("t")
            await shown.shows("data of 12:03:23+0900", "11:51:31+0900")
            await shown.open_log()
            await shown.shows("times local", "2025-11-22 11:52:25.000")
            await shown.press("t")
            await shown.shows("times UTC", "2025-11-22 02:52:25.000")

    asyncio.run(run())


def test_copying_says_sent_and_by_which_way(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TMUX", raising=False)

    async def run() -> None:
        async with console(filled) as shown:
            assert shown.table.go_to("state app/orders")
            await shown.press("Y")
            await shown.shows("characters sent to the terminal (OSC 52)")
            assert json.loads(shown.app.clipboard)["supplement"] == '{"queue": 10233, "cause": "db2 gone"}'
            await shown.open_log()
            await shown.press("y")
            await shown.until(
                "the line is sent",
                lambda: (
                    shown.app.clipboard == "2025-11-22 02:52:25.001Z db3 /var/log/app.log giving up on db2: timeout"
                ),
            )

    asyncio.run(run())


@pytest.mark.parametrize("theme", ["ansi-dark", "ansi-light"])
def test_severity_is_word_shape_and_weight_before_it_is_colour(filled: Path, theme: str) -> None:
    async def run() -> None:
        async with console(filled, theme=theme) as shown:
            states = ("DOWN", "SUSPECT", "draining", "UP")
            styles = [shown.table.style_of(severity_of(state).name.lower()) for state in states]
            assert [bool(style.bold) for style in styles] == [True, True, True, False]
            assert [bool(style.reverse) for style in styles] == [True, False, False, False]
            names = {style.color.name for style in styles if style.color}
            assert not names & {"red", "green", "bright_red", "bright_green"}
            words = [shown.table.state_text(state, state, 12).plain for state in states]
            assert words == ["✖ DOWN      ", "◐ SUSPECT   ", "◆ draining  ", "● UP        "]
            await shown.press("colon", *"theme")
            await shown.shows("Theme: dark or light")
            await shown.press("enter")
            await shown.until("the other theme", lambda: shown.app.theme != theme)
            await shown.shows("app/orders")

    asyncio.run(run())


def test_q_quits_and_the_threads_end(filled: Path) -> None:
    async def run() -> None:
        async with console(filled) as shown:
            threads = (shown.app.watcher, shown.app.fetcher)
            await shown.press("q")
        assert shown.app.return_code == 0
        for thread in threads:
            thread.join(10)
            assert not thread.is_alive()

    asyncio.run(run())


def test_what_is_read_while_it_ends_is_passed_over(filled: Path) -> None:
    """A picture that was under way when the operator quit: no screen is left to show it."""

    async def run() -> None:
        async with console(filled) as shown:
            await shown.press("4")
            picture = shown.app.picture
            assert picture is not None
            stack, kept = shown.app._screen_stack, [*shown.app._screen_stack]
            stack.clear()  # as Textual does first
            try:
                shown.app.on_picture_read(PictureRead(picture))
                shown.app.on_detail_read(DetailRead("event server/db2"))
                shown.app.on_rows_saved(RowsSaved("file", "1 line"))
                shown.app.on_answered(
                    Answered(shown.app.definitions_screen, Rehearsed(Definition(name="x", kind="event"), ()))
                )
            finally:
                stack.extend(kept)

    asyncio.run(run())


def test_without_a_terminal_it_says_what_to_use(filled: Path) -> None:
    with pytest.raises(NoroshiError, match="noroshi status"):
        run_console(filled)


def test_a_wrong_node_file_is_told_before_the_screen_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for stream in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(f"sys.{stream}.isatty", lambda: True, raising=False)
    (tmp_path / "node.yaml").write_text("nod: x\n")
    with pytest.raises(ConfigError):
        run_console(tmp_path / "node.yaml")


def test_few_frames_over_ssh_and_the_background_by_colorfgbg(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TEXTUAL_FPS", "TEXTUAL_ANIMATIONS", "TEXTUAL_SMOOTH_SCROLL", "SSH_CONNECTION", "COLORFGBG"):
        monkeypatch.delenv(name, raising=False)
    environment = {}
    monkeypatch.setattr(entry.os, "environ", environment)
    prepare_environment()
    assert environment == {"TEXTUAL_ANIMATIONS": "none", "TEXTUAL_SMOOTH_SCROLL": "0"}
    environment["SSH_CONNECTION"] = "x"
    prepare_environment()
    assert environment["TEXTUAL_FPS"] == "15"
    assert entry.background() == "dark"
    environment["COLORFGBG"] = "0;default;15"
    assert entry.background() == "light"


def test_a_fault_of_our_own_is_told_and_ends_nothing(filled: Path) -> None:
    async def run() -> None:
        async with console(filled) as shown:
            await shown.shows("app/orders")
            broken = shown.app.watcher._queries
            sound, broken.fingerprint = broken.fingerprint, lambda: 1 / 0  # type: ignore[method-assign,assignment,return-value]
            await shown.shows("A FAULT OF THIS CONSOLE, please report it", "ZeroDivisionError", "app/orders")
            broken.fingerprint = sound  # type: ignore[method-assign]
            await shown.until("read again", lambda: "A FAULT" not in shown.text)
            shown.app.fetcher.submit("page", lambda queries: iter(1 / 0 for _ in (1,)))  # type: ignore[arg-type,misc]
            await shown.shows("a fault of this console, please report it: ZeroDivisionError")
            await shown.until("both are kept", lambda: len(shown.app.faults) == 2)

    with pytest.raises(ZeroDivisionError):
        asyncio.run(run())
    assert layout_of(filled).database.exists()


def test_of_many_faults_the_first_are_kept_and_the_others_counted(
    filled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    apps = []

    async def run() -> None:
        async with console(filled) as shown:
            apps.append(shown.app)
            for number in range(10):
                shown.app.post_message(ReadingBroke(KeyError(number)))
            await shown.until("all are counted", lambda: shown.app.fault_count == 10)
            assert [fault.args for fault in shown.app.faults] == [(0,), (1,), (2,)]

    with pytest.raises(KeyError):
        asyncio.run(run())
    capsys.readouterr()
    for app in apps:
        for fault in app.faults:
            fault.__traceback__ = None  # where the test itself raised it
        entry._print_faults(app.faults, app.fault_count)
    assert capsys.readouterr().err.splitlines() == ["KeyError: 0", "KeyError: 1", "KeyError: 2", "and 7 more"]


def test_a_page_that_met_a_fault_of_our_own_is_asked_for_again_when_it_is_drawn_next(filled: Path) -> None:
    async def run() -> None:
        async with console(filled) as shown:
            await shown.open_log()
            faulty = shown.app.fetcher._queries
            sound, faulty.log_lines = faulty.log_lines, lambda ids: 1 / 0  # type: ignore[method-assign,assignment,return-value]
            shown.view.forget()
            shown.view.refresh()
            await shown.shows("please report it: ZeroDivisionError", "…")
            await shown.until("it was told", lambda: not shown.view._asked)
            faulty.log_lines = sound  # type: ignore[method-assign]
            shown.view.refresh()
            await shown.shows("giving up on db2")

    with pytest.raises(ZeroDivisionError):
        asyncio.run(run())


def test_what_was_typed_before_enter_counts_however_fast_it_came(filled: Path) -> None:
    """A slow connection delivers letters and Enter in one piece; Enter must not overtake them."""
    from textual import events

    async def run() -> None:
        async with console(filled) as shown:
            await shown.press("slash")
            for key, character in (("d", "d"), ("b", "b"), ("3", "3"), ("enter", "\r")):
                shown.app.post_message(events.Key(key, character))
            await shown.shows("filter db3: 7 of 14")
            await shown.until("the prompt is closed", lambda: not shown.app.screen.query_one("#prompt").display)
            assert "filter db3: 7 of 14" in shown.text

    asyncio.run(run())


def known(shown: Console) -> set[str]:
    """The events that were read."""
    return {row.event for row in shown.app.picture.status.states} if shown.app.picture else set()


def test_a_terminal_that_is_behind_is_shown_the_newest_once_it_has_caught_up(filled: Path) -> None:
    """On 9600 baud a flood of lines kept every key waiting for half a minute: nothing is drawn on top of a queue."""

    async def run() -> None:
        with leading(layout_of(filled)) as order:
            async with console(filled) as shown:
                await shown.shows("coordinator db1 term 2")
                driver = shown.app._driver
                setattr(driver, "is_behind", True)  # noqa: B010 - the driver of tests has no such thing
                order("event app/first ERROR x")
                order("event app/second ERROR x")
                await shown.until("both were read", lambda: {"app/first", "app/second"} <= known(shown))
                assert "app/first" not in shown.text
                await shown.press("2")
                await shown.shows("FOLLOWING")
                await shown.press("1")
                setattr(driver, "is_behind", False)  # noqa: B010
                await shown.shows("app/first", "app/second")

    asyncio.run(run())
