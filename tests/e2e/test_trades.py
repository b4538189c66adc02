"""Trades beside the books: each once, every hole filled or declared, and without harm to any book."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random
from typing import Any

import pyarrow.parquet as pq
import pytest

from booktape.core.trades import Trade
from booktape.sim.faults.conditions import Attempts, Messages
from booktape.sim.faults.connections import CutAt, Cuts, Outage
from booktape.sim.faults.fault import Fault, Faults
from booktape.sim.faults.messages import Delay, Drop, LostMessages, Repeat
from booktape.sim.faults.requests import slow
from booktape.sim.server.server import SimServer
from e2e.inside import recording, until_known
from e2e.promises import check_archive, gaps_of, truth_of
from e2e.tables import lines_of
from support.truth import TracedMarket

SYMBOLS = ("BTCUSDT",)
SPARE: dict[str, Any] = {"every": 50, "trades": True, "witness": "none", "pulse_s": 0.0}
"""Features that do not concern trades would only cost time."""


class TradedMarket(TracedMarket):
    """Remembers every trade."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.traded: dict[str, dict[int, Trade]] = {}

    def _close(self, market: Any, now_s: float, time_us: int) -> list[Any]:
        found = super()._close(market, now_s, time_us)
        own = self.traded.setdefault(market.listing.symbol, {})
        own.update((trade.trade_id, trade) for trade in market.trades)
        return found


def trades_of(root: Path, symbol: str) -> list[dict[str, Any]]:
    files = sorted(root.glob(f"trades/symbol={symbol}/*/*.parquet"), key=lambda path: path.name)
    return [row for path in files for row in pq.read_table(path, partitioning=None).to_pylist()]


def missing_of(root: Path, symbol: str) -> dict[int, str]:
    """The reason of each missing id."""
    files = sorted(root.glob("trade_gaps/*/*.parquet"), key=lambda path: path.name)
    gaps = [row for path in files for row in pq.read_table(path, partitioning=None).to_pylist()]
    return {
        trade_id: gap["reason"]
        for gap in gaps
        if gap["symbol"] == symbol
        for trade_id in range(gap["first_id"], gap["last_id"] + 1)
    }


def check_trades(root: Path, market: TradedMarket) -> dict[str, list[dict[str, Any]]]:
    """Stored and declared trades are all that occurred, from the first stored to the last; each is true."""
    found = {}
    for symbol in market.traded:
        rows, missing = trades_of(root, symbol), missing_of(root, symbol)
        ids = [row["trade_id"] for row in rows]
        assert len(ids) == len(set(ids)), "never a trade twice"
        assert not missing.keys() & set(ids)
        assert sorted([*ids, *missing]) == list(range(min(ids), max(ids) + 1))
        for row in rows:
            true = market.traded[symbol][row["trade_id"]]
            assert (row["price"], row["size"]) == (true.price, true.size)
            assert row["buyer_is_maker"] is true.buyer_is_maker
            assert row["trade_time"].timestamp() * 1e6 == pytest.approx(true.trade_time_us, abs=1)
            assert (row["event_time"] is None) is row["filled"]
        found[symbol] = rows
    return found


async def test_a_lost_connection_costs_no_trade(tmp_path: Path) -> None:
    """Trades missed meanwhile are filled, and marked as such."""
    market = TradedMarket(SYMBOLS, seed=3, levels=20)
    faults = Faults.of(Outage(3, 8))
    async with (
        SimServer(market, faults=faults) as server,
        recording(server, SYMBOLS, tmp_path, **SPARE),
    ):
        await asyncio.sleep(18)
        assert not server.violations
    check_archive(tmp_path, truth_of(market), every=50)
    rows = check_trades(tmp_path, market)["BTCUSDT"]
    assert sum(row["filled"] for row in rows) > 20
    assert missing_of(tmp_path, "BTCUSDT") == {}


async def test_two_connections_store_each_trade_once_and_request_none(tmp_path: Path) -> None:
    """Trades that one of them loses come from the other."""
    market = TradedMarket(SYMBOLS, seed=4, levels=20)
    lossy = Messages(connection=0, stream="trade", probability=0.3)
    async with (
        SimServer(market, faults=Faults.of(Drop(lossy), Delay(lossy, 0.5))) as server,
        recording(server, SYMBOLS, tmp_path, connections=2, **SPARE),
    ):
        await asyncio.sleep(15)
    rows = check_trades(tmp_path, market)["BTCUSDT"]
    assert not any(row["filled"] for row in rows)


RANDOM_TIMES: dict[str, tuple[Fault, ...]] = {
    "cuts": (Cuts(every_s=5, start_s=2, spare=0),),
    "outages": (Outage(2, 4), Outage(10, 11), Outage(15, 18)),
    "lost, repeated and late messages": (
        Drop(Messages(stream="trade", probability=0.1)),
        LostMessages(Messages(stream="trade", probability=0.01), count=20),
        Repeat(Messages(stream="trade", probability=0.2), after_s=2),
        Delay(Messages(probability=0.02), 0.3, jitter_s=1),
    ),
    "answers that take long": (
        CutAt(2),
        LostMessages(Messages(stream="trade", first=10, last=10), count=8),
        CutAt(19),
        slow(Attempts(path="historicalTrades"), 4),
    ),
}


