"""A second opinion: the exchange's procedure in its plainest form, and words to write tests with.

`Oracle` shares no code with booktape: decimals instead of doubles, a dict for each side, sorted on read,
fed with the exchange's own bytes. An oracle that shared the code would prove nothing. Below it are the comparison with
a row, and builders that let a test read like the exchange's rules.
"""

from __future__ import annotations

import dataclasses
import json
from decimal import Decimal
from operator import attrgetter
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from booktape.core.checks import BookTicker, TopLevels
from booktape.core.events import BookRow, DepthEvent, DepthSnapshot
from booktape.core.gap_reasons import DISCONNECTED
from booktape.core.tape_records import (
    Connected,
    DepthAnswer,
    Disconnected,
    Pulse,
    SegmentStart,
    SnapshotRequested,
    StreamMessage,
    SymbolListing,
    Tick,
)
from booktape.reconstruct import Output
from booktape.wire.encode import (
    encode_combined,
    encode_depth,
    encode_event,
    encode_ticker,
    encode_top,
)
from booktape.wire.witness import BOOK_TICKER, DEPTH20, SUFFIXES


class Level(NamedTuple):
    """A level as the exchange wrote it, and the doubles that were proved to stand for it."""

    price: Decimal
    size: Decimal
    doubles: tuple[float, float]

    @classmethod
    def of(cls, price: str, size: str) -> Level:
        for text in (price, size):
            assert Decimal(repr(float(text))) == Decimal(text), f"{text} is not exact as a double"
        return cls(Decimal(price), Decimal(size), (float(price), float(size)))


Side: TypeAlias = dict[Decimal, Level]


def change(side: Side, levels: list[list[str]]) -> None:
    """Set each level to its absolute size; size zero removes it, known or not."""
    for price, size in levels:
        level = Level.of(price, size)
        if level.size:
            side[level.price] = level
        else:
            side.pop(level.price, None)


class Oracle:
    """One symbol's book. `id` is None until a snapshot arrives; `gap` says that events were lost."""

    def __init__(self) -> None:
        self.bids: Side = {}
        self.asks: Side = {}
        self.id: int | None = None
        self.gap = False

    def snapshot(self, payload: bytes) -> None:
        """Set the local book to the snapshot."""
        body = json.loads(payload)
        self.bids, self.asks, self.id = {}, {}, body["lastUpdateId"]
        change(self.bids, body["bids"])
        change(self.asks, body["asks"])

    def event(self, payload: bytes) -> bool:
        """Follow steps 4 to 7 of the procedure; whether the event was applied."""
        body = json.loads(payload)
        body = body.get("data", body)
        if self.id is None or self.gap or body["u"] <= self.id:
            return False
        if body["U"] > self.id + 1:
            self.gap = True
            return False
        change(self.bids, body["b"])
        change(self.asks, body["a"])
        self.id = body["u"]
        return True


# ── comparing ───────────────────────────────────────────────────────────────────────────────


def shown(row: BookRow) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Bids and asks of a row as (price, size), best first."""
    return (
        list(zip(row.bid_price.tolist(), row.bid_size.tolist(), strict=True)),
        list(zip(row.ask_price.tolist(), row.ask_size.tolist(), strict=True)),
    )


def frozen(output: Output) -> object:
    """An output as a value that can be compared, byte for byte where it holds arrays."""
    if not isinstance(output, BookRow):
        return output
    fields = (getattr(output, field.name) for field in dataclasses.fields(output))
    return tuple(f.tobytes() if isinstance(f, np.ndarray) else f for f in fields)


def doubles(side: Side, *, best_is_highest: bool) -> list[tuple[float, float]]:
    """What a row must hold for this side: in the decimals' order, as their doubles."""
    ordered = sorted(side.values(), key=attrgetter("price"), reverse=best_is_highest)
    return [level.doubles for level in ordered]


def differences(row: BookRow, bids: Side, asks: Side) -> list[str]:
    """Every way in which a row is not this book; empty when each level is exactly equal.

    Inside the horizons the sides must be equal; beyond them each shown level must be real.
    """
    found = []
    for name, levels, truth, horizon in (
        ("bid", shown(row)[0], doubles(bids, best_is_highest=True), row.bid_horizon),
        ("ask", shown(row)[1], doubles(asks, best_is_highest=False), row.ask_horizon),
    ):
        if levels == truth:
            continue
        sign = 1 if name == "bid" else -1
        known = [t for t in truth if horizon is None or sign * t[0] >= sign * horizon]
        beyond = set(truth[len(known) :])
        if levels[: len(known)] != known or not beyond.issuperset(levels[len(known) :]):
            found.append(f"{name}s at id {row.update_id}: row {levels[:8]}, truth {truth[:8]}")
        elif levels != sorted(set(levels), reverse=name == "bid"):
            found.append(f"{name}s at id {row.update_id} beyond the horizon are not in order")
    return found


