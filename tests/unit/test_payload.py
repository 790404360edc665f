"""What an application is given: the JSON of design section 6, to the letter, by the coordinator itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from coordinating import Coordinating

from noroshi.node.wire.messages import LogBatch, LogPart
from noroshi.node.wire.operating import RunTest

NOW = "2023-11-14T22:13:20.000000Z"
DEFINITIONS = """
events: [{name: disk, match: {event: "raid/**"}, notify: [{priority: 1, node: db2}]}]
logs: [{name: oom, match: {pattern: memory}, notify: [{priority: 1, node: db3}]}]
"""


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Coordinating]:
    desk = Coordinating(tmp_path / "shared")
    desk.define(DEFINITIONS)
    yield desk
    desk.close()


def last(desk: Coordinating) -> tuple[str, dict[str, Any]]:
    """The delivery's id, and what is given."""
    _, message = desk.deliveries[-1]
    return message.delivery, json.loads(message.payload)


def test_an_event(there: Coordinating) -> None:
    there.event("raid/db4/md0", "ERROR", 'sdb "lost"\nand é')
    delivery, told = last(there)
    assert told == {
        "id": delivery,
        "definition": "disk",
        "event": "raid/db4/md0",
        "state": "ERROR",
        "supplement": 'sdb "lost"\nand é',
        "category": "maintenance",
        "node": "db4",
        "observed_at": NOW,
        "stored_at": NOW,
    }


def test_a_line(there: Coordinating) -> None:
    part = LogPart(b"s" * 16, "/var/log/syslog", 0, 14, 1_700_000_000_000_000, ["Out of memory"], [14], [0])
    there.ask(LogBatch([part]), "db2")
    delivery, told = last(there)
    assert told == {
        "id": delivery,
        "definition": "oom",
        "source": "/var/log/syslog",
        "line": "Out of memory",
        "node": "db2",
        "observed_at": NOW,
        "stored_at": NOW,
    }


@pytest.mark.parametrize(("name", "line"), [("disk", False), ("oom", True)])
def test_a_test_is_marked(there: Coordinating, name: str, line: bool) -> None:
    there.ask(RunTest(name, "ann"))
    _, told = last(there)
    assert (told["test"], told["notice"], told["state"], told["event"]) == (True, "test", "TEST", f"test/{name}")
    assert told["supplement"] == "a test by ann: nothing has happened"
    assert told.get("line", "").startswith("TEST test/oom: a test by ann") is line
