"""Random tapes of format 2, with everything that may stand on them, as a recorder would write them.

The exchange's ids, levels and times of two symbols are kept here; their messages are dropped, doubled, delayed, wrong,
or from an exchange that restarts its ids. The scenes go through the recorder's own function and files; whether these
are right is for `verify` to say, which shares no rule with the recorder.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Final, TypeAlias

from booktape.core.events import DepthEvent, DepthSnapshot
from booktape.core.tape_records import (
    ClockOffset,
    ClockStep,
    Connected,
    DepthAnswer,
    Disconnected,
    Pulse,
    SegmentStart,
    SnapshotRequested,
    StreamMessage,
    SymbolListing,
    TapeRecord,
    Tick,
)
from booktape.wire.encode import encode_depth
from support.archives import open_archive
from support.oracle import SECOND, combined, ticker, top
from support.rotation import finish, follow, rotate

SYMBOLS: Final = ("BTCUSDT", "ETHBTC")
MS: Final = 10**6
UNOPENED: Final = b'{"lastUpdateId":-1,"bids":[],"asks":[]}'


@dataclass(frozen=True, slots=True)
class NextSegment:
    """A new segment begins."""

    at_ns: int


@dataclass(frozen=True, slots=True)
class NextRecorder:
    """This recorder stops, and another one starts."""

    at_ns: int


Scene: TypeAlias = TapeRecord | NextSegment | NextRecorder


@dataclass
class Exchange:
    """One symbol's truth: an id, and a size for each of a few prices a side."""

    symbol: str
    last: int = 100
    bids: dict[int, int] = field(default_factory=lambda: {100: 1, 99: 2, 98: 3})
    asks: dict[int, int] = field(default_factory=lambda: {101: 1, 102: 2})
    sent: list[DepthEvent] = field(default_factory=list)

    def trade(self, rng: Random, time_us: int) -> DepthEvent:
        """The next event."""
        first, self.last = self.last + 1, self.last + rng.randint(1, 3)
        changes: tuple[dict[int, int], dict[int, int]] = ({}, {})
        for side, change, prices in (
            # 101 crosses the asks: it is stored as sent, and noted.
            (self.bids, changes[0], range(96, 102)),
            (self.asks, changes[1], range(101, 106)),
        ):
            if rng.random() < 0.7:
                change[rng.choice(prices)] = rng.randint(0, 5)
            side.update(change)
            for price in [price for price, size in side.items() if not size]:
                del side[price]
        bids, asks = (_levels(change) for change in changes)
        self.sent.append(DepthEvent(self.symbol, time_us, first, self.last, bids, asks))
        return self.sent[-1]

    def snapshot(self, limit: int) -> DepthSnapshot:
        bids = _levels(dict(sorted(self.bids.items(), reverse=True)[:limit]))
        asks = _levels(dict(sorted(self.asks.items())[:limit]))
        return DepthSnapshot(self.symbol, limit, self.last, bids, asks)

    def texts(self) -> tuple[dict[str, str], dict[str, str]]:
        bids = {str(p): str(s) for p, s in sorted(self.bids.items(), reverse=True)}
        return bids, {str(p): str(s) for p, s in sorted(self.asks.items())}

    def best(self) -> tuple[str, str, str, str]:
        (bid, bid_size), (ask, ask_size) = (
            next(iter(side.items()), ("0.00000000", "0.00000000")) for side in self.texts()
        )
        return bid, bid_size, ask, ask_size


def _levels(side: dict[int, int]) -> list[tuple[float, float]]:
    return [(float(price), float(size)) for price, size in side.items()]


