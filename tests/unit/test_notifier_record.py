"""The record of deliveries: what survives a crash, a torn line, a full disk, a clearing out."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from contextlib import closing
from pathlib import Path

import pytest
from notifying import run

from noroshi.node.notifier import record
from noroshi.node.notifier.procedure import delivered, failed
from noroshi.node.notifier.record import Ended, Record, RecordFile, Started, Term
from noroshi.store.errors import NoroshiError

NOW = 1_800_000_000_000_000
DAY = 24 * 3600 * 1_000_000
OK = delivered("exit status 0", "paged\n")


def reopened(folder: Path, now: int = NOW) -> RecordFile:
    return RecordFile(folder, now)


def written(folder: Path, *lines: record.Line) -> Path:
    file = RecordFile(folder, NOW)
    for line in lines:
        file.commit([line], NOW)
    file.close()
    return folder / "record"


def test_a_result_outlives_the_daemon(tmp_path: Path) -> None:
    written(tmp_path, Term(7), Started("a", NOW), Ended("a", NOW, OK))
    file = reopened(tmp_path)
    assert file.term == 7
    assert file.knows("a") and not file.knows("b")
    assert file.result("a") == OK
    assert file.result("b") is None
    file.close()


def test_started_and_never_ended_is_interrupted_for_good(tmp_path: Path) -> None:
    written(tmp_path, Started("a", NOW))
    for _ in range(2):
        file = reopened(tmp_path)
        result = file.result("a")
        assert result is not None and result.outcome == "failed" and result.reason.startswith("interrupted")
        file.close()


@pytest.mark.parametrize("torn", [b'{"type":"ended","delivery":"b","at":1,"res', b"\xff\xfe\n", b"[]\n"])
@pytest.mark.parametrize("room", [b"", b"\0" * 300])
def test_a_torn_last_line_counts_as_never_written(tmp_path: Path, torn: bytes, room: bytes) -> None:
    path = written(tmp_path, Started("a", NOW), Ended("a", NOW, OK))
    path.write_bytes(path.read_bytes().rstrip(b"\0") + torn + room)
    file = reopened(tmp_path)
    assert file.damaged == 1
    assert file.result("a") == OK and not file.knows("b")
    file.commit([Started("c", NOW), Ended("c", NOW, failed("exit status 1"))], NOW)
    file.close()
    again = reopened(tmp_path)
    assert again.damaged == 0
    assert again.result("a") == OK and again.result("c") == failed("exit status 1")
    again.close()


def test_the_room_behind_the_last_line_is_no_damage_and_is_written_into(tmp_path: Path) -> None:
    path = written(tmp_path, Started("a", NOW), Ended("a", NOW, OK))
    size = path.stat().st_size
    assert path.read_bytes().endswith(bytes(1000))
    with closing(reopened(tmp_path)) as file:
        assert file.damaged == 0 and file.result("a") == OK
        for number in range(20):
            file.commit([Started(f"d{number}", NOW), Ended(f"d{number}", NOW, OK)], NOW)
        assert path.stat().st_size < 2 * size
    with closing(reopened(tmp_path)) as file:
        assert file.damaged == 0 and all(file.result(f"d{number}") == OK for number in range(20))


def test_every_cut_of_the_file_gives_a_prefix_of_its_history(tmp_path: Path) -> None:
    path = written(tmp_path, Term(3), Started("a", NOW), Ended("a", NOW, OK), Started("b", NOW))
    whole = path.read_bytes().rstrip(b"\0")
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length] + b"\0" * (length % 2))  # whether or not the room behind it was made already
        file = reopened(tmp_path)
        if file.knows("b"):
            assert file.result("a") == OK
        if (result := file.result("a")) is not None:
            assert result in (OK, failed(record.INTERRUPTED)) and file.term == 3
        file.close()


def test_the_file_is_private(tmp_path: Path) -> None:
    path = written(tmp_path / "state" / "deliveries", Started("a", NOW))
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [each.name for each in path.parent.iterdir()] == ["record"]


def test_results_older_than_a_day_are_dropped_at_the_start(tmp_path: Path) -> None:
    written(tmp_path, Ended("old", NOW - DAY, OK), Ended("new", NOW, OK), Term(9))
    file = reopened(tmp_path, NOW + 1)
    assert not file.knows("old") and file.result("new") == OK and file.term == 9
    file.close()


def test_a_grown_file_is_cleared_out_while_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "GROWTH", 20_000)
    monkeypatch.setattr(record, "ROOM", 5_000)
    monkeypatch.setattr(record, "KEEP_BYTES", 10_000)
    file = RecordFile(tmp_path, NOW)
    file.commit([Started("running", NOW)], NOW)
    for number in range(400):
        file.commit([Started(f"d{number}", NOW), Ended(f"d{number}", NOW, delivered("", "x" * 100))], NOW)
        assert file.result(f"d{number}") == delivered("", "x" * 100)
    assert (tmp_path / "record").stat().st_size < 50_000
    assert not file.knows("d0") and file.result("d380") == delivered("", "x" * 100)
    assert file.result("running") == failed(record.INTERRUPTED)
    file.close()
    again = reopened(tmp_path)  # what ran all the while is still known to have been started
    assert again.result("running") == failed(record.INTERRUPTED), (
        "what ran through it is still known to have been started"
    )
    again.close()


def test_more_results_than_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "KEEP_COUNT", 10)
    file = RecordFile(tmp_path, NOW)
    file.commit([Ended(f"d{number}", NOW, OK) for number in range(25)], NOW)
    file.commit([Ended("last", NOW, OK)], NOW)
    assert [file.knows(f"d{number}") for number in (14, 15, 24)] == [False, True, True]
    assert file.knows("last")
    file.close()


def test_a_crash_while_clearing_out_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, Started("a", NOW), Ended("a", NOW, OK))
    (tmp_path / "record.new").write_bytes(b'{"type":"term","term":99}\n')
    file = reopened(tmp_path)
    assert file.term == 0 and file.result("a") == OK
    assert sorted(each.name for each in tmp_path.iterdir()) == ["record"]
    assert path.exists()
    file.close()


def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fdatasync", refuse)
    monkeypatch.setattr(os, "fsync", refuse)


def test_what_could_not_be_written_is_written_when_the_disk_takes_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = RecordFile(tmp_path, NOW)
    file.commit([Started("a", NOW)], NOW)
    with monkeypatch.context() as full:
        full_disk(full)
        with pytest.raises(OSError, match="No space"):
            file.commit([Ended("a", NOW, OK), Started("b", NOW), Term(4)], NOW)
        assert file.result("a") == OK
        assert not file.knows("b")
        with pytest.raises(OSError, match="No space"):
            file.commit([Started("c", NOW)], NOW)
    file.commit([Started("d", NOW)], NOW)
    file.close()
    again = reopened(tmp_path)
    assert again.result("a") == OK and again.term == 4
    assert not again.knows("b") and not again.knows("c") and again.knows("d")
    again.close()


def test_a_burst_shares_syncs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs = 0
    real = os.fdatasync

    def counted(file: int) -> None:
        nonlocal syncs
        syncs += 1
        real(file)

    async def burst() -> None:
        book = Record(tmp_path)
        monkeypatch.setattr(os, "fdatasync", counted)
        await asyncio.gather(*(book.started(str(number)) for number in range(1000)))
        assert 0 < syncs < 20
        await asyncio.gather(*(book.ended(str(number), OK) for number in range(1000)))
        assert [await book.result(str(number)) for number in (0, 999)] == [OK, OK]
        await book.close()

    run(burst())


def test_nothing_returns_before_the_disk_has_it(tmp_path: Path) -> None:
    async def one() -> bytes:
        book = Record(tmp_path)
        await book.raise_term(12)
        await book.started("a")
        data = (tmp_path / "record").read_bytes()
        await book.close()
        return data

    data = run(one())
    assert b'"started"' in data and data.index(b'"term":12') < data.index(b'"started"')


def test_nobody_waits_for_what_others_begin(tmp_path: Path) -> None:
    """A start that takes long holds up neither those recorded with it that begin nothing, nor those begun before."""

    async def story() -> None:
        this, slow = Record(tmp_path), threading.Event()
        first = this.started("first")  # the next ones share a sync
        begun = [this.started("quick", lambda: None), this.started("slow", lambda: slow.wait(20) and None)]
        plain = this.started("plain")
        await asyncio.wait_for(asyncio.gather(first, plain, begun[0]), 20)
        assert not begun[1].done()
        slow.set()
        await begun[1]
        await this.close()

    run(story())


def test_an_unusable_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(NoroshiError, match=r"record of deliveries in .*/state.*node\.yaml"):
        Record(tmp_path / "state")
