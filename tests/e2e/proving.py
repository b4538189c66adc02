"""A recording under witnesses and audits: what they found, and how soon."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from booktape.core.events import DepthEvent
from booktape.sim.faults.conditions import Attempt, Delivery, Messages, chance
from booktape.sim.faults.connections import Cuts
from booktape.sim.faults.fault import Fault, Faults
from booktape.sim.faults.messages import Delay
from booktape.sim.faults.undetectable import Hide, StaleWitness, WrongEvent, wrong_snapshot
from booktape.sim.market.listing import ILLIQUID, LIQUID, MID, Listing, listing
from booktape.sim.server.server import SimServer
from e2e.inside import recording
from e2e.promises import Row
from e2e.tables import lines_of, table_of
from support.truth import TracedMarket
from support.venues import venue_with

LATE: Final[dict[str, tuple[Fault, ...]]] = {
    "depth20": (StaleWitness(Messages(probability=0.05, stream="depth20"), messages=3),),
    # No ticker is lost or repeated on a connection: the rule about tickers depends on that. A whole
    # connection may be late.
    "bookTicker": (),
}
"""Late witnesses, which show an earlier true state."""


def crowd(count: int) -> tuple[str, ...]:
    """`count` symbols: two liquid ones, half of the others mid, half illiquid."""
    others = (f"M{n}USDT" if n % 2 else f"I{n}BTC" for n in range(count - 2))
    return ("BTCUSDT", "ETHUSDT", *others)


async def listen(witness: str, symbols: tuple[str, ...], out: Path, **how: Any) -> TracedMarket:
    """Two connections, one of which is cut or rolled over at times, and short segments."""
    lasts_s, levels = how.pop("lasts_s"), how.pop("levels", None)
    market = TracedMarket(symbols, seed=9, levels=levels)
    lies = (
        Delay(Messages(connection=0, of=2, probability=0.02), 0.05, jitter_s=0.2),
        *LATE[witness],
    )
    faults = Faults((*lies, Cuts(every_s=40, start_s=20, spare=1)))
    async with (
        SimServer(market, faults=faults) as server,
        recording(
            *(server, symbols, out), witness=witness, connections=2, connection_life_s=70, **how
        ),
    ):
        await asyncio.sleep(lasts_s)
        assert not server.violations, server.violations
        assert server.connections > lasts_s / 40
    return market


def compared(out: Path) -> tuple[Counter[str], Counter[str]]:
    """Comparisons and failures, by witness."""
    passed: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for row in table_of(out, "checks"):
        name = row["witness"]
        failed[name] += row["mismatches"] > 0
        several = row["detail"].endswith("comparisons")
        passed[name] += int(row["detail"].split()[0]) if several else 1
    return passed, failed


# ── one lie for each symbol ─────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Planted:
    """One lie in each symbol's stream, at an event that the seed chooses between two numbers."""

    first: int
    last: int
    events: dict[str, DepthEvent] = field(default_factory=dict)

    def __call__(self, sent: Delivery) -> bool:
        """Whether the lie applies to this message; if so, it is recorded."""
        if sent.event is None:
            return False
        symbol = sent.event.symbol
        number = self.first + int(chance(1, symbol) * (self.last - self.first))
        if sent.number_in_stream == number:
            self.events[symbol] = sent.event
        return sent.number_in_stream == number


@dataclass(frozen=True)
class Found:
    """The outcome of a lie about one symbol; `witness` is empty if nothing found it."""

    symbol: str
    witness: str
    after_events: int
    after_s: float


def three_kinds(count: int) -> tuple[Listing, ...]:
    """A fifth of the symbols liquid, two fifths mid, two fifths illiquid; small books."""
    kinds = (replace(LIQUID, levels=800), MID, MID, ILLIQUID, ILLIQUID)
    names = (f"K{n % 5}N{n}BTC" for n in range(count))
    return tuple(replace(listing(name), profile=kinds[int(name[1])]) for name in names)


def forged(kind: str, planted: Planted) -> Faults:
    """One lie of this kind for each symbol; for snapshots, the first one."""
    if kind == "hide":
        return Faults.of(Hide(planted))
    if kind == "wrong-event":
        return Faults.of(WrongEvent(planted, wrong="size"))
    asked: set[str] = set()

    def is_first(attempt: Attempt) -> bool:
        new = attempt.symbol is not None and attempt.symbol not in asked
        asked.update({attempt.symbol} if attempt.symbol else ())
        return new

    return Faults.of(wrong_snapshot(is_first))


async def lie_and_listen(
    kind: str, symbols: tuple[Listing, ...], planted: Planted, out: Path, **how: Any
) -> TracedMarket:
    """Record an exchange that lies once about each symbol."""
    lasts_s = how.pop("lasts_s")
    market = TracedMarket(symbols, seed=9)
    names = tuple(one.symbol for one in symbols)
    async with (
        SimServer(
            market, faults=forged(kind, planted), venue=venue_with(weight_per_minute=60_000)
        ) as server,
        recording(server, names, out, **how),
    ):
        await asyncio.sleep(lasts_s)
    return market


def outcomes(symbols: Iterable[Listing], planted: Planted, out: Path) -> list[Found]:
    """By each symbol's first failed check, counted in its events since the lie."""
    events = _events(out)
    failed = [row for row in table_of(out, "checks") if row["mismatches"]]
    found = []
    for symbol in (one.symbol for one in symbols):
        own = events.get(symbol, [])
        lie = planted.events.get(symbol)
        since, time_us = (lie.last_id, lie.event_time_us) if lie else (own[0][0], own[0][1])
        check = next((row for row in failed if row["symbol"] == symbol), None)
        found.append(_found(symbol, own, since, time_us, check))
    return found


def _found(
    symbol: str, own: list[tuple[int, int]], since: int, time_us: int, check: Row | None
) -> Found:
    if check is None:
        return Found(symbol, "", 0, 0.0)
    assert check["update_id"] >= since, f"{symbol}: a false alarm before the lie"
    until = [event for event in own if since < event[0] <= check["update_id"]]
    after_s = (until[-1][1] - time_us) / 1e6 if until else 0.0
    return Found(symbol, check["witness"], len(until), after_s)


def _events(out: Path) -> dict[str, list[tuple[int, int]]]:
    """Last id and exchange time (us) of each symbol's events, from the tape."""
    found: dict[str, list[tuple[int, int]]] = {}
    for line in lines_of(out, "ws"):
        data = line["m"].get("data", line["m"])
        # A line occurs once for each connection; here there is one.
        if data.get("e") == "depthUpdate":
            found.setdefault(data["s"], []).append((data["u"], data["E"]))
    return found
