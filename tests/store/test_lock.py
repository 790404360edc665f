"""The coordinator's lock, between real processes."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stores import Say, running

from noroshi.store import lock as lock_module
from noroshi.store.errors import DiskFailed, RoleTaken
from noroshi.store.layout import Layout
from noroshi.store.lock import SIZE, LockRecord, RoleLock, current_term, decode, encode, is_held, read_lock

RECORD = LockRecord("db1", 3, "tcp://127.0.0.1:7402", 42, 1_700_000_000_000_000, token="aa")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


@given(st.binary(max_size=2 * SIZE))
def test_any_content_is_a_record_or_none(raw: bytes) -> None:
    assert decode(raw) is None or isinstance(decode(raw), LockRecord)


@given(st.text(min_size=1, max_size=60), st.integers(1, 2**63 - 1))
def test_a_record_comes_back_as_it_was_written(node: str, term: int) -> None:
    record = LockRecord(node, term, "tcp://[::1]:1", 1, 2)
    assert len(encode(record)) == SIZE
    assert decode(encode(record)) == record


def test_names_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="too long"):
        encode(LockRecord("n" * SIZE, 1, "e", 1, 1))


def test_nobody_has_led_yet(layout: Layout) -> None:
    assert read_lock(layout) is None
    assert current_term(layout) == 0
    assert not is_held(layout)


def test_the_record_outlives_the_lock(layout: Layout) -> None:
    lock = RoleLock.acquire(layout)
    assert is_held(layout)
    assert read_lock(layout) is None
    lock.write(RECORD)
    assert read_lock(layout) == RECORD
    assert lock.still_ours()
    lock.close()
    assert not is_held(layout)
    assert read_lock(layout) == RECORD
    assert current_term(layout) == 3


def test_another_process_is_refused_and_told_who_leads(layout: Layout) -> None:
    with running(lambda say: _hold(layout, say)) as child:
        assert child.line() == "held"
        assert is_held(layout)
        with pytest.raises(RoleTaken, match="db1 leads in term 3"):
            RoleLock.acquire(layout)
        child.kill()
        assert not is_held(layout)
        RoleLock.acquire(layout).close()


def _hold(layout: Layout, say: Say) -> None:
    lock = RoleLock.acquire(layout)
    lock.write(RECORD)
    say("held")
    threading.Event().wait()


def test_a_started_program_does_not_inherit_the_lock(layout: Layout) -> None:
    lock = RoleLock.acquire(layout)
    program = "import sys; print('runs', flush=True); sys.stdin.read()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", program], close_fds=False, **pipes) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"runs\n"
        lock.close()
        assert not is_held(layout)
        RoleLock.acquire(layout).close()
        child.communicate(b"")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff" * SIZE, encode(RECORD)[:40], encode(RECORD).replace(b"3", b"4")]
)
def test_any_other_content_than_ours_is_not_ours(layout: Layout, content: bytes) -> None:
    lock = RoleLock.acquire(layout)
    lock.write(RECORD)
    layout.lock.write_bytes(content)
    assert not lock.still_ours()
    layout.lock.unlink()
    assert not lock.still_ours()
    lock.close()


def test_a_lock_file_replaced_while_it_was_being_locked_is_not_held(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The candidate locked a file that is no longer the one everybody else will lock: it starts again."""
    seen: list[bool] = []
    same_file = lock_module.same_file

    def replaced_first(path: Path, descriptor: int) -> bool:
        if not seen:
            path.unlink()
            path.touch()
        seen.append(same_file(path, descriptor))
        return seen[-1]

    monkeypatch.setattr(lock_module, "same_file", replaced_first)
    lock = RoleLock.acquire(layout)
    assert seen == [False, True]
    lock.write(RECORD)
    assert read_lock(layout) == RECORD
    lock.close()


def test_a_probe_does_not_make_a_candidate_give_up(layout: Layout) -> None:
    """`status` asks in a loop on another node; a candidate still gets the role."""
    with running(lambda say: _probe(layout, say)) as child:
        assert child.line() == "probing"
        for _ in range(20):
            RoleLock.acquire(layout).close()


def _probe(layout: Layout, say: Say) -> None:
    RoleLock.acquire(layout).close()
    say("probing")
    while True:
        is_held(layout)


def test_no_shared_directory(tmp_path: Path) -> None:
    with pytest.raises(DiskFailed, match=r"No such file or directory.*the README, Disks"):
        RoleLock.acquire(Layout(tmp_path / "none"))


@pytest.mark.parametrize(("directory", "file"), [(0o755, 0o644), (0o750, 0o640), (0o700, 0o600), (0o777, 0o644)])
def test_who_may_read_the_directory_may_read_the_lock(layout: Layout, directory: int, file: int) -> None:
    layout.shared.chmod(directory)
    RoleLock.acquire(layout).close()
    assert layout.lock.stat().st_mode & 0o777 == file
