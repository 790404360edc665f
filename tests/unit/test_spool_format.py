"""A segment's bytes: whatever is appended comes back, whatever is damaged is never taken for an item."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from noroshi.node.core import spool
from noroshi.node.core.spool import FRAME_SIZE, HEADER_SIZE, Item, Name

BOOT = bytes(range(16))
BODIES = st.lists(st.binary(max_size=60), max_size=8)


def segment(first: int, bodies: list[bytes], zeros: int = 200) -> bytes:
    return spool.header(BOOT) + spool.frames(first, bodies) + bytes(zeros)


@given(st.integers(1, 2**40), BODIES, st.integers(0, 300))
def test_what_was_appended_is_read(first: int, bodies: list[bytes], zeros: int) -> None:
    scan = spool.scan(segment(first, bodies, zeros), first)
    assert scan.items == [Item(first + index, body) for index, body in enumerate(bodies)]
    assert (scan.clean, scan.boot) == (True, BOOT)
    assert scan.end == HEADER_SIZE + sum(FRAME_SIZE + len(body) for body in bodies)


@given(BODIES.filter(bool), st.data())
def test_a_torn_tail_costs_only_what_was_torn(bodies: list[bytes], data: st.DataObject) -> None:
    whole = spool.header(BOOT) + spool.frames(1, bodies)
    kept = spool.header(BOOT) + spool.frames(1, bodies[:-1])
    cut = data.draw(st.integers(len(kept), len(whole) - 1))
    scan = spool.scan(whole[:cut] + bytes(100), 1)
    assert scan.items == [Item(1 + index, body) for index, body in enumerate(bodies[:-1])]
    assert scan.end == len(kept)
    assert scan.clean == (cut == len(kept))


@given(st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=8), st.data())
def test_a_changed_byte_costs_only_its_item(bodies: list[bytes], data: st.DataObject) -> None:
    whole = bytearray(segment(1, bodies))
    at = data.draw(st.integers(HEADER_SIZE, len(whole) - 201))
    whole[at] ^= data.draw(st.integers(1, 255))
    hit, position = 0, HEADER_SIZE
    while position + FRAME_SIZE + len(bodies[hit]) <= at:
        position += FRAME_SIZE + len(bodies[hit])
        hit += 1
    scan = spool.scan(bytes(whole), 1)
    assert scan.items == [Item(1 + index, body) for index, body in enumerate(bodies) if index != hit]
    assert not scan.clean


@given(st.binary(max_size=2000))
def test_junk_never_crashes_the_scan(junk: bytes) -> None:
    assert not spool.scan(junk, 1).items
    assert not spool.scan(spool.header(BOOT) + junk, 1).items


def test_a_body_cannot_plant_a_frame_after_damage() -> None:
    planted = spool.frame(2, b"planted")
    text = planted.decode("utf-8", "replace").encode()  # what of it can be in a supplement
    whole = bytearray(segment(1, [text, b"after"]))
    whole[HEADER_SIZE + 5] ^= 1
    assert spool.scan(bytes(whole), 1).items == [Item(2, b"after")]


def test_a_frame_of_an_older_sequence_is_not_taken() -> None:
    data = spool.header(BOOT) + spool.frames(5, [b"five", b"six"]) + spool.frames(3, [b"three"])
    assert [item.sequence for item in spool.scan(data, 5).items] == [5, 6]


def test_an_absurd_length_is_damage() -> None:
    frame = bytearray(spool.frame(1, b"body"))
    struct.pack_into(">I", frame, 4, 2**32 - 1)
    scan = spool.scan(spool.header(BOOT) + bytes(frame) + spool.frame(2, b"next"), 1)
    assert scan.items == [Item(2, b"next")]


@given(st.integers(1, 10**15), st.integers(1, 2**63), st.binary(min_size=16, max_size=16))
def test_names_round_trip(number: int, first: int, stream: bytes) -> None:
    name = Name(number, first, stream)
    assert spool.parse_name(str(name)) == name


def test_other_files_are_no_segments() -> None:
    for name in ("aside", "000000000001.1", "1.1." + "0" * 32, "000000000001.1." + "0" * 32 + ".new", ""):
        assert spool.parse_name(name) is None


@given(st.sets(st.integers(1, 30)), st.integers(1, 10), st.integers(0, 25))
def test_missing_names_every_sequence_that_is_not_there(there: set[int], first: int, last: int) -> None:
    items = [Item(sequence, b"") for sequence in sorted(there) if sequence >= first]
    holes = spool.missing(items, first, last)
    assert {s for low, high in holes for s in range(low, high + 1)} == set(range(first, last + 1)) - there
