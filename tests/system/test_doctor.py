"""`noroshi doctor` on real clusters: whole ones, and ones whose disk, clocks or nodes are not as they should be.

A disk that breaks a promise is stood in for at the operating system's own calls, in the process that measures alone.
"""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import zmq
from cluster import Cluster
from first import DAEMON, run_first
from lost_lock import free_lock
from waiting import wait_until

from noroshi.console.commands import doctor as command
from noroshi.console.doctor import disk, settings
from noroshi.console.doctor.check import Verdict
from noroshi.console.main import main
from noroshi.node.probe.disk import content
from noroshi.node.wire import codec
from noroshi.node.wire.messages import PROTOCOL
from noroshi.node.wire.panel import Panel
from noroshi.node.wire.probing import (
    AskFacts,
    Clear,
    Facts,
    Failed,
    Kill,
    Locate,
    Located,
    Probed,
    Read,
    Step,
    TryLock,
    Write,
)
from noroshi.store.config import load_cluster

pytestmark = pytest.mark.slow

PROBE = """
import sys
if "noroshi.node.probe" in sys.orig_argv:
    import fcntl, os, time
    {body}
"""
NO_FLOCK = "fcntl.flock = lambda *given: None"
NO_LOCKF = "fcntl.lockf = lambda *given: None"
STALE = """
    seen, fresh = {}, os.pread
    def pread(descriptor, amount, offset):
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        data = fresh(descriptor, amount, offset)
        return seen.setdefault((path, offset), data) if path.endswith(".data") else data
    os.pread = pread
"""
TWO_STEPS = """
    rename = os.rename
    def in_two_steps(old, new):
        if os.path.exists(new):
            os.unlink(new)
            time.sleep(0.01)
        rename(old, new)
    os.rename = in_two_steps
"""
HANGS = """
    def fsync(descriptor):
        while True:
            time.sleep(60)
    os.fsync = fsync
"""
AHEAD = """
import time
_ns = time.time_ns
time.time_ns = lambda: _ns() + 3600 * 10**9
"""


def broken(folder: Path, *bodies: str, daemon: str = "pass") -> dict[str, str]:
    """A node whose process that measures meets a disk which does this."""
    return run_first(folder, PROBE.format(body="\n".join(bodies)) + DAEMON.format(body=daemon))


def doctor(cluster: Cluster, node: str, status: int) -> dict[str, dict[str, Any]]:
    """The checks by what they are of; the command, in this process, for another takes long to start, gives `status`."""
    with redirect_stdout(io.StringIO()) as said:
        assert main(["--config", str(cluster.nodes[node].config), "doctor", "--json"]) == status
    found = json.loads(said.getvalue())
    assert found["cluster"] == "test"
    assert found["ok"] is (status == 0)
    return {check["check"]: check for check in found["checks"]}


def states(checks: dict[str, dict[str, Any]], *subjects: str) -> list[str]:
    return [checks[subject]["state"] for subject in subjects]


@pytest.fixture(autouse=True)
def _any_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """How fast this machine's disk is, beside all that is tested at the same time, is no matter here."""
    monkeypatch.setattr(disk, "SLOW", 60.0)


BETWEEN = ("fresh open", "rename", "locks", "lock of a killed holder")
ALONE = ("file system", "hard links", "fsync")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """c's clock is an hour ahead."""
    root = tmp_path_factory.mktemp("doctor")
    with Cluster(root / "c", interval="500ms", environment={"c": run_first(root / "ahead", AHEAD)}) as running:
        running.start().await_up()
        yield running


