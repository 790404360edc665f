"""The ready hooks, started as their packages start them: with a stand-in for `noroshi`, with a node, without one."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from monitored import tree
from raisers import NodeThread, short_directory
from waiting import wait_until

HOOKS = Path(__file__).parents[2] / "sample_config" / "hooks"
PROGRAMS = ("mdadm", "pacemaker", "smartd", "statechange-noroshi.sh", "unit")
MAIN = "import sys; from noroshi.console.main import main; sys.exit(main())"

Said = tuple[str, str, str]


@dataclass(frozen=True)
class Case:
    """One call of a hook as its package makes it. `said` None: it has nothing to say."""

    hook: str
    said: Said | None
    arguments: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        words = [self.hook, *self.arguments, *self.environment.values(), *self.files.values()]
        return " ".join(words)[:60]


def _mdadm(said: Said | None, *arguments: str, degraded: str = "0") -> Case:
    return Case("mdadm", said, arguments, files={"block/md0/md/degraded": degraded})


def _smartd(said: Said, failure: str, message: str) -> Case:
    """smartd.conf(5), -M exec; Debian's smartd-runner passes a file and the mailer's arguments besides."""
    environment = {
        "SMARTD_DEVICE": "/dev/sda",
        "SMARTD_DEVICETYPE": "sat",
        "SMARTD_DEVICESTRING": "/dev/sda [SAT]",
        "SMARTD_FAILTYPE": failure,
        "SMARTD_MESSAGE": message,
        "SMARTD_TFIRSTEPOCH": "1795374543",
    }
    return Case("smartd", said, ("/tmp/message", "-s", "SMART error", "root"), environment)


def _zed(said: Said | None, pool: str, state: str) -> Case:
    environment = {
        "ZEVENT_SUBCLASS": "statechange",
        "ZEVENT_CLASS": "resource.fs.zfs.statechange",
        "ZEVENT_POOL": "tank",
        "ZEVENT_VDEV_PATH": "/dev/sdb1",
        "ZEVENT_VDEV_STATE_STR": state,
    }
    return Case("statechange-noroshi.sh", said, (), environment, {"spl/kstat/zfs/tank/state": pool} if pool else {})


def _pacemaker(said: Said | None, kind: str, **variables: str) -> Case:
    environment = {f"CRM_alert_{name}": value for name, value in variables.items()}
    return Case("pacemaker", said, (), {"CRM_alert_version": "2.1.5", "CRM_alert_kind": kind, **environment})


MD0 = "raid/db1/md0"

CASES = [
    _mdadm((MD0, "DEGRADED", "a member failed: sdb1"), "Fail", "/dev/md0", "/dev/sdb1", degraded="1"),
    _mdadm((MD0, "DEGRADED", "is degraded"), "DegradedArray", "/dev/md0"),
    _mdadm((MD0, "DEGRADED", "is being rebuilt"), "RebuildStarted", "/dev/md0"),
    _mdadm(None, "Rebuild40", "/dev/md0"),
    _mdadm((MD0, "OK", ""), "RebuildFinished", "/dev/md0"),
    _mdadm((MD0, "OK", ""), "SpareActive", "/dev/md0", "/dev/sdc1"),
    _mdadm((MD0, "DEGRADED", "is still degraded"), "SpareActive", "/dev/md0", "/dev/sdc1", degraded="1"),
    _mdadm((MD0, "WARNING", "a spare failed: sdc1"), "FailSpare", "/dev/md0", "/dev/sdc1"),
    _mdadm((MD0, "WARNING", "has fewer spares than it should have"), "SparesMissing", "/dev/md0"),
    _mdadm((MD0, "ERROR", "disappeared"), "DeviceDisappeared", "/dev/md0"),
    _mdadm(None, "NewArray", "/dev/md0"),
    _mdadm(("mdadm-test/db1", "OK", "test message of mdadm about md0"), "TestMessage", "/dev/md0"),
    _smartd(
        ("smart/db1/sda", "ERROR", "Health: Device: /dev/sda [SAT], FAILED SMART self-check. BACK UP DATA NOW!"),
        "Health",
        "Device: /dev/sda [SAT], FAILED SMART self-check. BACK UP DATA NOW!",
    ),
    _smartd(
        ("smart/db1/sda", "WARNING", "CurrentPendingSector: 8 $(of) `them`"), "CurrentPendingSector", "8 $(of) `them`"
    ),
    _smartd(("smart/db1/sda", "ERROR", "FailedOpenDevice: unable to open"), "FailedOpenDevice", "unable to open"),
    _smartd(("smartd-test/db1", "OK", "test message of smartd about sda"), "EmailTest", "TEST EMAIL from smartd"),
    _zed(("pool/db1/tank", "DEGRADED", "/dev/sdb1 is FAULTED"), "DEGRADED", "FAULTED"),
    _zed(("pool/db1/tank", "ERROR", "/dev/sdb1 is UNAVAIL"), "SUSPENDED", "UNAVAIL"),
    _zed(("pool/db1/tank", "WARNING", "/dev/sdb1 is REMOVED"), "ONLINE", "REMOVED"),
    _zed(("pool/db1/tank", "OK", ""), "ONLINE", "ONLINE"),
    _zed(("pool/db1/tank", "DEGRADED", ""), "DEGRADED", "ONLINE"),
    _zed(("pool/db1/tank", "DEGRADED", "/dev/sdb1 is FAULTED"), "", "FAULTED"),
    _zed(("pool/db1/tank", "OK", ""), "", "ONLINE"),
    _pacemaker(("pacemaker/node/db2", "DOWN", "lost"), "node", node="db2", desc="lost", nodeid="2"),
    _pacemaker(("pacemaker/node/db2", "UP", "member"), "node", node="db2", desc="member", nodeid="2"),
    _pacemaker(
        ("pacemaker/fencing/db2", "ERROR", "Operation off of db2 by db1 failed"),
        "fencing",
        node="db2",
        task="off",
        rc="-62",
        desc="Operation off of db2 by db1 failed",
    ),
    _pacemaker(
        ("pacemaker/resource/vip", "ERROR", "monitor on db1: not running"),
        "resource",
        node="db1",
        rsc="vip",
        task="monitor",
        desc="not running",
        rc="7",
        target_rc="0",
    ),
    _pacemaker(
        ("pacemaker/resource/vip", "OK", "start on db1: ok"),
        "resource",
        node="db1",
        rsc="vip",
        task="start",
        desc="ok",
        rc="0",
        target_rc="0",
    ),
    _pacemaker(None, "resource", node="db1", rsc="vip", task="monitor", desc="Cancelled", rc="0", target_rc="0"),
    _pacemaker(None, "attribute", node="db1", attribute_name="pingd", attribute_value="100"),
    Case("unit", ("unit/db1/backup.service", "ERROR", "failed"), ("ERROR", "backup.service")),
    Case(
        "unit",
        ("unit/db1/backup@x.service", "ERROR", "failed: exit-code 3"),
        ("ERROR", "backup@x.service"),
        {"MONITOR_UNIT": "backup@x.service", "MONITOR_SERVICE_RESULT": "exit-code", "MONITOR_EXIT_STATUS": "3"},
    ),
    Case("unit", ("unit/db1/backup.service", "OK", ""), ("OK", "backup.service")),
]
ONE_EACH = [next(case for case in CASES if case.hook == hook and case.said) for hook in PROGRAMS]


@pytest.fixture
def place() -> Iterator[Path]:
    """A node's directory; its name is in quotes, to be read as YAML means it."""
    with short_directory() as path:
        (path / "bin").mkdir()
        (path / "node.yaml").write_text(
            f'# a node\nnode: "db1"  # its name\nshared: {path}\nstate: {path}/state\nrun: {path}/run\n'
        )
        yield path


