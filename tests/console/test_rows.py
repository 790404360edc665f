"""The pure parts below the screens: rows of the state table, filters, which line stands in which row."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noroshi.console.app.filtering import LONGEST, TextFilter, parse_log, parse_text
from noroshi.console.app.line_index import DenseIndex, SparseIndex
from noroshi.console.app.messages import ScanStepped
from noroshi.console.app.search import Search
from noroshi.console.app.state_rows import FOLD_ABOVE, Folded, Heading, StateRow, build, counted, tally, troubles
from noroshi.console.app.tables import Found, LogTable
from noroshi.console.app.widgets.state_table import fit_columns
from noroshi.console.app.wrapping import wrap
from noroshi.console.queries import Leadership, Status
from noroshi.console.severity import Severity, severity_of, shape_of
from noroshi.store.views import Bounds, LogFilter, NodeState, State

NOBODY = Leadership(False, None)


def state(event: str, word: str, category: str = "user", supplement: str = "") -> State:
    return State(category, event, word, supplement, "db1", 1, 1, 1, 1)


def status(*states: State, nodes: tuple[NodeState, ...] = ()) -> Status:
    return Status("demo", NOBODY, nodes, states, None)


# --- severity -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "severity", "shape"),
    [
        ("DOWN", Severity.CRITICAL, "✖"),
        ("error", Severity.CRITICAL, "✖"),
        ("SUSPECT", Severity.DEGRADED, "◐"),
        ("DEGRADED", Severity.DEGRADED, "◐"),
        ("WARNING", Severity.DEGRADED, "▲"),
        ("UNKNOWN", Severity.DEGRADED, "?"),
        ("draining", Severity.OTHER, "◆"),
        ("", Severity.OTHER, "◆"),
        ("STOPPED", Severity.STOPPED, "○"),
        ("UP", Severity.GOOD, "●"),
        ("Ok", Severity.GOOD, "●"),
    ],
)
def test_how_bad_a_word_is(word: str, severity: Severity, shape: str) -> None:
    assert (severity_of(word), shape_of(word)) == (severity, shape)


# --- rows ---------------------------------------------------------------------------------------------------------


def test_worst_first_then_by_name_and_a_category_nobody_knows_comes_last() -> None:
    rows = build(
        status(
            state("b", "OK"),
            state("a", "OK"),
            state("z", "ERROR"),
            state("m", "WARNING", "maintenance"),
            state("x", "OK", "later"),
            nodes=(NodeState("n1", "UP", 1), NodeState("n2", "DOWN", 1)),
        ),
        TextFilter(),
        fold=True,
    )
    assert [row.key for row in rows.rows] == [
        "heading nodes",
        "node n2",
        "node n1",
        "heading user",
        "state z",
        "state a",
        "state b",
        "heading maintenance",
        "state m",
        "heading later",
        "state x",
    ]
    assert [rows.rows[at].key for at in troubles(rows.rows)] == ["node n2", "state z", "state m"]


def test_only_the_healthy_of_long_groups_are_folded() -> None:
    healthy = [state(f"ok{at:02}", "OK") for at in range(FOLD_ABOVE + 1)]
    odd = [state("own", "draining"), state("bad", "ERROR"), state("off", "STOPPED")]
    rows = build(status(*healthy, *odd), TextFilter(), fold=True).rows
    assert [row.key for row in rows] == ["heading user", "state bad", "state own", "state off", "folded user"]
    assert rows[-1] == Folded("user", FOLD_ABOVE + 1)
    assert len(build(status(*healthy, *odd), TextFilter(), fold=False).rows) == FOLD_ABOVE + 5
    assert len(build(status(*healthy[1:], *odd), TextFilter(), fold=True).rows) == FOLD_ABOVE + 4
    assert build(status(*healthy), TextFilter("ok1"), fold=True).matched == 7


def test_a_tally_is_worst_first() -> None:
    counts = counted(["UP", "DOWN", "UP", "\x1b[2J"])
    assert tally(counts) == "✖ 1 DOWN  ◆ 1 ␛[2J  ● 2 UP"
    assert tally([("UP", 1), ("OK", 2)], "4m") == "? 1 UP  ? 2 OK 4m ago"
    assert tally([("DOWN", 1)], "4m") == "✖ 1 DOWN"
    assert tally(counts, "4m") == "✖ 1 DOWN  ◆ 1 ␛[2J  ? 2 UP 4m ago"
    assert isinstance(build(status(state("a", "OK")), TextFilter(), True).rows[0], Heading)


@given(width=st.integers(1, 300), event=st.text(max_size=80), word=st.text(max_size=40), time=st.integers(9, 25))
def test_columns_share_the_width_and_never_more(width: int, event: str, word: str, time: int) -> None:
    columns = fit_columns((StateRow(state(event, word)),), width, time)
    fields = [columns.state, columns.event, columns.supplement, columns.node, columns.age, columns.count]
    assert all(field >= 0 for field in fields)
    if width >= 40:
        used = [field for field in (*fields, columns.time, columns.time) if field]
        assert sum(used) + 2 * (len(used) - 1) <= width


# --- filters ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "shown", "accepted"),
    [
        ("", "anything", True),
        ("ord", "app/ORDers", True),
        ("Ord", "app/orders", False),
        ("!ord", "app/orders", False),
        ("!ord", "raid", True),
        ("! ord ", "app/orders", False),
        ("!", "anything", True),
        ("[a", "x[a", True),
    ],
)
def test_a_text_filter(typed: str, shown: str, accepted: bool) -> None:
    assert parse_text(typed).accepts("other", shown) is accepted


def test_a_filter_is_bounded_and_highlights_what_it_finds() -> None:
    assert len(parse_text("x" * 10_000).text) == LONGEST
    assert parse_text("a.b").spans("A.B a.b axb") == [(0, 3), (4, 7)]
    assert parse_text("!a").spans("aaa") == []


@pytest.mark.parametrize(
    ("typed", "which"),
    [
        ("oom", LogFilter(text=("oom",))),
        ("Out of", LogFilter(text=("Out of",), ignore_case=False)),
        ("!oom", LogFilter(text=("oom",), inverted=True)),
        ("node:db1", LogFilter(node="db1")),
        ("node:db* source:/var/log/** !oom killer", LogFilter("db*", "/var/log/**", ("oom killer",), True, True)),
        ("text node:db1", LogFilter(text=("text node:db1",))),
        ("node:", LogFilter(text=("node:",))),
        ("", LogFilter()),
    ],
)
def test_a_log_filter(typed: str, which: LogFilter) -> None:
    assert parse_log(typed)[0] == which


# --- index --------------------------------------------------------------------------------------------------------


def test_every_line_has_its_row() -> None:
    index = DenseIndex(Bounds(11, 20))
    assert len(index) == 10
    assert [index.id_at(row) for row in (0, 9)] == [11, 20]
    assert [index.row_of(number) for number in (5, 11, 20, 99)] == [0, 0, 9, 10]
    assert list(index.ids(-5, 2)) == [11, 12]
    assert list(index.ids(8, 50)) == [19, 20]
    assert len(DenseIndex()) == 0


@given(st.lists(st.integers(0, 100), unique=True), st.integers(0, 100))
def test_matches_found_at_both_ends_stay_in_order(numbers: list[int], split: int) -> None:
    index = SparseIndex()
    ordered = sorted(numbers)
    newer, older = [n for n in ordered if n >= split], [n for n in ordered if n < split]
    index.add_newer(newer)
    index.add_older(older)
    assert [index.id_at(row) for row in range(len(index))] == ordered
    assert index.neighbour(split, 1) == next((n for n in ordered if n > split), None)
    assert index.neighbour(split, -1) == next((n for n in reversed(ordered) if n < split), None)
    for number in (split, 101):
        index.keep(number, True)
        index.keep(number, True)
        assert number in index.ids(0, 1000)
        index.keep(number, number in numbers)
        index.keep(number, number in numbers)
    index.keep_from(split)
    assert list(index.ids(0, 1000)) == newer


def test_a_search_begun_again_takes_no_line_twice() -> None:
    """The disk failed it, or a step was still on its way when the next search began."""

    class NoFetcher:
        def cancel(self, key: str) -> None:
            raise AssertionError(key)

    def step(backward: bool, position: int, ids: list[int], done: bool = False) -> ScanStepped:
        return ScanStepped(search.generation, backward, Found(tuple(ids), position, done))

    search = Search("x", LogTable(), LogFilter(), TextFilter("x"), Bounds(1, 100))
    fetcher = NoFetcher()
    search.take(step(True, 90, [92, 95]), fetcher)  # type: ignore[arg-type]
    search.take(step(True, 80, [81, 92, 95]), fetcher)  # type: ignore[arg-type]
    search.take(step(False, 105, [101, 105]), fetcher)  # type: ignore[arg-type]
    search.take(step(False, 110, [101, 105, 110]), fetcher)  # type: ignore[arg-type]
    assert list(search.matches.ids(0, 99)) == [81, 92, 95, 101, 105, 110]
    assert "6 found, " in search.told(Bounds(1, 110))
    search.take(step(True, 1, [], done=True), fetcher)  # type: ignore[arg-type]
    assert search.told(Bounds(1, 110)) == "/x: 6 found"


# --- wrapping -----------------------------------------------------------------------------------------------------


@given(st.text(alphabet="ab 日", max_size=200), st.integers(4, 30))
def test_wrapping_loses_no_letter_and_fits(line: str, width: int) -> None:
    from rich.cells import cell_len

    pieces = wrap(line, width)
    assert all(cell_len(piece) <= width for piece in pieces)
    assert "".join(pieces).replace(" ", "") == line.replace(" ", "")


def test_words_stay_whole_also_beside_characters_that_are_not_ascii() -> None:
    line = "✖ failed: program /nonexistent/program is not allowed: add it there"
    assert wrap(line, 40) == ["✖ failed: program /nonexistent/program", "is not allowed: add it there"]