def test_a_sound_cluster_passes_and_nothing_is_left(whole: Cluster) -> None:
    checks = doctor(whole, "a", 0)
    assert states(checks, *BETWEEN, *ALONE) == ["OK"] * 7
    assert states(checks, "node a", "node b", "node c", "packets between nodes") == ["OK"] * 4
    assert states(checks, "version", "coordinator", "cluster.yaml") == ["OK"] * 3
    assert states(checks, "keys", "fencing") == ["WARNING", "NOT MEASURED"]
    assert checks["fresh open"]["figures"] == {"reads": 48, "wrong": 0}
    assert checks["rename"]["figures"]["renames"] > 3
    assert checks["locks"]["figures"]["refused"] == 6
    assert checks["fsync"]["figures"]["nodes"].keys() == {"a", "b", "c"}
    leader = whole.await_leader()
    assert f"{leader.node} leads in term {leader.term}" in checks["coordinator"]["measured"]
    assert not whole.layout.probes.exists()
    # the clock that is an hour ahead
    assert states(checks, "clock of b", "clock of c") == ["OK", "WARNING"]
    assert abs(checks["clock of c"]["figures"]["skew"] - 3600) < 0.5
    assert checks["clock of c"]["figures"]["bound"] < 1
    assert "ahead of this node's" in checks["clock of c"]["measured"]


def test_for_people_there_is_one_line_a_check_and_a_changed_cluster_file_is_one(whole: Cluster) -> None:
    text = whole.layout.cluster.read_text()
    whole.layout.cluster.write_text(text + "# another\n")
    try:
        with redirect_stdout(io.StringIO()) as said:
            assert main(["--config", str(whole.nodes["b"].config), "doctor"]) == 1
        head, *lines, last = said.getvalue().splitlines()
    finally:
        whole.layout.cluster.write_text(text)
    assert head == "Cluster test, asked from node b"
    assert last == "14 OK, 2 WARNING, 1 FAILED, 1 NOT MEASURED"
    assert len(lines) == 18
    (failed,) = [line for line in lines if line.split()[1] == "FAILED"]
    assert failed.split()[2] == "cluster.yaml"
    assert "goes by another than the file in the shared directory → restart those daemons" in failed
    assert any("security: none" in line and "→" in line for line in lines)


def test_a_node_that_started_this_moment_is_waited_for(whole: Cluster) -> None:
    """The others try a node that was gone once a second: until then they do not hear it, and nothing is wrong."""
    whole.kill("b")
    wait_until("DOWN", lambda: whole.node_states()["b"] == "DOWN")
    whole.start("b")
    node = load_cluster(whole.layout.cluster).node("b")
    with Panel("test", "a", "0" * 16) as panel:
        wait_until("b answers", lambda: panel.ask({node: AskFacts()}, 0.1))
    found = {check.subject: check for check in command.examine(settings.load(whole.nodes["a"].config))}
    assert found["packets between nodes"].verdict is Verdict.OK, found["packets between nodes"].measured
    whole.await_up()


def test_where_another_doctor_measures_nothing_is_measured(whole: Cluster) -> None:
    node = load_cluster(whole.layout.cluster).node("b")
    with Panel("test", "a", "0123456789abcdef") as another:
        assert isinstance(another.ask({node: Locate()}, 10.0)["b"].answer, Located)
        checks = doctor(whole, "a", 0)
        another.ask({node: Clear()}, 10.0)
    assert checks["disk of b"]["state"] == "NOT MEASURED"
    assert checks["disk of b"]["measured"] == "another doctor measures there"
    assert checks["locks"]["figures"]["refused"] == 2
    assert not whole.layout.probes.exists()


def test_what_does_not_belong_is_refused(whole: Cluster) -> None:
    node = load_cluster(whole.layout.cluster).node("b")

    def why(step: Step, cluster: str = "test") -> str:
        with Panel(cluster, "a", "0123456789abcdef") as panel:
            answer = panel.ask({node: step}, 5.0)["b"].answer
        assert isinstance(answer, Failed)
        assert answer.code == "refused"
        return answer.why

    assert "belongs to cluster 'test'" in why(AskFacts(), cluster="other")
    assert "no other node '../a'" in why(Read("../a"))
    assert "no other node 'b'" in why(TryLock("b")), "closing it would drop its own locks"
    assert "no such run" in why(Write(1))
    assert "no such run" in why(Kill())
    assert not whole.layout.probes.exists()


