"""A folder that holds `data`, the recording for the examples. BTCUSDT for two minutes, with an outage."""

from __future__ import annotations

from pathlib import Path

import pytest

from booktape.sim.market.market import Market
from plot.scene import record


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("workplace")
    market = Market(("BTCUSDT", "XMRBTC"), seed=8, levels=200)
    record(folder / "data", market, 120, "outage=50-55", every=1, depth=150)
    return folder
