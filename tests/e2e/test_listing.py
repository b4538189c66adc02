"""Changes of the exchange's list during a recording: halts, delistings and new symbols."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from booktape.errors import UnknownSymbol
from booktape.net import symbol_status
from booktape.net.symbol_status import LIST_SPACING_S, NAMED_LIST_EVERY_S
from booktape.recorder.recorder import Recorder
from booktape.sim.faults.fault import Faults
from booktape.sim.faults.market import Delist, Halt, NewListing
from booktape.sim.server.server import SimServer
from booktape.wire.endpoints import VENUES
from e2e.inside import recording
from e2e.promises import check_archive, gaps_of, truth_of
from e2e.tables import lines_of, table_of
from support.truth import TracedMarket

SYMBOLS = ("BTCUSDT", "ETHUSDT")
BTC, ETH = SYMBOLS
SPEED = 0.1
"""A tenth of the usual events: the waits depend on the recorder's time."""

BEFORE_S = 60.0
"""Of the recorder's time."""

NOTICED_S = NAMED_LIST_EVERY_S + 3 * LIST_SPACING_S
"""Two requests for the list, the second soon after the first."""

HALT_S = 400.0
SEGMENT_S = 300.0


def market_time_s(recorder_s: float) -> float:
    return recorder_s * SPEED


def states(recorder: Recorder) -> dict[str, str]:
    status = recorder.status()
    assert status
    return {book.symbol: book.state for book in status.books}


def statuses_of(root: Path, symbol: str) -> list[tuple[str, Any]]:
    """The recorded statuses of a symbol, with their times."""
    notes = [n for n in table_of(root, "notes") if n["symbol"] == symbol and n["kind"] == "status"]
    return [(note["detail"], note["time"]) for note in notes]


@pytest.mark.parametrize("shown", [pytest.param("HALT", marks=pytest.mark.long), "BREAK"])
async def test_a_halt_is_noted_and_only_a_break_makes_a_gap(shown: str, tmp_path: Path) -> None:
    """A halted market continues by its events; in a break no event reports cancelled orders."""
    halt = Halt(BTC, market_time_s(BEFORE_S), market_time_s(BEFORE_S + HALT_S), shown)  # type: ignore[arg-type]

    market = TracedMarket(SYMBOLS, seed=5, levels=40)
    async with (
        SimServer(market, faults=Faults.of(halt), speed=SPEED) as server,
        recording(server, SYMBOLS, tmp_path, every=20, witness="none") as recorder,
    ):
        await asyncio.sleep(BEFORE_S + NOTICED_S)
        assert states(recorder) == {BTC: "break" if shown == "BREAK" else "live", ETH: "live"}
        await asyncio.sleep(HALT_S + NAMED_LIST_EVERY_S)
        assert set(states(recorder).values()) == {"live"}
        assert not server.violations
    symbol_status = statuses_of(tmp_path, BTC)
    assert [status for status, _ in symbol_status] == ["TRADING", shown, "TRADING"]
    reasons = [(gap["symbol"], gap["reason"]) for gap in gaps_of(tmp_path)]
    assert reasons == ([(BTC, "break")] if shown == "BREAK" else [])
    rows = check_archive(tmp_path, truth_of(market), every=20)
    assert rows[BTC][-1]["receive_time"] > symbol_status[-1][1]


async def test_a_delisted_symbol_ends_and_the_others_continue(tmp_path: Path) -> None:
    """It has no open gap and causes no more requests; the next start refuses it with one sentence."""
    delist = Delist(BTC, market_time_s(BEFORE_S))

    market = TracedMarket(SYMBOLS, seed=5, levels=40)
    async with SimServer(market, faults=Faults.of(delist), speed=SPEED) as server:
        async with recording(
            *(server, SYMBOLS, tmp_path), every=20, witness="none", audit_s=60
        ) as recorder:
            await asyncio.sleep(BEFORE_S + NOTICED_S)
            assert states(recorder) == {BTC: "ended", ETH: "live"}
            await asyncio.sleep(NOTICED_S)
            assert states(recorder) == {BTC: "ended", ETH: "live"}
        with pytest.raises(UnknownSymbol, match=BTC) as raised:
            async with recording(server, SYMBOLS, tmp_path, every=20) as recorder:
                await asyncio.sleep(LIST_SPACING_S)
        assert "\n" not in str(raised.value)
        async with recording(server, (ETH,), tmp_path, every=20, audit_s=0):
            await asyncio.sleep(LIST_SPACING_S)
        assert not server.violations
    symbol_status = statuses_of(tmp_path, BTC)
    assert [status for status, _ in symbol_status] == ["TRADING", "DELISTED"]
    assert {(gap["symbol"], gap["reason"]) for gap in gaps_of(tmp_path)} == {(ETH, "stopped")}
    lines = [line for line in lines_of(tmp_path, "asked", "status") if line["symbol"] == BTC]
    assert lines[-1]["k"] == "status"
    rows = check_archive(tmp_path, truth_of(market), every=20)
    assert rows[BTC][-1]["receive_time"] < symbol_status[-1][1] < rows[ETH][-1]["receive_time"]


