"""The local event socket with real clients: good ones, many, slow ones, hostile ones."""

from __future__ import annotations

import asyncio
import contextlib
import grp
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from raisers import NodeThread, raising_node, short_directory
from waiting import wait_until

from noroshi.node.client import Raiser, defer_event, raise_event
from noroshi.node.daemon.agent import Agent
from noroshi.node.daemon.lines import MAX_LINE, UNANSWERED
from noroshi.store.config.node import EventFilter
from noroshi.store.errors import NoroshiError


@pytest.fixture
def directory() -> Iterator[Path]:
    with short_directory() as path:
        yield path


@pytest.fixture
def node(directory: Path) -> Iterator[NodeThread]:
    with NodeThread(directory) as running:
        yield running


def connect(node: NodeThread) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(20)
    connection.connect(node.socket)
    return connection


def talk(node: NodeThread, data: bytes) -> list[dict[str, object]]:
    """Send it, say that is all, read every answer until the daemon closes."""
    with connect(node) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as answers:
            return [json.loads(line) for line in answers]


def request(**fields: object) -> bytes:
    return json.dumps({"event": "app/x", "state": "OK", **fields}).encode() + b"\n"


def events(node: NodeThread) -> list[tuple[str, str, str]]:
    return [(seen.event, seen.state, seen.supplement) for seen in node.stored()]


def test_an_event_is_answered_when_it_is_in_the_spool(node: NodeThread) -> None:
    (answer,) = talk(node, request(supplement="queue 3 — 待ち"))
    assert answer == {"ok": True, "id": f"{node.node.events.stream.hex()}-1"}
    assert events(node) == [("app/x", "OK", "queue 3 — 待ち")]
    assert node.stored(deferred=True) == []


def test_deferred_events_have_a_stream_of_their_own(node: NodeThread) -> None:
    defer_event("printer/2", "IDLE", {"pages": 3}, socket=node.socket)
    raise_event("app/x", "DOWN", socket=node.socket)
    assert [(seen.event, seen.supplement) for seen in node.stored(deferred=True)] == [("printer/2", '{"pages":3}')]
    assert events(node) == [("app/x", "DOWN", "")]


def test_pipelined_requests_are_answered_in_their_order(node: NodeThread) -> None:
    lines = [request(state=str(at)) if at % 7 else b"junk %d\n" % at for at in range(5 * UNANSWERED)]
    answers = talk(node, b"".join(lines))
    assert [answer["ok"] for answer in answers] == [bool(at % 7) for at in range(5 * UNANSWERED)]
    ids = [answer["id"] for answer in answers if answer["ok"]]
    stored = node.stored()
    assert ids == [f"{node.node.events.stream.hex()}-{at + 1}" for at in range(len(stored))]
    assert [seen.state for seen in stored] == [str(at) for at in range(5 * UNANSWERED) if at % 7]


def test_a_last_line_without_newline_blank_lines_and_crlf_are_fine(node: NodeThread) -> None:
    assert [answer["ok"] for answer in talk(node, b"\n  \r\n" + request().rstrip() + b"\r\n" + request().rstrip())] == [
        True,
        True,
    ]


