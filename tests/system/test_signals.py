"""Signals that raise events: to the node daemon by its file, to a program of the user's own by a call."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import Cluster
from raisers import NodeThread, short_directory
from waiting import wait_until

from noroshi.node.daemon.signals import number_of


@pytest.fixture
def directory() -> Iterator[Path]:
    with short_directory() as path:
        yield path


def _program(node: NodeThread, text: str) -> subprocess.CompletedProcess[str]:
    """Run a user's program to its end."""
    environment = {**os.environ, "NOROSHI_SOCKET": node.socket}
    head = "import os, signal, sys, time\nfrom noroshi.node.client import raise_on_signal\n"
    return subprocess.run(
        [sys.executable, "-c", head + text], env=environment, capture_output=True, text=True, timeout=60
    )


def _stored(node: NodeThread) -> list[tuple[str, str, str]]:
    return [(each.event, each.state, each.supplement) for each in node.stored()]


def test_signals_are_raised_in_their_order_and_before_the_program_ends(directory: Path) -> None:
    with NodeThread(directory) as node:
        done = _program(
            node,
            """
raise_on_signal(signal.SIGUSR1, "app/batch", "STARTED", {"by": "hand"})
raise_on_signal(signal.SIGUSR2, "app/batch", "ENDED")
for _ in range(20):
    os.kill(os.getpid(), signal.SIGUSR1)
    os.kill(os.getpid(), signal.SIGUSR2)
print("still here")
""",
        )
        assert (done.stdout, done.stderr, done.returncode) == ("still here\n", "", 0)
        assert _stored(node) == [("app/batch", "STARTED", '{"by":"hand"}'), ("app/batch", "ENDED", "")] * 20


def test_a_signal_in_the_middle_of_raising_another_event_is_none_the_worse(directory: Path) -> None:
    with NodeThread(directory) as node:
        done = _program(
            node,
            """
from noroshi.node.client import raise_event
raise_on_signal(signal.SIGALRM, "app/tick", "OK")
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
for number in range(200):
    raise_event("app/count", "OK", str(number))
signal.setitimer(signal.ITIMER_REAL, 0)
""",
        )
        assert (done.returncode, done.stderr) == (0, "")
        stored = _stored(node)
        assert [said for event, _, said in stored if event == "app/count"] == [str(number) for number in range(200)]
        assert ("app/tick", "OK", "") in stored


def test_a_forked_child_raises_by_itself(directory: Path) -> None:
    with NodeThread(directory) as node:
        done = _program(
            node,
            """
raise_on_signal(signal.SIGUSR1, "app/parent-or-child", "OK")
child = os.fork()
if child == 0:
    os.kill(os.getpid(), signal.SIGUSR1)
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
""",
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert _stored(node) == [("app/parent-or-child", "OK", "")]


def test_an_event_that_cannot_be_stored_is_told_and_stops_nothing(directory: Path) -> None:
    with NodeThread(directory) as node:
        socket = node.socket
        done = _program(
            node,
            """
failures = []
raise_on_signal(signal.SIGUSR1, "app/x", "OK", socket="/nowhere/agent.sock")
raise_on_signal(signal.SIGUSR2, "app/y", "OK", socket="/nowhere/agent.sock", failed=failures.append)
raise_on_signal(signal.SIGALRM, "app/z", "OK")
for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM):
    os.kill(os.getpid(), number)
while not failures:
    time.sleep(0.01)
print(type(failures[0]).__name__)
""",
        )
        assert socket and done.stdout == "RaiseError\n"
        assert done.stderr.count("cannot reach the node daemon at /nowhere/agent.sock") == 1
        assert _stored(node) == [("app/z", "OK", "")]


def test_what_is_wrong_is_said_when_it_is_asked_for_and_the_former_handler_comes_back(directory: Path) -> None:
    with NodeThread(directory) as node:
        done = _program(
            node,
            """
for number, supplement in ((signal.SIGKILL, ""), (signal.SIGUSR1, object())):
    try:
        raise_on_signal(number, "app/x", "OK", supplement)
    except (OSError, TypeError) as error:
        print(type(error).__name__)
print(raise_on_signal(signal.SIGUSR1, "app/x", "OK").name, callable(raise_on_signal(signal.SIGUSR1, "app/x", "OK")))
""",
        )
        assert (done.stdout, done.stderr) == ("OSError\nTypeError\nSIG_DFL True\n", "")


def test_signals_by_their_names() -> None:
    names = ("USR1", "USR2", "RTMIN", "RTMIN+3")
    assert [number_of(name) for name in names] == [10, 12, signal.SIGRTMIN, signal.SIGRTMIN + 3]


@pytest.mark.slow
def test_the_daemon_raises_what_its_file_says(directory: Path) -> None:
    mapped = """\
signals:
  USR1: {event: app/batch, state: STARTED, supplement: by hand}
  RTMIN+3: {event: app/batch, state: ENDED}
"""
    with Cluster(directory / "c", names=("a",), extra={"a": mapped}) as cluster:
        cluster.start("a").await_up()
        daemon = cluster.nodes["a"].daemon
        assert daemon is not None
        daemon.send_signal(signal.SIGUSR1)
        wait_until("the first is stored", lambda: cluster.states().get("app/batch") == "STARTED")
        daemon.send_signal(signal.SIGRTMIN + 3)
        wait_until("the second is stored", lambda: cluster.states().get("app/batch") == "ENDED")
        assert [(each.state, each.supplement) for each in cluster.events("app/batch")] == [
            ("STARTED", "by hand"),
            ("ENDED", ""),
        ]
