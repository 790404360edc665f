"""What a silence, or the maintenance of a node, covers."""

from __future__ import annotations

import pytest

from noroshi.store.silences import Silence, covering_event, nodes_of


def silence(pattern: str = "", node: str = "", number: int = 1, until: int = 10) -> Silence:
    return Silence(number, pattern, node, "ann", "", 0, until)


@pytest.mark.parametrize(
    ("event", "seen_by", "covered"),
    [
        ("server/db1", "db2", True),
        ("path/db2/db1", "db2", True),
        ("path/db1/db2", "db2", True),
        ("raid/db1/md0", "db2", True),
        ("app/orders", "db1", True),
        ("app/db1", "db2", False),
        ("app/orders", "db2", False),
        ("raid/db2/md0", "db2", False),
        ("server/db2", "db1", False),
        ("path/db2/db3", "db1", False),
        ("coordinator", "db1", False),
        ("notification-failure", "db1", False),
    ],
)
def test_maintenance_covers_what_is_about_the_node_or_seen_by_it(event: str, seen_by: str, covered: bool) -> None:
    assert silence(node="db1").covers_event(event, seen_by) is covered


def test_a_pattern_covers_names_but_never_a_notification_failure() -> None:
    everything = silence("**")
    assert everything.covers_event("raid/db1/md0", "db1")
    assert everything.covers_line("/var/log/x", "db1")
    assert not everything.covers_event("notification-failure", "db1")
    assert not silence("raid/*").covers_event("raid/db1/md0", "db1")


def test_lines_are_covered_by_source_or_by_node() -> None:
    assert silence("/var/log/*").covers_line("/var/log/x", "db1")
    assert silence(node="db1").covers_line("/var/log/x", "db1")
    assert not silence(node="db1").covers_line("/var/log/x", "db2")


def test_of_several_the_one_that_lasts_longest_is_named() -> None:
    short, long = silence("**", number=1, until=5), silence("app/*", number=2, until=9)
    assert covering_event([long, short], "app/x", "db1") == long
    assert covering_event([short, long], "raid/db1/md0", "db1") == short
    assert covering_event([long], "raid/db1/md0", "db1") is None


def test_users_names_are_about_no_node() -> None:
    assert nodes_of("app/db1") == ()
    assert nodes_of("server") == ()
    assert nodes_of("nic/db1/eth0") == ("db1",)
