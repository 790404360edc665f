"""The database of a running cluster is lost: a new one, told as an event, and what nodes still have comes again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cluster import Cluster
from first import COORDINATOR, run_first
from waiting import wait_until

from noroshi.store import views
from noroshi.store.backup import write_backup
from noroshi.store.reader import SharedReader
from noroshi.store.retention import used
from noroshi.store.writer import Identity, lead

pytestmark = pytest.mark.slow

DEFINITIONS = """
events:
  - name: app
    match: {event: "told/**"}
    notify: [{priority: 1, node: a, procedure: process, application: ["{a}"]}]
"""

SOONER = """from noroshi.node.coordinator import care
    from noroshi.store import damage
    care.SETTLE = care.LOOK = 0.5
    damage.PATIENCE = 0.2
"""
"""Care begins at once after a take-over; this disk shows the same at every reading."""


def sooner(folder: Path) -> dict[str, dict[str, str]]:
    """The environment of each node."""
    return dict.fromkeys("ab", run_first(folder, COORDINATOR.format(body=SOONER)))


def write_lines(running: Cluster, node: str, numbers: range) -> None:
    with running.nodes[node].log.open("a") as log:
        log.writelines(f"line {number} of {node}\n" for number in numbers)


def numbers(running: Cluster, node: str) -> list[int]:
    return [int(event.event.split("/")[2]) for event in running.events(f"app/{node}/*")]


def lines(running: Cluster, node: str) -> list[int]:
    return [int(line.split()[1]) for line in running.lines(node)]


def overwrite_page_with(database: Path, text: bytes) -> None:
    """The head of the page in which `text` stands becomes garbage."""
    data = database.read_bytes()
    page = data.index(text) // 4096 * 4096
    with database.open("r+b") as file:
        file.seek(page)
        file.write(b"\xff" * 12)


def test_found_in_the_background_and_nothing_that_the_nodes_have_is_lost_or_doubled(tmp_path: Path) -> None:
    rest = {"cluster_extra": "backup: false\n", "environment": sooner(tmp_path / "first")}
    with Cluster(tmp_path / "c", ("a", "b"), definitions=DEFINITIONS, **rest) as running:  # type: ignore[arg-type]
        running.start()
        leader = running.await_up()

        def more(span: range) -> None:
            for node in running.names:
                write_lines(running, node, span)
                for number in span:
                    running.raise_on(node, f"app/{node}/{number}", "ERROR")
            for node in running.names:
                wait_until("lines", lambda node=node: lines(running, node) == list(range(span.stop)))
                wait_until("events", lambda node=node: numbers(running, node) == list(range(span.stop)))

        more(range(50))
        running.layout.backup.parent.mkdir()
        write_backup(running.layout, running.layout.backup)
        more(range(50, 100))
        wait_until("a checkpoint", lambda: running.layout.wal.stat().st_size == 0)
        harmed = running.layout.database.stat().st_ino
        overwrite_page_with(running.layout.database, b"line 5 of a")  # full long ago: nobody writes it again
        process = running.coordinator_process(leader.node)
        assert process is not None
        process.kill()
        wait_until("it is told", lambda: running.states().get("coordinator/database") == "ERROR", 30)
        new = running.await_leader(not_term=leader.term)
        assert new.term >= leader.term + 2, "one that led and found it, one that began anew"
        told = running.events("coordinator/database")[-1].supplement
        aside = next(running.layout.shared.glob("noroshi.db.damaged-*Z"))
        assert aside.name in told
        assert "begun from noroshi.db, last written 20" in told
        assert aside.stat().st_ino == harmed
        for node in running.names:  # a sender says where it stands when it has something to send
            write_lines(running, node, range(100, 101))
            running.raise_on(node, f"app/{node}/100", "ERROR")
        for node in running.names:
            wait_until("all lines", lambda node=node: lines(running, node) == list(range(101)), 20)
            wait_until("all events", lambda node=node: sorted(numbers(running, node)) == list(range(101)), 20)
        assert {event.count for event in running.events("app/**")} == {1}
        assert not any(name.endswith("/streams") for name in running.states()), "there was no gap"
        running.raise_on("b", "told/x", "ERROR")
        wait_until("the definitions are there", lambda: [call[1] for call in running.nodes["a"].told()] == ["told/x"])
        terms = running.query(views.terms) or ()
        assert [term.term for term in terms][-1] == new.term


def test_met_at_a_start_without_a_backup(tmp_path: Path) -> None:
    rest = {"cluster_extra": "backup: false\n", "environment": sooner(tmp_path / "first")}
    with Cluster(tmp_path / "c", ("a", "b"), definitions=DEFINITIONS, **rest) as running:  # type: ignore[arg-type]
        running.start()
        old = running.await_up()
        for number in range(20):
            running.raise_on("a", f"app/a/{number}", "ERROR")
        wait_until("events", lambda: numbers(running, "a") == list(range(20)))
        for name in running.names:
            running.kill(name)
        database = running.layout.database
        os.truncate(database, database.stat().st_size // 2)
        running.start()
        new = running.await_up()
        assert new.term > old.term
        wait_until("it is told", lambda: running.states().get("coordinator/database") == "ERROR")
        assert "begun empty" in running.events("coordinator/database")[0].supplement
        running.raise_on("a", "told/x", "ERROR")
        wait_until("seeded definitions", lambda: [call[1] for call in running.nodes["a"].told()] == ["told/x"])
        wait_until("what is kept came again", lambda: sorted(numbers(running, "a")) == list(range(20)))
        assert {event.count for event in running.events("app/**")} == {1}


NO_CHECKPOINT = """from noroshi.store.writer import Writer
    Writer.checkpoint_if_due = lambda self, idle: False
