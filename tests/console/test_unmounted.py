"""The shared directory is gone under a console that had read it: it goes on, and what it says leads aright."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from filling import Run, layout_of
from pilots import console

from noroshi.console.app.screens.choice import ChoiceScreen
from noroshi.console.app.screens.definitions import DefinitionsScreen
from noroshi.console.app.screens.log import LogScreen
from noroshi.store.errors import NoDatabase
from noroshi.store.reader import SharedReader


def test_the_definitions_go_on_without_the_disk_and_come_back(defined: Path) -> None:
    shared = layout_of(defined).shared
    away = shared.with_name("away")

    async def run() -> None:
        async with console(defined, (120, 30)) as shown:
            await shown.shows("app/orders")
            shared.rename(away)
            await shown.shows("DISK NOT READABLE")
            await shown.press("4")
            await shown.shows("DEFINITIONS", "NOT READ nothing to read in", "is the shared disk mounted")
            assert isinstance(shown.app.screen, DefinitionsScreen)
            await shown.press("e")
            await shown.shows("there is no definition here")
            await shown.press("2")
            assert isinstance(shown.app.screen, LogScreen)
            await shown.press("4")
            away.rename(shared)
            await shown.shows("disk-trouble", "out-of-memory")
            await shown.until("nothing said of it", lambda: "NOT READ" not in shown.text)

    asyncio.run(run())


def test_what_was_listed_stays_and_an_edit_is_refused_once(defined: Path) -> None:
    shared = layout_of(defined).shared
    away = shared.with_name("away")

    async def run() -> None:
        async with console(defined, (120, 30)) as shown:
            await shown.press("4")
            await shown.shows("disk-trouble")
            shared.rename(away)
            await shown.shows("DISK NOT READABLE", "disk-trouble")
            await shown.press("e")
            await shown.shows("NOT DONE")
            await shown.press("escape")
            await shown.shows("NOT READ", "disk-trouble")
            assert not isinstance(shown.app.screen, ChoiceScreen)

    asyncio.run(run())


def test_a_detail_that_cannot_be_read_says_so(filled: Path) -> None:
    shared = layout_of(filled).shared

    async def run() -> None:
        async with console(filled, (120, 30)) as shown:
            await shown.shows("app/orders")
            shared.rename(shared.with_name("away"))
            await shown.shows("DISK NOT READABLE")
            await shown.press("T")
            await shown.shows("the rest cannot be read: nothing to read in")

    asyncio.run(run())


def test_an_empty_mount_point_is_not_taken_for_a_cluster_without_a_database(file: Path, run: Run) -> None:
    layout = layout_of(file)
    reader = SharedReader(layout)
    with pytest.raises(NoDatabase, match="start a node; its coordinator makes the database"):
        reader.query(lambda connection: None)
    layout.cluster.unlink()
    with pytest.raises(NoDatabase, match=r"neither a database nor cluster.yaml is there \(is the shared disk mounted"):
        reader.query(lambda connection: None)
    status, _, err = run(file, "history")
    assert (status, "start a node" in err, "is the shared disk mounted on this node?" in err) == (1, False, True)
