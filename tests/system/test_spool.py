"""The spool on real files: safe when it says so, in order, bounded, never a sequence twice, whatever is torn."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import subprocess
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from raisers import all_items, next_batch

from noroshi.node.core.spool import Loss, parse_name
from noroshi.node.daemon.segments import SEGMENT_SIZE, SegmentFiles, Written
from noroshi.node.daemon.spool import Batch, Limits, Spool, SpoolFailed

BOOT = b"1" * 16
BIG = bytes(100_000)


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 60))


async def drain(spool: Spool) -> list[tuple[bytes, int, bytes]]:
    """Take everything as a coordinator would: (stream, sequence, body)."""
    taken = []
    while batch := await next_batch(spool):
        taken += [(batch.stream, item.sequence, item.body) for item in batch.items]
        spool.acknowledge(batch.stream, batch.last)
    return taken


def segments(directory: Path) -> list[Path]:
    return sorted(path for path in directory.iterdir() if parse_name(path.name))


def test_items_come_back_in_order_after_a_restart(tmp_path: Path) -> None:
    async def test() -> None:
        spool = await Spool.open(tmp_path / "s")
        tickets = [spool.append(b"%d" % index) for index in range(1000)]
        ids = [await ticket.safe() for ticket in tickets]
        assert ids == [f"{spool.stream.hex()}-{sequence}" for sequence in range(1, 1001)]
        stream = spool.stream
        await spool.close()
        spool = await Spool.open(tmp_path / "s")
        assert spool.stream == stream
        assert (await spool.append(b"more").safe()) == f"{stream.hex()}-1001"
        assert [body for _, body in await all_items(spool)] == [*(b"%d" % index for index in range(1000)), b"more"]
        await spool.close()

    run(test)


def test_everything_in_it_is_for_its_user_alone(tmp_path: Path) -> None:
    async def test() -> None:
        spool = await Spool.open(tmp_path / "s")
        await spool.append(b"x").safe()
        await spool.close()

    before = os.umask(0)
    try:
        run(test)
    finally:
        os.umask(before)
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o700
    assert [path.stat().st_mode & 0o777 for path in segments(tmp_path / "s")] == [0o600]


def test_acknowledged_segments_leave_the_disk_and_the_rest_is_read_back(tmp_path: Path) -> None:
    async def test() -> None:
        spool = await Spool.open(tmp_path / "s")
        for index in range(60):
            await spool.append(b"%03d" % index + BIG).safe()
        assert len(segments(tmp_path / "s")) >= 6 and spool.size >= 6 * SEGMENT_SIZE
        stream, oldest = spool.stream, []
        bodies = []
        while batch := await next_batch(spool):
            oldest.append(batch.oldest)
            bodies += [item.body[:3] for item in batch.items]
            spool.acknowledge(stream, batch.last)
        assert bodies == [b"%03d" % index for index in range(60)]
        assert oldest == sorted(oldest) and oldest[0] == 1 and oldest[-1] > 40
        await spool.close()
        assert len(segments(tmp_path / "s")) == 1
        spool = await Spool.open(tmp_path / "s")
        assert (await spool.append(b"next").safe()) == f"{stream.hex()}-61"
        await spool.close()

    run(test)


def test_batches_keep_to_their_limits_but_hold_at_least_one(tmp_path: Path) -> None:
    async def test() -> None:
        spool = await Spool.open(tmp_path / "s")
        for size in (10, 10, 5000, 10):
            await spool.append(bytes(size)).safe()
        assert spool.batch(limit_bytes=100) is not None
        batches = []
        while batch := spool.batch(limit_bytes=100, limit_items=5):
            batches.append([len(item.body) for item in batch.items])
            spool.acknowledge(batch.stream, batch.last)
        assert batches == [[10, 10], [5000], [10]]
        await spool.close()

    run(test)


def test_a_batch_again_until_it_is_acknowledged_and_back_when_told_so(tmp_path: Path) -> None:
    async def test() -> None:
        spool = await Spool.open(tmp_path / "s")
        await asyncio.gather(*[spool.append(b"%d" % index).safe() for index in range(20)])
        first = spool.batch(limit_items=5)
        assert first == spool.batch(limit_items=5) and first is not None
        spool.acknowledge(spool.stream, 20)
        assert spool.batch() is None
        spool.acknowledge(spool.stream, 12)  # its database was restored
        batch = await next_batch(spool)
        assert batch is not None and (batch.first, batch.last, batch.oldest) == (13, 20, 1)
        await spool.close()

    run(test)


def test_the_bound_drops_the_oldest_and_says_what_was_lost(tmp_path: Path) -> None:
    async def test() -> None:
        losses: list[Loss] = []
        spool = await Spool.open(tmp_path / "s", limits=Limits(size=3 * SEGMENT_SIZE), on_loss=losses.append)
        for index in range(60):
            await spool.append(b"%03d" % index + BIG).safe()
        batch = await next_batch(spool)
        assert batch is not None and batch.oldest == batch.first == losses[-1].last + 1
        assert spool.pending + sum(loss.count for loss in losses) == 60
        assert {(loss.reason, loss.stream) for loss in losses} == {("size", spool.stream)}
        assert [body[:3] for _, _, body in await drain(spool)] == [b"%03d" % at for at in range(batch.first - 1, 60)]
        await spool.close()
        assert len(segments(tmp_path / "s")) <= 3

    run(test)


def test_age_drops_also_the_segment_being_written(tmp_path: Path) -> None:
    async def test() -> None:
        losses: list[Loss] = []
        spool = await Spool.open(tmp_path / "s", limits=Limits(age=100.0), on_loss=losses.append)
        await spool.append(b"old").safe()
        now = time.monotonic()
        spool.expire(now + 50)
        assert spool.pending == 1
        spool.expire(now + 200)
        await spool.append(b"new").safe()  # after the rotation, in the one worker
        spool.expire(now + 90)
        assert spool.pending == 2
        spool.expire(now + 105)
        assert [(loss.reason, loss.first, loss.last) for loss in losses] == [("age", 1, 1)]
        assert [body for _, _, body in await drain(spool)] == [b"new"]
        await spool.close()

    run(test)


def test_a_torn_tail_ends_the_stream_and_nothing_safe_is_lost(tmp_path: Path) -> None:
    async def test() -> None:
        spool = await Spool.open(tmp_path / "s")
        await asyncio.gather(*[spool.append(b"%d" % index).safe() for index in range(10)])
        old = spool.stream
        await spool.close()
        (path,) = segments(tmp_path / "s")
        with path.open("r+b") as file:
            end = len(file.read().rstrip(b"\0"))
            file.seek(end)
            file.write(b"\xff\xfeN\xfdtorn")
        spool = await Spool.open(tmp_path / "s")
        assert spool.streams == [old, spool.stream] and spool.stream != old
        assert (await spool.append(b"new").safe()) == f"{spool.stream.hex()}-1"
        assert await drain(spool) == [*((old, at + 1, b"%d" % at) for at in range(10)), (spool.stream, 1, b"new")]
        await spool.close()

    run(test)


def test_damage_in_the_middle_costs_its_item_and_is_told(tmp_path: Path) -> None:
    async def test() -> None:
        losses: list[Loss] = []
        spool = await Spool.open(tmp_path / "s")
        await asyncio.gather(*[spool.append(b"item %d" % index).safe() for index in range(10)])
        old = spool.stream
        await spool.close()
        (path,) = segments(tmp_path / "s")
        path.write_bytes(path.read_bytes().replace(b"item 4", b"itEm 4"))
        spool = await Spool.open(tmp_path / "s", on_loss=losses.append)
        first = await next_batch(spool)
        assert first is not None and (first.first, first.last) == (1, 4)
        spool.acknowledge(old, 4)
        rest = await next_batch(spool)
        assert rest is not None and (rest.first, rest.oldest, rest.last) == (6, 6, 10)
        assert losses == [Loss("damage", old, 5, 5)]
        await spool.close()

    run(test)


def test_another_boot_is_another_stream(tmp_path: Path) -> None:
    """A machine that lost its power, or an image restored, may have forgotten what was sent under these numbers."""

    async def test() -> None:
        spool = await Spool.open(tmp_path / "s", boot=b"1" * 16)
        await spool.append(b"before").safe()
        old = spool.stream
        await spool.close()
        spool = await Spool.open(tmp_path / "s", boot=b"2" * 16)
        await spool.append(b"after").safe()
        assert await drain(spool) == [(old, 1, b"before"), (spool.stream, 1, b"after")]
        await spool.close()

    run(test)


def test_a_lost_segment_file_is_a_loss_not_a_crash(tmp_path: Path) -> None:
    async def test() -> None:
        losses: list[Loss] = []
        spool = await Spool.open(tmp_path / "s", on_loss=losses.append)
        for index in range(40):
            await spool.append(b"%03d" % index + BIG).safe()
        segments(tmp_path / "s")[1].unlink()
        bodies = [int(body[:3]) for _, _, body in await drain(spool)]
        (loss,) = losses
        assert loss.reason == "damage"
        assert bodies == [at for at in range(40) if not loss.first <= at + 1 <= loss.last]
        await spool.close()

    run(test)


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
            disk.setattr("noroshi.node.daemon.segments.os.fdatasync", _broken)
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
            disk.setattr("noroshi.node.daemon.segments.os.fdatasync", _broken)
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
        disk.setattr(os, "fdatasync", _broken)
        with pytest.raises(OSError, match="Input/output error"):
            files.write([b"unsafe"], None, told.append)
    files.close()
    with monkeypatch.context() as disk:
        disk.setattr(SegmentFiles, "_begin", _broken)
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
            disk.setattr(os, "fdatasync", lambda file: (real(file), steps.append("synced")) if works else _broken())  # noqa: B023
            files.write([b"again"], None, lambda written: steps.append("told"))
    assert steps == ["told", "synced", "told", "told", "synced"]
    files.close()


def test_what_was_written_last_is_known_by_its_id_after_a_kill(tmp_path: Path) -> None:
    """It is in another stream than what comes then, and its raiser may ask again."""

    async def test() -> None:
        spool = await Spool.open(tmp_path / "s")
        ids = [await spool.append(b"%d" % at).safe() for at in range(3)]
        await spool.close()
        for _ in range(2):  # killed, and killed again before anything was written
            (tmp_path / "s" / "open").touch()
            again = await Spool.open(tmp_path / "s")
            assert [(item.body, ticket.id) for item, ticket in again.recovered()] == [
                (b"%d" % at, known) for at, known in enumerate(ids)
            ]
            assert again.stream != spool.stream
            assert len(segments(tmp_path / "s")) == 2
            await again.close()
        last = await Spool.open(tmp_path / "s")
        assert [body for _, _, body in await drain(last)] == [b"0", b"1", b"2"]
        await last.close()

    run(test)


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


def test_a_closed_spool_takes_nothing(tmp_path: Path) -> None:
    async def test() -> None:
        spool = await Spool.open(tmp_path / "s")
        last = spool.append(b"last")
        await spool.close()
        assert last.group.decided and last.sequence == 1
        with pytest.raises(SpoolFailed, match="closed"):
            spool.append(b"late")

    run(test)


STEP = st.one_of(
    st.tuples(st.just("write"), st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=4)),
    st.tuples(st.just("restart"), st.just([])),
    st.tuples(st.just("killed"), st.just([])),
    st.tuples(st.just("killed at the start"), st.just([])),
    st.tuples(
        st.just("killed before it was written"), st.lists(st.binary(min_size=1, max_size=200), min_size=1, max_size=3)
    ),
    st.tuples(st.just("boot"), st.just([])),
    st.tuples(st.just("tear"), st.lists(st.binary(min_size=1, max_size=200), min_size=1, max_size=1)),
    st.tuples(st.just("unsafe"), st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=3)),
    st.tuples(st.just("unsafe and not cut"), st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=3)),
    st.tuples(st.just("half"), st.lists(st.binary(min_size=1, max_size=200), min_size=1, max_size=3)),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEP, max_size=12), data=st.data())
def test_no_sequence_twice_and_nothing_safe_lost(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, list[bytes]]], data: st.DataObject
) -> None:
    """Groups, restarts, reboots, failing disks, junk after the end, groups of which only a part reached the disk."""
    directory, boot = tmp_path_factory.mktemp("spool"), 1
    files = SegmentFiles(directory, bytes([boot]) * 16, size=1024)
    files.open()
    told: dict[tuple[bytes, int], bytes] = {}
    safe: dict[tuple[bytes, int], bytes] = {}
    over = False
    for step, bodies in steps:
        if step == "write" or step.startswith("unsafe"):
            group: dict[tuple[bytes, int], bytes] = {}
            with pytest.MonkeyPatch.context() as disk, contextlib.suppress(OSError):
                if step != "write":
                    disk.setattr(os, data.draw(st.sampled_from(["fdatasync", "pwrite"])), _broken)
                if step == "unsafe and not cut":
                    disk.setattr(os, "ftruncate", _broken)
                tell = partial(_note, group, bodies)
                foreseen = _foreseen(files, bodies, tell) if data.draw(st.booleans()) else None
                files.write(bodies, foreseen, tell)
                safe |= group
            assert not group.keys() & told.keys(), "a sequence was used twice"
            told |= group
            over = step != "write"  # nothing more is written into that segment
            continue
        if step in ("tear", "half") and not over:
            _tear(segments(directory)[-1], bodies, step == "half", data)
        over = False
        if step == "killed before it was written":
            lost: dict[tuple[bytes, int], bytes] = {}
            _foreseen(files, bodies, partial(_note, lost, bodies))
            assert not lost.keys() & told.keys(), "a sequence was used twice"
            told |= lost
        files.close() if not step.startswith("killed") else files._detach()
        if step == "killed at the start":
            with pytest.MonkeyPatch.context() as disk, contextlib.suppress(OSError):
                disk.setattr(SegmentFiles, "_begin", _broken)
                files = SegmentFiles(directory, bytes([boot]) * 16, size=1024)
                files.open()
            files._detach()
        boot += step == "boot"
        files = SegmentFiles(directory, bytes([boot]) * 16, size=1024)
        files.open()
    files.close()
    found = SegmentFiles(directory, bytes([boot]) * 16, size=1024)
    names = found.open().names
    kept = {(name.stream, item.sequence): item.body for name in names for item in found.read(name).items}
    assert {key: kept.get(key) for key in safe} == safe
    assert {key: body for key, body in kept.items() if key in told and told[key] != body} == {}
    found.close()


def _free(folder: Path) -> int:
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


def _note(into: dict[tuple[bytes, int], bytes], bodies: list[bytes], written: Written) -> None:
    into |= _keys(written, bodies)


def _foreseen(files: SegmentFiles, bodies: list[bytes], tell: Callable[[Written], object]) -> Written | None:
    """Told of before it is written, where that may be."""
    foreseen = files.foresee(bodies)
    if foreseen is not None:
        tell(foreseen)
    return foreseen


def _keys(written: Written, bodies: list[bytes]) -> dict[tuple[bytes, int], bytes]:
    return {(written.name.stream, at): body for at, body in enumerate(bodies, written.first)}


def _broken(*arguments: object) -> None:
    raise OSError(errno.EIO, "Input/output error")


def _tear(path: Path, bodies: list[bytes], half: bool, data: st.DataObject) -> None:
    """What a power cut leaves behind the last safe frame: part of a group, or anything."""
    from noroshi.node.core import spool as form

    content = path.read_bytes()
    name = form.parse_name(path.name)
    assert name is not None
    scan = form.scan(content, name.first)
    following = scan.items[-1].sequence + 1 if scan.items else name.first
    whole = form.frames(following, bodies)
    junk = whole[: data.draw(st.integers(0, len(whole) - 1))] if half else bodies[0]
    path.write_bytes((content[: scan.end] + junk).ljust(len(content), b"\0"))
