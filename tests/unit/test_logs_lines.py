"""From bytes to lines: any bytes, any cut into blocks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noroshi.node.logs import lines
from noroshi.node.logs.lines import LIMIT, MOST_LINES, LongLine, split, text, whole_lines

PIECES = st.sampled_from(
    [b"a", b"\n", b"\r", b"\r\n", b"\0", b"\xe2\x82\xac", b"\xe2\x82", b"\xff", b"\xf0\x9f\x92\xa9"]
)
BYTES = st.lists(PIECES, max_size=60).map(b"".join)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"", ""),
        (b"plain", "plain"),
        (b"crlf\r", "crlf"),
        (b"two\r\r", "two\r"),
        (b"a\rb", "a\rb"),
        ("grün €".encode(), "grün €"),
        ("grün".encode("latin-1"), "gr\ufffdn"),
        (b"\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m"),
        (b"nul\0", "nul\ufffd"),
        (b"\0\0\0after a hole", "after a hole"),
        (b"x" * LIMIT, "x" * LIMIT),
        (b"x" * (LIMIT + 7), "x" * LIMIT + " …[cut 7 bytes]"),
        (b"x" * (LIMIT - 1) + "€".encode(), "x" * (LIMIT - 1) + " …[cut 3 bytes]"),
        ("é".encode() * LIMIT, "é" * (LIMIT // 2) + f" …[cut {LIMIT} bytes]"),
    ],
)
def test_one_line(line: bytes, expected: str) -> None:
    assert text(line) == expected
    assert split(line + b"\n") == [expected]
    assert LongLine().grown(line).text() == expected


@given(BYTES)
def test_a_block_at_once_is_its_lines_one_by_one(data: bytes) -> None:
    block = data + b"\n"
    assert split(block) == [text(line) for line in block[:-1].split(b"\n")]


@given(st.lists(BYTES.map(lambda data: data.replace(b"\n", b"")), max_size=8), st.integers(4, 40))
def test_a_long_line_in_pieces_is_the_line_whole(pieces: list[bytes], limit: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "LIMIT", limit)
        long = LongLine()
        for piece in pieces:
            long = long.grown(piece)
        assert long.text() == text(b"".join(pieces))
        assert len(long.kept) <= limit + 1


@given(st.integers(0, 3), st.lists(st.integers(0, 3 * 60), max_size=20))
def test_a_long_line_anywhere_in_a_block_is_cut(limit: int, lengths: list[int]) -> None:
    block = b"".join(b"x" * length + b"\n" for length in lengths)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "LIMIT", 10 * (limit + 1))
        assert split(block or b"\n") == [text(line) for line in (block or b"\n")[:-1].split(b"\n")]


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (b"", 0),
        (b"unfinished", 0),
        (b"one\nunfinished", 4),
        (b"one\ntwo\n", 8),
        (b"\n" * (MOST_LINES + 5), MOST_LINES),
        (b"\n" * (MOST_LINES + 5) + b"unfinished", MOST_LINES),
    ],
    ids=["empty", "no line", "a rest", "no rest", "too many", "too many and a rest"],
)
def test_how_much_of_a_block_is_whole_lines(block: bytes, expected: int) -> None:
    assert whole_lines(block) == expected
