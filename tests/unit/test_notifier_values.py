"""The notifier's pure parts: environment values, log lines, addresses, cut text."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from notifying import FIELDS, deliver, job

from noroshi.node.notifier import account, default, environment, stream
from noroshi.node.notifier.message import FIRST_REPLY_TYPE, reply_type
from noroshi.node.notifier.procedure import Refused, complete_characters, to_job
from noroshi.node.stderr import visible
from noroshi.store.errors import NoroshiError


def test_the_variables_say_what_the_payload_says() -> None:
    this = job(None)
    variables = environment.variables(this)
    assert variables == {
        "NOROSHI_EVENT": b"raid/db1/md0",
        "NOROSHI_STATE": b"DEGRADED",
        "NOROSHI_SUPPLEMENT": b"sdb1 lost",
        "NOROSHI_NODE": b"db1",
        "NOROSHI_TIME": b"2026-11-22T03:04:05.000006Z",
        "NOROSHI_LINE": b"",
        "NOROSHI_SOURCE": b"",
        "NOROSHI_CATEGORY": b"maintenance",
        "NOROSHI_DEFINITION": b"disk-trouble",
        "NOROSHI_NOTICE": b"",
        "NOROSHI_ID": this.delivery.encode(),
    }


def test_a_field_that_is_no_text_is_shown_as_json() -> None:
    fields = {"supplement": {"slot": 3}, "line": None, "state": 7}
    variables = environment.variables(job(None, fields=fields))
    assert (variables["NOROSHI_SUPPLEMENT"], variables["NOROSHI_LINE"]) == (b'{"slot":3}', b"")
    assert variables["NOROSHI_STATE"] == b"7"


@given(st.text(st.characters(exclude_categories=())), st.integers(0, 3))
@example("\0\0x", 3)
def test_any_value_fits_an_environment(text: str, shift: int) -> None:
    value = environment.value_of("x" * (environment.MAX_VALUE - shift - 1) + text)
    assert b"\0" not in value and len(value) <= environment.MAX_VALUE
    value.decode()


def test_nothing_of_the_daemons_environment_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "x")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    monkeypatch.delenv("LANG", raising=False)
    base = environment.base(account.resolve(None))
    assert set(base) == {"PATH", "LANG", "HOME", "USER", "LOGNAME", "SHELL", "TZ"}
    assert base["LANG"] == b"C.UTF-8" and base["TZ"] == b"Asia/Tokyo"


def test_an_unknown_user_is_named_with_what_to_do() -> None:
    with pytest.raises(NoroshiError, match=r"user no-such-user: no such user \(.*useradd"):
        account.resolve("no-such-user")


@pytest.mark.parametrize("payload", [b"", b"{", b"[1]", b"null", b"\xff", b'{"a":' * 100_000])
def test_a_payload_that_is_no_object_is_refused(payload: bytes) -> None:
    with pytest.raises(Refused, match="no JSON object"):
        to_job(deliver("process", payload=payload), None)


@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan"), float("inf")])
def test_an_impossible_time_limit_is_refused(limit: float) -> None:
    with pytest.raises(Refused, match="time limit"):
        to_job(deliver("process", timeout=limit), None)


def test_the_log_line_of_an_event_and_of_a_line() -> None:
    event = default.line_of(job(None, delivery="id1"))
    assert event == b"raid/db1/md0 DEGRADED seen by db1 2026-11-22T03:04:05.000006Z: sdb1 lost [delivery id1]"
    line = job(None, fields={"node": "db2", "source": "/var/log/x", "line": "a\nb\x1b[2J"}, delivery="id2")
    assert default.line_of(line) == rb"db2:/var/log/x: a\nb\x1b[2J [delivery id2]"


@pytest.mark.parametrize(
    ("fields", "severity"),
    [
        ({**FIELDS, "state": "DOWN"}, default.ERROR),
        ({**FIELDS, "state": "DEGRADED"}, default.WARNING),
        ({**FIELDS, "state": "UP"}, default.NOTICE),
        ({"line": "x"}, default.WARNING),
    ],
)
def test_severity(fields: dict[str, str], severity: int) -> None:
    assert default.severity_of(job(None, fields=fields)) == severity


@given(st.text(st.characters(exclude_categories=()), max_size=4000))
def test_any_text_is_one_harmless_line(text: str) -> None:
    this = job(None, fields={"node": "n", "source": "s", "line": "x"})
    this.fields["line"] = "x" + text
    line = default.line_of(this)
    assert len(line) <= default.MAX_LINE
    assert not set(line) & {*range(32), 127}
    assert visible(line.decode()) == line.decode()


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("tcp://127.0.0.1:9000", stream.Address("tcp", "127.0.0.1", 9000)),
        ("udp://db1.example:1", stream.Address("udp", "db1.example", 1)),
        ("tcp://[::1]:65535", stream.Address("tcp", "::1", 65535)),
        ("unix:///run/a b.sock", stream.Address("unix", "", "/run/a b.sock")),
    ],
)
def test_addresses(text: str, address: stream.Address) -> None:
    assert stream.parse(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tcp://host",
        "tcp://host:0",
        "tcp://host:65536",
        "http://h:1",
        "unix://x",
        "unix:///\0",
        "tcp://h:1/x",
        7,
        None,
    ],
)
def test_no_addresses(text: object) -> None:
    with pytest.raises(Refused, match="no address"):
        stream.parse(text)


@given(st.text(), st.integers(0, 3))
def test_a_cut_head_loses_no_whole_character(text: str, cut: int) -> None:
    whole = ("€" + text).encode()
    assert complete_characters(whole[min(cut, 3) :]).endswith(text)
    assert complete_characters(b"\xff\xfe") == "\ufffd\ufffd"


@given(st.text(max_size=64))
def test_reply_types_are_the_notifiers_own_and_the_same_for_a_repeat(delivery: str) -> None:
    kind = reply_type(delivery)
    assert FIRST_REPLY_TYPE <= kind < 2**31 and kind == reply_type(delivery)
