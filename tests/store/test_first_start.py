"""A first start that was cut short is no loss: whoever comes next makes the first database and tells of nothing."""

from __future__ import annotations

from contextlib import suppress

import pytest
from stores import lead, one_process

from noroshi.store import takeover
from noroshi.store.damage import story
from noroshi.store.errors import DiskFull
from noroshi.store.layout import Layout

STEPS = ["raise_term", "remove_leftovers", "copy_wal", "install_mark"]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("times", [1, 2])
def test_a_first_start_cut_short_is_no_loss(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, step: str, times: int
) -> None:
    one_process(monkeypatch)
    real = getattr(takeover, step)

    def full(*arguments: object) -> None:
        real(*arguments)
        raise DiskFull("cannot write")

    monkeypatch.setattr(takeover, step, full)
    for _ in range(times):
        with pytest.raises(DiskFull):
            lead(layout)
    monkeypatch.setattr(takeover, step, real)
    with lead(layout) as leader:
        assert leader.read(story) is None
    with suppress(FileNotFoundError):
        layout.database.unlink()
    with lead(layout) as leader:
        found = leader.read(story)
        assert found is not None
        assert found.why == "the database is gone"
