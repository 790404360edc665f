"""`wait` adds no message to the network (spec 5): a short run of tests/bench/lowload.py, by the kernels' counters."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))

import lowload

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
]


def test_deferred_items_add_no_message_to_the_network(tmp_path: Path) -> None:
    rows = ["nothing", "all deferred kinds", "immediate events"]
    nothing, deferred, immediate = lowload.measure(tmp_path, 0.6, 1000, rows, interval=0.2)
    assert nothing.more == 0, "an idle network has the periodic packets and nothing else"
    assert deferred.items == 10
    assert (deferred.more, deferred.early) == (0, 0)
    least = 10 * 4 * 200 * 2  # items, kinds, bytes, peers
    assert deferred.bytes > nothing.bytes * deferred.seconds / nothing.seconds + least
    assert immediate.more >= 2 * immediate.items, "a request and its reply each"