def _program(place: Path, script: str) -> None:
    """What `noroshi` is for the hooks."""
    program = place / "bin" / "noroshi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def _start(case: Case, place: Path) -> subprocess.CompletedProcess[str]:
    """With nothing in its environment but what its package and the system give."""
    tree(place / "fake", case.files)
    environment = {
        "PATH": f"{place}/bin:/usr/bin:/bin",
        "NOROSHI_CONFIG": f"{place}/node.yaml",
        "NOROSHI_SYSFS": f"{place}/fake",
        "NOROSHI_PROC": f"{place}/fake",
        **case.environment,
    }
    return subprocess.run(
        [HOOKS / case.hook, *case.arguments], env=environment, cwd="/", capture_output=True, text=True, timeout=30
    )


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_a_hook_says(case: Case, place: Path) -> None:
    _program(place, f'printf "%s\\n" "$@" >>{place}/said')
    done = _start(case, place)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    said = place / "said"
    assert said.exists() == (case.said is not None)
    if case.said is not None:
        assert said.read_text().split("\n") == ["raise", *case.said, ""]


def test_a_hook_of_a_node_without_a_file_names_the_host(place: Path) -> None:
    _program(place, f'printf "%s\\n" "$@" >>{place}/said')
    (place / "node.yaml").unlink()
    assert _start(ONE_EACH[0], place).returncode == 0
    assert (place / "said").read_text().split("\n")[1] == f"raid/{os.uname().nodename}/md0"


