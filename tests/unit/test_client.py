"""The raiser's side of the local socket, against servers that behave in every way a daemon might."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from raisers import short_directory
from waiting import Stopwatch, wait_until

from noroshi.node import client, defer_event, raise_event
from noroshi.node.client import RaiseError, Raiser, defer_event_async, raise_event_async


@pytest.fixture
def path() -> Iterator[Path]:
    with short_directory() as directory:
        yield directory / "agent.sock"


class Server:
    """Listens in a thread; `behave` gets each connection and its first line."""

    def __init__(self, path: Path, behave: Callable[[socket.socket, bytes], None]) -> None:
        self.lines: list[bytes] = []
        self._behave = behave
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listening.bind(str(path))
        self._listening.listen()
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(10)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(10)
                line = connection.makefile("rb").readline()
                self.lines.append(line)
                self._behave(connection, line)


def answering(answer: bytes) -> Callable[[socket.socket, bytes], None]:
    return lambda connection, line: connection.sendall(answer)


def silent(connection: socket.socket, line: bytes) -> None:
    connection.recv(1)


SENT = {"event": "app/x", "state": "ERROR", "supplement": "why", "deferred": False}


def test_what_is_sent_and_what_comes_back(path: Path) -> None:
    with Server(path, answering(b'{"ok": true, "id": "s-1"}\n')) as server:
        assert raise_event("app/x", "ERROR", "why", socket=str(path)) == "s-1"
        assert defer_event("app/x", "ERROR", "why", socket=str(path)) == "s-1"
        assert asyncio.run(raise_event_async("app/x", "ERROR", "why", socket=str(path))) == "s-1"
        assert asyncio.run(defer_event_async("app/x", "ERROR", "why", socket=str(path))) == "s-1"
    assert [json.loads(line) for line in server.lines] == [SENT, {**SENT, "deferred": True}] * 2


@pytest.mark.parametrize(
    ("supplement", "sent"),
    [
        ("text", "text"),
        ("", ""),
        ({"a": [1, None]}, '{"a":[1,null]}'),
        (7, "7"),
        (None, ""),
        ("日\n\x1b", "日\n\x1b"),
    ],
)
def test_a_supplement_is_text_or_compact_json(supplement: object, sent: str) -> None:
    assert json.loads(client.request_line("e", "s", supplement))["supplement"] == sent


def test_what_json_cannot_hold_is_the_programs_mistake() -> None:
    with pytest.raises(TypeError):
        client.request_line("e", "s", object())
    with pytest.raises(ValueError, match="Out of range"):
        client.request_line("e", "s", float("nan"))
    with pytest.raises(RaiseError, match="the limit is 1048576"):
        client.request_line("e", "s", "x" * 2**20)


def test_an_ignored_event_has_no_id(path: Path) -> None:
    with Server(path, answering(b'{"ok": true, "id": null, "ignored": true}\n')):
        assert raise_event("app/x", "OK", socket=str(path)) == ""


REFUSAL = b'{"ok": false, "error": "an empty event", "hint": "give the event a name"}\n'


@pytest.mark.parametrize(
    ("behave", "message", "refused", "unconfirmed"),
    [
        (answering(REFUSAL), "an empty event (give the event a name)", True, False),
        (answering(b"220 mail.example ESMTP\r\n"), "no answer of a Noroshi node daemon", False, False),
        (answering(b"[1]\n"), "no answer of a Noroshi node daemon", False, False),
        (answering(b""), "closed the connection", False, True),
        (answering(b'{"ok": tr'), "closed the connection", False, True),
        (answering(b"x" * 70_000), "does not end", False, True),
        (silent, "no answer in time", False, True),
    ],
)
def test_anything_but_ok_is_a_raise_error(
    path: Path, behave: Callable[[socket.socket, bytes], None], message: str, refused: bool, unconfirmed: bool
) -> None:
    limit = 0.3 if behave is silent else 20.0
    with Server(path, behave):
        for attempt in (
            lambda: raise_event("", "s", socket=str(path), timeout=limit),
            lambda: asyncio.run(raise_event_async("", "s", socket=str(path), timeout=limit)),
        ):
            with pytest.raises(RaiseError) as error:
                attempt()
            assert message in str(error.value)
            assert (error.value.refused, error.value.unconfirmed) == (refused, unconfirmed)


def test_no_daemon_and_a_dead_ones_socket_are_told_at_once(path: Path) -> None:
    for _ in range(2):
        with Stopwatch() as watch:
            for attempt in (
                lambda: raise_event("e", "s", socket=str(path)),
                lambda: asyncio.run(raise_event_async("e", "s", socket=str(path))),
            ):
                with pytest.raises(RaiseError, match="is the node daemon running") as error:
                    attempt()
                assert not error.value.refused and not error.value.unconfirmed
            assert watch.seconds < 2
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path)) if not path.exists() else None


def test_the_time_limit_bounds_the_whole_call(path: Path) -> None:
    def dribble(connection: socket.socket, line: bytes) -> None:
        for _ in range(100):
            time.sleep(0.05)
            connection.sendall(b" ")

    with Server(path, lambda c, line: _until_gone(dribble, c, line)):
        before = time.monotonic()
        with Stopwatch() as watch, pytest.raises(RaiseError, match="no answer in time"):
            raise_event("e", "s", socket=str(path), timeout=0.3)
        assert time.monotonic() - before > 0.25
        assert watch.seconds < 2, "and not each byte's arrival anew"


def _until_gone(behave: Callable[[socket.socket, bytes], None], connection: socket.socket, line: bytes) -> None:
    try:
        behave(connection, line)
    except OSError:
        return


def test_a_raiser_keeps_its_connection_and_makes_another_after_a_restart(path: Path) -> None:
    def serve(connection: socket.socket, line: bytes) -> None:
        stream = connection.makefile("rwb", buffering=0)
        for _ in range(3):
            stream.write(b'{"ok": true, "id": "s-1"}\n')
            served.append(line)
            if len(served) % 3:
                line = stream.readline()

    served: list[bytes] = []
    with Server(path, serve) as server, Raiser(str(path)) as raiser:
        for _ in range(3):
            raiser.raise_event("e", "s")
        wait_until("the daemon's side is closed", lambda: client._ended(raiser._socket))  # type: ignore[arg-type]
        for _ in range(3):
            raiser.raise_event("e", "s")
    assert (len(served), len(server.lines)) == (6, 2)


def test_where_the_socket_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "DEFAULT_CONFIG", str(tmp_path / "none.yaml"))
    monkeypatch.delenv("NOROSHI_SOCKET", raising=False)
    assert client.socket_path() == "/run/noroshi/agent.sock"
    config = tmp_path / "node.yaml"
    config.write_text("node: db1\nrun: /srv/run   # here\nstate: state\n")
    monkeypatch.setenv("NOROSHI_CONFIG", str(config))
    assert client.socket_path() == "/srv/run/agent.sock"
    assert client.setting("state") == str(tmp_path / "state")
    monkeypatch.setenv("NOROSHI_SOCKET", "/elsewhere/s")
    assert client.socket_path() == "/elsewhere/s"
    assert client.socket_path(str(config)) == "/srv/run/agent.sock"


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("run: /a/b", "/a/b"),
        ("run:   /a/b  ", "/a/b"),
        ("run: /a/b # comment", "/a/b"),
        ("run: /a#b", "/a#b"),
        ("run: '/a b' # c", "/a b"),
        ('"run": "/a b"', "/a b"),
        ("run : /a", "/a"),
    ],
)
def test_the_line_of_the_node_file(tmp_path: Path, line: str, value: str) -> None:
    (tmp_path / "n.yaml").write_text(f"# run: /no\nother: x\n  run: /nested\n\nrunning: /no\n{line}\nrun: /late\n")
    assert client.setting("run", str(tmp_path / "n.yaml")) == value


def test_a_named_file_that_does_not_help_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "flow.yaml").write_text("{node: db1, run: /a}\n")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00run: /a\n")
    for name, why in [("flow.yaml", "no `run:` line"), ("bytes.yaml", "no `run:` line"), ("none", "cannot read")]:
        with pytest.raises(RaiseError, match=why) as error:
            client.socket_path(str(tmp_path / name))
        assert error.value.hint


def test_the_module_agrees_with_the_configuration_reader(tmp_path: Path) -> None:
    from noroshi.store.config import load_node

    config = tmp_path / "node.yaml"
    config.write_text("node: db1\nshared: shared\nstate: 'the state'\nrun: run # here\n")
    node = load_node(config)
    assert client.socket_path(str(config)) == str(node.run / "agent.sock")
    assert client.setting("state", str(config)) == str(node.state)


def test_importing_it_loads_nothing_else() -> None:
    program = "import sys; old = set(sys.modules); import noroshi.node; print(*(set(sys.modules) - old))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert set(loaded) <= {"noroshi", "noroshi.node", "noroshi.node.client", "__future__", "time", "os"}


def test_a_call_needs_the_standard_library_alone(path: Path) -> None:
    program = (
        "import sys; from noroshi.node import raise_event; raise_event('e', 's', socket=sys.argv[1]);"
        "print(*sorted({name.partition('.')[0] for name in sys.modules} - sys.stdlib_module_names))"
    )
    with Server(path, answering(b'{"ok": true, "id": "s-1"}\n')):
        done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= {"__main__", "noroshi", "_virtualenv", "_distutils_hack", "sitecustomize"}
