"""What each fault costs in coverage: the time in which a book was not known, against what was forced.

*Unknown* is the sum of a symbol's gaps; *forced* is the time from the moment at which nothing more is delivered until
the service is back, as the fault defines it, plus RESYNC_S to recover: a pause of up to half a second before the first
reconnect, a snapshot, the next event. Silence that looks like a quiet market is allowed a minute, because the exchange
itself waits that long for a pong; silence that other evidence contradicts is allowed the time within which it must be
seen (detection.py).

`make coverage` rewrites the table in docs/reliability.md.
"""

from __future__ import annotations

import asyncio
import logging
import random
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import structlog

from booktape.sim.faults import requests
from booktape.sim.faults.conditions import Attempts, Messages
from booktape.sim.faults.connections import CutAt, HalfOpen, Lifetime, Outage, ServerShutdown
from booktape.sim.faults.fault import Fault, Faults
from booktape.sim.faults.market import Halt, Huge, IdsReset
from booktape.sim.faults.messages import Deaf, Drop, Garbage, Stall
from booktape.sim.server.server import SimServer
from booktape.wire.limits import PONG_WITHIN_S
from docs.generated import DOCS, replaced, table
from e2e.inside import recording, until_known
from e2e.promises import check_archive, gaps_of, truth_of
from faults import detection
from support import virtual_time
from support.truth import TracedMarket
from support.virtual_time import WallClock

RESYNC_S: Final = 1.0
SEEDS: Final = 5
"""The number of markets, each with its own pauses before reconnects, which are random."""

SYMBOL: Final = "BNBUSDT"
SETTLE_S: Final = 10.0
"""Until a loss is seen; a loss that only silence shows has its time in `forced_s`."""

AT_S: Final = 20.05
"""The fault begins between two slots."""

HOUR_S: Final = 3_600.0
BLOCK: Final = "coverage"
HEAD: Final = ("fault", "forced, s", "unknown, s", "worst, s", "ratio", "test")
TEST: Final = "`tests/faults/test_losses.py`"

Deed: TypeAlias = Callable[[WallClock], Awaitable[None]]


async def _nothing(_: WallClock) -> None:
    """Nothing needs to be done: the fault is the exchange's."""


async def _step_back(clock: WallClock) -> None:
    clock.step(-HOUR_S)


async def _step_forward(clock: WallClock) -> None:
    clock.step(HOUR_S)


@dataclass(frozen=True)
class Case:
    """One fault, and for how long it alone keeps a book from being known."""

    name: str
    faults: tuple[Fault, ...]
    forced_s: float
    connections: int = 1
    deed: Deed = _nothing
    seeds: int = SEEDS


def outage(seconds: float, *, silent: bool = False) -> Outage:
    """No connection gets through."""
    return Outage(AT_S, AT_S + seconds, silent=silent)


def meanwhile(seconds: float) -> Attempts:
    """Requests for snapshots, for `seconds` after AT_S."""
    return Attempts(start_s=AT_S, end_s=AT_S + seconds, door="rest", path="depth")


_CUT: Final = CutAt(AT_S, abrupt=True)
_DEAF: Final = Deaf(Messages(symbol=SYMBOL, stream="depth", start_s=AT_S), opened_by_s=AT_S)
_LOST: Final = Messages(start_s=AT_S, end_s=AT_S + 0.5, symbol=SYMBOL)

CASES: Final = (
    Case("half a second of events is lost", (Drop(_LOST),), 0.5),
    Case("the connection is cut", (_CUT,), 0),
    Case("the connection is closed after its lifetime", (Lifetime(AT_S, connection=0),), 0),
    Case("one of two connections is cut", (CutAt(AT_S, connection=0, of=2),), 0, connections=2),
    Case("`serverShutdown` 10 s before the cut", (ServerShutdown(AT_S, connection=0),), 0),
    Case("garbage instead of an event", (Garbage(_LOST, instead=True),), 0.5),
    Case("20 s without a frame, then all at once", (Stall(AT_S, AT_S + 20),), 20),
    Case("a half-open connection", (HalfOpen(AT_S),), PONG_WITHIN_S),
    Case("cut, and a request for the snapshot hangs", (_CUT, requests.hang(meanwhile(5))), 10),
    Case("cut, and 503 for 10 s", (_CUT, requests.status(meanwhile(10))), 10),
    Case(
        "cut, and banned for 2 minutes (418)",
        (_CUT, requests.too_fast(meanwhile(10), retry_after_s=120, status=418)),
        120,
    ),
    Case("the exchange is away for 1 minute", (outage(60),), 60),
    Case("the exchange is silent for 5 minutes", (outage(300, silent=True),), 300),
    Case("the exchange is away for 1 hour", (outage(HOUR_S),), HOUR_S, seeds=1),
    Case("a stream dies, its `depth20` continues", (_DEAF,), 5),
    Case("ids start over", (IdsReset(AT_S, SYMBOL),), 5),
    Case("BREAK for 2 minutes", (Halt(SYMBOL, AT_S, AT_S + 120, shown="BREAK"),), 120),
    Case("an event of 20,000 levels", (Huge(SYMBOL, AT_S),), 0),
    Case("the wall clock is set back by 1 hour", (), 0, deed=_step_back),
    Case("the wall clock is set forward by 1 hour", (), 0, deed=_step_forward),
)


async def unknown_s(case: Case, seed: int, out: Path) -> float:
    """Seconds of gaps while this happened, after which the book is known again and true."""
    random.seed(f"{case.name} {seed}")  # the recorder's pauses
    market, clock = TracedMarket((SYMBOL,), seed=seed, levels=40), WallClock()
    async with (
        SimServer(market, faults=Faults(case.faults)) as server,
        recording(server, (SYMBOL,), out, clock, every=2, connections=case.connections) as recorder,
    ):
        await asyncio.sleep(AT_S)
        await case.deed(clock)
        await asyncio.sleep(case.forced_s + SETTLE_S)
        await until_known(recorder, 1)
    assert not server.violations
    check_archive(out, truth_of(market), every=2)
    spans = (gap["end_time"] - gap["start_time"] for gap in gaps_of(out))
    return float(sum(span.total_seconds() for span in spans))


def losses(case: Case, seeds: int) -> list[float]:
    """The loss for each seed."""
    found = []
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            work = unknown_s(case, seed, Path(folder))
            found.append(virtual_time.run(work, within_s=10 * HOUR_S))
    return found


def row(case: Case, unknown: list[float]) -> list[str]:
    """A line of the table."""
    forced_s = case.forced_s + RESYNC_S
    mean_s = sum(unknown) / len(unknown)
    numbers = forced_s, mean_s, max(unknown), mean_s / forced_s
    return [case.name, *(f"{number:,.1f}" for number in numbers), TEST]


def coverage() -> str:
    """The table."""
    made = table(HEAD, [row(case, losses(case, case.seeds)) for case in CASES])
    return made.replace(" --- ", "---")  # like the other tables of that document


if __name__ == "__main__":
    quiet = structlog.make_filtering_bound_logger(logging.CRITICAL)
    structlog.configure(wrapper_class=quiet)
    # All of it before the document is read: it takes minutes, and the document may be edited meanwhile.
    tables = {BLOCK: coverage(), detection.BLOCK: detection.measured()}
    path = DOCS / "reliability.md"
    for block, measured in tables.items():
        path.write_text(replaced(path.read_text(), block, measured))
