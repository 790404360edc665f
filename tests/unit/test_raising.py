"""From a request to the bytes of a spool and on to a report; nothing that is no event gets through."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from raisers import AT

from noroshi.node.core import raising
from noroshi.node.core.spool import Item
from noroshi.node.wire.messages import Report
from noroshi.node.wire.raising import BadRequest, Raise

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)
NAME = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp"]), min_size=1, max_size=50)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=10,
)
FIELD = st.sampled_from([*raising.FIELDS, "verb", "Event"])


@given(NAME, NAME, TEXT, st.booleans())
def test_an_event_arrives_as_it_was_said(event: str, state: str, supplement: str, deferred: bool) -> None:
    line = json.dumps({"event": event, "state": state, "supplement": supplement, "deferred": deferred}).encode()
    said = raising.read_raise(raising.read_object(line))
    assert said == Raise(event, state, supplement, deferred)
    body = raising.body(said, AT)
    assert raising.report(Item(7, body)) == Report(7, event, state, supplement, AT)
    assert msgspec.msgpack.decode(body, type=Report) == Report(0, event, state, supplement, AT)


@given(st.dictionaries(FIELD, JSON, max_size=5))
def test_any_object_is_an_event_or_a_bad_request(request: dict[str, object]) -> None:
    try:
        said = raising.read_raise(raising.read_object(json.dumps(request).encode()))
    except BadRequest as error:
        assert str(error)
    else:
        assert (said.event, said.state) == (request["event"], request["state"])
        raising.report(Item(1, raising.body(said, AT)))


@given(st.binary(max_size=200))
def test_any_bytes_are_an_object_or_a_bad_request(line: bytes) -> None:
    try:
        assert isinstance(raising.read_object(line), dict)
    except BadRequest as error:
        assert error.hint


@pytest.mark.parametrize(
    ("said", "kept"),
    [("text", "text"), (None, ""), ({"a": [1, 2.5, None]}, '{"a":[1,2.5,null]}'), (7, "7"), (True, "true"), ("", "")],
)
def test_a_supplement_is_text_or_compact_json(said: object, kept: str) -> None:
    assert raising.read_raise({"event": "e", "state": "s", "supplement": said}).supplement == kept


def test_a_misspelt_field_is_named_with_the_right_one() -> None:
    with pytest.raises(BadRequest, match="'defered'") as error:
        raising.read_raise({"event": "e", "state": "s", "defered": True})
    assert error.value.hint == "did you mean 'deferred'?"


@pytest.mark.parametrize(
    "name", ["", " ", "\t", "a\x00", "a\n", "a\x1b[0m", "a\x7f", "a\x85", "a\u2028", "\ud800", "x" * 257]
)
def test_names_are_printable_text_on_one_line(name: str) -> None:
    with pytest.raises(BadRequest):
        Raise(name, "OK")


@pytest.mark.parametrize("name", ["heavy fault", "サーバ/1", "a　b", "server/db1", "{}", "é" * 256, "*"])
def test_names_in_any_script_are_fine(name: str) -> None:
    assert Raise(name, "OK").event == name


def test_a_supplement_may_hold_lines_and_controls_but_no_broken_text() -> None:
    assert Raise("e", "s", "line 1\nline 2\x1b[0m\x00").supplement
    with pytest.raises(BadRequest, match="Unicode"):
        Raise("e", "s", "\udcff")
