"""What an honest exchange would send, for tests of faulty ones."""

from __future__ import annotations

import math
from typing import Any

from booktape.core.events import DepthEvent
from booktape.sim.faults.conditions import StreamCondition
from booktape.sim.faults.fault import Fault, Faults
from booktape.sim.messages import stream_name
from booktape.sim.server.server import SimServer
from support.truth import TracedMarket

BTC = stream_name("BTCUSDT")
SLOTS = 30


def market(*symbols: str, slots: int | None = SLOTS) -> TracedMarket:
    """Small books, and only a few slots."""
    return TracedMarket(symbols or ("BTCUSDT",), 1, levels=30, slots=slots)


def events(*symbols: str, slots: int = SLOTS) -> list[DepthEvent]:
    """All events of that market, in order."""
    source = market(*symbols)
    events = (message.event for _ in range(slots) for message in source.advance())
    return [event for event in events if event]


def pairs(numbers: list[int] | range) -> list[tuple[int, int]]:
    """First and last id of these events of BTCUSDT, by index from 0."""
    all_events = events(slots=max(numbers, default=0) + 1)
    return [(all_events[n].first_id, all_events[n].last_id) for n in numbers]


def last_id(slots: int = SLOTS) -> int:
    """The last id that BTCUSDT reaches."""
    return events(slots=slots)[-1].last_id


def faulty(*faults: Fault, **settings: Any) -> SimServer:
    """An exchange that plays these 30 slots, as fast as it can unless told otherwise."""
    settings = {"speed": math.inf, "patience_s": 0.05} | settings
    source = settings.pop("source", None) or market(slots=settings.pop("slots", SLOTS))
    return SimServer(source, faults=Faults.of(*faults), **settings)


def contains_id(symbol: str, update_id: int) -> StreamCondition:
    """The event of this symbol that contains this update id, on every connection."""
    return lambda sent: (
        sent.event is not None
        and sent.event.symbol == symbol
        and sent.event.first_id <= update_id <= sent.event.last_id
    )


def event_number(symbol: str, *numbers: int) -> StreamCondition:
    """These events of this symbol, counted from 1 since the exchange started, on every connection."""
    return lambda sent: (
        sent.event is not None and sent.event.symbol == symbol and sent.number_in_stream in numbers
    )


def message_number(number: int, *, connection: int | None = None) -> StreamCondition:
    """The `number`-th message (from 1) of one connection (counted from 0), or of each."""
    return lambda sent: (
        sent.number_on_connection == number and connection in {None, sent.connection}
    )