"""


def test_a_log_damaged_in_its_middle_is_told_and_what_the_nodes_have_comes_again(tmp_path: Path) -> None:
    first = run_first(tmp_path / "first", COORDINATOR.format(body=NO_CHECKPOINT))
    with Cluster(
        tmp_path / "c", ("a", "b"), definitions=DEFINITIONS, environment=dict.fromkeys("ab", first)
    ) as running:
        running.start()
        running.await_up()
        for number in range(20):
            running.raise_on("a", f"app/a/{number}", "ERROR")
            wait_until("stored", lambda number=number: number in numbers(running, "a"))
        for name in running.names:
            running.kill(name)
        log = running.layout.wal.read_bytes()
        frames = (len(log) - 32) // 4120
        with running.layout.wal.open("r+b") as file:
            file.seek(32 + frames // 2 * 4120 + 1000)
            file.write(bytes(byte ^ 255 for byte in log[file.tell() : file.tell() + 4]))
        running.start()
        wait_until("it is told", lambda: running.events("coordinator/database"), 20)
        (told,) = running.events("coordinator/database")
        assert told.state == "ERROR"
        (aside,) = running.layout.shared.glob("noroshi.db-wal.damaged-*Z")
        assert f"commits behind the damage are lost; kept as {aside.name}" in told.supplement
        running.raise_on("a", "told/x", "ERROR")
        wait_until("what is kept came again", lambda: sorted(numbers(running, "a")) == list(range(20)))
        assert {event.count for event in running.events("app/**")} == {1}


def test_backups_are_made_and_the_size_is_kept_under_load(tmp_path: Path) -> None:
    extra = "backup: {every: 10s, keep: 1}\nretention: {size: 8MiB}\n"
    with Cluster(tmp_path / "c", ("a",), cluster_extra=extra, environment=sooner(tmp_path / "first")) as running:
        running.start()
        running.await_up()
        count, size = 0, 8 * 1024 * 1024
        probes = 0

        def in_use() -> int:
            return SharedReader(running.layout).query(used)

        def newest_backup() -> str | None:
            return max((path.name for path in running.layout.backup.parent.glob("noroshi-*.db")), default=None)

        def load() -> bool:
            """More lines, and an event that has to be stored meanwhile."""
            nonlocal count, probes
            with running.nodes["a"].log.open("a") as log:
                log.writelines(f"line {number} {'x' * 900}\n" for number in range(count, count + 2000))
            count += 2000
            probes += 1
            running.raise_on("a", f"probe/{probes}", "ERROR")
            wait_until("stored while lines go", lambda: f"probe/{probes}" in running.states())
            return (running.query(views.log_bounds) or views.LogBounds(0, 0)).first > 5_000

        wait_until("lines have gone", load, 40)
        wait_until("a backup", newest_backup, 20)
        wait_until("the last line", lambda: running.lines("a")[-1:] == [f"line {count - 1} {'x' * 900}"], 20)
        wait_until("the size holds", lambda: in_use() <= size, 20)
        kept = [int(line.split()[1]) for line in running.lines("a")]
        assert kept == list(range(kept[0], count)), "the oldest go, and no other"
        assert len(running.events("probe/*")) == probes
        assert running.states().get("coordinator/backup") in (None, "OK")


def test_rows_that_cannot_be_read_keep_nobody_from_leading(tmp_path: Path) -> None:
    with Cluster(tmp_path / "c", ("a",), definitions=DEFINITIONS) as running:
        running.start()
        running.await_up()
        running.raise_on("a", "app/1", "ERROR", "it stopped")
        wait_until("stored", lambda: running.states().get("app/1") == "ERROR")
        running.stop("a")
        spoiled = "CAST(x'7bff' AS TEXT)"
        with lead(running.layout, Identity("a", "", b"", os.getpid())) as leader, leader.transaction() as connection:
            for table, column in (("definitions", "body"), ("states", "supplement"), ("nodes", "name")):
                connection.execute(f"UPDATE {table} SET {column} = {spoiled}")
            connection.execute("UPDATE states SET observed_at = 'never' WHERE event = 'app/1'")
            for event in ("gone/1", "gone/2"):  # due at once, of an event that is not there
                connection.execute(
                    "INSERT INTO troubles (definition, event, opened_at, status, floor, reached, repeat_at)"
                    " VALUES ('app', ?, 1, 'open', 0, 0, 1)",
                    (event,),
                )
        running.start()

        def told() -> str:
            return "\n".join(event.supplement for event in running.events("coordinator/database"))

        wait_until("text is told", lambda: "nodes.name" in told(), 20)
        wait_until("values are told", lambda: "mended in states:" in told())
        wait_until("rows are told", lambda: told().count("was set aside: row ") == 2)
        wait_until("and its state", lambda: running.states().get("coordinator/database") == "WARNING")
        wait_until("of the definition too", lambda: running.states().get("definition/app") == "ERROR")
        running.raise_on("a", "app/2", "ERROR")
        wait_until("it goes on", lambda: running.states().get("app/2") == "ERROR")
