"""What the doctor makes of the answers to its steps, on disks that no machine of a test has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import cast

import pytest

from noroshi.console.doctor import fencing
from noroshi.console.doctor.check import Check, Verdict
from noroshi.console.doctor.disk import measure
from noroshi.node.wire.panel import Panel, Reply
from noroshi.node.wire.probing import (
    Answer,
    Done,
    Failed,
    Found,
    Kill,
    Link,
    Locate,
    Located,
    Lock,
    Read,
    Replace,
    Replaced,
    Step,
    Sync,
    Synced,
    Tried,
    TryLock,
    Watch,
    Watched,
    Write,
)
from noroshi.store.config import NodeAddress

HANGS = Failed("hung", "no answer within 5 s")
NODES = tuple(NodeAddress(name, "127.0.0.1", 7400 + 10 * at) for at, name in enumerate("abc"))


@dataclass
class Cluster:
    """Stands in for the nodes: sound ones on one host, but for what `change` answers instead."""

    kind: str = "ext4"
    options: str = "rw"
    hosts: int = 1
    lost_locks: str = ""
    change: Callable[[str, Step], Answer | None] = lambda node, step: None
    asked: list[tuple[str, Step]] = field(default_factory=list)
    _written: dict[str, int] = field(default_factory=dict)
    _holds: bool = False

    def ask(self, steps: Mapping[NodeAddress, Step], timeout: float) -> dict[str, Reply]:
        self.asked += [(node.name, step) for node, step in steps.items()]
        answers = {node.name: self.change(node.name, step) or self._answer(node, step) for node, step in steps.items()}
        return {name: Reply(answer, 0, 0.001) for name, answer in answers.items()}

    def _answer(self, node: NodeAddress, step: Step) -> Answer:
        match step:
            case Locate():
                host = f"host{NODES.index(node) % self.hosts}"
                return Located(self.kind, "srv:/x", "/srv", self.options, host, 10**12, self.lost_locks)
            case Write(number):
                self._written[node.name] = number
            case Read(of):
                return Found(4096, self._written.get(of, 0), of in self._written)
            case Replace():
                return Replaced(9)
            case Watch():
                return Watched(100, 0, 0, 0)
            case Sync():
                return Synced(50, 0.002, 0.01)
            case TryLock(_, seconds):
                return Tried(seconds > 0, seconds > 0, seconds == 0, 0.001)
        return Done()

    def checks(self, nodes: tuple[NodeAddress, ...] = NODES) -> dict[str, Check]:
        return {check.subject: check for check in measure(cast(Panel, self), nodes)}


def verdicts(cluster: Cluster) -> dict[str, Verdict]:
    return {subject: check.verdict for subject, check in cluster.checks().items()}


def test_a_sound_disk() -> None:
    found = verdicts(Cluster())
    assert found.pop("fencing") is Verdict.NOT_MEASURED
    assert set(found.values()) == {Verdict.OK}
    assert len(found) == 7


def test_a_local_file_system_on_several_hosts_is_no_shared_disk() -> None:
    assert verdicts(Cluster())["file system"] is Verdict.OK
    check = Cluster(hosts=2).checks()["file system"]
    assert check.verdict is Verdict.FAILED
    assert "not shared by several hosts" in check.measured
    assert "3 nodes on 2 hosts" in check.measured


@pytest.mark.parametrize(
    ("kind", "options", "verdict", "words"),
    [
        ("nfs4", "rw,vers=4.2,hard,lookupcache=none", Verdict.OK, "nfs4 srv:/x"),
        ("nfs4", "rw,vers=4.2,hard", Verdict.WARNING, "lookupcache=none"),
        ("nfs", "rw,vers=3,lookupcache=none", Verdict.WARNING, "NFSv3"),
        ("nfs", "rw,vers=3,nolock,lookupcache=none", Verdict.FAILED, "nolock (locks do not leave this host)"),
        ("gfs2", "rw,localflocks", Verdict.FAILED, "localflocks"),
        ("fuse.glusterfs", "rw", Verdict.OK, "fuse.glusterfs"),
        ("fuse.sshfs", "rw", Verdict.WARNING, "nothing is known"),
    ],
)
def test_the_options_of_a_mount(kind: str, options: str, verdict: Verdict, words: str) -> None:
    check = Cluster(kind, options, hosts=3).checks()["file system"]
    assert check.verdict is verdict
    assert words in check.measured
    assert bool(check.next) is (verdict is not Verdict.OK)


@pytest.mark.parametrize(
    ("kind", "lost_locks", "verdict", "words", "hint"),
    [
        ("ext4", "", Verdict.NOT_MEASURED, "fences nobody", ""),
        ("nfs4", "N", Verdict.NOT_MEASURED, "recover_lost_locks=N", "STONITH"),
        ("nfs4", "Y", Verdict.WARNING, "recover_lost_locks=Y", "coordinator: external"),
        ("fuse.glusterfs", "", Verdict.NOT_MEASURED, "client.strict-locks", "client.strict-locks on"),
        ("ceph", "", Verdict.NOT_MEASURED, "blocklisted", "mds_session_blocklist_on_timeout"),
        ("ceph recover_session=clean", "", Verdict.WARNING, "recover_session=clean", "coordinator: external"),
        ("gfs2", "", Verdict.NOT_MEASURED, "fencing", "pcs stonith status"),
    ],
)
def test_fencing_is_never_claimed(kind: str, lost_locks: str, verdict: Verdict, words: str, hint: str) -> None:
    kind, _, options = kind.partition(" ")
    check = Cluster(kind, options or "rw", lost_locks=lost_locks).checks()["fencing"]
    assert check.verdict is verdict
    assert words in check.measured
    assert hint in check.next


def test_what_fails_comes_with_the_options_of_that_file_system() -> None:
    def stale(node: str, step: Step) -> Answer | None:
        return Found(4096, 1, True) if isinstance(step, Read) and node == "c" and step.file == "data" else None

    cluster = Cluster("fuse.glusterfs", change=stale, hosts=3)
    check = cluster.checks()["fresh open"]
    assert check.verdict is Verdict.FAILED
    assert check.figures == {"reads": 48, "wrong": 14}
    assert check.measured.startswith("14 of 48 reads wrong: c read version 1 instead of 2 of a;")
    assert "attribute-timeout=0" in check.next


def test_readings_that_fail_most_of_the_time_are_no_stale_handles() -> None:
    def denied(node: str, step: Step) -> Answer | None:
        return Watched(100, 0, 0, 100, "Permission denied") if isinstance(step, Watch) and node == "c" else None

    check = Cluster("nfs4", change=denied).checks()["rename"]
    assert check.verdict is Verdict.FAILED
    assert check.measured.startswith("c reading a's: 100 of 100 readings failed (Permission denied); c reading b's")


def test_stale_handles_cost_time_only() -> None:
    def stale(node: str, step: Step) -> Answer | None:
        return Watched(100, 0, 0, 2, "Stale file handle") if isinstance(step, Watch) else None

    check = Cluster("nfs4", change=stale).checks()["rename"]
    assert check.verdict is Verdict.WARNING
    assert check.figures["errors"] == 12
    assert "12 got an error (Stale file handle)" in check.measured


def test_without_hard_links_nobody_takes_over() -> None:
    def none(node: str, step: Step) -> Answer | None:
        return Failed("disk", "b.link: Operation not supported") if isinstance(step, Link) and node == "b" else None

    check = Cluster(change=none).checks()["hard links"]
    assert check.verdict is Verdict.FAILED
    assert check.measured == "b: b.link: Operation not supported"
    assert "take-over" in check.next


def test_a_slow_fsync_is_a_warning() -> None:
    def slow(node: str, step: Step) -> Answer | None:
        return Synced(4, 0.08, 0.3) if isinstance(step, Sync) and node == "b" else None

    check = Cluster(change=slow).checks()["fsync"]
    assert check.verdict is Verdict.WARNING
    assert "b 12 a second" in check.measured
    assert "300 ms" in check.measured


def test_a_lock_that_is_never_freed_is_found() -> None:
    def kept(node: str, step: Step) -> Answer | None:
        return Tried(False, True, True, 2.0) if isinstance(step, TryLock) and step.seconds else None

    checks = Cluster(change=kept).checks()
    assert checks["locks"].verdict is checks["lock of a killed holder"].verdict is Verdict.FAILED
    assert "b was refused what a had released" in checks["locks"].measured


def test_a_lock_that_shows_to_nobody_who_only_reads_is_found() -> None:
    """So it is that a command sees whether somebody leads."""

    def unseen(node: str, step: Step) -> Answer | None:
        return Tried(False, False, False, 0.0) if isinstance(step, TryLock) and not step.seconds else None

    check = Cluster(change=unseen).checks()["locks"]
    assert check.verdict is Verdict.FAILED
    assert "b, opening to read, takes the flock that a holds for free" in check.measured


@pytest.mark.parametrize("at", [Write, Link, Replace, Sync, Lock])
@pytest.mark.parametrize("nodes", [1, 2, 3])
def test_where_every_disk_hangs_nothing_is_claimed(at: type[Step], nodes: int) -> None:
    checks = Cluster(change=lambda node, step: HANGS if isinstance(step, at) else None).checks(NODES[:nodes])
    bad = {subject for subject, check in checks.items() if check.verdict is Verdict.FAILED}
    assert bad <= {f"disk of {node.name}" for node in NODES[:nodes]}
    assert bad or (nodes == 1 and at in (Replace, Lock)), "of which nothing is asked of one node"
    if at in (Write, Link, Sync):
        assert checks["fsync"].verdict is Verdict.NOT_MEASURED
    assert checks["lock of a killed holder"].verdict is Verdict.NOT_MEASURED


@pytest.mark.parametrize("at", [Lock, Kill])
def test_a_holder_that_never_locked_or_never_died_freed_nothing(at: type[Step]) -> None:
    locks: list[str] = []

    def hangs(node: str, step: Step) -> Answer | None:
        locks.extend(["lock"] * (isinstance(step, Lock) and node == "a"))
        return HANGS if node == "a" and isinstance(step, at) and len(locks) == 2 else None

    checks = Cluster(change=hangs).checks()
    assert checks["lock of a killed holder"].verdict is Verdict.NOT_MEASURED
    assert checks["disk of a"].verdict is Verdict.FAILED


def test_what_is_kept_after_damage_is_told_until_it_is_removed() -> None:
    def kept(node: str, step: Step) -> Answer | None:
        at = Located("ext4", "srv:/x", "/srv", "rw", "host0", 10**12, "", 3, 3 * 2**20, "noroshi.db.damaged-2")
        return at if isinstance(step, Locate) else None

    check = Cluster(change=kept).checks()["kept after damage"]
    assert check.verdict is Verdict.WARNING
    assert check.measured == "3 files of 3.0 MiB together, the newest noroshi.db.damaged-2"
    assert "kept after damage" not in Cluster().checks()


def test_items_that_no_coordinator_could_work_on_are_told_until_they_are_removed() -> None:
    def unfit(node: str, step: Step) -> Answer | None:
        at = Located("ext4", "srv:/x", "/srv", "rw", "host0", 10**12, unfit=2, unfit_newest="db2-deferred-0a-7.json")
        return at if isinstance(step, Locate) else None

    check = Cluster(change=unfit).checks()["set aside"]
    assert check.verdict is Verdict.WARNING
    assert check.measured == "2 items that no coordinator could work on, the newest aside/db2-deferred-0a-7.json"
    assert "set aside" not in Cluster().checks()


@pytest.mark.parametrize("at", [Write, Link, Replace, Sync, Lock, TryLock])
def test_a_node_that_hangs_is_named_once_and_asked_no_more(at: type[Step]) -> None:
    def hangs(node: str, step: Step) -> Answer | None:
        return Failed("hung", "no answer within 5 s") if node == "b" and isinstance(step, at) else None

    cluster = Cluster(change=hangs)
    checks = cluster.checks()
    assert [subject for subject, check in checks.items() if check.verdict is Verdict.FAILED] == ["disk of b"]
    after = [step for node, step in cluster.asked if node == "b"]
    assert isinstance(after[-1], at)


def test_alone_or_beside_another_doctor_nothing_between_nodes_is_claimed() -> None:
    alone = Cluster().checks(NODES[:1])
    assert alone["locks"].measured == "only one node runs"

    def busy(node: str, step: Step) -> Answer | None:
        return Failed("busy", "another doctor measures here") if node != "a" and isinstance(step, Locate) else None

    beside = Cluster(change=busy).checks()
    for checks in (alone, beside):
        for subject in ("fresh open", "rename", "locks", "lock of a killed holder"):
            assert checks[subject].verdict is Verdict.NOT_MEASURED
        assert checks["fsync"].verdict is checks["hard links"].verdict is Verdict.OK
    assert beside["disk of b"].verdict is Verdict.NOT_MEASURED


def test_answers_that_fit_nothing_fail_the_check_that_met_them() -> None:
    def odd(node: str, step: Step) -> Answer | None:
        return Synced(1, 0.1, 0.1) if node == "b" and isinstance(step, Locate) else None

    check = Cluster(change=odd).checks()["disk usable"]
    assert check.verdict is Verdict.FAILED
    assert "b: an answer that fits nothing" in check.measured


def test_files_are_removed_whatever_happens() -> None:
    def breaks(node: str, step: Step) -> Answer | None:
        if isinstance(step, Sync):
            raise KeyboardInterrupt
        return None

    cluster = Cluster(change=breaks)
    with pytest.raises(KeyboardInterrupt):
        cluster.checks()
    assert [type(step).__name__ for _, step in cluster.asked[-3:]] == ["Clear"] * 3


@pytest.mark.parametrize(
    ("late", "verdict", "words"),
    [
        (Found(16384, 3, True), Verdict.OK, "the late write of b did not arrive"),
        (Found(12288, 2, True), Verdict.FAILED, "b's late write overwrote what a had written"),
        (Found(16384, 3, False), Verdict.FAILED, "b's late write overwrote what a had written"),
    ],
)
def test_the_late_write_of_a_replaced_node(
    late: Found, verdict: Verdict, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fencing, "SETTLE", 0.0)
    hangs = [True, True]

    def cut_off(node: str, step: Step) -> Answer | None:
        if isinstance(step, Read):
            return late
        if node == "b" and isinstance(step, (Write, Locate)) and len(said) and hangs:
            hangs.pop()
            return Failed("hung", "no answer within 5 s")
        return None

    said: list[str] = []
    cluster = Cluster("nfs4", change=cut_off)
    check = fencing.measure_fencing(cast(Panel, cluster), NODES[1], NODES[0], said.append)
    assert (check.verdict, words in check.measured) == (verdict, True)
    assert [line.split()[0] for line in said] == ["cut", "let"]
    assert bool(check.next) is (verdict is Verdict.FAILED)


def test_fencing_is_not_tried_where_locks_exclude_nobody_and_not_claimed_where_they_never_come_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fencing, "PATIENCE", 0.0)
    free = Cluster(change=lambda node, step: Tried(True, True, False, 0.0) if isinstance(step, TryLock) else None)
    check = fencing.measure_fencing(cast(Panel, free), NODES[1], NODES[0], lambda text: None)
    assert (check.verdict, check.measured) == (Verdict.FAILED, "not tried: the locks exclude nobody")
    kept = fencing.measure_fencing(cast(Panel, Cluster()), NODES[1], NODES[0], lambda text: None)
    assert kept.verdict is Verdict.NOT_MEASURED
    assert "did not come free" in kept.measured


def test_fencing_beside_another_doctor_is_not_tried_for_that_reason() -> None:
    def busy(node: str, step: Step) -> Answer | None:
        return Failed("busy", "another doctor measures here") if node == "b" else None

    check = fencing.measure_fencing(cast(Panel, Cluster(change=busy)), NODES[1], NODES[0], lambda text: None)
    assert check.measured == "not tried: another doctor measures on b"


@pytest.mark.parametrize("node", ["a", "b"])
def test_without_a_late_write_under_way_none_was_refused(node: str) -> None:
    """The operator cut the node off from the others as well; or the disk of the one that looks hangs."""

    def gone(asked: str, step: Step) -> Answer | None:
        return HANGS if asked == node and said else None

    said: list[str] = []
    check = fencing.measure_fencing(cast(Panel, Cluster("nfs4", change=gone)), NODES[1], NODES[0], said.append)
    assert check.verdict is Verdict.NOT_MEASURED
    assert f"{node} gives no answer any more" in check.measured
    assert "not from the nodes" in check.next
