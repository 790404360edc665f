"""The simulation's quick mode: small clusters, the promises of the table."""

from __future__ import annotations

import pytest
from simulate import HEADINGS, SCENARIOS, simulate

from noroshi.store.config import Heartbeat

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


@pytest.mark.parametrize("name", BY_NAME)
@pytest.mark.parametrize("count", [1, 2, 3, 10])
def test_what_is_promised_of_small_clusters(count: int, name: str) -> None:
    result = simulate(count, BY_NAME[name], seconds=45.0, seed=count)
    assert result.false == result.paths == 0
    assert result.sent / result.node_seconds <= 1.05, "one packet a period and node"
    assert len(result.row().split()) >= len(HEADINGS.split()) - 2
    if name in ("clean", "100/min deferred"):
        # Silence of four periods and a quarter from the last packet, a view a period old, a judge once a period.
        assert len(result.down) == len(result.back) == (2 if count > 1 else 0)
        assert all(3.25 <= seconds <= 6.25 for seconds in result.down)
        assert all(seconds <= 3.0 for seconds in result.back)
        assert result.arrived >= result.raised - 3 * 2 * count, "all but what rides in the last packets or died with it"


def test_deferred_items_survive_a_network_that_loses_every_fifth_packet() -> None:
    lossy = type(BY_NAME["clean"])("both", loss=0.2, deferred=2.0)
    result = simulate(5, lossy, 60.0, seed=3, heartbeat=Heartbeat(overflow="wait"))
    assert result.raised > 400
    assert result.raised * 0.9 < result.arrived <= result.raised
