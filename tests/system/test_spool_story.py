"""The files of a spool against a model: groups, restarts, reboots, failing disks and torn tails at random."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spoolstand import broken, segments

from noroshi.node.core import spool as form
from noroshi.node.daemon.segments import SegmentFiles, Written

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
                    disk.setattr(os, data.draw(st.sampled_from(["fdatasync", "pwrite"])), broken)
                if step == "unsafe and not cut":
                    disk.setattr(os, "ftruncate", broken)
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
                disk.setattr(SegmentFiles, "_begin", broken)
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


def _tear(path: Path, bodies: list[bytes], half: bool, data: st.DataObject) -> None:
    """What a power cut leaves behind the last safe frame: part of a group, or anything."""
    content = path.read_bytes()
    name = form.parse_name(path.name)
    assert name is not None
    scan = form.scan(content, name.first)
    following = scan.items[-1].sequence + 1 if scan.items else name.first
    whole = form.frames(following, bodies)
    junk = whole[: data.draw(st.integers(0, len(whole) - 1))] if half else bodies[0]
    path.write_bytes((content[: scan.end] + junk).ljust(len(content), b"\0"))
