"""The spool on disks that are full, fail or hang: refused whole, told to the raiser, never a sequence twice."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from spoolstand import BIG, broken, drain, run

from noroshi.node.daemon.segments import SegmentFiles, Written
from noroshi.node.daemon.spool import Batch, Spool, SpoolFailed


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    mount = tmp_path / "disk"
    mount.mkdir()
    if (
        os.geteuid()
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", mount], check=False).returncode
    ):
        pytest.skip("needs root and a tmpfs")
    try:
        yield mount
    finally:
        subprocess.run(["umount", mount], check=True)


@pytest.mark.root
def test_a_full_disk_is_told_to_the_raiser_and_passes(tiny_disk: Path) -> None:
    async def test() -> None:
        spool = await Spool.open(tiny_disk / "s")
        safe = 0
        with pytest.raises(SpoolFailed) as failure:
            while safe < 100:
                await spool.append(b"%03d" % safe + BIG).safe()
                safe += 1
        assert "No space left" in str(failure.value) and "free space" in failure.value.hint
        assert spool.pending == safe
        for _ in range(3):
            with pytest.raises(SpoolFailed):
                await spool.append(BIG).safe()
        await asyncio.to_thread(subprocess.run, ["mount", "-o", "remount,size=8m", tiny_disk], check=True)
        assert (await spool.append(b"later").safe()) == f"{spool.stream.hex()}-{safe + 1}"
        taken = await drain(spool)
        assert [body[:3] for _, _, body in taken] == [*(b"%03d" % at for at in range(safe)), b"lat"]
        await spool.close()
        spool = await Spool.open(tiny_disk / "s")
        assert (await spool.append(b"last").safe()) == f"{spool.stream.hex()}-{safe + 2}"
        old = spool.stream
        await spool.close()
        (tiny_disk / "s" / "open").touch()  # killed, and no room for the segment of another stream
        (tiny_disk / "ballast").write_bytes(bytes(_free(tiny_disk)))
        spool = await Spool.open(tiny_disk / "s")
        with pytest.raises(SpoolFailed, match="No space left"):
            await spool.append(b"no room").safe()
        (tiny_disk / "ballast").unlink()
        assert (await spool.append(b"room").safe()) == f"{spool.stream.hex()}-1"
        assert spool.stream != old
        await spool.close()

    run(test)


def test_a_failing_disk_refuses_the_whole_group_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, failures = os.fdatasync, [OSError(errno.EIO, "Input/output error")]

    def fdatasync(file: int) -> None:
        if failures:
            raise failures.pop()
        real(file)

    async def test() -> None:
        spool = await Spool.open(tmp_path / "s")
        monkeypatch.setattr("noroshi.node.daemon.segments.os.fdatasync", fdatasync)
        failed = await asyncio.gather(*[spool.append(b"lost").safe() for _ in range(3)], return_exceptions=True)
        assert all(isinstance(error, SpoolFailed) for error in failed)
        await spool.close()
        spool = await Spool.open(tmp_path / "s")
        assert not spool.pending, "what was refused has come back"
        failures.append(OSError(errno.EIO, "Input/output error"))
        with pytest.raises(SpoolFailed, match="Input/output error"):
            await spool.append(b"lost").safe()
        await spool.append(b"kept").safe()
        assert await drain(spool) == [(spool.stream, 1, b"kept")]
        spool.acknowledge(spool.stream, 0)
        await spool.close()
        spool = await Spool.open(tmp_path / "s")
        assert await drain(spool) == [(spool.stream, 1, b"kept")]
        await spool.close()

    run(test)


def test_what_was_sent_before_it_failed_to_be_safe_uses_its_sequence_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been taken, so nothing else may have its sequence: not now, and not after a restart."""

    async def test() -> None:
        spool = await Spool.open(tmp_path / "s")
        await spool.append(b"first").safe()
        sent: list[Batch | None] = []
        spool.subscribe(lambda: sent.append(spool.batch()))
        with monkeypatch.context() as disk:
            disk.setattr("noroshi.node.daemon.segments.os.fdatasync", broken)
            with pytest.raises(SpoolFailed, match="Input/output error"):
                await spool.append(b"unsafe").safe()
        assert [item.body for item in sent[-1].items] == [b"first", b"unsafe"]
        stream = spool.stream
        spool.acknowledge(stream, 2)
        assert not spool.pending
        await spool.close()
        spool = await Spool.open(tmp_path / "s")
        assert (spool.pending, spool.stream == stream) == (1, False)  # nobody asked the disk what was acknowledged
        with monkeypatch.context() as disk:
            disk.setattr("noroshi.node.daemon.segments.os.fdatasync", broken)
            with pytest.raises(SpoolFailed):
                await spool.append(b"unsafe too").safe()
        unsafe = spool.stream
        await spool.append(b"last").safe()
        assert [(at, body) for _, at, body in await drain(spool)] == [(1, b"first"), (1, b"last")]
        assert spool.stream not in (stream, unsafe)
        await spool.close()

    run(test)


