"""YAML with places: what is read, what is refused, and that nothing else ever comes out."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from noroshi.store import yamlfile
from noroshi.store.errors import ConfigError, Problem
from noroshi.store.yamlfile import Items, Mapping, Scalar, Value, compose, flow, read_text

FILE = Path("some.yaml")


@pytest.fixture(params=["libyaml", "python"], autouse=True)
def _loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both parsers of PyYAML: a machine without libyaml must behave the same."""
    if request.param == "python":
        monkeypatch.setattr(yamlfile, "_LOADER", yaml.SafeLoader)
    elif not yaml.__with_libyaml__:
        pytest.skip("PyYAML was built without libyaml")


def problems_of(text: str) -> list[Problem]:
    with pytest.raises(ConfigError) as caught:
        compose(text, FILE)
    return caught.value.problems


def plain(value: Value) -> object:
    match value:
        case Scalar():
            return value.value
        case Items():
            return [plain(each) for each in value.values]
        case Mapping():
            return {key.value: plain(each) for key, each in value.entries}


@pytest.mark.parametrize(
    ("written", "kind", "value"),
    [
        ("word", "string", "word"),
        ("'7'", "string", "7"),
        ('"on"', "string", "on"),
        ("!!str on", "string", "on"),
        ("! on", "boolean", True),
        ("7", "integer", 7),
        ("-3", "integer", -3),
        ("0x4e4f524f", "integer", 0x4E4F524F),
        ("1.5", "number", "1.5"),
        (".inf", "number", ".inf"),
        ("on", "boolean", True),
        ("No", "boolean", False),
        ("~", "null", None),
        ("", "null", None),
        ("1:30", "other", "1:30"),
        ("010", "other", "010"),
        ("1_000", "other", "1_000"),
        ("0b11", "other", "0b11"),
        ("2026-11-22", "other", "2026-11-22"),
    ],
)
def test_a_scalar_keeps_kind_and_text(written: str, kind: str, value: object) -> None:
    root = compose(f"key: {written}\n", FILE)
    assert isinstance(root, Mapping)
    found = root.entries[0][1]
    assert isinstance(found, Scalar)
    assert (found.kind, found.value) == (kind, value)


def test_every_value_knows_its_place() -> None:
    root = compose("# head\na: 1\nb:\n  - x\n  - {c: y}\n", FILE)
    assert isinstance(root, Mapping)
    (key_a, a), (key_b, b) = root.entries
    assert (key_a.line, key_a.column, a.line, a.column) == (2, 1, 2, 4)
    assert (key_b.line, b.line, b.column) == (3, 4, 3)
    assert isinstance(b, Items)
    assert [(each.line, each.column) for each in b.values] == [(4, 5), (5, 5)]


def test_duplicate_keys_are_all_refused_with_the_first_place() -> None:
    problems = problems_of('a: 1\nb: {x: 1, "x": 2}\na: 2\n')
    assert [(each.line, each.column) for each in problems] == [(2, 11), (3, 1)]
    assert "'a' stands twice, first in line 1" in problems[1].message


@pytest.mark.parametrize(
    ("text", "line", "says", "hint"),
    [
        ("a: 1\n\tb: 2\n", 2, "is not YAML", "with spaces"),
        ("a: *\n", 1, "is not YAML", "begins with *"),
        ("a: [**]\n", 1, "is not YAML", "begins with *"),
        ("a: *.log\n", 1, "", "begins with *"),
        ("a: b: c\n", 1, "mapping values are not allowed", "in quotes"),
        ("a: @x\n", 1, "cannot start any token", "in quotes"),
        ("a: [1, 2\nb: 3\n", 2, "is not YAML", ""),
        ('a: "x\n', 2, "is not YAML", ""),
        ("a: 1\n---\nb: 2\n", 2, "second document", "one document"),
        ("a: !!python/object/apply:os.system [true]\n", 1, "!!python/object/apply:os.system", "leave the tag out"),
        ("a: !secret x\n", 1, "the tag !secret", "leave the tag out"),
        ("a: !!int x\n", 1, "the tag !!int", "leave the tag out"),
        ("? [a]\n: b\n", 1, "a key must be", ""),
        ("? {a: 1}\n: b\n", 1, "a key must be", ""),
        ("a: &x [*x]\n", 1, "inside its own anchor", ""),
        ("a: *nowhere\n", 1, "no anchor &nowhere", "begins with *"),
        ("%YAML 9.9\n---\na: 1\n", 1, "is not YAML", ""),
    ],
)
def test_what_is_refused_says_where_and_what_to_do(text: str, line: int, says: str, hint: str) -> None:
    problem = problems_of(text)[0]
    assert problem.line == line
    assert says in problem.message
    assert hint in problem.hint


