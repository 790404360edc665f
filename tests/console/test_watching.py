"""What a node saw that is gone is only known to have been so; what nobody was told of is said in words."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import apsw
import pytest
from filling import NOW, SECOND, Run, event, fill, layout_of, leading, nodes
from pilots import console

from noroshi.console.app.filtering import TextFilter
from noroshi.console.app.state_rows import Folded, Heading, build, tally
from noroshi.console.failure import supplement_words
from noroshi.console.queries import Leadership, Status
from noroshi.console.times import Clockface
from noroshi.console.watching import gone_nodes, unwatched_since
from noroshi.store.views import NodeState, State

NODES = (NodeState("db1", "UP", 1), NodeState("db2", "DOWN", 7), NodeState("db3", "STOPPED", 9))


def seen(event: str, state: str, node: str) -> State:
    return State("system", event, state, "", node, 1, 1, 1, 1)


@pytest.mark.parametrize(
    ("event", "state", "node", "since"),
    [
        ("link/db2/eth0", "OK", "db2", 7),
        ("app/printer", "OK", "db3", 9),
        ("link/db1/eth0", "OK", "db1", None),
        ("link/db2/eth0", "ERROR", "db2", None),
        ("app/own", "draining", "db2", None),
        ("server/db1", "UP", "db2", None),
        ("path/db1/db3", "OK", "db2", None),
        ("coordinator", "OK", "db2", None),
        ("coordinator/database", "OK", "db2", None),
        ("notification-failure", "OK", "db2", None),
        ("definition/orders", "OK", "db2", None),
    ],
)
def test_what_a_gone_node_saw_well_is_not_watched(event: str, state: str, node: str, since: int | None) -> None:
    assert unwatched_since(seen(event, state, node), gone_nodes(NODES)) == since


def test_such_rows_are_counted_apart_and_come_before_the_good_ones() -> None:
    states = (
        *(seen(f"link/db1/eth{at}", "OK", "db1") for at in range(15)),
        seen("zfs/db2/pool", "OK", "db2"),
        seen("raid/db2/md0", "ERROR", "db2"),
    )
    status = Status("demo", Leadership(False, None), NODES, states, 1)
    rows = [row for row in build(status, TextFilter(), False, 0, Clockface()).rows if not isinstance(row, Folded)]
    assert [row.key for row in rows[5:7]] == ["state raid/db2/md0", "state zfs/db2/pool"]
    heading = rows[4]
    assert isinstance(heading, Heading)
    assert tally(heading.counts, "", heading.past) == "✖ 1 ERROR  ● 15 OK  ? 1 OK"
    assert tally(heading.counts, "4m", heading.past) == "✖ 1 ERROR  ? 16 OK 4m ago"
    more = Status("demo", Leadership(False, None), NODES, (*states, seen("link/db2/eth0", "OK", "db2")), 1)
    assert Folded("system", 17, 2) in build(more, TextFilter(), True, 0, Clockface()).rows


def on_a_gone_node(connection: apsw.Connection) -> None:
    now = NOW - 754 * SECOND
    nodes.set_node_state(connection, "db1", "UP", now)
    nodes.set_node_state(connection, "db2", "DOWN", now)
    event(connection, "link/db2/eth0", "OK", "", "db2", now)
    event(connection, "link/db1/eth0", "OK", "", "db1", now)


def test_the_status_screen_does_not_call_them_good(file: Path, frozen: int) -> None:
    fill(layout_of(file), on_a_gone_node)

    async def run() -> None:
        async with console(file) as shown:
            await shown.shows("● 1 OK  ? 1 OK", "? OK 12m ago  link/db2/eth0", "● OK          link/db1/eth0")
            assert shown.table.go_to("state link/db2/eth0")
            await shown.press("enter")
            await shown.shows("OK, as far as is known: nobody has watched it since")

    with leading(layout_of(file)):
        asyncio.run(run())


def test_nor_does_the_command(file: Path, run: Run) -> None:
    fill(layout_of(file), on_a_gone_node)
    with leading(layout_of(file)):
        _, out, _ = run(file, "status")
        states = json.loads(run(file, "status", "--json")[1])["states"]
    shapes = {line.partition("link/")[2].split()[0]: line[0] for line in out.splitlines() if "link/" in line}
    assert shapes == {"db1/eth0": "●", "db2/eth0": "?"}
    assert {row["state"] for row in states} == {"OK"}


FAILURE = json.dumps({"notification": 2, "definition": "x", "about": "app/orders ERROR", "why": "db1: exit status 7"})


@pytest.mark.parametrize(
    ("name", "supplement", "words"),
    [
        ("notification-failure", FAILURE, "nobody was told: app/orders ERROR (db1: exit status 7)"),
        ("notification-failure", '{"about": "a UP"}', "nobody was told: a UP"),
        ("notification-failure", "by hand", "by hand"),
        ("notification-failure", '["about"]', '["about"]'),
        ("notification-failure", "[" * 100_000, "[" * 100_000),
        ("app/orders", FAILURE, FAILURE),
    ],
)
def test_a_failure_is_told_in_words(name: str, supplement: str, words: str) -> None:
    assert supplement_words(name, supplement) == words


def test_a_failure_is_in_words_wherever_it_is_listed(file: Path, run: Run) -> None:
    fill(layout_of(file), lambda connection: event(connection, "notification-failure", "ERROR", FAILURE))
    for command in ("status", "events"):
        assert "nobody was told: app/orders ERROR (db1: exit status 7)" in run(file, command)[1]
    row = json.loads(run(file, "events", "--json")[1])
    assert row["supplement"] == FAILURE

    async def shows() -> None:
        async with console(file, (120, 30)) as shown:
            await shown.shows("nobody was told: app/orders ERROR")

    asyncio.run(shows())
