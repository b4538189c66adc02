"""A recorder of very many symbols starts: when all books are known, and when all of them are deep."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from booktape.net.rate_limit import WINDOW_S
from booktape.recorder.recorder import Recorder
from booktape.sim.faults import requests
from booktape.sim.faults.conditions import Attempts
from booktape.sim.faults.fault import Faults
from booktape.sim.market.listing import spot
from booktape.sim.market.market import Market
from booktape.sim.server.server import SimServer
from booktape.wire.limits import (
    BINANCE,
    DEPTH_MAX,
    WEIGHT_PER_MINUTE,
    fitting_limit,
)
from e2e.inside import recording, session_of
from e2e.tables import lines_of
from support.venues import venue_with

SLOWLY: Final = 0.1
"""The speed of the exchange's time. Only the budget's minutes matter here, so a tenth of the events is
enough."""


@dataclass(frozen=True)
class Started:
    """Virtual seconds from the first request; `weight` of all requests that were sent."""

    known_s: float
    deep_s: float
    weight: int
    per_minute: int
    sides: tuple[int, ...]
    violations: Counter[str]


@dataclass(frozen=True)
class Least:
    """The best possible result of a recorder that requests each top first, and then the rest once."""

    known_s: float
    deep_s: float
    weight: int


async def start(
    count: int, out: Path, per_minute: int = WEIGHT_PER_MINUTE, away_s: float = 0
) -> Started:
    """Record all symbols of an exchange, whose answers take `away_s`, until all are deep."""
    market = Market(spot(count), seed=4)
    loop = asyncio.get_running_loop()
    far = Faults.of(*[requests.slow(Attempts(path="depth"), away_s * SLOWLY)] if away_s else [])
    async with SimServer(
        market, faults=far, speed=SLOWLY, venue=venue_with(weight_per_minute=per_minute)
    ) as server:
        began_s = loop.time()
        async with recording(
            *(server, (), out), every=10**6, audit_s=36_000, witness="none", segment_s=86_400
        ) as recorder:
            while not _known(recorder, count):
                await asyncio.sleep(1)
            known_s = loop.time() - began_s
            while not _deep(recorder):
                await asyncio.sleep(1)
            deep_s = loop.time() - began_s
            sides = tuple(
                max(len(sync.book.bids), len(sync.book.asks))
                for sync in session_of(recorder).books.syncs.values()
            )
    weight = sum(BINANCE.depth_weight(line["limit"]) for line in lines_of(out, "asked"))
    return Started(
        known_s, deep_s, weight + BINANCE.exchange_info, per_minute, sides, server.violations
    )


def least(started: Started) -> Least:
    """Every minute's weight is spent as soon as the minute begins; the first at once.

    A minute is that of the budget, which allows a second for the way there.
    """
    top = BINANCE.depth_weight(1)
    rest = [fitting_limit(levels, DEPTH_MAX) for levels in started.sides]
    tops = BINANCE.exchange_info + top * len(rest)
    weight = tops + sum(
        BINANCE.depth_weight(limit) for limit in rest if BINANCE.depth_weight(limit) > top
    )

    def minutes_s(spent: int) -> float:
        return (spent - 1) // started.per_minute * WINDOW_S

    return Least(minutes_s(tops), minutes_s(weight), weight)


def _known(recorder: Recorder, count: int) -> bool:
    status = recorder.status()
    return status is not None and len(status.books) == status.known == count


def _deep(recorder: Recorder) -> bool:
    """No side ends before half of the wanted depth: otherwise the examiner would request more."""
    for sync in session_of(recorder).books.syncs.values():
        book = sync.book
        sides = ((book.bids, book.bid_horizon), (book.asks, book.ask_horizon))
        if any(horizon is not None and 2 * len(side) < DEPTH_MAX for side, horizon in sides):
            return False
    return True
