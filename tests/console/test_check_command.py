"""`noroshi check` as an operator types it: whose programs it takes for whose, and what it cannot look at."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from filling import Run

root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
DAEMON, STRANGER = 54321, 54322


@root
def test_who_asks_is_not_the_daemons_user_whose_the_state_directory_is(filled: Path, run: Run) -> None:
    state, page = filled.parent / "state", filled.parent / "page"
    page.touch(0o755)
    filled.write_text(filled.read_text() + f"notifier: {{programs: [{page}]}}\n")
    os.chown(filled, DAEMON, DAEMON)
    os.chown(page, DAEMON, DAEMON)
    status, out, _ = run(filled, "check")
    assert (status, f"{page} belongs to user {DAEMON}" in out) == (1, True), "before its first start: who asks"
    state.mkdir()
    os.chown(state, DAEMON, DAEMON)
    status, out, err = run(filled, "check")
    assert (status, err) == (0, ""), out
    os.chown(page, STRANGER, STRANGER)
    status, out, _ = run(filled, "check")
    assert (status, f"{page} belongs to user {STRANGER}" in out) == (1, True)


def test_a_program_that_leads_in_a_circle_ends_nothing(filled: Path, run: Run) -> None:
    page = filled.parent / "page"
    page.symlink_to("page")
    filled.write_text(filled.read_text() + f"notifier: {{programs: [{page}]}}\n")
    status, out, err = run(filled, "check")
    assert (status, err) == (0, ""), out


def test_what_cannot_be_looked_at_is_said(filled: Path, run: Run) -> None:
    page = filled.parent / ("x" * 300)
    filled.write_text(filled.read_text() + f"notifier: {{programs: [{page}]}}\n")
    status, out, err = run(filled, "check")
    assert (status, err) == (1, "")
    assert f"who may change it cannot be seen: {page}: File name too long (run this check as root" in out
