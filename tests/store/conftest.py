"""Fixtures of the shared-disk tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from stores import lead, move, one_process, open_accounts

from noroshi.store.layout import Layout
from noroshi.store.writer import Writer


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """A shared directory whose leaders and readers are all in this process."""
    one_process(monkeypatch)
    return Layout(tmp_path)


@pytest.fixture
def old(layout: Layout) -> Iterator[Writer]:
    """A leader with the accounts in the database file, and one move from a to b in the log."""
    leader = lead(layout, "old")
    open_accounts(leader)
    assert leader.checkpoint_if_due(idle=True)
    move(leader, "a", "b")
    yield leader
    leader.close()
