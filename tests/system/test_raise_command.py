"""`noroshi raise` as shells and hooks run it: with a daemon, without one, with one that hangs."""

from __future__ import annotations

import errno
import json
import os
import shlex
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ports import free_ports
from raisers import NodeThread, short_directory
from waiting import Stopwatch, wait_until

from noroshi.node.wire import drop

MAIN = "import sys; from noroshi.console.main import main; sys.exit(main())"


@pytest.fixture
def directory() -> Iterator[Path]:
    with short_directory() as path:
        (path / "node.yaml").write_text(f"node: n1\nshared: {path}\nstate: {path}/state\nrun: {path}/run\n")
        yield path


def noroshi(directory: Path, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "NOROSHI_CONFIG": str(directory / "node.yaml"), **settings}
    command = [sys.executable, "-c", MAIN, "raise", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)


def left(directory: Path) -> list[Path]:
    return sorted((directory / "state" / "drop").glob("*.event"))


def seen(node: NodeThread, deferred: bool = False) -> list[tuple[str, str, str]]:
    return [(each.event, each.state, each.supplement) for each in node.stored(deferred)]


def test_its_id_is_printed_when_it_is_safe(directory: Path) -> None:
    with NodeThread(directory) as node:
        done = noroshi(directory, "app/x", "ERROR", "queue 3")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == f"{node.node.events.stream.hex()}-1\n"
        assert noroshi(directory, "printer/1", "IDLE", "--deferred").returncode == 0
        assert seen(node) == [("app/x", "ERROR", "queue 3")]
        assert seen(node, deferred=True) == [("printer/1", "IDLE", "")]
        assert left(directory) == []


def test_the_configuration_named_on_the_command_line_goes_first(directory: Path) -> None:
    with NodeThread(directory) as node:
        named, elsewhere = str(directory / "node.yaml"), {"NOROSHI_CONFIG": "/nowhere", "NOROSHI_SOCKET": "/nowhere"}
        done = noroshi(directory, "--config", named, "app/x", "OK", **elsewhere)
        assert done.returncode == 0 and len(seen(node)) == 1
        assert noroshi(directory, "app/y", "OK", NOROSHI_CONFIG="/nowhere", NOROSHI_SOCKET=node.socket).returncode == 0
        assert len(seen(node)) == 2


def test_what_the_daemon_refuses_or_ignores(directory: Path) -> None:
    with NodeThread(directory, lambda name: name != "noise") as node:
        done = noroshi(directory, "app/x", "OK", "s" * 5000, "--deferred")
        assert done.returncode == 1 and "too big to be deferred" in done.stderr and done.stdout == ""
        done = noroshi(directory, "noise", "OK")
        assert done.returncode == 0 and "left out" in done.stderr and done.stdout == ""
        assert (seen(node), left(directory)) == ([], [])


@pytest.mark.parametrize(
    "words", [[], ["app/x"], ["app/x", "OK", "s", "t"], ["", "OK"], ["a\nb", "OK"], ["a", "s" * 65]]
)
def test_called_wrongly(directory: Path, words: list[str]) -> None:
    done = noroshi(directory, *words)
    assert done.returncode == 2 and done.stderr and not done.stdout


def test_bytes_that_are_no_utf8_do_not_stop_an_event(directory: Path) -> None:
    with NodeThread(directory) as node:
        command = [sys.executable, "-c", MAIN, "raise", b"app/\xff", b"OK", b"\xfe done"]
        environment = {**os.environ, "NOROSHI_CONFIG": str(directory / "node.yaml")}
        subprocess.run(command, env=environment, check=True, timeout=30, stdout=subprocess.DEVNULL)
        assert seen(node) == [("app/�", "OK", "� done")]


def test_without_a_daemon_it_is_kept_and_taken_in_once(directory: Path) -> None:
    with NodeThread(directory):
        pass
    with Stopwatch() as watch:
        for count in range(3):
            done = noroshi(directory, "raid/n1/md0", "DEGRADED", f"disk {count}")
            assert done.returncode == 0 and done.stdout == "" and "kept in" in done.stderr
        assert watch.seconds < 3 * 1.0 + 6  # each under a second on a machine that is not busy
    assert len(left(directory)) == 3
    assert {path.stat().st_mode & 0o777 for path in left(directory)} == {0o640}
    raised_at = int(left(directory)[0].name.partition("-")[0])
    with NodeThread(directory) as node:
        wait_until("taken in", lambda: not left(directory))
        assert seen(node) == [("raid/n1/md0", "DEGRADED", f"disk {count}") for count in range(3)]
        assert node.stored()[0].observed_at == raised_at
    with NodeThread(directory) as node:
        assert len(seen(node)) == 3