def test_a_disk_that_breaks_its_promises_is_found(tmp_path: Path) -> None:
    """a renames in two steps, b's flock and c's fcntl locks exclude nobody, c is shown what it saw first, d hangs."""
    environment = {
        "a": broken(tmp_path / "a", TWO_STEPS),
        "b": broken(tmp_path / "b", NO_FLOCK),
        "c": broken(tmp_path / "c", STALE, NO_LOCKF),
        "d": broken(tmp_path / "d", HANGS, daemon="probing.LIMIT = 2.5"),
    }
    with Cluster(tmp_path / "c1", ("a", "b", "c", "d"), environment=environment) as running:
        running.start().await_up()
        checks = doctor(running, "a", 1)
        assert states(checks, "fresh open", "rename", "locks") == ["FAILED"] * 3
        assert "c read version 1 instead of 2 of a" in checks["fresh open"]["measured"]
        assert re.search(r"\d of (48|72) reads wrong", checks["fresh open"]["measured"]), "with d or without"
        assert checks["rename"]["figures"]["missing"] > 0
        assert "reading a's" in checks["rename"]["measured"]
        assert "b obtained the flock that a holds" in checks["locks"]["measured"]
        assert "c obtained the fcntl lock that a holds" in checks["locks"]["measured"]
        assert all(checks[subject]["next"] for subject in ("fresh open", "rename", "locks"))
        # the one that hangs is given up, and the others are measured all the same
        assert checks["disk of d"]["state"] == "FAILED"
        assert "no answer within 2.5 s" in checks["disk of d"]["measured"]
        assert states(checks, *ALONE, "node a", "node b", "node c", "node d") == ["OK"] * 7
        running.raise_on("d", "app/x", "OK")
        wait_until("d goes on", lambda: running.states().get("app/x") == "OK")
        assert running.stop("d") == 0


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount")
def test_another_directory_in_its_place_on_one_node_is_found(tmp_path: Path) -> None:
    shared, other = tmp_path / "c" / "shared", tmp_path / "other"
    other.mkdir()
    mounted = f'mount --bind {other} {shared}/doctor && exec "$@"'
    prefixes = {"b": ("unshare", "--mount", "sh", "-c", mounted, "sh")}
    with Cluster(tmp_path / "c", ("a", "b"), prefixes=prefixes) as running:
        running.layout.probes.mkdir()
        (running.layout.probes / "kept").touch()  # removing the directory would undo the mount on it
        running.start().await_up()
        checks = doctor(running, "a", 1)
        assert states(checks, "fresh open", "hard links", "locks", "fsync") == ["FAILED", "FAILED", "FAILED", "OK"]
        assert "b finds no file of a" in checks["fresh open"]["measured"]
        assert list(other.iterdir()) == []


def test_an_interrupted_doctor_then_nodes_that_are_gone_or_somebody_else(tmp_path: Path) -> None:
    sooner = DAEMON.format(body="probing.IDLE = 4.0")
    with Cluster(tmp_path / "c", environment={"a": run_first(tmp_path / "sooner", sooner)}) as running:
        running.start().await_up()
        running.kill("c")
        running.stop("b")
        words = [sys.executable, "-m", "noroshi.console.main", "doctor", "--config", str(running.nodes["a"].config)]
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        wait_until("it measures", lambda: running.layout.probes.exists() and any(running.layout.probes.iterdir()))
        process.send_signal(signal.SIGKILL)
        process.wait()
        wait_until("what it left is removed", lambda: not running.layout.probes.exists())
        checks = doctor(running, "a", 1)
        assert states(checks, "node a", "node b", "node c") == ["OK", "WARNING", "FAILED"]
        assert "stopped as planned" in checks["node b"]["measured"]
        assert f"ports {running.ports['c']}-{running.ports['c'] + 2}" in checks["node c"]["measured"]
        assert states(checks, *BETWEEN) == ["NOT MEASURED"] * 4
        assert {checks[subject]["measured"] for subject in BETWEEN} == {"only one node runs"}
        assert states(checks, *ALONE) == ["OK"] * 3
        hostile_and_senseless_answers_break_nothing(running)
        running.kill("a")
        checks = doctor(running, "a", 1)
        assert states(checks, "node a", "disk", "coordinator") == ["FAILED", "NOT MEASURED", "NOT MEASURED"]