async def test_a_symbol_that_cannot_be_a_file_name_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the start or when listed later: one warning each, and all others are recorded and sealed."""
    monkeypatch.setattr(symbol_status, "WHOLE_LIST_EVERY_S", NAMED_LIST_EVERY_S)
    long, later, new = "币" * 27, "安" * 27, "NEWUSDT"
    lies = tuple(NewListing(symbol, market_time_s(BEFORE_S)) for symbol in (later, new))

    async def record_what_is_left() -> TracedMarket:
        market = TracedMarket((BTC, long), seed=5, levels=40)
        how: dict[str, Any] = {"every": 20, "witness": "none", "audit_s": 0, "segment_s": SEGMENT_S}
        async with SimServer(market, faults=Faults(lies), speed=SPEED) as server:
            async with recording(server, (), tmp_path, **how) as recorder:
                await asyncio.sleep(BEFORE_S + 2 * NAMED_LIST_EVERY_S + 2 * LIST_SPACING_S)
                assert states(recorder) == {BTC: "live", new: "live"}
                await asyncio.sleep(SEGMENT_S)
            assert not server.violations
        return market

    with capture_logs() as lines:
        market = await record_what_is_left()
    left_out = [line["symbol"] for line in lines if line["event"].startswith("left out")]
    assert left_out == [long, later]
    assert set(check_archive(tmp_path, truth_of(market), every=20)) == {BTC, new}
    assert not list((tmp_path / "unsealed").iterdir())


@pytest.mark.parametrize(
    ("quote_asset", "pulse_s", "within_s"),
    [
        ("USDT", 30, 35),
        pytest.param(None, 30, 35, marks=pytest.mark.long),
        pytest.param("USDT", 0, NAMED_LIST_EVERY_S + 2 * LIST_SPACING_S, marks=pytest.mark.long),
    ],
)
async def test_symbols_listed_later_are_added(
    quote_asset: str | None,
    pulse_s: float,
    within_s: float,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the pulse within 35 s, without it with the next list; the next start continues with all of them."""
    if not pulse_s:
        monkeypatch.setattr(symbol_status, "WHOLE_LIST_EVERY_S", NAMED_LIST_EVERY_S)
    new, other = "NEWUSDT", "NEWBTC"
    lies = tuple(NewListing(symbol, market_time_s(BEFORE_S)) for symbol in (new, other))
    wanted = {*SYMBOLS, new} if quote_asset else {*SYMBOLS, new, other}

    market = TracedMarket(SYMBOLS, seed=5, levels=40)
    how: dict[str, Any] = {"every": 20, "witness": "none", "audit_s": 0, "segment_s": SEGMENT_S}
    how["pulse_s"] = pulse_s
    async with SimServer(market, faults=Faults(lies), speed=SPEED) as server:
        async with recording(server, (), tmp_path, quote_asset=quote_asset, **how) as recorder:
            await asyncio.sleep(BEFORE_S)
            assert states(recorder) == dict.fromkeys(SYMBOLS, "live")
            await asyncio.sleep(within_s)
            assert states(recorder) == dict.fromkeys(wanted, "live")
            await asyncio.sleep(2 * SEGMENT_S)
            assert states(recorder) == dict.fromkeys(wanted, "live")
        async with recording(server, (), tmp_path, quote_asset=quote_asset, **how) as recorder:
            await asyncio.sleep(LIST_SPACING_S)
            assert states(recorder) == dict.fromkeys(wanted, "live")
        assert not server.violations
    rows = check_archive(tmp_path, truth_of(market), every=20)
    assert {symbol: own[-1]["epoch"] for symbol, own in rows.items()} == dict.fromkeys(wanted, 2)
    gaps = gaps_of(tmp_path)
    assert {(gap["symbol"], gap["reason"]) for gap in gaps} == {(s, "stopped") for s in wanted}
    assert all(gap["next_update_id"] for gap in gaps)


@pytest.mark.parametrize("symbols", [(BTC,), pytest.param((), marks=pytest.mark.long)])
async def test_an_exchange_that_does_not_know_an_option_of_the_list_is_asked_without_it(
    symbols: tuple[str, ...], tmp_path: Path
) -> None:
    """It refuses the first request (-1104); its list is still read, and later requests are valid."""
    market = TracedMarket(SYMBOLS, seed=3, levels=40)
    async with (
        SimServer(market, venue=VENUES["binance-us"]) as server,
        recording(server, symbols, tmp_path, every=20),
    ):
        await asyncio.sleep(400)
        assert not server.violations
    kinds = {note["kind"] for note in table_of(tmp_path, "notes") if note["symbol"] == BTC}
    assert {"status", "tick_size", "lot_size"} <= kinds
