"""A market in which most symbols are quiet, recorded through renewals and cuts: which costs were needless?"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Final
from unittest import mock

from booktape.core.events import FetchSnapshot
from booktape.net.rest_client import RestClient
from booktape.sim.faults import requests
from booktape.sim.faults.conditions import Attempt, Attempts, Messages
from booktape.sim.faults.connections import Cuts
from booktape.sim.faults.fault import Fault, Faults
from booktape.sim.faults.messages import Delay
from booktape.sim.market.listing import ILLIQUID, MID, Listing, listing
from booktape.sim.server.server import SimServer
from booktape.wire.limits import BINANCE
from e2e.inside import recording
from e2e.promises import Row, gaps_of
from e2e.tables import lines_of
from support.truth import TracedMarket
from support.virtual_time import START_NS

AWAY_S: Final = 0.2
"""How long every answer takes."""

SETTLE_S: Final = 30.0
"""From a cut on: the pause before a reconnect, and snapshots of all books."""


@dataclass(frozen=True)
class Crowd:
    """A market with `quiet` symbols, one busy one, all others now and then.

    `activity` is the share of 0.1 s slots in which a quiet one changes.
    """

    symbols: int
    quiet: int
    activity: float

    def listings(self) -> tuple[Listing, ...]:
        """The busy symbol first."""
        quiet = replace(ILLIQUID, activity=self.activity)
        calm = replace(MID, activity=0.02)
        busy = replace(listing("BTCUSDT"), profile=replace(MID, activity=0.999))
        others = [calm] * (self.symbols - self.quiet - 1) + [quiet] * self.quiet
        return busy, *(
            replace(listing(f"Q{n}BTC"), profile=profile) for n, profile in enumerate(others)
        )


@dataclass
class Watched:
    """Results: times in seconds since the market began, weights by their purpose."""

    market: TracedMarket
    weight: Counter[str]
    cuts_s: list[float]
    connections: int


class _PulsesCounted(Fault, frozen=True):
    """Gives the true answer, and counts the requests for the best prices."""

    weight: Counter[str]

    def outcome(self, attempt: Attempt) -> None:
        if attempt.path.endswith("bookTicker"):
            self.weight["pulse"] += BINANCE.best_prices


@contextmanager
def _snapshots_counted(weight: Counter[str]) -> Iterator[None]:
    """The weight of every request for a snapshot, by its purpose."""
    ask = RestClient._fetch_snapshot

    async def counted(rest: RestClient, request: FetchSnapshot, number: int) -> None:
        weight[request.urgency.name.lower()] += BINANCE.depth_weight(request.limit)
        await ask(rest, request, number)

    with mock.patch.object(RestClient, "_fetch_snapshot", counted):
        yield


async def watch(
    crowd: Crowd, out: Path, *, lasts_s: float, cut_every_s: float, connections: int, **how: Any
) -> Watched:
    """Record it while connections are cut: those of two that another one stands in for, or the only one.

    Nothing else goes wrong, but messages and answers are delayed, some of them for long.
    """
    listings = crowd.listings()
    market = TracedMarket(listings, seed=16)
    counted = _PulsesCounted(Counter())
    cuts = Cuts(cut_every_s, SETTLE_S, lasts_s - SETTLE_S, spare=connections - 1)
    faults = Faults.of(
        counted,
        Delay(Messages(probability=0.02), 0.05, jitter_s=0.5),
        requests.slow(Attempts(door="rest"), AWAY_S),
        cuts,
    )
    names = tuple(one.symbol for one in listings)
    async with (
        SimServer(market, faults=faults, start_us=START_NS // 1_000, start_at_once=True) as server,
        recording(server, names, out, connections=connections, **how),
    ):
        with _snapshots_counted(counted.weight):
            await asyncio.sleep(lasts_s)
        assert not server.violations, server.violations
        cuts_s = [moment.at_s for moment in cuts.timetable()]
        return Watched(market, counted.weight, cuts_s, server.connections)


def longest_pause_s(out: Path) -> float:
    """Without an event of one symbol, according to the tape; from the very first event to the last."""
    times: dict[str, set[int]] = defaultdict(set)
    for line in lines_of(out, "ws"):
        data = line["m"].get("data", line["m"])
        if data.get("e") == "depthUpdate":
            times[data["s"]].add(data["E"])
    ends = {min(map(min, times.values())), max(map(max, times.values()))}
    pauses = (b - a for own in times.values() for a, b in pairwise(sorted(own | ends)))
    return max(pauses) / 1e6


def needless_gaps(out: Path, cuts_s: list[float]) -> list[Row]:
    """The gaps that no cut explains: each cut may cost a symbol one, which ends soon afterwards."""
    # If a gap was open and closed later, the row that closes it.
    gaps = {(gap["symbol"], gap["epoch"]): gap for gap in gaps_of(out)}
    left = {(symbol, cut_s) for symbol, _ in gaps for cut_s in cuts_s}
    needless = []
    for (symbol, _), gap in gaps.items():
        caused = [cut_s for cut_s in cuts_s if (symbol, cut_s) in left and _explains(cut_s, gap)]
        if caused:
            left.remove((symbol, caused[0]))
        else:
            needless.append(gap)
    return needless


def _explains(cut_s: float, gap: Row) -> bool:
    if gap["reason"] != "disconnected" or gap["end_time"] is None:
        return False
    start_s, end_s = (gap[name].timestamp() - START_NS / 1e9 for name in ("start_time", "end_time"))
    return bool(start_s <= cut_s <= end_s <= cut_s + SETTLE_S)
