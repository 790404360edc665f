"""What a look at a directory means, case by case."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noroshi.node.logs.position import (
    HEAD,
    Begin,
    Continue,
    Decision,
    End,
    Fact,
    Position,
    digest,
    reconcile,
    same_content,
)

LOG = "/var/log/app.log"
OTHER = "/var/log/other.log"
DEVICE = 7


def fact(path: str = LOG, inode: int = 1, content: bytes = b"", modified: int = 100, **more: object) -> Fact:
    made = Fact(path, DEVICE, inode, len(content), modified, content[:HEAD], wanted=path == LOG)
    return replace(made, **more)  # type: ignore[arg-type]


def known(content: bytes, offset: int | None = None, inode: int = 1, **more: object) -> Position:
    """A position in a file that held `content` when it was seen last, at time 50."""
    head = content[:HEAD]
    made = Position(
        stream=b"s%d" % inode,
        source=LOG,
        path=LOG,
        device=DEVICE,
        inode=inode,
        head_length=len(head),
        head=digest(head),
        offset=len(content) if offset is None else offset,
        stored=0,
        size=len(content),
        modified=50,
        born=inode,
    )
    return replace(made, **more)  # type: ignore[arg-type]


def told(decisions: list[Decision]) -> list[str]:
    """The decisions in short."""
    return [_told(decision) for decision in decisions]


def _told(decision: Decision) -> str:
    match decision:
        case Continue(position, found):
            return f"{position.stream.decode()} goes on in {found.path}"
        case End(position, lost, truncated):
            return f"{position.stream.decode()} ends, lost {lost}, {'truncated' if truncated else 'gone'}"
        case Begin(source, found, at_end):
            return f"{source} begins in {found.path} at its {'end' if at_end else 'start'}"


CASES: dict[str, tuple[list[Position], list[Fact], list[str]]] = {
    "a file that grew": ([known(b"one\n")], [fact(content=b"one\ntwo\n")], [f"s1 goes on in {LOG}"]),
    "a file that appears": ([], [fact(content=b"one\n")], [f"{LOG} begins in {LOG} at its start"]),
    "the first look at a pattern": (
        [],
        [fact(content=b"one\n", first=True), fact(f"{LOG}.1", 2, b"old\n")],
        [f"{LOG} begins in {LOG}.1 at its end", f"{LOG} begins in {LOG} at its end"],
    ),
    "renamed, nothing new yet": ([known(b"one\n")], [fact(f"{LOG}.1", 1, b"one\ntwo\n")], [f"s1 goes on in {LOG}.1"]),
    "renamed, and a new file": (
        [known(b"one\n")],
        [fact(f"{LOG}.1", 1, b"one\n"), fact(LOG, 2, b"two\n")],
        [f"s1 goes on in {LOG}.1", f"{LOG} begins in {LOG} at its start"],
    ),
    "renamed to a name that tells nothing": (
        [known(b"one\n")],
        [fact("/var/log/kept", 1, b"one\n"), fact(LOG, 2, b"two\n")],
        ["s1 goes on in /var/log/kept", f"{LOG} begins in {LOG} at its start"],
    ),
    "rotated twice, never seen in between": (
        [known(b"one\n")],
        [fact(f"{LOG}.2", 1, b"one\n"), fact(f"{LOG}.1", 2, b"two\n"), fact(LOG, 3, b"three\n")],
        [f"s1 goes on in {LOG}.2", f"{LOG} begins in {LOG}.1 at its start", f"{LOG} begins in {LOG} at its start"],
    ),
    "rotated three times by date, times all equal": (
        [known(b"one\n")],
        [
            fact(f"{LOG}-20261103", 3, b"three\n"),
            fact(f"{LOG}-20261102", 2, b"two\n"),
            fact(f"{LOG}-20261101", 1, b"one\n"),
            fact(LOG, 4, b"four\n"),
        ],
        [
            f"s1 goes on in {LOG}-20261101",
            f"{LOG} begins in {LOG}-20261102 at its start",
            f"{LOG} begins in {LOG}-20261103 at its start",
            f"{LOG} begins in {LOG} at its start",
        ],
    ),
    "an older rotated file that was never known": (
        [known(b"one\n")],
        [fact(f"{LOG}.1", 1, b"one\n"), fact(f"{LOG}.2", 2, b"old\n", modified=200), fact(LOG, 3, b"two\n")],
        [f"s1 goes on in {LOG}.1", f"{LOG} begins in {LOG} at its start"],
    ),
    "an old archive unpacked beside a log that goes on": (
        [known(b"one\n")],
        [fact(content=b"one\n"), fact(f"{LOG}.3", 2, b"old\n", modified=10)],
        [f"s1 goes on in {LOG}"],
    ),
    "truncated": (
        [known(b"one\ntwo\n", offset=4)],
        [fact(content=b"new\n")],
        ["s1 ends, lost 4, truncated", f"{LOG} begins in {LOG} at its start"],
    ),
    "truncated after all was read": (
        [known(b"one\n")],
        [fact(content=b"")],
        ["s1 ends, lost 0, truncated", f"{LOG} begins in {LOG} at its start"],
    ),
    "truncated and grown past the old offset": (
        [known(b"one\n")],
        [fact(content=b"another beginning\n")],
        ["s1 ends, lost 0, truncated", f"{LOG} begins in {LOG} at its start"],
    ),
    "copied and truncated": (
        [known(b"one\ntwo\n", offset=4)],
        [fact(content=b"new\n"), fact(f"{LOG}.1", 2, b"one\ntwo\nthree\n")],
        [f"s1 goes on in {LOG}.1", f"{LOG} begins in {LOG} at its start"],
    ),
    "copied and truncated twice": (
        [known(b"one\n")],
        [fact(content=b"new\n"), fact(f"{LOG}.1", 2, b"between\n"), fact(f"{LOG}.2", 3, b"one\ntwo\n")],
        [f"s1 goes on in {LOG}.2", f"{LOG} begins in {LOG}.1 at its start", f"{LOG} begins in {LOG} at its start"],
    ),
    "truncated, and only an older file begins alike": (
        [known(b"one\ntwo\n", offset=4)],
        [fact(content=b""), fact(f"{LOG}.1", 2, b"one\nold\n", modified=40)],
        ["s1 ends, lost 4, truncated", f"{LOG} begins in {LOG} at its start"],
    ),
    "a copy in the making, found by the same wildcard": (
        [known(b"one\ntwo\n")],
        [fact(content=b"one\ntwo\n"), fact(f"{LOG}.1", 2, b"one\n", wanted=True)],
        [f"s1 goes on in {LOG}"],
    ),
    "empty when seen last; written, copied and truncated since": (
        [known(b"")],
        [fact(content=b"two\n"), fact(f"{LOG}.1", 2, b"one\n")],
        [f"s1 goes on in {LOG}.1", f"{LOG} begins in {LOG} at its start"],
    ),
    "removed": ([known(b"one\ntwo\n", offset=4)], [], ["s1 ends, lost 4, gone"]),
    "removed, its inode number used again by another log": (
        [known(b"")],
        [fact("/var/log/other.log", 1, b"x\n", wanted=True)],
        ["s1 ends, lost 0, gone", "/var/log/other.log begins in /var/log/other.log at its start"],
    ),
    "device numbers changed with a restart of the host": (
        [known(b"one\n", device=3)],
        [fact(content=b"one\ntwo\n")],
        [f"s1 goes on in {LOG}"],
    ),
    "its disk is not mounted": ([known(b"one\n", device=3)], [], []),
    "its disk is not mounted, but another that is known": (
        [known(b"one\n", device=3), known(b"x\n", inode=2, device=4, source=OTHER, path=OTHER)],
        [fact(OTHER, 2, b"x\n", wanted=True)],
        [f"s2 goes on in {OTHER}"],
    ),
    "removed, and device numbers changed, as another file of that disk shows": (
        [known(b"one\ntwo\n", offset=4, device=3), known(b"x\n", inode=2, device=3, source=OTHER, path=OTHER)],
        [fact(OTHER, 2, b"x\n", wanted=True)],
        ["s1 ends, lost 4, gone", f"s2 goes on in {OTHER}"],
    ),
    "rotated again, when the one before is open and has no name any more": (
        [known(b"one\n")],
        [
            fact(content=b"three\n", inode=3, modified=120),
            fact(f"{LOG}.1", 2, b"two\n", modified=110),
            fact(content=b"one\n", wanted=False, named=False),
        ],
        [
            f"s1 goes on in {LOG}",
            f"{LOG} begins in {LOG}.1 at its start",
            f"{LOG} begins in {LOG} at its start",
        ],
    ),
    "not readable any more": ([known(b"one\n")], [fact(content=b"one\n", head=None)], [f"s1 goes on in {LOG}"]),
    "two names of one file": (
        [],
        [fact("/var/log/link.log", 1, b"x\n", wanted=False), fact(content=b"x\n")],
        [f"{LOG} begins in {LOG} at its start"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_look(case: str) -> None:
    positions, facts, expected = CASES[case]
    assert told(reconcile(positions, facts, DEVICE, {}, resumed=False)) == expected


@pytest.mark.parametrize(
    ("position", "lost"),
    [
        (known(b"one\n"), None),
        (known(b"one\n", offset=1), 3),
        (known(b"one\n", path=f"{LOG}.1"), 0),
    ],
    ids=["all read", "some unread", "rotated before"],
)
def test_after_a_start_nobody_knows_what_came_after_the_last_save(position: Position, lost: int | None) -> None:
    assert reconcile([position], [], DEVICE, {}, resumed=True) == [End(position, lost, truncated=False)]


@given(st.binary(max_size=3000), st.binary(max_size=3000), st.data())
def test_growth_keeps_the_content_and_other_first_bytes_do_not(before: bytes, more: bytes, data: st.DataObject) -> None:
    position = known(before)
    assert same_content(position, fact(content=before + more))
    if before:
        place = data.draw(st.integers(0, min(len(before), HEAD) - 1))
        other = bytes([*before[:place], before[place] ^ 1, *before[place + 1 :]])
        assert not same_content(position, fact(content=other + more))
        assert not same_content(position, fact(content=before[:-1]))


@pytest.mark.parametrize(
    ("oldest_first", "times"),
    [
        (["-20261125", "-20261126", "-20261127"], [10, 20, 30]),
        (["-20261125", "-20261126", "-20261127"], [30, 20, 20]),
        (["-2026112509", "-2026112510", "-2026112600"], [5, 5, 5]),
        (["-1764205323", "-1764291723"], [30, 20]),
        ([".3", ".2", ".1"], [10, 20, 30]),
        ([".3", ".2", ".1"], [20, 20, 20]),
        ([".11", ".9", ".1"], [30, 10, 40]),
        ([".1", ".2", ".10"], [10, 20, 30]),
        ([".1", ".2"], [10, 20]),
    ],
    ids=[
        "dates",
        "dates, odd times",
        "hours",
        "epoch",
        "logrotate",
        "copied",
        "touched",
        "up",
        "two up",
    ],
)
@pytest.mark.parametrize("seen", [False, True], ids=["never seen", "seen before them"])
def test_rotated_files_are_read_oldest_first(oldest_first: list[str], times: list[int], seen: bool) -> None:
    """Of a source that was never seen, and of one that was rotated so often while nobody looked."""
    facts = [
        fact(LOG + mark, 10 + number, b"line %d\n" % number, 100 + time, wanted=False)
        for number, (mark, time) in enumerate(zip(oldest_first, times, strict=True))
    ]
    positions = [known(b"line before\n", inode=1)] if seen else []
    decisions = reconcile(
        positions, [*facts[::-1], fact(content=b"now\n", inode=2)], DEVICE, {LOG: False}, resumed=True
    )
    begun = [decision.fact.path for decision in decisions if isinstance(decision, Begin)]
    assert begun == [*(LOG + mark for mark in oldest_first), LOG]


def test_a_file_between_is_read_though_its_number_is_higher_where_numbers_go_up() -> None:
    rotated = [fact(f"{LOG}.{n}", n, b"line %d\n" % n, 100 + n, wanted=False) for n in (1, 2, 3, 4)]
    before = [known(b"line %d\n" % n, inode=n, path=f"{LOG}.{n}") for n in (1, 2)]
    was_current = known(b"line 3\n", inode=3)
    decisions = reconcile(
        [*before, was_current], [*rotated, fact(content=b"now\n", inode=9)], DEVICE, {LOG: False}, resumed=True
    )
    assert [decision.fact.path for decision in decisions if isinstance(decision, Begin)] == [f"{LOG}.4", LOG]
