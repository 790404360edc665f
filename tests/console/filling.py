"""A cluster on disk for the tests of what people read: node.yaml, cluster.yaml, and a database filled by the writer.

As a program it leads for as long as it runs, and obeys lines on its standard input:
    python filling.py SHARED
    event NAME STATE [SUPPLEMENT] | node NAME STATE | lines COUNT | line TEXT | sql TEXT
Each is answered by `done` once it is committed; the first `done` says that it leads.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import apsw

from noroshi.store import definitions
from noroshi.store.clock import now_us
from noroshi.store.layout import Layout
from noroshi.store.model import Definition, category_of
from noroshi.store.tables import definitions as table
from noroshi.store.tables import events, logs, meta, nodes, notifications
from noroshi.store.tables.notifications import AttemptRow, NotificationRow
from noroshi.store.writer import Identity, lead

NODES = ("db1", "db2", "db3")
SOURCE = "/var/log/app.log"
SECOND = 1_000_000
NOW = 1_763_780_645 * SECOND
"""2025-11-22 03:04:05 UTC: that of the stories, and of the console where a test freezes its clock."""

HOSTILE = (
    "[red]markup[/red] [/dev/sda1] [@click=app.quit]x[/]",
    "\x1b]0;owned\x07\x1b[2J\x1b[31mred",
    "\x9b31m C1 \x90 DCS \x85 NEL",
    "nul \x00 tab\tbell \x07 delete \x7f",
    "right to left \u202e gnp.exe \u2066 isolate \u200f",
    "separators \u2028 and \u2029 and \ufeff",
    "carriage\rreturn and line\nfeed",
    "wide 日本語 狼煙 and combining e\u0301\u0327 and 👩‍👩‍👧",
    "$HOME `id` ; rm -rf / && \\",
    "",
    " " * 300,
    "x" * 1_048_576,
)
"""Lines, names and supplements as an enemy, or a broken disk, would write them."""


Run = Callable[..., tuple[int, str, str]]
"""(node file, words of a command): its status, standard output, standard error."""


def make_cluster(directory: Path, names: Iterable[str] = NODES) -> Path:
    """The two YAML files below `directory`; the node file's path. The shared directory is `directory/shared`."""
    shared = directory / "shared"
    shared.mkdir(parents=True)
    members = "".join(f"  {name}: {{address: 127.0.0.1, port: {7400 + 10 * at}}}\n" for at, name in enumerate(names))
    (shared / "cluster.yaml").write_text(f"cluster: demo\nnodes:\n{members}")
    file = directory / "node.yaml"
    file.write_text(f"node: {next(iter(names))}\nshared: {shared}\nstate: {directory}/state\nrun: {directory}/run\n")
    return file


def layout_of(file: Path) -> Layout:
    return Layout(file.parent / "shared")


def identity(node: str = "db1") -> Identity:
    return Identity(node, "tcp://127.0.0.1:7402", b"12345678", os.getpid())


def fill(layout: Layout, *parts: Callable[[apsw.Connection], object]) -> None:
    """Commit the parts as a leader that then ends."""
    with lead(layout, identity()) as writer:
        for part in parts:
            with writer.transaction() as connection:
                part(connection)
            writer.checkpoint_if_due(idle=True)


def event(
    connection: apsw.Connection, name: str, state: str, supplement: str = "", node: str = "db1", at: int | None = None
) -> int:
    """An event that reaches the state table."""
    instant = now_us() if at is None else at
    number = events.add_event(
        connection,
        event=name,
        category=category_of(name),
        state=state,
        supplement=supplement,
        node=nodes.node_id(connection, node),
        observed_at=instant,
        stored_at=instant + 1500,
    )
    events.set_state(connection, number, ordered=True)
    return number


def lines(
    connection: apsw.Connection, texts: Iterable[str], node: str = "db1", source: str = SOURCE, at: int | None = None
) -> None:
    """Lines of one source, a millisecond apart."""
    number = nodes.source_id(connection, nodes.node_id(connection, node), source)
    first = now_us() if at is None else at
    logs.add_lines(
        connection, ((number, first + 1000 * n, first + 1000 * n + 1500, text) for n, text in enumerate(texts))
    )