def test_an_alias_repeats_its_anchor() -> None:
    assert plain(compose("a: &x [1, 2]\nb: *x\n", FILE)) == {"a": [1, 2], "b": [1, 2]}


def test_a_file_that_multiplies_itself_is_refused_at_once() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    began = time.process_time()
    problem = problems_of("\n".join(lines))[0]
    assert "aliases unfolded" in problem.message
    assert time.process_time() - began < 1


@pytest.mark.parametrize("deep", ["[" * 500_000, "{a: " * 200_000, "- " * 400_000, "? " * 400_000])
def test_a_deep_file_is_refused_at_once(deep: str) -> None:
    began = time.process_time()
    problem = problems_of(deep)[0]
    assert "nested deeper" in problem.message or "is not YAML" in problem.message
    assert time.process_time() - began < 5


def test_a_control_character_is_named_with_its_place() -> None:
    problem = problems_of("a: 1\nb: x\x1b[31m\n")[0]
    assert (problem.line, problem.column) == (2, 5)
    assert "U+001B" in problem.message


def test_text_beyond_the_size_is_refused() -> None:
    assert "larger than 1 MiB" in problems_of("#" * (yamlfile.MAX_BYTES + 1))[0].message


@settings(deadline=None)
@given(st.text(max_size=200))
def test_any_text_gives_values_or_problems(text: str) -> None:
    try:
        compose(text, FILE)
    except ConfigError as error:
        assert error.problems


@settings(deadline=None)
@given(st.text(alphabet="ab:-[]{}&*!|>'\"%#,?\n \t0", max_size=60))
def test_any_yaml_like_text_gives_values_or_problems(text: str) -> None:
    try:
        compose(text, FILE)
    except ConfigError as error:
        assert error.problems


_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**15), 10**15),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
)
_TREES = st.recursive(_LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner))


@settings(deadline=None)
@given(_TREES)
def test_what_flow_writes_reads_back_equal_on_one_printable_line(tree: object) -> None:
    written = flow(tree)
    assert written.isprintable()
    assert yaml.safe_load(written) == tree
    assert plain(compose(written, FILE)) == tree


@pytest.mark.parametrize("word", ["y", "N", "on", "null", "~", "1:30", "0x1", "=", "-", "--tag", "a b", "", "a#b"])
def test_words_that_yaml_would_misread_are_quoted(word: str) -> None:
    assert yaml.safe_load(f"[{flow(word)}]") == [word]


# --- files -------------------------------------------------------------------------------------------------------


def refusal(file: Path) -> Problem:
    with pytest.raises(ConfigError) as caught:
        read_text(file)
    return caught.value.problems[0]


def test_a_file_is_read_with_or_without_a_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_bytes(b"\xef\xbb\xbfa: \xe7\x8b\xbc\n")
    assert read_text(file) == "a: 狼\n"


def test_bytes_that_are_not_utf8_are_named_with_their_place(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_bytes(b"a: 1\nb: caf\xe9\n")
    problem = refusal(file)
    assert (problem.line, problem.column) == (2, 7)
    assert "0xe9" in problem.message


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"#" * (yamlfile.MAX_BYTES + 1))
    (tmp_path / "loop").symlink_to("loop")
    assert "does not exist" in refusal(tmp_path / "none").message
    assert "does not exist" in refusal(tmp_path / "large" / "below-a-file").message
    assert "not a regular file" in refusal(tmp_path).message
    assert "not a regular file" in refusal(tmp_path / "pipe").message
    assert "larger than 1 MiB" in refusal(tmp_path / "large").message
    assert refusal(tmp_path / "loop").message


@contextmanager
def without_root() -> Iterator[None]:
    """Root reads everything: step down for the while."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_a_file_without_permission_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.touch(mode=0)
    with without_root():
        problem = refusal(file)
    assert "Permission denied" in problem.message
    assert "permissions" in problem.hint
