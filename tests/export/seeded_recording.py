"""A recording to export: held events, an audit that moves the horizon, a gap, two segments.

Everything is random but seeded. Our clock is sometimes behind the exchange's.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Final

from booktape.core.events import DepthEvent, DepthSnapshot, Level
from booktape.core.gap_reasons import DISCONNECTED, STOPPED
from booktape.core.tape_records import (
    Connected,
    DepthAnswer,
    Disconnected,
    SnapshotRequested,
    StreamMessage,
    TapeRecord,
)
from booktape.core.trades import Trade
from booktape.sim.messages import Encoding, MarketMessage, stream_name
from booktape.wire.encode import encode_depth
from support.archives import open_archive
from support.oracle import SYMBOL, combined, start
from support.rotation import finish, rotate

BEGIN_NS: Final = 1_781_000_000_000_000_000
TICK, LOT = 0.01, 0.00001
EVENTS: Final = 150
"""Before the gap, and after it."""

_MS: Final = 1_000_000
Changes = dict[float, float]


class Market:
    """A true book, initially 300 levels a side, whose touch wanders."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._mid = 10_000
        self.bids: Changes = {round((9_999 - n) * TICK, 2): self._size() for n in range(300)}
        self.asks: Changes = {round((10_001 + n) * TICK, 2): self._size() for n in range(300)}
        self.id = 1_000

    def tick(self, time_us: int) -> DepthEvent:
        """The next event: the touch moves, levels that it crosses are deleted, and some levels change."""
        self._mid += self._random.randint(-3, 3)
        bids, asks = self._side(self.bids, -1), self._side(self.asks, 1)
        first = self.id + 1
        self.id += self._random.randint(1, 5)
        return DepthEvent(SYMBOL, time_us, first, self.id, list(bids.items()), list(asks.items()))

    def snapshot(self, limit: int) -> DepthSnapshot:
        bids: list[Level] = sorted(self.bids.items(), reverse=True)
        return DepthSnapshot(SYMBOL, limit, self.id, bids, sorted(self.asks.items()))

    def _side(self, side: Changes, sign: int) -> Changes:
        changes = {p: 0.0 for p in side if sign * (p / TICK - self._mid) <= 0}
        for _ in range(6):
            price = round((self._mid + sign * self._random.randint(1, 250)) * TICK, 2)
            changes[price] = self._random.choice([0.0, self._size(), self._size()])
        for price, size in changes.items():
            side.pop(price, None)
            if size:
                side[price] = size
        return changes

    def _size(self) -> float:
        return self._random.choice([LOT, 71_224.12345, self._random.randint(1, 10**7) * LOT])


def is_trade(message: StreamMessage) -> bool:
    return b"@trade" in message.payload[:60]


class Trades:
    """Some trades before each event; one in ten is lost."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(f"trades/{seed}")
        self._id = 500

    def before(self, at_ns: int, event_us: int) -> Iterator[TapeRecord]:
        for _ in range(self._random.choice((0, 1, 1, 3))):
            self._id += 1
            price, size = (9_900 + self._random.randint(0, 200)) * TICK, 100 * LOT
            values = self._id, round(price, 2), size, event_us - 20_000, event_us - 20_000
            made = Trade(SYMBOL, *values, buyer_is_maker=self._random.random() < 0.5)
            encoding = Encoding(combined=True, microseconds=True)
            payload = MarketMessage(stream_name(SYMBOL, "trade"), made).payload(encoding)
            if self._random.random() < 0.9:
                yield StreamMessage(at_ns - 1_000, 0, payload)


def answer(received_ns: int, shown: DepthSnapshot) -> DepthAnswer:
    return DepthAnswer(received_ns, SYMBOL, shown.limit, encode_depth(shown))


def tape_records(seed: int = 1) -> Iterator[TapeRecord]:
    """Times are in milliseconds; one event every 100."""
    market, latency_ms, trades = Market(seed), random.Random(seed), Trades(seed)
    for opening_ms, limit in ((0, 60), (EVENTS * 100 + 5_000, 250)):
        yield Connected(BEGIN_NS + opening_ms * _MS, 0, (SYMBOL,))
        for number in range(EVENTS):
            at_ns = BEGIN_NS + (opening_ms + number * 100) * _MS
            event = market.tick(at_ns // 1_000 - latency_ms.randint(-60, 120) * 1_000)
            if number == 1:
                opening = answer(at_ns + 230 * _MS, market.snapshot(limit))
            if number == 60:
                yield SnapshotRequested(at_ns - 1, SYMBOL, 2 * limit)
            yield from trades.before(at_ns, event.event_time_us)
            yield StreamMessage(at_ns, 0, combined(event))
            if number == 3:
                yield opening  # older than the two previous events, which were held for it
            if number == 62:
                yield answer(at_ns + 30 * _MS, market.snapshot(2 * limit))
        yield Disconnected(at_ns + 900 * _MS, 0, at_ns + 40 * _MS, DISCONNECTED)


def record(
    root: Path, records: Iterable[TapeRecord], rotate_after: tuple[int, ...] = (100,)
) -> Path:
    """Store it in one segment more than there are rotations, a row after every third event."""
    first, *others = records
    with open_archive(root) as archive:
        opening = replace(
            start(every=3, audit_s=60.0), received_ns=first.received_ns - 1, trades=True
        )
        recording, number = archive.begin(opening, "seeded"), 0
        sealing: list[Future[None]] = []
        for tape_record in [first, *others]:
            if number in rotate_after[len(sealing) :]:
                sealing.append(rotate(recording, tape_record.received_ns - 1))
            recording.handle(tape_record)
            number += not (isinstance(tape_record, StreamMessage) and is_trade(tape_record))
        sealing.append(finish(recording, STOPPED))
        for sealed in sealing:
            sealed.result()
    return root