def test_a_daemon_that_hangs_is_not_waited_for_and_the_event_is_stored_once(directory: Path) -> None:
    with NodeThread(directory) as node:
        held, freed = threading.Event(), threading.Event()
        node._loop.call_soon_threadsafe(lambda: (held.set(), freed.wait(60)))
        held.wait(30)
        try:
            done = noroshi(directory, "app/x", "ERROR", "once")
            assert done.returncode == 0 and "did not confirm" in done.stderr and len(left(directory)) == 1
        finally:
            freed.set()
        wait_until("taken in", lambda: not left(directory))
        wait_until("stored", lambda: seen(node))
        assert seen(node) == [("app/x", "ERROR", "once")]
        assert node.node.intake.counts.repeated == 1


def test_taken_in_again_after_a_crash_before_it_was_removed(directory: Path) -> None:
    with NodeThread(directory):
        pass
    noroshi(directory, "app/x", "ERROR")
    (path,) = left(directory)
    content = path.read_bytes()
    with NodeThread(directory):
        wait_until("taken in", lambda: not left(directory))
    path.write_bytes(content)  # as if the daemon had died between the spool and the removal
    with NodeThread(directory) as node:
        wait_until("taken in again", lambda: not left(directory))
        assert len(seen(node)) == 1


def test_a_deferred_event_too_big_for_a_packet_is_raised_at_once(directory: Path) -> None:
    with NodeThread(directory):
        pass
    assert noroshi(directory, "app/x", "OK", "s" * 5000, "--deferred").returncode == 0
    with NodeThread(directory) as node:
        wait_until("taken in", lambda: not left(directory))
        assert seen(node) == [("app/x", "OK", "s" * 5000)]


def test_where_nothing_may_be_left_it_fails_and_says_so(directory: Path) -> None:
    done = noroshi(directory, "app/x", "OK")
    assert done.returncode == 1 and "is the node daemon running" in done.stderr and done.stdout == ""
    (directory / "state" / "drop").mkdir(parents=True)
    (directory / "node.yaml").write_text("node: n1\n")
    done = noroshi(directory, "app/x", "OK")
    assert done.returncode == 1 and "no `run:` line" in done.stderr


def test_where_too_many_are_connected_an_event_is_left_for_later(directory: Path) -> None:
    """Whoever may raise could otherwise keep all others from it, by connections alone."""
    with NodeThread(directory) as node:
        node.node.agent._most = 1
        with socket.socket(socket.AF_UNIX) as held:
            held.connect(node.socket)
            wait_until("one is connected", lambda: node.node.agent.clients == 1)
            done = noroshi(directory, "raid/n1/md0", "ERROR")
            assert (done.returncode, done.stdout) == (0, "") and "kept in" in done.stderr, done
            wait_until("taken in", lambda: seen(node) == [("raid/n1/md0", "ERROR", "")])
        wait_until("it is nowhere else", lambda: left(directory) == [])


def test_what_others_put_into_the_drop_directory_hurts_nobody(directory: Path) -> None:
    with NodeThread(directory):
        pass
    place = directory / "state" / "drop"
    assert place.stat().st_mode & 0o7777 == 0o3770
    secret = directory / "secret"
    secret.write_text('{"event": "stolen", "state": "OK", "observed_at": 1}')
    (place / "1-link.event").symlink_to(secret)
    os.mkfifo(place / "2-pipe.event")
    (place / "3-junk.event").write_bytes(b"\xff" * 100)
    (place / "4-big.event").write_bytes(b" " * (drop.FILE_MOST + 1))
    (place / "5-empty.event").write_bytes(b"")
    (place / "6-directory.event").mkdir()
    (place / "7-bad.event").write_text('{"event": "", "state": "OK", "observed_at": 1}')
    (place / "8-late.event").write_text('{"event": "future", "state": "OK", "observed_at": 99999999999999999999}')
    (place / "9-good.event").write_text('{"event": "good", "state": "OK", "observed_at": 5}')
    (place / "unrelated").write_text("x")
    with NodeThread(directory) as node:
        wait_until("looked at", lambda: not list(place.glob("*.event")))
        assert [event for event, _, _ in seen(node)] == ["future", "good"]
        assert node.stored()[0].observed_at <= time.time_ns() // 1000
    assert len(list(place.glob("*.refused"))) == 7
    assert secret.exists() and (place / "unrelated").exists()


def test_nobody_holds_up_what_others_left_by_names_that_are_taken(directory: Path) -> None:
    with NodeThread(directory):
        pass
    place = directory / "state" / "drop"
    for name in ("1-junk.event", "2-link.event"):
        (place / f"{name}.refused" / "full").mkdir(parents=True)
    (place / "1-junk.event").write_text("junk")
    (place / "2-link.event").symlink_to("/nowhere")
    (place / "3-good.event").write_text('{"event": "good", "state": "OK", "observed_at": 5}')
    with NodeThread(directory) as node:
        wait_until("taken in", lambda: seen(node) == [("good", "OK", "")])
        wait_until("looked at", lambda: not list(place.glob("*.event")))
    assert len(list(place.glob("*.refused"))) == 4


