"""A shared disk that hangs in the kernel, where no process can be ended: a file system that is frozen."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import Cluster
from commands import noroshi
from first import DAEMON, SILENT_SOONER, run_first
from waiting import wait_until

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount and freeze a file system"),
]


class Disk:
    """A file system in a file, mounted on `path`."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "disk"
        self.path.mkdir()
        image = folder / "image"
        with image.open("wb") as file:
            file.truncate(32 * 1024 * 1024)
        subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
        mounted = subprocess.run(["mount", "-o", "loop", str(image), str(self.path)], capture_output=True, text=True)
        if mounted.returncode:
            pytest.skip(f"cannot mount here: {mounted.stderr.strip()}")
        self._frozen = False

    def freeze(self) -> None:
        subprocess.run(["fsfreeze", "--freeze", str(self.path)], check=True)
        self._frozen = True

    def thaw(self) -> None:
        if self._frozen:
            subprocess.run(["fsfreeze", "--unfreeze", str(self.path)], check=True)
        self._frozen = False

    def end(self) -> None:
        self.thaw()
        subprocess.run(["umount", str(self.path)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    made = Disk(tmp_path)
    try:
        yield made
    finally:
        made.end()


def test_nothing_is_acknowledged_and_another_leads_once_the_disk_answers(tmp_path: Path, disk: Disk) -> None:
    environment = dict.fromkeys("ab", run_first(tmp_path / "sooner", SILENT_SOONER))
    with Cluster(tmp_path / "c", ("a", "b"), shared=disk.path / "shared", environment=environment) as running:
        running.start()
        old = running.await_up()
        other = running.other_than(old.node)
        process = running.coordinator_process(old.node)
        assert process is not None
        disk.freeze()
        try:
            for number in range(5):
                running.raise_on(other, f"app/{number}", "ERROR")
            said = running.nodes[old.node]
            wait_until("it gives up", lambda: "the shared disk has not answered for" in said.stderr, 20)
            wait_until("its daemon is done with it", lambda: "the coordinator has not answered" in said.stderr, 20)
            wait_until("the other node is not answered", lambda: "wait: no answer" in running.nodes[other].stderr, 20)
            assert running.events("app/*") == [], "not committed, so not acknowledged"
            assert all(running.nodes[name].running for name in running.names), "no daemon touches that disk"
        finally:
            disk.thaw()
        new = running.await_leader(not_term=old.term)
        assert new.term > old.term
        wait_until("all arrive", lambda: len(running.events("app/*")) == 5)
        assert [event.count for event in running.events("app/*")] == [1] * 5
        assert not process.is_running()


def test_a_doctor_gives_up_a_disk_that_does_not_answer_and_no_daemon_waits_for_it(tmp_path: Path, disk: Disk) -> None:
    sooner = run_first(tmp_path / "sooner", DAEMON.format(body="probing.LIMIT = 2.5"))
    environment = dict.fromkeys("ab", sooner)
    with Cluster(tmp_path / "c", ("a", "b"), shared=disk.path / "shared", environment=environment) as running:
        running.start().await_up()
        disk.freeze()
        try:
            for _ in range(2):
                said = noroshi(running, "a", "doctor", status=1)
                assert "disk of a" in said
                assert "disk of b" in said
            assert "still waits for the disk" in said, "one process is given up, not one each time"
            assert all(running.nodes[name].running for name in running.names)
        finally:
            disk.thaw()
        running.await_up()
        assert "ext4" in noroshi(running, "b", "doctor")
