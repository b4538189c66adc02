"""Records a market that falls and recovers, and what its rows know of the best levels."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path

from booktape.sim.faults.fault import Faults
from booktape.sim.faults.market import Fall
from booktape.sim.market.listing import LIQUID, Listing
from booktape.sim.server.server import SimServer
from e2e.inside import recording
from e2e.promises import Levels, Row, check_row, rows_of, truth_of
from e2e.tables import lines_of
from support import virtual_time
from support.truth import TracedMarket

SYMBOL = "FALLUSDT"
CALM_S = 10.0
"""Before the fall, and after the recovery."""


@dataclass(frozen=True)
class Course:
    """A market of `levels` a side falls by a tenth and recovers, in `lasts_s`; the best `top` levels a side are
    examined. `depth_bps` and `ids_mu` are those of the symbol's profile."""

    levels: int
    depth: int
    top: int
    lasts_s: float
    depth_bps: float = LIQUID.depth_bps
    ids_mu: float = LIQUID.ids_mu
    every: int = 20

    def listing(self) -> Listing:
        profile = replace(LIQUID, levels=self.levels, depth_bps=self.depth_bps, ids_mu=self.ids_mu)
        return Listing(SYMBOL, profile, 10**6, 10**3, 6_122_200)


@dataclass(frozen=True)
class Known:
    """`least` true levels of the best `top` that any side of a row claims to know; how many sides
    claim fewer than there are, and how many show other best levels than the true ones."""

    sides: int
    least: int
    short: int
    untrue: int
    fewest_true: int
    requests: int


def record_fall(course: Course, audit_s: float, out: Path) -> Known:
    """Record it, check that every row is true inside its horizon, and return what the rows know."""

    async def record() -> TracedMarket:
        market = TracedMarket((course.listing(),), seed=4)
        faults = Faults.of(Fall(SYMBOL, CALM_S, CALM_S + course.lasts_s))
        async with (
            SimServer(market, faults=faults) as server,
            recording(
                *(server, (SYMBOL,), out),
                every=course.every,
                depth=course.depth,
                audit_s=audit_s,
                witness="none",
            ),
        ):
            await asyncio.sleep(course.lasts_s + 2 * CALM_S)
            assert not server.violations
        return market

    market = virtual_time.run(record())
    return _known(rows_of(out)[SYMBOL], market, course.top, len(list(lines_of(out, "asked"))))


def _known(rows: list[Row], market: TracedMarket, top: int, requests: int) -> Known:
    truth = truth_of(market)
    claims: list[tuple[int, int, bool]] = []
    for row in rows:
        true = truth(SYMBOL, row["update_id"])
        check_row(row, true)
        claims += [
            _claim(row, side, levels, top)
            for side, levels in zip(("bid", "ask"), true, strict=True)
        ]
    return Known(
        sides=len(claims),
        least=min(known for known, _, _ in claims),
        short=sum(known < there for known, there, _ in claims),
        untrue=sum(not same for _, _, same in claims),
        fewest_true=min(there for _, there, _ in claims),
        requests=requests,
    )


def _claim(row: Row, side: str, true: Levels, top: int) -> tuple[int, int, bool]:
    """How many of the best levels are inside the horizon, how many exist, and whether they are the same."""
    best, horizon = true[:top], row[f"{side}_horizon"]
    sign = 1 if side == "ask" else -1
    known = sum(horizon is None or sign * price <= sign * horizon for price, _ in best)
    stored = list(zip(row[f"{side}_price"][:top], row[f"{side}_size"][:top], strict=True))
    return known, len(best), stored == best
