"""Nothing lost, nothing doubled: ten rounds of `tests/bench/chaos.py`."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest
from chaos_story import play


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_everything_promised_is_stored_once_and_in_order(tmp_path: Path) -> None:
    seed = secrets.randbelow(2**32)
    print(f"seed {seed}")
    outcome = play(tmp_path, 10, seed, print)
    assert outcome.right, outcome
    assert outcome.sent > 1000
    assert outcome.stored == outcome.sent