BAD = [
    (b"junk", "not JSON"),
    (b"\x00\xff\xfe", "not JSON"),
    (b'"text"', "not a JSON object"),
    (b"[1, 2]", "not a JSON object"),
    (b"[" * 200_000, "not JSON"),
    (b'{"event": "a", "state": "b", "supplement": ' + b"[" * 5000 + b"]" * 5000 + b"}", "not JSON"),
    (b"{}", "event is missing"),
    (b'{"event": "a"}', "state is missing"),
    (b'{"event": 7, "state": "b"}', "event must be text, not a number"),
    (b'{"event": "a", "state": null}', "state must be text, not null"),
    (b'{"event": "a", "state": "b", "deferred": "yes"}', "deferred must be true or false, not text"),
    (b'{"event": "a", "state": "b", "defered": true}', "unknown field 'defered'"),
    (b'{"event": "", "state": "b"}', "an empty event"),
    (b'{"event": "a", "state": "  "}', "an empty state"),
    (b'{"event": "a\\nb", "state": "b"}', "control character"),
    (b'{"event": "a", "state": "\\u001b[31m"}', "control character"),
    (b'{"event": "a\\ud800", "state": "b"}', "not JSON"),
    (b'{"event": "%s", "state": "b"}' % (b"e" * 257), "event has 257 characters, at most 256"),
    (b'{"event": "a", "state": "%s"}' % (b"s" * 65), "state has 65 characters, at most 64"),
    (b'{"event": "a", "state": "b", "supplement": "%s"}' % (b"s" * 65537), "supplement of 65537 characters"),
    (b'{"event": "a", "state": "b", "token": "%s"}' % (b"t" * 65), "token has 65 characters"),
    (b'{"verb": "destroy"}', "unknown verb 'destroy'"),
    (b'{"verb": ["x"]}', "unknown verb"),
    (b'{"%s": 1}' % (b"k" * 900_000), "unknown field"),
    (b'{"event": "a", "state": "b", "deferred": true, "supplement": "%s"}' % (b"s" * 4000), "too big to be deferred"),
]


@pytest.mark.parametrize(("line", "why"), BAD, ids=[why for _, why in BAD])
def test_bad_requests_are_named_and_the_connection_goes_on(node: NodeThread, line: bytes, why: str) -> None:
    bad, good = talk(node, line + b"\n" + request())
    assert bad["ok"] is False and why in str(bad["error"]) and len(str(bad["error"])) <= 301
    assert good["ok"] is True
    assert (len(node.stored()), node.node.agent.refused) == (1, 1)


def test_the_longest_names_and_supplement_are_taken(node: NodeThread) -> None:
    raised = raise_event("é" * 256, "状" * 64, "\U0001f525" * 65536, socket=node.socket)
    assert raised.endswith("-1")
    assert events(node) == [("é" * 256, "状" * 64, "\U0001f525" * 65536)]


@pytest.mark.parametrize("newline", [b"", b"\n"])
def test_a_line_that_is_too_long_is_answered_and_ends_the_connection(node: NodeThread, newline: bytes) -> None:
    with connect(node) as connection:
        connection.sendall(request())
        sent = b"x" * (MAX_LINE + 1) + newline + request()
        with contextlib.suppress(OSError):  # it may have closed before it was sent everything
            connection.sendall(sent)
        with connection.makefile("rb") as answers:
            good, bad = (json.loads(answers.readline()) for _ in range(2))
            assert good["ok"] is True
            assert bad["ok"] is False and "more than 1048576 bytes" in bad["error"]
            assert _ended(answers)
    assert len(events(node)) == 1


def _ended(answers: object) -> bool:
    try:
        return answers.readline() == b""  # type: ignore[attr-defined]
    except ConnectionResetError:
        return True


def test_a_client_that_never_reads_is_bounded_and_disturbs_nobody(node: NodeThread) -> None:
    with connect(node) as deaf:
        deaf.settimeout(0.2)
        line, sent, stuck = request(), 0, 0
        while stuck < 3:  # once may be the machine's own pause
            try:
                sent, stuck = sent + deaf.send(line * 100), 0
            except TimeoutError:
                stuck += 1
        assert raise_event("app/other", "OK", socket=node.socket)
        taken = sum(event == "app/x" for event, _, _ in events(node))
        assert taken < sent // len(line) and taken * 80 < 2 * 1024 * 1024
        deaf.settimeout(20)
        deaf.shutdown(socket.SHUT_WR)
        with deaf.makefile("rb") as answers:
            assert sum(1 for _ in answers) >= sent // len(line)
    assert sum(event == "app/x" for event, _, _ in events(node)) >= sent // len(line)


def test_a_client_that_leaves_without_its_answer_leaves_nothing_behind(node: NodeThread) -> None:
    for _ in range(50):
        connection = connect(node)
        connection.sendall(request() + b'{"event": "half')
        connection.close()
    wait_until("nobody connected", lambda: node.node.agent.clients == 0)
    wait_until("all 50 stored", lambda: len(node.stored()) == 50)