class Script:
    """A random tape from a seed. Each tape draws what happens often and what never happens."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.now_ns = 1_000 * SECOND + self.rng.randrange(SECOND)
        self.due_ns = self.now_ns
        self.ticked_ns = self.now_ns
        self.exchanges = {symbol: Exchange(symbol) for symbol in SYMBOLS}
        self.open: set[int] = set()
        self.late: list[tuple[int, int, DepthEvent]] = []
        self.asked: list[tuple[int, str, int]] = []
        self.pulses: list[tuple[int, int, dict[str, tuple[str, str, str, str]]]] = []
        self.deaf: set[tuple[int, str]] = set()
        self.often = {
            name: self.rng.choice((0.0, often / 5, often, often * 4))
            for name, often in {
                "loss": 0.05,
                "copy": 0.05,
                "pause": 0.01,
                "step": 0.01,
                "anew": 0.004,
                "status": 0.02,
                "connect": 0.03,
                "deaf": 0.01,
                "rotate": 0.01,
                "restart": 0.004,
                "garbage": 0.02,
                "lie": 0.02,
                "stale": 0.1,
                "ask": 0.1,
                "pulse": 0.15,
                "top": 0.3,
                "ticker": 0.2,
                "offset": 0.01,
                "trade": 0.5,
            }.items()
        }

    def opening(self) -> SegmentStart:
        pulse_s, audit_s = self.rng.choice(((2.0, 60.0), (0.5, 60.0), (0.0, 5.0), (0.0, 0.0)))
        return SegmentStart(
            *(self.now_ns, "test", "sim", self.rng.choice((1, 2, 7)), 5, SYMBOLS, "depth20"),
            audit_s=audit_s,
            format=2,
            pulse_s=pulse_s,
        )

    def does(self, name: str) -> bool:
        return self.rng.random() < self.often[name]

    def scenes(self, steps: int) -> Iterator[Scene]:
        for _ in range(steps):
            self.now_ns += self.rng.choice((1, 50, 250, 400)) * MS + self.rng.randrange(MS)
            yield from self._time()
            yield from self._machine()
            for symbol, exchange in self.exchanges.items():
                yield from self._happen(symbol, exchange)
            yield from self._arrive()

    def _time(self) -> Iterator[Scene]:
        if self.does("pause"):
            self.now_ns += self.rng.choice((1, 4, 20)) * SECOND
        if self.does("step"):
            step_ns = self.rng.choice((-3_000, -1_000, -999, -200, 500, 5_000)) * MS
            self.now_ns += step_ns
            self.ticked_ns += step_ns
            yield ClockStep(self.now_ns, step_ns)
        if self.now_ns - self.ticked_ns >= SECOND:
            elapsed_ns, self.ticked_ns = self.now_ns - self.ticked_ns, self.now_ns
            yield Tick(self.now_ns, elapsed_ns)
        if self.does("offset"):
            yield ClockOffset(self.now_ns, self.rng.randint(-(10**9), 10**9), 3_456_789)

    def _machine(self) -> Iterator[Scene]:
        if not self.open or self.does("connect"):
            connection = self.rng.randint(1, 3)
            if connection in self.open:
                yield self._hang_up(connection)
            else:
                self.open.add(connection)
                yield Connected(self.now_ns, connection, SYMBOLS)
        if self.does("rotate"):
            yield NextSegment(self.now_ns)
        if self.does("restart"):
            self.open.clear()
            yield NextRecorder(self.now_ns)
            self.ticked_ns = self.now_ns
        if self.open and self.does("garbage"):
            yield StreamMessage(self.now_ns, self.rng.choice(sorted(self.open)), b"\xff none")

    def _hang_up(self, connection: int) -> TapeRecord:
        self.open.discard(connection)
        alive_ns = self.now_ns - self.rng.randrange(SECOND)
        return Disconnected(self.now_ns, connection, alive_ns, "disconnected")

    def _happen(self, symbol: str, exchange: Exchange) -> Iterator[Scene]:
        rng = self.rng
        if self.does("anew"):
            exchange.last = rng.choice((0, 3, exchange.last // 2))
        if self.does("deaf"):
            self.deaf ^= {(rng.randint(1, 3), symbol)}
        if self.does("trade"):
            event = exchange.trade(rng, (self.now_ns - rng.randrange(200 * MS)) // 1_000)
            if self.does("lie") and event.bids:
                event = replace(event, bids=[(event.bids[0][0], 9.0)])
            for connection in (1, 2, 3):
                if not self.does("loss"):
                    delay_ns = rng.choice((0, 0, 0, 300 * MS, 2 * SECOND, 5 * SECOND))
                    self.late.append((self.now_ns + delay_ns, connection, event))
        if exchange.sent and self.does("copy"):
            self.late.append((self.now_ns, rng.randint(1, 3), rng.choice(exchange.sent[-20:])))
        yield from self._say(symbol, exchange)

    def _say(self, symbol: str, exchange: Exchange) -> Iterator[Scene]:
        """Messages that are not events, and answers that were not requested."""
        rng = self.rng
        for name, say in (("top", top), ("ticker", ticker)):
            if self.open and self.does(name):
                bids, asks = exchange.texts()
                if self.does("lie"):
                    bids["97.5"] = "1"
                content = say(exchange.last - rng.choice((0, 0, 0, 1)), bids, asks, symbol)
                yield StreamMessage(self.now_ns, rng.choice(sorted(self.open)), combined(content))
        if self.does("ask"):
            self.asked.append((self.now_ns + rng.randrange(SECOND), symbol, rng.choice((2, 5))))
            yield SnapshotRequested(self.now_ns, symbol, self.asked[-1][2])
        if self.does("status"):
            status = rng.choice(("TRADING", "TRADING", "HALT", "BREAK", "END_OF_DAY"))
            if rng.random() < 0.1:
                status = "DELISTED"
            yield SymbolListing(self.now_ns, symbol, status, rng.choice(("", "0.01", "0.1")), "1")

    def _arrive(self) -> Iterator[Scene]:
        rng = self.rng
        self.late.sort(key=lambda one: one[0])
        while self.late and self.late[0][0] <= self.now_ns:
            _, connection, event = self.late.pop(0)
            if connection in self.open and (connection, event.symbol) not in self.deaf:
                yield StreamMessage(self.now_ns, connection, combined(event))
        for due in [due for due in self.asked if due[0] <= self.now_ns]:
            self.asked.remove(due)
            yield self._answer(due[1], due[2])
        if self.does("pulse"):
            tops = {symbol: exchange.best() for symbol, exchange in self.exchanges.items()}
            if self.does("lie"):
                tops[rng.choice(SYMBOLS)] = ("99", "0", "0", "1")
            self.pulses.append((self.now_ns + rng.randrange(SECOND), self.now_ns, tops))
        for pulse in [pulse for pulse in self.pulses if pulse[0] <= self.now_ns]:
            self.pulses.remove(pulse)
            yield Pulse(self.now_ns, pulse[1], pulse[2])

    def _answer(self, symbol: str, limit: int) -> TapeRecord:
        content = self.exchanges[symbol].snapshot(limit)
        if self.does("stale"):
            content = replace(
                content, last_id=max(0, content.last_id - self.rng.choice((1, 5, 50)))
            )
        payload = encode_depth(content)
        if self.does("garbage"):
            payload = self.rng.choice((b"<html>", UNOPENED))
        return DepthAnswer(self.now_ns, symbol, limit, payload)


def write(root: Path, seed: int, steps: int) -> None:
    """Record the script and seal it; every recorder of it is stopped."""
    script = Script(seed)
    scenes = script.scenes(steps)
    ends, number = False, 0
    while not ends:
        number += 1
        with open_archive(root) as archive:
            recording = archive.begin(script.opening(), f"run{number}")
            sealing = []
            ends = True
            for scene in scenes:
                if isinstance(scene, NextRecorder):
                    ends = False
                    break
                if isinstance(scene, NextSegment):
                    sealing.append(rotate(recording, scene.at_ns))
                else:
                    follow(recording, scene)
            sealing.append(finish(recording, "stopped"))
            for sealed in sealing:
                sealed.result()
