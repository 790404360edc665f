"""The sanitiser: whatever comes from outside, nothing of it reaches a terminal as an order."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noroshi.console.sanitise import escaped_json, is_safe, visible, visible_lines

ANY_TEXT = st.text(alphabet=st.characters(codec=None, min_codepoint=0, max_codepoint=0x10FFFF))
"""Lone surrogates included."""


def orders_a_terminal(character: str) -> bool:
    """By the Unicode database: control, surrogate, separator of lines, invisible format; joiners are letters' own."""
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") and character not in "\u200c\u200d"


@given(ANY_TEXT)
def test_nothing_unsafe_is_left(text: str) -> None:
    assert not [character for character in visible(text) if orders_a_terminal(character)]
    visible(text).encode("utf-8")


@given(ANY_TEXT)
def test_twice_is_as_once(text: str) -> None:
    assert visible(visible(text)) == visible(text)


@given(st.text(alphabet=st.characters(exclude_categories=("Cc", "Cf", "Cs", "Zl", "Zp", "Cn"))))
def test_ordinary_text_is_unchanged(text: str) -> None:
    assert visible(text) == text


def test_every_character_the_unicode_database_calls_unsafe_is_found() -> None:
    missed = [hex(code) for code in range(0x110000) if orders_a_terminal(chr(code)) and is_safe(chr(code))]
    assert missed == []


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b]0;owned\x07", "␛]0;owned␇"),
        ("\x9b2J", "\\x9b2J"),
        ("a\tb", "a       b"),
        ("line\nfeed\r", "line␊feed␍"),
        ("nul\x00del\x7f", "nul␀del␡"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\u2028\ufeff\U000e0041", "\\u2028\\ufeff\\U000e0041"),
        ("\udc80", "\\udc80"),
        ("[red]日本語[/red]", "[red]日本語[/red]"),
    ],
)
def test_each_kind_is_made_visible(raw: str, shown: str) -> None:
    assert visible(raw) == shown


def test_a_record_of_several_lines_keeps_its_lines() -> None:
    assert visible_lines("one\n  two\x1b\n") == ["one", "  two␛", ""]


@given(ANY_TEXT, st.booleans())
def test_json_keeps_its_value_and_holds_nothing_unsafe(text: str, ascii_only: bool) -> None:
    encoded = escaped_json(json.dumps({"line": text}, ensure_ascii=False), ascii_only=ascii_only)
    assert encoded.isascii() or not ascii_only
    assert json.loads(encoded) == {"line": json.loads(json.dumps(text))}
    assert not [character for character in encoded if orders_a_terminal(character)]