# ── building ────────────────────────────────────────────────────────────────────────────────

SECOND = 1_000_000_000
SYMBOL = "BTCUSDT"
Texts: TypeAlias = dict[str, str]


def levels(texts: Texts | None) -> list[tuple[float, float]]:
    """`{"100": "1"}` → what the wire makes of `[["100","1"]]`."""
    return [(float(price), float(size)) for price, size in (texts or {}).items()]


def event(
    first: int, last: int, bids: Texts | None = None, asks: Texts | None = None, **fields: Any
) -> DepthEvent:
    """A `depthUpdate` of ids `first` to `last`; `symbol` and `event_time_us` may be given."""
    plain = DepthEvent(SYMBOL, last * 100_000, first, last, levels(bids), levels(asks))
    return dataclasses.replace(plain, **fields)


def snapshot(
    last: int, bids: Texts | None = None, asks: Texts | None = None, **fields: Any
) -> DepthSnapshot:
    """A REST answer as of id `last`; `symbol` and `limit` may be given."""
    plain = DepthSnapshot(SYMBOL, 5000, last, levels(bids), levels(asks))
    return dataclasses.replace(plain, **fields)


def top(
    last: int, bids: Texts | None = None, asks: Texts | None = None, symbol: str = SYMBOL
) -> TopLevels:
    """What `@depth20` says of the state after id `last`."""
    return TopLevels(symbol, last, levels(bids), levels(asks))


def ticker(
    update_id: int, bids: Texts | None = None, asks: Texts | None = None, symbol: str = SYMBOL
) -> BookTicker:
    """What `@bookTicker` says: the first level of each side, if there is one."""
    bid, ask = (next(iter(levels(texts)), None) for texts in (bids, asks))
    return BookTicker(symbol, update_id, bid, ask)


Sent: TypeAlias = DepthEvent | TopLevels | BookTicker


def combined(sent: Sent) -> bytes:
    """The message of the stream that says this."""
    name = sent.symbol.lower()
    if isinstance(sent, TopLevels):
        return encode_combined(name + SUFFIXES[DEPTH20], encode_top(sent))
    if isinstance(sent, BookTicker):
        return encode_combined(name + SUFFIXES[BOOK_TICKER], encode_ticker(sent))
    return encode_combined(f"{name}@depth@100ms", encode_event(sent))


def stream(sent: Sent | bytes, at: int, connection: int = 0) -> StreamMessage:
    """The frame that delivers an event, a witness's message, or any bytes, at second `at`."""
    payload = sent if isinstance(sent, bytes) else combined(sent)
    return StreamMessage(at * SECOND, connection, payload)


def asked(at: int, symbol: str = SYMBOL, limit: int = 5000) -> SnapshotRequested:
    """The request for a snapshot leaves at second `at`."""
    return SnapshotRequested(at * SECOND, symbol, limit)


def listed(status: str, at: int, symbol: str = SYMBOL) -> SymbolListing:
    """At second `at` the exchange's list says this of the symbol."""
    return SymbolListing(at * SECOND, symbol, status)


def tick(at: float, elapsed_s: float = 1) -> Tick:
    """At second `at` this much steady time has passed since the tick before."""
    return Tick(round(at * SECOND), round(elapsed_s * SECOND))


def pulse(at: float, asked_at: float, bid: str, ask: str = "1", symbol: str = SYMBOL) -> Pulse:
    """The best levels of one symbol are 100 and 101, of these sizes; the request left at `asked_at`."""
    tops = {symbol: ("100", bid, "101", ask)}
    return Pulse(round(at * SECOND), round(asked_at * SECOND), tops)


def rest(sent: DepthSnapshot, at: int) -> DepthAnswer:
    """The frame that delivers a snapshot at second `at`."""
    return DepthAnswer(at * SECOND, sent.symbol, sent.limit, encode_depth(sent))


def start(*symbols: str, every: int = 1, **fields: Any) -> SegmentStart:
    """The first line of a tape; `depth`, `witness` and `audit_s` may be given."""
    plain = SegmentStart(0, "test", "sim", every, 5000, symbols or (SYMBOL,))
    return dataclasses.replace(plain, **fields)


def connected(at: int, connection: int = 0, symbols: tuple[str, ...] = (SYMBOL,)) -> Connected:
    """The subscription is active from second `at`."""
    return Connected(at * SECOND, connection, symbols)


def lost(
    at: int, connection: int = 0, *, alive: int | None = None, why: str = DISCONNECTED
) -> Disconnected:
    """The connection is found to be lost at second `at`; it was alive until second `alive`."""
    return Disconnected(at * SECOND, connection, (at if alive is None else alive) * SECOND, why)
