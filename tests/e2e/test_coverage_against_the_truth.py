"""The times a recording claims to have known, compared with the exchange's real ids at each moment."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from pathlib import Path
from typing import Final

import booktape
from booktape.sim.faults.conditions import Messages
from booktape.sim.faults.connections import CutAt
from booktape.sim.faults.fault import Fault, Faults
from booktape.sim.faults.market import Halt
from booktape.sim.faults.messages import Deaf
from booktape.sim.market.market import SLOT_MS
from booktape.sim.server.server import SimServer
from e2e.inside import recording, until_known
from e2e.promises import Row, check_archive, gaps_of, rows_of, truth_of
from support import virtual_time
from support.truth import TracedMarket, Truth

DEAF, BROKEN, SOUND = SYMBOLS = ("BNBUSDT", "LTCBTC", "XMRBTC")
DEAF_S, BREAK_S, CUT_S, SILENT_S, END_S = 45.05, 60.05, 130.05, 170.05, 240.0
SLOT_US: Final = SLOT_MS * 1_000
START_US: Final = virtual_time.START_NS // 1_000
LATE_US: Final = 5 * SLOT_US
"""By then the recorder knows of everything the exchange did, unless it is lost."""

PULSE_S: Final = 30.0
SPARE_S: Final = 2.0
"""A gap begins at the last evidence, a little before the first change that was missed; LATE_US are
allowed before a row counts as old."""

REASONS: Final = {DEAF: ("silent",), BROKEN: ("break",)}
FAULTS: Final[tuple[Fault, ...]] = (
    Deaf(Messages(symbol=DEAF, stream="depth", start_s=DEAF_S), opened_by_s=DEAF_S),
    Halt(BROKEN, BREAK_S, BREAK_S + 50, shown="BREAK", cancels_per_s=3),
    CutAt(CUT_S),
    Deaf(Messages(start_s=SILENT_S), opened_by_s=SILENT_S),
)


async def record_through(out: Path) -> TracedMarket:
    market = TracedMarket(SYMBOLS, seed=5, levels=40, remembers=True)
    async with (
        SimServer(market, faults=Faults(FAULTS), start_us=START_US, start_at_once=True) as server,
        recording(server, SYMBOLS, out, every=1, pulse_s=PULSE_S) as recorder,
    ):
        await asyncio.sleep(END_S)
        await until_known(recorder, len(SYMBOLS))
    assert not server.violations
    return market


def moments(rows: list[Row], truth: Truth, symbol: str) -> dict[int, bool]:
    """The end of each slot between the first and the last row: whether the newest row was behind the exchange."""
    times = [_us(row, "receive_time") for row in rows]
    first_us, last_us = times[0] + 10 * LATE_US, times[-1]
    found = {}
    for time_us in range(first_us - first_us % SLOT_US, last_us, SLOT_US):
        row = rows[bisect_right(times, time_us) - 1]
        found[time_us] = row["update_id"] < truth.reached(symbol, time_us - LATE_US).update_id
    return found


def undeclared(behind: dict[int, bool], gaps: list[Row]) -> list[int]:
    """The moments at which an outdated book is in no gap."""
    spans = [(_us(gap, "start_time"), _us(gap, "end_time")) for gap in gaps]
    return [
        time_us
        for time_us, is_behind in behind.items()
        # A change LATE_US ago makes a row old, and its gap may have ended just before.
        if is_behind and not any(start <= time_us <= end + SLOT_US for start, end in spans)
    ]


def _us(row: Row, name: str) -> int:
    return int(row[name].timestamp() * 1e6 + 0.5)


async def test_coverage_matches_the_exchange_itself(tmp_path: Path) -> None:
    """A stream dies, a break hides cancels, all is cut, all is silent: every unknown time is lost, and little more."""
    market = await record_through(tmp_path)
    check_archive(tmp_path, truth_of(market), every=1)
    truth, rows = market.truth(), rows_of(tmp_path)
    coverage = {one.symbol: one for one in booktape.open(tmp_path).coverage()}
    for symbol in SYMBOLS:
        gaps = [gap for gap in gaps_of(tmp_path) if gap["symbol"] == symbol]
        behind = moments(rows[symbol], truth, symbol)
        unseen_s = len(undeclared(behind, gaps)) * SLOT_US / 1e6
        behind_s = sum(behind.values()) * SLOT_US / 1e6
        # A pulse shows the best levels: it agrees while everything cancelled in a break lies deeper.
        assert unseen_s <= (PULSE_S if symbol == BROKEN else 0)
        assert [gap["reason"] for gap in gaps] == [
            *REASONS.get(symbol, ()),
            "disconnected",
            "id_gap",
        ]
        assert 3 < behind_s <= coverage[symbol].lost_s + unseen_s
        assert coverage[symbol].lost_s <= behind_s + SPARE_S * len(gaps)
