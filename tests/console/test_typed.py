"""Whatever an operator types ends neither the console nor a command with a traceback, and finds what was meant."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from filling import Run, event, fill, layout_of, leading, notification
from pilots import console

from noroshi.console.app.filtering import named, parse_history, parse_log
from noroshi.console.app.screens.log import LogScreen
from noroshi.console.app.screens.notifications import NotificationsScreen
from noroshi.console.main import COMMANDS, _parser


@pytest.mark.parametrize("screen", "23")
def test_a_time_before_all_times_leads_to_the_beginning(filled: Path, screen: str) -> None:
    async def run() -> None:
        async with console(filled) as shown:
            await shown.press(screen, "at", *"-999999999999999999w", "enter")
            await shown.shows("row 1 of")

    asyncio.run(run())


def test_a_home_of_nobody_is_no_place_to_save_to(filled: Path) -> None:
    async def run() -> None:
        async with console(filled) as shown:
            await shown.open_log()
            await shown.press("w")
            shown.app.screen.query_one("Input").value = "~nobody-of-that-name/x"  # type: ignore[attr-defined]
            await shown.press("enter")
            await shown.shows("not saved: no such home ~nobody-of-that-name/x", "w asks for another place")
            assert isinstance(shown.app.screen, LogScreen)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["log", "--since", "-999999999999999999w"], 0, ""),
        (["events", "--since", "-99999999999w", "--until", "9999-12-31"], 0, ""),
        (["history", "--since", "-99999999999w"], 0, ""),
        (["log", "--limit", "9" * 20], 2, "is no number from 1 to 1,000,000,000"),
        (["silence", "remove", "9" * 20], 2, "is no number of anything"),
        (["silence", "remove", "-1"], 2, "is no number of anything"),
        (["definitions", "rollback", "orders", "--to", "9" * 20], 2, "is no number of anything"),
        (["ack", "9" * 30], 1, "nobody holds the coordinator's role in"),
    ],
)
def test_numbers_without_measure(defined: Path, run: Run, words: list[str], status: int, says: str) -> None:
    seen, out, err = run(defined, *words)
    assert (seen, says in err) == (status, True), err
    assert bool(out) is (status == 0)


def test_the_problems_of_a_file_are_shown_safely(filled: Path, run: Run) -> None:
    filled.write_text(filled.read_text() + '"\\e]0;owned\\a\\u202e": 1\n')
    status, out, err = run(filled, "check")
    assert (status, err) == (1, "")
    assert "unknown key" in out
    assert not {"\x1b", "\x07", "\u202e"} & set(out)


def test_a_star_in_a_name_is_not_silenced_as_a_pattern(filled: Path) -> None:
    fill(layout_of(filled), lambda connection: event(connection, "app/**", "ERROR"))
    fill(layout_of(filled), lambda connection: event(connection, "notification-failure", "ERROR"))

    async def run() -> None:
        async with console(filled, (120, 40)) as shown:
            await shown.shows("coordinator db1", "app/**")
            for key, says in (("app/**", "its name has a *"), ("notification-failure", "no silence covers it")):
                assert shown.table.go_to(f"state {key}")
                await shown.press("S")
                await shown.shows(says)
                assert not shown.app.screen.query_one("#prompt").display

    with leading(layout_of(filled)):
        asyncio.run(run())


def test_a_name_with_spaces_is_found_by_it(filled: Path) -> None:
    def told(connection: object) -> None:
        notification(connection, event(connection, "my nightly job", "ERROR"), "failed")  # type: ignore[arg-type]

    fill(layout_of(filled), told)

    async def run() -> None:
        async with console(filled, (120, 40)) as shown:
            await shown.shows("my nightly job")
            assert shown.table.go_to("state my nightly job")
            await shown.press("v")
            await shown.until("the notifications", lambda: isinstance(shown.app.screen, NotificationsScreen))
            await shown.shows('/event:"my nightly job": 1 found', "my nightly job ERROR")

    asyncio.run(run())


def test_what_nobody_was_told_of_says_so(filled: Path) -> None:
    async def run() -> None:
        async with console(filled, (120, 40)) as shown:
            await shown.shows("app/orders")
            assert shown.table.go_to("state app/orders")
            await shown.press("v")
            await shown.shows("/event:app/orders: 0 found", "nobody was told of it: no definition matches")
            await shown.press("escape", "slash", *"nosuch", "enter")
            await shown.shows("nothing found; Esc shows all")

    asyncio.run(run())


def test_empty_lists_say_why(file: Path) -> None:
    fill(layout_of(file), lambda connection: event(connection, "app/orders", "OK"))

    async def run() -> None:
        async with console(file) as shown:
            await shown.press("2")
            await shown.shows("no line yet: `logs:` in each node file")
            await shown.press("3")
            await shown.shows("no notification yet: nothing has come that a definition matches")

    asyncio.run(run())


@pytest.mark.parametrize("name", ["app/orders", "my job", 'odd"quote', "a/**", "日本 語"])
def test_a_filter_by_a_name_names_it(name: str) -> None:
    assert parse_history(named("event", name) + "oom")[0].event == name
    assert parse_history(named("event", name) + "oom")[1].text == "oom"
    assert parse_log(named("node", name))[0].node == name


def parsers(parser: argparse.ArgumentParser, name: str) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """A command's parser, and those of its actions."""
    yield name, parser
    for each in parser._actions:
        if isinstance(each, argparse._SubParsersAction):
            for action, below in each.choices.items():
                yield from parsers(below, f"{name} {action}")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_says_what_each_argument_of_each_command_is(command: str) -> None:
    ((_, of_all), *rest) = parsers(_parser(command), "noroshi")
    own = [(name, parser) for name, parser in rest if name.split()[1] == command]
    assert own and of_all.description
    for name, parser in own:
        assert parser.description, name
        silent = [
            each.dest for each in parser._actions if not (each.help or isinstance(each, argparse._SubParsersAction))
        ]
        assert not silent, name
