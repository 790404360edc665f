"""From blocks to lines and records: however a file is written and read, what comes out is the file."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noroshi.node.logs import cutting
from noroshi.node.logs.cutting import RECORD, RECORD_LINES, Cutter
from noroshi.node.logs.encodings import encoding
from noroshi.node.logs.lines import LIMIT


def starts(lines: list[str]) -> list[bool]:
    return [line.startswith("S") for line in lines]


def cutter(offset: int = 0, **more: object) -> Cutter:
    return Cutter(offset, starts, with_ends=True, keep_forced=True, **more)  # type: ignore[arg-type]


def feed(one: Cutter, data: bytes, **how: bool) -> list[str]:
    """Everything a file of this content gives."""
    found = []
    while one.scanned < len(data) or how:
        found += one.feed(data[one.reads_from : one.reads_from + cutting.BLOCK], **how).texts
        how = {}
    return found


def test_a_record_waits_for_the_next_one() -> None:
    one = cutter()
    assert feed(one, b"S1\n a\nS2\n b\n unfin") == ["S1\n a"]
    assert (one.offset, one.scanned, one.open) == (6, 18, ["S2", " b"])
    assert feed(one, b"S1\n a\nS2\n b\n unfinished\nS3\n") == ["S2\n b\n unfinished"]


def test_one_that_has_waited_is_taken_without_its_unfinished_line() -> None:
    one = cutter()
    data = b"S1\n a\n unfin"
    assert feed(one, data) == []
    assert feed(one, data, closed=True) == ["S1\n a"]
    assert (one.offset, one.open) == (6, [])
    assert feed(one, data + b"ished\n b\nS2\n") == [" unfinished\n b"]


def test_the_last_of_a_rotated_file_is_taken_with_it() -> None:
    assert feed(cutter(), b"S1\n a\n unfinished", whole=True) == ["S1\n a\n unfinished"]


def test_what_is_taken_as_it_stands_is_cut_there_again_after_a_restart() -> None:
    one = cutter()
    feed(one, b"S1\n a\n")
    feed(one, b"S1\n a\n", closed=True)
    assert one.forced == {6}
    again = cutter(forced=one.forced)
    assert feed(again, b"S1\n a\n b\nS2\n") == ["S1\n a", " b"]
    again.forget_forced(6)
    assert again.forced == set()


def test_the_open_record_can_be_taken_where_the_file_is_gone() -> None:
    one = cutter()
    feed(one, b"S1\nS2\n a\n b")
    assert one.take_open() == cutting.Cut(["S2\n a"], [9])
    assert (one.offset, one.open) == (9, [])


@pytest.mark.parametrize(
    "more", [b" more\n" * (RECORD // 6 + 10), b" \n" * (RECORD_LINES + 10), b" " + b"x" * (5 << 20) + b"\n"]
)
def test_a_record_ends_at_its_limit_and_what_follows_is_another(more: bytes) -> None:
    data = b"S1\n" + more + b" rest\nS2\n"
    one = cutter()
    found = feed(one, data)
    assert len(found) > 1 and found[0].startswith("S1")
    assert all(len(record) <= RECORD + 40 and record.count("\n") < RECORD_LINES for record in found)
    assert found[-1].endswith("rest") and one.open == ["S2"]


PIECES = st.sampled_from([b"S1\n", b" c\n", b"\n", b"S", b"x", b"x" * 70 + b"\n", b"S" + b"y" * 30])


@given(st.lists(PIECES, max_size=20), st.lists(st.integers(1, 60), max_size=12), st.booleans())
def test_however_it_is_written_the_records_are_those_of_the_file(
    pieces: list[bytes], steps: list[int], closed: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cutting, "BLOCK", 64)
        patch.setattr(cutting, "RECORD", 40)
        patch.setattr(cutting, "RECORD_LINES", 4)
        data, one, found, size = b"".join(pieces), cutter(), [], 0
        for step in [*steps, len(data)]:
            size = min(len(data), size + step)
            found += feed(one, data[:size])
        found += feed(one, data, closed=True) if closed else feed(one, data, whole=True)
        taken = data[: one.offset]
        assert "\n".join(found) == taken.decode().removesuffix("\n")
        assert data[one.offset :].count(b"\n") == 0 if closed else one.offset == len(data)
        if not steps:
            assert found == records(taken.decode())


def records(text: str) -> list[str]:
    """The plain way, with the limits of the test above."""
    found: list[str] = []
    size = 0
    for line in text.removesuffix("\n").split("\n") if text else []:
        if not found or line.startswith("S") or size + len(line) + 1 > 40 or found[-1].count("\n") == 3:
            found.append(line)
            size = len(line) + 1
        else:
            found[-1] += "\n" + line
            size += len(line) + 1
    return found


TEXTS = st.lists(st.text(st.sampled_from("aé€ਁ\u0a0a𐐀\r"), max_size=6), max_size=10)


@given(TEXTS, st.sampled_from(["utf-8", "utf-16-le", "utf-16-be", "utf-16", "latin-1", "shift_jis", "gb18030"]))
def test_lines_of_any_encoding(texts: list[str], name: str) -> None:
    codec = "utf-16-le" if name == "utf-16" else name
    texts = [text.encode(codec, "replace").decode(codec) for text in texts]
    data = "".join(text + "\n" for text in texts).encode(codec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cutting, "BLOCK", 16)
        one, found, ends = Cutter(0, None, with_ends=True), [], []
        for size in range(len(data) + 1):
            while one.scanned < size:
                block = data[:size][one.reads_from : one.reads_from + 16]
                cut = one.feed(block, encoding(name).of(data[:64]))
                found += cut.texts
                ends += cut.ends
        assert found == [text.removesuffix("\r") for text in texts]
        assert ends == [len("".join(t + "\n" for t in texts[: n + 1]).encode(codec)) for n in range(len(texts))]


@pytest.mark.parametrize(
    ("name", "mark"), [("utf-16", b"\xff\xfe"), ("utf-16", b"\xfe\xff"), ("utf-8", b"\xef\xbb\xbf")]
)
def test_a_byte_order_mark_is_no_part_of_the_line(name: str, mark: bytes) -> None:
    codec = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}.get(mark, "utf-8")
    data = mark + "first\nsecond\n".encode(codec)
    assert Cutter(0, None, with_ends=False).feed(data, encoding(name).of(data)).texts == ["first", "second"]


def test_a_byte_that_no_character_begins_with_takes_no_newline_along() -> None:
    cut = Cutter(0, None, with_ends=True).feed(b"bad \x81\nnext\n", encoding("shift_jis"))
    assert cut.texts == ["bad \ufffd", "next"] and cut.ends == [6, 11]


@pytest.mark.parametrize("name", ["latin-1", "utf-16-le", "utf-16-be", "shift_jis"])
def test_a_very_long_line_of_another_encoding_is_cut_with_a_mark(name: str) -> None:
    """However it comes in pieces, and whatever half of a character the cut or the block leaves."""
    character = "é" if name == "latin-1" else "火"
    size = len(character.encode(name))
    line = character * (3 << 20)
    data = (line + "\nnext\n").encode(name)
    one, found = Cutter(0, None, with_ends=False), []
    while one.scanned < len(data):
        found += one.feed(data[one.reads_from : one.reads_from + cutting.BLOCK], encoding(name)).texts
    kept = LIMIT // size
    assert found == [f"{character * kept} …[cut {len(line) * size - kept * size} bytes]", "next"]
