"""Connections come and go; while at least one of them delivers, the book is never lost."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from booktape.core.tape_records import Connected, DepthAnswer, Disconnected
from booktape.sim.faults.conditions import Delivery
from booktape.sim.faults.connections import Cuts, Lifetime
from booktape.sim.faults.fault import Faults
from booktape.sim.faults.messages import Close
from booktape.sim.server.server import SimServer
from booktape.store.tape_reader import read_tape
from e2e.inside import recording, until_updates
from e2e.promises import check_archive, gaps_of, truth_of
from support import virtual_time
from support.truth import TracedMarket

SYMBOLS = ("BTCUSDT", "ETHUSDT", "BNBUSDT", "XMRBTC")


def snapshots_in(root: Path) -> int:
    """The number of recorded answers with a book; without audits, only a loss causes one."""
    tapes = root.glob("tape/*/*.zst")
    return sum(isinstance(frame, DepthAnswer) for tape in tapes for frame in read_tape(tape))


def check_seamless(root: Path, market: TracedMarket, symbols: int, *, every: int) -> None:
    """No gap, no second snapshot of any symbol, one epoch; and each row is true."""
    assert gaps_of(root) == []
    assert snapshots_in(root) == symbols
    rows = check_archive(root, truth_of(market), every=every)
    assert {row["epoch"] for own in rows.values() for row in own} == {1}


async def test_rollovers_before_the_lifetime_ends_are_seamless(tmp_path: Path) -> None:
    """24 hours in miniature, several times over: no gap, no second snapshot, one epoch."""
    market = TracedMarket(SYMBOLS, seed=6, levels=40)
    async with (
        SimServer(market, faults=Faults.of(Lifetime(30))) as server,
        recording(server, SYMBOLS, tmp_path, every=2, connection_life_s=15, audit_s=0) as recorder,
    ):
        await until_updates(recorder, "BTCUSDT", 500)
        assert server.connections >= 3
    check_seamless(tmp_path, market, len(SYMBOLS), every=2)


async def test_all_connections_are_replaced_at_a_time_of_day_without_a_gap(tmp_path: Path) -> None:
    """Each replacement delivers before the old one is closed: no gap, no second snapshot."""
    symbols, started_s = SYMBOLS[:2], virtual_time.START_NS // 10**9 % 86_400

    market = TracedMarket(symbols, seed=9, levels=40)
    async with (
        SimServer(market) as server,
        recording(
            server,
            symbols,
            tmp_path,
            every=5,
            connections=2,
            rollover_at_s=started_s + 20,
            audit_s=0,
        ) as recorder,
    ):
        await asyncio.sleep(40)
        assert server.connections == 4
        status = recorder.status()
        assert status is not None
        assert {book.state for book in status.books} == {"live"}
    (tape,) = tmp_path.glob("tape/*/*.zst")
    frames = list(read_tape(tape))
    new = [frame for frame in frames if isinstance(frame, Connected)][2:]
    lost = [frame for frame in frames if isinstance(frame, Disconnected)]
    assert {round(frame.received_ns / 1e9) % 86_400 - started_s for frame in new} == {20}
    assert {frame.connection for frame in lost} == {1, 2}
    check_seamless(tmp_path, market, len(symbols), every=5)


async def test_either_of_two_connections_may_die_at_any_moment(tmp_path: Path) -> None:
    """Each is cut abruptly every few seconds, never both at once: no gap, no second snapshot."""

    def worn_out(delivery: Delivery) -> bool:
        return delivery.number_on_connection == (200 if delivery.connection == 0 else 400)

    market = TracedMarket(SYMBOLS, seed=7, levels=40)
    lie = Faults.of(Close(worn_out, abrupt=True))
    async with (
        SimServer(market, faults=lie) as server,
        recording(server, SYMBOLS, tmp_path, every=2, connections=2, audit_s=0) as recorder,
    ):
        await until_updates(recorder, "BTCUSDT", 900)
        assert server.connections >= 8
    check_seamless(tmp_path, market, len(SYMBOLS), every=2)


@pytest.mark.long
async def test_ten_minutes_of_random_cuts_over_fifty_symbols(tmp_path: Path) -> None:
    """Single connections are cut every few seconds: full coverage, no gap, no further snapshot."""
    symbols = tuple(f"S{number}BTC" for number in range(50))

    market = TracedMarket(symbols, seed=8, levels=30)
    lie = Faults.of(Cuts(every_s=5, start_s=20, end_s=600, spare=1))
    async with (
        SimServer(market, faults=lie) as server,
        recording(
            server,
            symbols,
            tmp_path,
            every=20,
            connections=2,
            depth=100,
            audit_s=0,
            witness="none",
        ) as recorder,
    ):
        await asyncio.sleep(610)
        status = recorder.status()
        assert status is not None
        assert {book.state for book in status.books} == {"live"}
        assert server.connections > 100
    check_seamless(tmp_path, market, len(symbols), every=20)