def test_what_cannot_be_read_for_want_of_descriptors_is_read_later(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with NodeThread(directory):
        pass
    (directory / "state" / "drop" / "1.event").write_text('{"event": "good", "state": "OK", "observed_at": 5}')
    read, refused = drop.read, [2]

    def without(path: str) -> bytes:
        if refused[0]:
            refused[0] -= 1
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return read(path)

    monkeypatch.setattr(drop, "read", without)
    monkeypatch.setattr("noroshi.node.daemon.dropbox.PERIOD", 0.05)
    with NodeThread(directory) as node:
        wait_until("taken in", lambda: seen(node) == [("good", "OK", "")])
    assert refused == [0]


def test_an_event_is_left_whole_or_not_at_all(tmp_path: Path) -> None:
    line = b'{"event": "e", "state": "s"}\n'
    path = Path(drop.leave(str(tmp_path), line, 17, "name"))
    assert json.loads(path.read_bytes()) == {"event": "e", "state": "s", "observed_at": 17}
    with pytest.raises(OSError, match="File exists"):
        (tmp_path / (path.name + ".new")).write_text("")
        drop.leave(str(tmp_path), line, 17, "name")
    with pytest.raises(FileNotFoundError):
        drop.leave(str(tmp_path / "none"), line, 17, "name")
    assert drop.look(str(tmp_path), 10) == [str(path)]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be somebody else")
@pytest.mark.root
def test_who_is_not_in_the_group_can_do_neither(directory: Path) -> None:
    directory.chmod(0o755)
    with NodeThread(directory):
        command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable, "-c", MAIN, "raise"]
        environment = {**os.environ, "NOROSHI_CONFIG": str(directory / "node.yaml"), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run([*command, "a", "b"], env=environment, capture_output=True, text=True, check=False)
        if "No such file" in done.stderr or "can't open" in done.stderr or "ModuleNotFound" in done.stderr:
            pytest.skip("another user cannot run this Python")
        assert done.returncode == 1 and "Permission denied" in done.stderr
        assert left(directory) == []


def test_starting_it_loads_neither_msgspec_nor_zmq_nor_yaml(directory: Path) -> None:
    program = (
        "import sys; from noroshi.console.main import main; main(['raise', 'a', 'b']);"
        "slow = {'msgspec', 'zmq', 'yaml', 'textual', 'apsw', 'asyncio'};"
        "print(*{name.partition('.')[0] for name in sys.modules} & slow)"
    )
    environment = {**os.environ, "NOROSHI_CONFIG": str(directory / "node.yaml")}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.strip() == ""


def test_a_shell_one_liner_from_the_readme(directory: Path) -> None:
    with NodeThread(directory) as node, socket.socket(socket.AF_UNIX) as probe:
        probe.connect(node.socket)
        program = f'{shlex.quote(sys.executable)} -c {shlex.quote(MAIN)} raise app/backup ERROR "exit $?"'
        environment = {**os.environ, "NOROSHI_SOCKET": node.socket}
        subprocess.run(["sh", "-c", f"false || {program}"], env=environment, check=True, stdout=subprocess.DEVNULL)
        assert seen(node) == [("app/backup", "ERROR", "exit 1")]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be somebody else")
@pytest.mark.root
@pytest.mark.parametrize("first", [["node"], ["keygen", "node"]], ids="-".join)
def test_the_daemons_group_reaches_the_socket_and_the_drop_directory_that_the_daemon_made(
    directory: Path, first: list[str]
) -> None:
    directory.chmod(0o755)
    group, port = 54321, free_ports(1)[0]
    (directory / "cluster.yaml").write_text(
        f"cluster: c\nkeys: keys\nnodes:\n  n1: {{address: 127.0.0.1, port: {port}}}\n"
    )
    (directory / "node.yaml").write_text(
        f"node: n1\nshared: {directory}\nstate: {directory}/var/n1\nrun: {directory}/var/run/n1\n"
    )
    command = [sys.executable, "-m", "noroshi.console.main", "--config", str(directory / "node.yaml")]
    for word in first[:-1]:
        subprocess.run([*command, word], check=True, capture_output=True, group=group, extra_groups=[])
    daemon = subprocess.Popen([*command, first[-1]], stderr=subprocess.PIPE, group=group, extra_groups=[])
    try:
        reached = f"test -w {directory}/var/run/n1/agent.sock && test -w {directory}/var/n1/drop"
        wait_until("both are there", lambda: _as(0, 0, reached))
        assert _as(65534, group, reached)
        assert not _as(65534, 65534, f"test -w {directory}/var/run/n1/agent.sock")
        assert not _as(65534, 65534, f"test -w {directory}/var/n1/drop")
        assert not _as(65534, group, f"ls {directory}/var/n1")
    finally:
        daemon.terminate()
        daemon.communicate()


def _as(user: int, group: int, script: str) -> bool:
    words = ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", "sh", "-c", script]
    return subprocess.run(words, check=False, capture_output=True).returncode == 0