def test_a_start_that_fails_half_way_uses_no_sequence_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What did not reach the disk may have been taken; the sign of it must outlive a start that comes to nothing."""
    told: list[Written] = []
    files = SegmentFiles(tmp_path / "s", bytes(16))
    files.open()
    files.write([b"safe"], None, told.append)
    with monkeypatch.context() as disk:
        disk.setattr(os, "fdatasync", broken)
        with pytest.raises(OSError, match="Input/output error"):
            files.write([b"unsafe"], None, told.append)
    files.close()
    with monkeypatch.context() as disk:
        disk.setattr(SegmentFiles, "_begin", broken)
        with pytest.raises(OSError, match="Input/output error"):
            SegmentFiles(tmp_path / "s", bytes(16)).open()
    files = SegmentFiles(tmp_path / "s", bytes(16))
    files.open()
    files.write([b"another"], None, told.append)
    files.close()
    places = [(written.name.stream, written.first) for written in told]
    assert [first for _, first in places] == [1, 2, 1]
    assert len(set(places)) == 3


def test_after_a_failure_nothing_is_sent_before_it_is_safe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A raiser tries again and again while the disk fails; it must not be taken each time."""
    files = SegmentFiles(tmp_path / "s", bytes(16))
    files.open()
    steps: list[str] = []
    real = os.fdatasync
    for works in (False, False, True, True):
        with monkeypatch.context() as disk, contextlib.suppress(OSError):
            disk.setattr(os, "fdatasync", lambda file: (real(file), steps.append("synced")) if works else broken())  # noqa: B023
            files.write([b"again"], None, lambda written: steps.append("told"))
    assert steps == ["told", "synced", "told", "told", "synced"]
    files.close()


def test_a_disk_that_hangs_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        spool = await Spool.open(tmp_path / "s")
        loop, hang = asyncio.get_running_loop(), threading.Event()
        real = os.fdatasync
        monkeypatch.setattr("noroshi.node.daemon.segments.os.fdatasync", lambda file: (hang.wait(20), real(file)))
        tickets = []
        with pytest.raises(SpoolFailed, match="wait for the local disk"):
            while len(tickets) < 10_000:
                tickets.append(spool.append(BIG))
                if not len(tickets) % 20:
                    await asyncio.sleep(0)
        assert 100 < len(tickets) < 200
        loop.call_later(0.1, hang.set)
        await asyncio.gather(*[ticket.safe() for ticket in tickets])
        await spool.append(b"again").safe()
        await spool.close()

    run(test)


def test_an_unwritable_state_directory_says_so(tmp_path: Path) -> None:
    async def test() -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(SpoolFailed, match="Not a directory") as failure:
            await Spool.open(tmp_path / "file" / "s")
        assert failure.value.hint

    run(test)


def _free(folder: Path) -> int:
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize
