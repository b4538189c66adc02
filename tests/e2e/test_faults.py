"""The exchange lies, closes, refuses and fails: stored rows stay true, and every loss is declared."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from booktape.sim.faults.fault import Faults
from booktape.sim.faults.messages import Drop
from booktape.sim.faults.parse import parse_faults
from booktape.sim.server.server import SimServer
from e2e.inside import recording, until_updates
from e2e.promises import check_archive, gaps_of, truth_of
from e2e.tables import lines_of
from sim.exchange import event_number
from support.truth import TracedMarket

SYMBOLS = ("BTCUSDT", "ETHUSDT", "BNBUSDT")


@pytest.mark.parametrize(
    "faults",
    [
        "drop=0.03",
        "close=10",
        "refuse=0.5,close=10",
        "rest-error=0.4",
        "drop=0.02,close=15,refuse=0.3,rest-error=0.3",
    ],
)
async def test_rows_are_true_and_gaps_declared_whatever_the_exchange_does(
    faults: str, tmp_path: Path
) -> None:
    """Every row equals the truth, epochs and gaps agree, and no limit of the exchange is exceeded."""
    market = TracedMarket(SYMBOLS, seed=3, levels=40)
    async with (
        SimServer(market, faults=parse_faults(faults)) as server,
        recording(server, SYMBOLS, tmp_path, every=2),
    ):
        await asyncio.sleep(30)
        assert set(server.violations.elements()) == set(), server.violations
    rows = check_archive(tmp_path, truth_of(market), every=2)
    assert sum(map(len, rows.values())) > 20


async def test_a_gap_in_one_symbol_leaves_the_others_alone_and_costs_one_request(
    tmp_path: Path,
) -> None:
    """One dropped event: one gap, one more snapshot, and no other symbol is affected."""
    market = TracedMarket(SYMBOLS, seed=3, levels=40)
    lie = Faults((Drop(event_number("ETHUSDT", 20)),))
    async with (
        SimServer(market, faults=lie) as server,
        recording(server, SYMBOLS, tmp_path, every=3) as recorder,
    ):
        await until_updates(recorder, "BTCUSDT", 40)
        await until_updates(recorder, "ETHUSDT", 5)
    rows = check_archive(tmp_path, truth_of(market), every=3)
    # One snapshot per symbol, and the one that the gap cost.
    assert len(list(lines_of(tmp_path, "asked"))) == 3 + 1
    (gap,) = gaps_of(tmp_path)
    assert (gap["symbol"], gap["reason"]) == ("ETHUSDT", "id_gap")
    assert {row["epoch"] for row in rows["BTCUSDT"] + rows["BNBUSDT"]} == {1}
