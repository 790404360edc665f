"""Monitors on what a machine without special hardware really has: an ext4 error, a cut cable, a node's whole life."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cluster import Cluster
from monitored import options, seen
from raisers import short_directory
from waiting import wait_until

from noroshi.node.monitors.filesystem import FilesystemMonitor

# --- a real ext4 error -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Disk:
    """An ext4 file system in a file."""

    mount: Path
    device: str

    @property
    def sysfs(self) -> Path:
        return Path("/sys/fs/ext4") / Path(self.device).name


def _call(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def ext4(tmp_path: Path) -> Iterator[Disk]:
    if not (shutil.which("mkfs.ext4") and shutil.which("losetup") and Path("/dev/loop-control").exists()):
        pytest.skip("no loop devices or no mkfs.ext4 here")
    image, mount = tmp_path / "image", tmp_path / "mount"
    with image.open("wb") as file:
        file.truncate(16 * 1024 * 1024)
    _call("mkfs.ext4", "-q", str(image))
    mount.mkdir()
    device = _call("losetup", "--find", "--show", str(image))
    try:
        _call("mount", "-o", "errors=remount-ro", device, str(mount))
        try:
            yield Disk(mount, device)
        finally:
            _call("umount", str(mount))
    finally:
        _call("losetup", "--detach", device)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a loop device")
def test_an_ext4_error_is_seen_whatever_the_kernel_shows_of_it(ext4: Disk) -> None:
    name = f"filesystem/db1{ext4.mount}"
    given = options("filesystem", Path("/"), write=(str(ext4.mount),))
    monitor = FilesystemMonitor("db1", given)
    assert seen(monitor)[name] == ("OK", "")
    (ext4.sysfs / "trigger_fs_error").write_text("trouble")
    state, said = seen(monitor)[name]
    assert state == "ERROR"
    assert said in ("read-only after an error", "became read-only") or said.startswith("errors recorded")
    # a kernel that shows nothing in the mount options is caught by the counters and by the write
    blind = FilesystemMonitor("db1", given)
    blind._meant_read_only[str(ext4.mount)] = False
    assert seen(blind)[name][0] == "ERROR"
    assert int((ext4.sysfs / "errors_count").read_text()) > 0


# --- a real cable ------------------------------------------------------------------------------------------------

CABLE = """
import subprocess, sys
from noroshi.node.monitors.link import LinkMonitor
from noroshi.node.monitors.nic import NicMonitor
from noroshi.node.monitors.options import Options
from noroshi.node.monitors.record import Record

sys.path.insert(0, {tests!r})
from monitored import options, seen
from waiting import wait_until

def ip(*words):
    subprocess.run(["ip", *words], check=True)

def settled(state):
    # the kernel tells of a carrier some time after the command
    wait_until(f"v0 {{state}}", lambda: seen(link)["link/db1/v0"][0] == state)
    return seen(link)

subprocess.run(["mount", "-t", "sysfs", "sysfs", "/sys"], check=True)
ip("link", "add", "v0", "type", "veth", "peer", "name", "v1")
link = LinkMonitor("db1", options("link", "/", interfaces=("v0",), addresses=("192.0.2.1",)))
nic = NicMonitor("db1", options("nic", "/", interfaces=("v0",), flaps=2), Record())
print(seen(link), seen(nic, 0))
ip("address", "add", "192.0.2.1/24", "dev", "v0")
for end in ("v0", "v1"):
    ip("link", "set", end, "up")
print(settled("OK"))
for _ in range(2):
    ip("link", "set", "v1", "down")
    print(settled("ERROR"))
    ip("link", "set", "v1", "up")
    settled("OK")