def test_fencing_is_measured_where_an_operator_cuts_a_node_off(tmp_path: Path) -> None:
    """b's fsync waits while it is cut off; the storage frees its locks; its late write arrives, as on a bad disk."""
    cut = tmp_path / "cut"
    waits = f"import pathlib\n    def fsync(descriptor, gate=pathlib.Path({str(cut)!r}), real=os.fsync):\n"
    waits += "        while gate.exists(): time.sleep(0.01)\n        real(descriptor)\n    os.fsync = fsync"
    environment = {"b": broken(tmp_path / "b", waits, daemon="probing.LIMIT = 2.5")}
    with Cluster(tmp_path / "c", ("a", "b"), environment=environment) as running:
        running.start().await_up()
        words = ["doctor", "--json", "--fence", "b", "--config", str(running.nodes["a"].config)]
        command = [sys.executable, "-m", "noroshi.console.main", *words]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            try:
                text = _cut_and_healed(running, process, cut)
            finally:
                process.kill()
        assert process.returncode == 1
        (check,) = json.loads(text)["checks"]
        assert check["state"] == "FAILED"
        assert "b's late write overwrote what a had written" in check["measured"]
        assert "coordinator: external" in check["next"]
        assert not running.layout.probes.exists()


def _cut_and_healed(running: Cluster, process: subprocess.Popen[str], cut: Path) -> str:
    """Do what the doctor says, as operator and as a disk that takes a late write; what it prints at the end."""
    assert process.stderr is not None
    assert process.stderr.readline() == "cut b off from the shared disk now, but not from the other nodes\n"
    cut.touch()
    for kind in ("flock", "fcntl"):
        (lock,) = running.layout.probes.glob(f"b.*.{kind}")
        free_lock(lock)
    assert process.stderr.readline() == "let b reach the shared disk again\n"
    (data,) = running.layout.probes.glob("b.*.data")
    assert data.read_bytes() == content(3)
    data.write_bytes(content(2))
    cut.unlink()
    return process.communicate(timeout=60)[0]


def hostile_and_senseless_answers_break_nothing(running: Cluster) -> None:
    """b answers junk, c answers with what would take over a terminal, and never with what was asked."""
    hostile = "\x1b]0;owned\x07\x1b[2J\u202e"
    heard = Facts("c", b"\x1b" * 8, hostile, PROTOCOL, "test", "", hostile, 1, [], hostile, 1)
    words = ["--config", str(running.nodes["a"].config), "doctor"]
    with (
        Stranger(running.ports["b"], b"\xc1junk", packet=b"") as b,
        Stranger(running.ports["c"], codec.encode(Probed(PROTOCOL, heard)), packet=b"\x93\xc0\xc0\xc0") as c,
        subprocess.Popen(
            [sys.executable, "-m", "noroshi.console.main", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        while process.poll() is None:
            b.serve()
            c.serve()
        text, said = process.communicate()
    assert process.returncode == 1
    assert said == ""
    assert "answers with what is no answer" in text
    assert "sends no packets of Noroshi" in text
    assert "an answer that fits nothing" in text
    for unsafe in ("\x1b", "\x07", "\u202e"):
        assert unsafe not in text
    assert "fresh open" in text
    assert running.nodes["a"].running


class Stranger:
    """Something else on a node's ports, that answers everything with the same."""

    def __init__(self, port: int, answer: bytes, packet: bytes) -> None:
        self._context, self._answer, self._packet = zmq.Context(), answer, packet
        self._router, self._publisher = self._context.socket(zmq.ROUTER), self._context.socket(zmq.PUB)
        self._publisher.bind(f"tcp://127.0.0.1:{port}")
        self._router.bind(f"tcp://127.0.0.1:{port + 1}")

    def __enter__(self) -> Stranger:
        return self

    def __exit__(self, *error: object) -> None:
        self._context.destroy(linger=0)

    def serve(self) -> None:
        if self._packet:
            self._publisher.send(self._packet)
        while self._router.poll(20):
            self._router.send_multipart([*self._router.recv_multipart()[:-1], self._answer])