@pytest.mark.parametrize("name", RANDOM_TIMES)
async def test_every_hole_is_filled_or_declared(tmp_path: Path, name: str) -> None:
    """Across segments, and between two recordings; everything stored is proved, and the budget is respected."""
    market = TradedMarket(SYMBOLS, seed=5, levels=20)
    async with SimServer(market, faults=Faults(RANDOM_TIMES[name])) as server:
        for seconds in (16, 8):
            async with recording(server, SYMBOLS, tmp_path, segment_s=7, **SPARE):
                await asyncio.sleep(seconds)
            await asyncio.sleep(2)
        assert not server.violations
    check_archive(tmp_path, truth_of(market), every=50)
    rows = check_trades(tmp_path, market)["BTCUSDT"]
    assert any(row["filled"] for row in rows)
    assert not all(row["filled"] for row in rows)


@pytest.mark.long
@pytest.mark.within_s(None)
@pytest.mark.parametrize("seed", range(4))
async def test_random_cuts_and_outages(tmp_path: Path, seed: int) -> None:
    """Two symbols, one connection or two, a minute or two, recorders that come and go."""
    dice = Random(seed)
    symbols = ("BTCUSDT", "XRPUSDT")
    market = TradedMarket(symbols, seed=seed, levels=20)
    outages = [(at_s, at_s + dice.choice((1, 5, 15))) for at_s in range(10, 200, 30)]
    faults = (
        *(Outage(*outage, silent=dice.random() < 0.3) for outage in outages),
        Cuts(every_s=dice.choice((15, 60)), start_s=5, spare=dice.choice((0, 1))),
        Drop(Messages(stream="trade", probability=0.01, seed=seed)),
        LostMessages(Messages(stream="trade", probability=0.001, seed=seed), count=200),
    )
    async with SimServer(market, faults=Faults(faults)) as server:
        for _ in range(3):
            how = SPARE | {"connections": dice.choice((1, 2)), "segment_s": dice.choice((10, 60))}
            async with recording(server, symbols, tmp_path, **how):
                await asyncio.sleep(10 + 5 * dice.random())
            await asyncio.sleep(5 * dice.random())
        assert not server.violations
    check_archive(tmp_path, truth_of(market), every=50)
    rows = check_trades(tmp_path, market)
    assert any(row["filled"] for row in rows["BTCUSDT"])


async def test_holes_open_at_the_end_are_declared(tmp_path: Path) -> None:
    """A recording that stops right after a loss."""
    market = TradedMarket(SYMBOLS, seed=6, levels=20)
    faults = Faults.of(LostMessages(Messages(stream="trade", first=30, last=30), count=30))
    async with (
        SimServer(market, faults=faults) as server,
        recording(server, SYMBOLS, tmp_path, **SPARE),
    ):
        while len(market.traded.get("BTCUSDT", ())) < 62:
            await asyncio.sleep(0.1)
        await asyncio.sleep(0.5)
    check_trades(tmp_path, market)
    assert list(missing_of(tmp_path, "BTCUSDT").values()) == ["stopped"] * 30
    check_archive(tmp_path, truth_of(market), every=50)


async def test_trades_do_not_delay_books_that_were_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same cuts at the same times, while a long hole is filled: the same gaps."""
    monkeypatch.setattr("random.uniform", lambda low, high: (low + high) / 2)
    gaps = {}
    for trades in (False, True):
        market = TradedMarket(SYMBOLS, seed=7, levels=20)
        faults = Faults.of(Outage(2, 6), CutAt(9.05), CutAt(12.05), CutAt(15.05))
        out = tmp_path / str(trades)
        async with (
            SimServer(market, faults=faults) as server,
            recording(server, SYMBOLS, out, **SPARE | {"trades": trades}) as recorder,
        ):
            await until_known(recorder, len(SYMBOLS))
            await asyncio.sleep(20)
        gaps[trades] = [
            (gap["reason"], (gap["end_time"] - gap["start_time"]).total_seconds())
            for gap in gaps_of(out)
            if gap["end_time"]
        ]
    assert len(gaps[False]) == 4
    assert gaps[True] == [
        (reason, pytest.approx(length, abs=0.11)) for reason, length in gaps[False]
    ]
    assert any(row["filled"] for row in trades_of(tmp_path / "True", "BTCUSDT"))


async def test_without_the_option_an_archive_has_no_trades(tmp_path: Path) -> None:
    """Neither folders nor messages."""
    market = TradedMarket(SYMBOLS, seed=8, levels=20)
    async with (
        SimServer(market) as server,
        recording(server, SYMBOLS, tmp_path, **SPARE | {"trades": False}),
    ):
        await asyncio.sleep(3)
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {
        *("tape", "snapshots", "gaps", "checks", "notes", "manifests", "unsealed"),
    }
    assert not any("@trade" in str(line) for line in lines_of(tmp_path, "ws"))