def test_many_raisers_at_once_get_each_its_own_answer(node: NodeThread) -> None:
    def raiser(name: int) -> list[str]:
        with Raiser(node.socket) as connection:
            return [connection.raise_event(f"app/{name}", str(count)) for count in range(20)]

    with ThreadPoolExecutor(32) as pool:
        ids = list(pool.map(raiser, range(32)))
    stored = node.stored()
    assert len(stored) == 640
    for name, mine in enumerate(ids):
        seen = [stored[int(raised.rpartition("-")[2]) - 1] for raised in mine]
        assert [(each.event, each.state) for each in seen] == [(f"app/{name}", str(count)) for count in range(20)]


def test_more_clients_than_there_is_room_for_are_told_so(node: NodeThread) -> None:
    node.node.agent._most = 3
    clients = [connect(node) for _ in range(3)]
    wait_until("three clients", lambda: node.node.agent.clients == 3)
    (answer,) = talk_late(node)
    assert answer["ok"] is False and "too many clients" in str(answer["error"])
    for client in clients:
        client.close()
    wait_until("room again", lambda: node.node.agent.clients == 0)
    assert raise_event("app/x", "OK", socket=node.socket)


def talk_late(node: NodeThread) -> list[dict[str, object]]:
    with connect(node) as connection, connection.makefile("rb") as answers:
        return [json.loads(line) for line in answers]


def test_events_that_the_rules_leave_out_are_ignored_and_said_so(directory: Path) -> None:
    rules = EventFilter(only=("app/**", "raid/**"), except_=("app/noise/*",))
    with NodeThread(directory, rules.allows) as node:
        answers = talk(
            node, b"".join(request(event=name) for name in ("app/a", "app/noise/b", "unit/n/x", "raid/n/md0"))
        )
        assert [answer.get("ignored", False) for answer in answers] == [False, True, True, False]
        assert all(answer["ok"] for answer in answers) and answers[1]["id"] is None
        assert [event for event, _, _ in events(node)] == ["app/a", "raid/n/md0"]
        assert raise_event("app/noise/b", "OK", socket=node.socket) == ""


def test_the_same_token_is_stored_once_also_over_a_restart(directory: Path) -> None:
    with NodeThread(directory) as node:
        first, again, other = talk(node, request(token="t1") + request(token="t1") + request(token="t2"))
        assert first["id"] == again["id"] != other["id"]
    with NodeThread(directory) as node:
        (late,) = talk(node, request(token="t1"))
        assert late["id"] == first["id"]
        assert len(node.stored()) == 2


def check_modes(path: str, group: int | None) -> None:
    about = Path(path).stat()
    assert about.st_mode & 0o777 == 0o660
    assert group is None or about.st_gid == group
    assert Path(path).parent.stat().st_mode & 0o027 == 0


def there(path: str) -> bool:
    return Path(path).exists()


def test_only_owner_and_group_may_raise(directory: Path) -> None:
    async def modes(group: int | None) -> None:
        async with raising_node(directory) as node:
            await node.agent.close()
            agent = await Agent.open(directory / "run", node.intake, group=group)
            check_modes(node.socket, group)
            await agent.close()
            assert not there(node.socket)

    before = os.umask(0)
    try:
        asyncio.run(modes(None))
        if os.geteuid() == 0:
            asyncio.run(modes(grp.getgrnam("daemon").gr_gid))
    finally:
        os.umask(before)


def test_a_dead_daemons_socket_is_replaced(directory: Path) -> None:
    run = directory / "run"
    run.mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(run / "agent.sock"))
    with NodeThread(directory) as node:
        assert raise_event("app/x", "OK", socket=node.socket)