def test_a_zedlet_without_a_state_and_an_agent_without_pacemaker_say_so(place: Path) -> None:
    _program(place, "exit 99")
    assert _start(Case("statechange-noroshi.sh", None), place).returncode == 3
    done = _start(Case("pacemaker", None), place)
    assert done.returncode == 2 and "started by Pacemaker" in done.stderr


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_hooks_are_programs_of_any_shell(name: str) -> None:
    assert os.access(HOOKS / name, os.X_OK)
    for shell in ("dash", "bash", "busybox"):
        if found := shutil.which(shell):
            words = [found, "sh"] if shell == "busybox" else [found]
            subprocess.run([*words, "-n", HOOKS / name], check=True)


def test_there_is_no_hook_without_a_test() -> None:
    units = {"noroshi-failed@.service", "noroshi.conf"}
    assert {each.name for each in HOOKS.iterdir()} == units | set(PROGRAMS)


def test_the_units_start_the_hook_with_what_it_takes() -> None:
    failed, dropin = (HOOKS / "noroshi-failed@.service").read_text(), (HOOKS / "noroshi.conf").read_text()
    assert "ExecStart=/usr/local/lib/noroshi/hooks/unit ERROR %i\n" in failed
    assert "OnFailure=noroshi-failed@%n.service\n" in dropin
    assert "hooks/unit OK %n\n" in dropin


# --- with the real command ---------------------------------------------------------------------------------------


def _real(place: Path) -> None:
    _program(place, f"exec {shlex.quote(sys.executable)} -c {shlex.quote(MAIN)} " + '"$@"')


def _stored(node: NodeThread) -> list[Said]:
    return [(each.event, each.state, each.supplement) for each in node.stored()]


def test_every_hook_reaches_a_node(place: Path) -> None:
    _real(place)
    with NodeThread(place) as node:
        for case in ONE_EACH:
            done = _start(case, place)
            assert (done.returncode, done.stderr) == (0, "")
        assert _stored(node) == [case.said for case in ONE_EACH]


def _bare_start(place: Path) -> float:
    """Seconds to start the command and do nothing; the least of three, for the machine may be busy."""
    took = []
    for _ in range(3):
        before = time.monotonic()
        subprocess.run([place / "bin" / "noroshi", "--version"], check=True, stdout=subprocess.DEVNULL)
        took.append(time.monotonic() - before)
    return min(took)


def test_with_the_daemon_down_every_hook_is_done_in_under_a_second_and_nothing_is_lost(place: Path) -> None:
    _real(place)
    with NodeThread(place):
        pass
    bare = _bare_start(place)
    expected = []
    for case in ONE_EACH:
        took: list[float] = []
        while not took or (min(took) >= bare + 0.5 and len(took) < 10):  # one that waits for the daemon is never done
            before = time.monotonic()
            done = _start(case, place)
            took.append(time.monotonic() - before)
            assert done.returncode == 0 and "kept in" in done.stderr
            expected.append(case.said)
        assert min(took) < bare + 0.5, f"{case.hook}: {took}, a bare start {bare}"
    with NodeThread(place) as node:
        wait_until("taken in", lambda: not list((place / "state" / "drop").glob("*.event")))
        assert sorted(_stored(node), key=str) == sorted(expected, key=str)