print(seen(link), seen(nic, 10))
ip("address", "del", "192.0.2.1/24", "dev", "v0")
print(seen(link))
ip("link", "delete", "v0")
print(seen(link))
"""


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a network namespace")
def test_a_link_that_is_cut_and_an_address_that_is_taken_away() -> None:
    if not (shutil.which("ip") and shutil.which("unshare")):
        pytest.skip("no iproute2 or util-linux here")
    program = textwrap.dedent(CABLE).format(tests=str(Path(__file__).parents[1]))
    done = subprocess.run(
        ["unshare", "--net", "--mount", sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    off, lost, cut = "('ERROR', 'turned off')", "('ERROR', 'on no interface')", "('ERROR', 'no link')"
    ok = "('OK', '')"
    v0, address, nic = "'link/db1/v0'", "'link/db1/192.0.2.1'", "'nic/db1/v0'"
    assert done.stdout.splitlines() == [
        f"{{{v0}: {off}, {address}: {lost}}} {{{nic}: {ok}}}",
        f"{{{v0}: {ok}, {address}: {ok}}}",
        f"{{{v0}: {cut}, {address}: {ok}}}",
        f"{{{v0}: {cut}, {address}: {ok}}}",
        f"{{{v0}: {ok}, {address}: {ok}}} {{{nic}: ('WARNING', '2 or more losses of the link within 10m')}}",
        f"{{{v0}: ('ERROR', 'has no address any more'), {address}: {lost}}}",
        f"{{{address}: {lost}}}",
    ]


# --- a node's life -----------------------------------------------------------------------------------------------

EDAC = "sys/devices/system/edac/mc/mc0/dimm0"


def _edac(tree: Path, corrected: int) -> None:
    module = tree / EDAC
    module.mkdir(parents=True, exist_ok=True)
    (module / "dimm_label").write_text("DIMM_A1\n")
    (module / "dimm_ce_count").write_text(f"{corrected}\n")
    (module / "dimm_ue_count").write_text("0\n")


@pytest.mark.slow
def test_a_node_watches_tells_ends_and_remembers() -> None:
    with short_directory() as directory:
        tree, check = directory / "tree", directory / "check"
        _edac(tree, 0)
        (tree / "proc").mkdir()
        mdstat = tree / "proc" / "mdstat"
        mdstat.write_text("md0 : active raid1 sdb1[1] sda1[0](F)\n      1 blocks [2/1] [_U]\n")
        check.write_text('#!/bin/sh\necho "CHECK $(cat "$0.word") | x=1"; test ! -e "$0.bad"\n')
        check.chmod(0o700)
        (directory / "check.word").write_text("well")
        watched = f"""\
monitors:
  memory: {{interval: 100ms, root: "{tree}", corrected: 3}}
  raid: {{interval: 100ms, root: "{tree}"}}
  command: [{{name: check, run: ["{check}"], interval: 100ms, match: "well"}}]
"""
        with Cluster(directory / "c", names=("a",), extra={"a": watched}) as cluster:
            cluster.start("a").await_up()
            wait_until("the first states", lambda: _has(cluster, raid="DEGRADED", memory="OK", command="OK"), 30)
            assert cluster.states()["pressure/a/cpu"] in ("OK", "WARNING")
            _edac(tree, 3)
            (directory / "check.bad").touch()
            wait_until("changes", lambda: _has(cluster, raid="DEGRADED", memory="WARNING", command="WARNING"), 20)
            assert cluster.stop("a") == 0
            mdstat.write_text("unused devices: <none>\n")
            (directory / "check.bad").unlink()
            (directory / "check.word").write_text("ill")
            cluster.start("a").await_up()
            wait_until("ends", lambda: _has(cluster, raid="OK", memory="WARNING", command="ERROR"), 30)
            said = {event.event: event.supplement for event in cluster.events("*/a/**")}
            assert said["raid/a/md0"] == "no longer there"
            assert said["command/a/check"] == "not found in its output: CHECK ill"
            record = (cluster.nodes["a"].home / "state/monitors/retries.jsonl").read_text()
            assert '"what": "memory/a/mc0/dimm0 corrected", "new": 3, "total": 3' in record


def _has(cluster: Cluster, **kinds: str) -> bool:
    states = cluster.states()
    names = {"raid": "raid/a/md0", "memory": "memory/a/mc0", "command": "command/a/check"}
    return all(states.get(names[kind]) == state for kind, state in kinds.items())