def many_lines(connection: apsw.Connection, count: int, start: int, step: int = 10_000) -> None:
    """`count` plausible lines of twelve sources, `step` microseconds apart from `start` on."""
    sources = [
        nodes.source_id(connection, nodes.node_id(connection, NODES[at % len(NODES)]), f"/var/log/app{at}.log")
        for at in range(12)
    ]
    rows = (
        (sources[n % 12], start + n * step, start + n * step + 1500, f"ERROR request {n} failed: peer {n % 977} reset")
        for n in range(count)
    )
    logs.add_lines(connection, rows)


@dataclass(frozen=True)
class Try:
    """One attempt; `outcome` None while it is under way."""

    node: str
    outcome: str | None
    reason: str = ""
    output: str = ""
    procedure: str = "process"
    application: str = '["/usr/local/bin/page","--team","storage"]'


FAILED = Try("ops1", "failed", "exit status 1")
DELIVERED = Try("db3", "delivered", procedure="socket", application='"tcp://127.0.0.1:9000"')


def told(connection: apsw.Connection, row: NotificationRow, tries: Iterable[Try], at: int, reason: str = "") -> int:
    """A notification with its attempts, a second apart and 0.2 s each; `row.id` 0 is the next number."""
    number = row.id or notifications.last_id(connection) + 1
    row = replace(row, id=number)
    if row.status == "held":
        notifications.hold_notification(connection, row, "silence 1", reason, at)
        return number
    notifications.add_notification(connection, row, at)
    for priority, one in enumerate(tries, 1):
        begun, name = at + priority * SECOND, f"delivery-{number}-{priority}"
        intent = AttemptRow(number, name, priority, one.node, one.procedure, one.application, None)
        notifications.add_attempt(connection, intent, begun)
        if one.outcome is not None:
            words = (one.outcome, one.reason, one.output)
            notifications.end_attempt(connection, name, *words, begun + 200_000, answered=True)
    if row.status != "pending":
        notifications.close_notification(connection, number, row.status, reason, at + 3 * SECOND)
    return number


def notification(connection: apsw.Connection, about: int, status: str, reason: str = "", at: int | None = None) -> int:
    """A notification of the event `about`: the first destination failed, the second as `status` says."""
    tries = [FAILED]
    if status != "pending":
        tries.append(DELIVERED if status == "delivered" else replace(DELIVERED, outcome="timeout"))
    row = NotificationRow(0, "disk-trouble", 3, about, None, None, status)
    return told(connection, row, tries, now_us() if at is None else at, reason)


def many_notifications(connection: apsw.Connection, count: int, start: int, step: int = 10_000_000) -> None:
    """`count` of plausible events, `step` microseconds apart: delivered but each hundredth, each with two attempts."""
    abouts = [event(connection, f"app/service{n}", "ERROR", f"request failed: peer {n} reset") for n in range(100)]
    for n in range(count):
        status = "delivered" if n % 100 else "failed"
        row = NotificationRow(0, f"service-{n % 7}", 1, abouts[n % 97], None, None, status)
        told(
            connection,
            row,
            (FAILED, DELIVERED if n % 100 else FAILED),
            start + n * step,
            "no group left" * (not n % 100),
        )


def define(connection: apsw.Connection, text: str, author: str = "seed", at: int | None = None, note: str = "") -> None:
    """The definitions of a YAML text, each as the next version of its name."""
    for one in definitions.parse(text, Path("filled.yaml"), None):
        table.add_version(connection, one.name, one, author, now_us() if at is None else at, note)