@pytest.mark.parametrize("second", ["daemon", "listener", "file"])
def test_what_somebody_uses_is_left_alone(directory: Path, second: str) -> None:
    async def test() -> None:
        async with raising_node(directory) as node:
            occupant = None
            if second != "daemon":
                await node.agent.close()
                occupant = _occupy(Path(node.socket), second)
            with pytest.raises(NoroshiError) as error:
                await Agent.open(directory / "run", node.intake)
            assert error.value.hint and str(directory / "run") in str(error.value)
            assert there(node.socket)
            if occupant is not None:
                occupant.close()

    asyncio.run(test())


def _occupy(path: Path, what: str) -> socket.socket | None:
    if what == "file":
        path.write_text("precious")
        return None
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen()
    return listening


def test_a_path_too_long_for_a_socket_says_so(tmp_path: Path) -> None:
    async def test() -> None:
        with short_directory() as directory:
            async with raising_node(directory) as node:
                with pytest.raises(NoroshiError, match="too long"):
                    await Agent.open(tmp_path / ("x" * 120), node.intake)

    asyncio.run(test())


def test_closing_answers_what_was_taken(directory: Path) -> None:
    with NodeThread(directory) as node:
        connection = connect(node)
        connection.sendall(request() * 300)
        wait_until("something taken", lambda: node.node.events.pending)
    with connection, connection.makefile("rb") as answers:
        confirmed = [json.loads(line)["id"] for line in answers]
    with NodeThread(directory) as node:
        assert len(confirmed) <= len(node.stored()) <= 300
        assert confirmed == [f"{node.node.events.stream.hex()}-{at + 1}" for at in range(len(confirmed))]


@pytest.mark.skipif(not shutil.which("socat"), reason="needs socat")
def test_a_shell_raises_with_socat(node: NodeThread) -> None:
    command = ["socat", "-t5", "-", f"UNIX-CONNECT:{node.socket}"]
    done = subprocess.run(command, input=request(), capture_output=True, check=True, timeout=20)
    assert json.loads(done.stdout)["ok"] is True
    assert len(events(node)) == 1


C_PROGRAM = r"""
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
int main(int count, char **argument) {
    const char line[] = "{\"event\": \"app/c\", \"state\": \"ERROR\", \"supplement\": \"from C\"}\n";
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char answer[4096];
    int agent = socket(AF_UNIX, SOCK_STREAM, 0);
    strncpy(address.sun_path, argument[1], sizeof address.sun_path - 1);
    if (count != 2 || connect(agent, (struct sockaddr *)&address, sizeof address)) return 2;
    if (write(agent, line, sizeof line - 1) != sizeof line - 1) return 3;
    ssize_t got = read(agent, answer, sizeof answer);
    return got > 0 && !strncmp(answer, "{\"ok\": true", 11) ? 0 : 1;
}
"""


@pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler")
def test_a_c_program_raises(node: NodeThread, tmp_path: Path) -> None:
    (tmp_path / "raise.c").write_text(C_PROGRAM)
    subprocess.run(["cc", "-Wall", "-Werror", "-o", tmp_path / "raise", tmp_path / "raise.c"], check=True)
    assert subprocess.run([tmp_path / "raise", node.socket], check=False, timeout=20).returncode == 0
    assert events(node) == [("app/c", "ERROR", "from C")]


def test_a_signal_handler_may_raise(node: NodeThread) -> None:
    program = (
        "import os, signal\nfrom noroshi.node import raise_event\n"
        "signal.signal(signal.SIGUSR1, lambda *_: raise_event('app/signalled', 'HUP'))\n"
        "os.kill(os.getpid(), signal.SIGUSR1)\n"
    )
    environment = {**os.environ, "NOROSHI_SOCKET": node.socket}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, timeout=20)
    assert events(node) == [("app/signalled", "HUP", "")]


def test_a_flood_of_junk_is_answered_line_by_line(node: NodeThread) -> None:
    with ThreadPoolExecutor(1) as pool:
        flood = pool.submit(talk, node, b"x\n" * 20_000 + b"\n" * 20_000 + request())
        assert raise_event("app/meanwhile", "OK", socket=node.socket)
        answers = flood.result(60)
    assert len(answers) == 20_001 and answers[-1]["ok"] is True
    assert node.node.agent.refused == 20_000