def story(connection: apsw.Connection, now: int | None = None) -> None:
    """A cluster in trouble: fig. 4's kind of table, a log, a notification."""
    now = now_us() if now is None else now
    ago = {"db1": 3 * 3600, "db2": 754, "db3": 3 * 3600}
    for name, state in (("db1", "UP"), ("db2", "DOWN"), ("db3", "UP")):
        nodes.set_node_state(connection, name, state, now - ago[name] * SECOND)
        cause = "" if state == "UP" else "4 packets missed"
        event(connection, f"server/{name}", state, cause, "db1", now - ago[name] * SECOND)
    event(connection, "memory/db3/mc0", "OK", "", "db3", now - 86400 * 40 * SECOND)
    event(connection, "filesystem/db3//var", "OK", "", "db3", now - 86400 * 3 * SECOND)
    event(connection, "path/db1/db3", "OK", node="db1", at=now - 9000 * SECOND)
    event(connection, "filesystem/db1/", "WARNING", "/ is 91 % full", "db1", now - 7300 * SECOND)
    about = event(connection, "raid/db1/md0", "DEGRADED", "sdb1 removed, 1 of 2 left", "db1", now - 3700 * SECOND)
    event(connection, "app/billing", "draining", "by hand", "db1", now - 1800 * SECOND)
    orders = event(
        connection, "app/orders", "ERROR", '{"queue": 10233, "cause": "db2 gone"}', "db3", now - 700 * SECOND
    )
    event(connection, "unit/db3/postfix.service", "ERROR", "failed: exit-code 75", "db3", now - 42 * SECOND)
    events.count_duplicate(connection, "app/orders", orders, 41, now - 3 * SECOND)
    notification(connection, about, "delivered", "", now - 3699 * SECOND)
    lines(
        connection,
        (f"request {n} served in {n % 37} ms" for n in range(60)),
        "db1",
        "/var/log/nginx/access.log",
        now - 900 * SECOND,
    )
    lines(
        connection,
        ["md/raid1:md0: Disk failure on sdb1, disabling device."],
        "db1",
        "/var/log/kern.log",
        now - 800 * SECOND,
    )
    lines(
        connection, ("connection to db2 lost, retrying", "giving up on db2: timeout"), "db3", SOURCE, now - 700 * SECOND
    )
    meta.put(connection, "story", "told")


DEFINITIONS = """
events:
  - name: disk-trouble
    match: {event: "raid/**", state: [DEGRADED, ERROR]}
    enough: all
    repeat: 5m
    notify:
      - {priority: 2, node: db3, procedure: message, application: {key: 0x4e4f524f}}
      - {priority: 1, node: db1, procedure: process, application: [/usr/local/bin/page, --team, storage team]}
      - {priority: 1, node: db2, procedure: process, application: [/usr/local/bin/page]}
  - name: orders
    match: {event: "app/orders"}
logs:
  - name: out-of-memory
    match: {node: "*", source: "/var/log/**", pattern: "Out of memory"}
    notify:
      - {priority: 1, node: db9, procedure: socket, application: "tcp://127.0.0.1:9000", timeout: 3s}
"""


def definitions_story(connection: apsw.Connection, now: int) -> None:
    """Definitions in force and one that was removed; db9 is not of the cluster."""
    define(connection, DEFINITIONS, "alice", now - 3 * 3600 * SECOND, "import defs.yaml")
    old = Definition(name="old", kind="event", event="old/**")
    table.add_version(connection, "old", old, "alice", now - 3 * 86400 * SECOND)
    table.add_version(connection, "old", None, "bob", now - 180 * SECOND, "removed")


@contextmanager
def leading(layout: Layout) -> Iterator[Callable[[str], None]]:
    """A leader in a process of its own; what is yielded sends it an order and returns once that is committed."""
    process = subprocess.Popen(
        [sys.executable, __file__, str(layout.shared)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )

    def order(text: str) -> None:
        assert process.stdin and process.stdout
        if text:
            print(text, file=process.stdin, flush=True)
        answer = process.stdout.readline()
        assert answer == "done\n", answer

    try:
        order("")
        yield order
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()


def _obey(connection: apsw.Connection, order: str) -> None:
    what, _, rest = order.rstrip("\n").partition(" ")
    if what == "event":
        event(connection, *rest.split(" ", 2))
    elif what == "node":
        nodes.set_node_state(connection, *rest.split(" "), now_us())
    elif what == "lines":
        lines(connection, (f"line {n} of a burst" for n in range(int(rest))))
    elif what == "line":
        lines(connection, [rest])
    elif what == "sql":
        connection.execute(rest)


def main() -> None:
    with lead(Layout(Path(sys.argv[1])), identity()) as writer:
        print("done", flush=True)
        for order in sys.stdin:
            with writer.transaction() as connection:
                _obey(connection, order)
            writer.checkpoint_if_due(idle=False)
            print("done", flush=True)


if __name__ == "__main__":
    main()
