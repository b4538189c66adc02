"""Whatever happens to a book, snapshots, events and witnesses agree with the truth at every id."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from booktape.core.checks import BookTicker
from booktape.core.tape_records import NO_MARKET_DATA
from booktape.sim.faults.fault import MarketFault
from booktape.sim.faults.market import (
    Cap,
    Cross,
    Fall,
    Halt,
    Huge,
    IdsReset,
    MarketFaults,
    NewListing,
    TickSize,
)
from booktape.sim.market.market import NOT_OPENED, SLOT_MS
from booktape.sim.messages import Encoding, stream_name
from sim.visitor import Levels, Naive, decimals, texts
from support.truth import TracedMarket, Truth

SYMBOLS = ("BTCUSDT", "FTMUSDT", "XMRBTC")
SLOTS = 80
START_US = 10**15
NOTHING: Levels = {Decimal(0): Decimal(0)}

Named = dict[str, Any]

FAULTS: dict[str, tuple[MarketFault, ...]] = {
    "none": (),
    **{
        f"{shown}, {rate} cancels": tuple(Halt(one, 2, 5, shown, rate) for one in SYMBOLS)
        for shown in ("HALT", "CANCEL_ONLY", "BREAK", "END_OF_DAY")
        for rate in (0, 3, 200)
    },
    "break from the start": tuple(Halt(one, 0, 3, "BREAK", 30) for one in SYMBOLS),
    "ids anew, another book": (IdsReset(3),),
    "ids anew, the same book": (IdsReset(3, blank=False),),
    "ids anew from elsewhere": (IdsReset(3, first_id=10**6),),
    "ids anew of one": (IdsReset(3, "BTCUSDT"),),
    "ids anew in a break": (IdsReset(3), *(Halt(one, 2, 5, "BREAK", 30) for one in SYMBOLS)),
    "opens late": tuple(NewListing(one, 1, 3) for one in SYMBOLS),
    "listed late": tuple(NewListing(one, 1) for one in SYMBOLS),
    "opens into a break": (
        *(NewListing(one, 1, 3) for one in SYMBOLS),
        *(Halt(one, 2.5, 4, "BREAK", 30) for one in SYMBOLS),
    ),
    **{
        f"ticks {'finer' if finer else 'coarser'}, {factor}": tuple(
            TickSize(one, 3, factor, finer) for one in SYMBOLS
        )
        for finer in (True, False)
        for factor in (2, 10, 100)
    },
    "ticks and a fall": (
        *(TickSize(one, 3) for one in SYMBOLS),
        *(Fall(one, 1, 7, 0.2) for one in SYMBOLS),
        *(Huge(one, 4, 2_000) for one in SYMBOLS),
        IdsReset(5),
    ),
    "crossed": tuple(Cross(one, at_s) for one in SYMBOLS for at_s in (1, 2, 5)),
    "capped": tuple(Cap(one, at_s) for one in SYMBOLS for at_s in (1, 2, 3, 4)),
    "capped, then cancels": (
        *(Cap(one, 2) for one in SYMBOLS),
        *(Halt(one, 2.5, 5, "CANCEL_ONLY", 200) for one in SYMBOLS),
    ),
    "all at once": (
        *(Halt(one, 2, 4, "BREAK", 20) for one in SYMBOLS),
        *(Fall(one, 1, 7, 0.1) for one in SYMBOLS),
        *(Huge(one, 5, 3_000) for one in SYMBOLS),
        IdsReset(6),
    ),
}

# One of each kind; the others run in `make test-long`.
QUICK = {
    *("none", "HALT, 3 cancels", "BREAK, 3 cancels", "ids anew, another book", "opens late"),
    *("ticks finer, 10", "capped", "all at once"),
}
assert FAULTS.keys() > QUICK


@dataclass
class Listener:
    """A client that follows a symbol, and requests a new snapshot when it has no other way to continue."""

    market: TracedMarket
    truth: Truth
    tickers: Truth
    symbol: str
    book: Naive | None = None
    renewed: list[float] = field(default_factory=list)
    last: Named | None = None

    def hear(self, message: Named, now_s: float, counting: int) -> None:
        if "e" not in message:
            self._witness(message, counting)
            return
        chains = self.book is not None and message["U"] <= self.book.id + 1
        fallen = self.last is not None and message["U"] <= self.last["u"]
        if not chains or fallen or (self.book and self.book.id == NOT_OPENED):
            self.renewed.append(now_s)
            self.book = Naive(self.market.depth(self.symbol, 5000, 0))
        self.last = message
        assert self.book
        self.book.apply(message)
        held = self.book.bids, self.book.asks
        assert held == texts(self.truth.book(self.symbol, self.book.id, counting))

    def _witness(self, message: Named, counting: int) -> None:
        if "lastUpdateId" in message:
            true = texts(self.truth.book(self.symbol, message["lastUpdateId"], counting))
            shown = (dict(decimals(message[side])) for side in ("bids", "asks"))
            assert tuple(shown) == best(true, 20)
        else:
            bids, asks = best(texts(self.tickers.book(self.symbol, message["u"], counting)), 1)
            levels = decimals([[message["b"], message["B"]], [message["a"], message["A"]]])
            assert dict(levels) == (bids or NOTHING) | (asks or NOTHING)


def best(sides: tuple[Levels, Levels], count: int) -> tuple[Levels, Levels]:
    bids, asks = sides
    return (
        {price: bids[price] for price in sorted(bids, reverse=True)[:count]},
        {price: asks[price] for price in sorted(asks)[:count]},
    )


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.long) for n in FAULTS]
)
def test_every_message_is_true_at_the_id_it_names(name: str) -> None:
    """Snapshots at any moment, best levels, partial depth, tickers, and the book that a client builds from events."""
    market = TracedMarket(SYMBOLS, 5, levels=15, remembers=True)
    faults = MarketFaults.of(*FAULTS[name])
    market.apply_faults(faults)
    market.start(START_US)
    kinds = "depth@100ms", "depth20@100ms", "bookTicker"
    market.want([stream_name(one, kind) for one in SYMBOLS for kind in kinds])
    truth = market.truth()
    # One for each kind of request: within a slot their ids do not ascend together.
    listeners = {one: Listener(market, market.truth(), market.truth(), one) for one in SYMBOLS}
    counting, compared = dict.fromkeys(SYMBOLS, 0), 0
    for slot in range(SLOTS):
        end_s = (slot + 1) * SLOT_MS / 1_000
        for symbol in SYMBOLS:
            anew = faults.push(symbol, end_s - 0.1, end_s).first_id is not None
            counting[symbol] += anew
            for part in (0, 0.5):
                body = market.depth(symbol, 5000, part)
                book, top = Naive(body), market.top(symbol, part)
                true = truth.book(symbol, book.id, counting[symbol])
                assert (book.bids, book.asks) == texts(true)
                first = (next(iter(side), None) for side in (true.bids, true.asks))
                assert top == BookTicker(symbol, book.id, *first)
                assert (book.id == NOT_OPENED) == faults.has_not_opened(symbol, end_s)
            listeners[symbol].book = listeners[symbol].book or Naive(body)
        for message in market.advance():
            raw = json.loads(message.payload(Encoding(combined=False, microseconds=True)))
            symbol = next(one for one in SYMBOLS if message.stream.startswith(one.lower()))
            status = faults.status(symbol, end_s)
            assert status == "TRADING" or status not in {*NO_MARKET_DATA, "DELISTED"}
            assert raw.get("E", START_US + end_s * 10**6) == START_US + round(end_s * 10**6)
            listeners[symbol].hear(raw, end_s, counting[symbol])
            compared += 1
    assert compared > 200
    if name == "none" or "HALT" in name or "CANCEL_ONLY" in name:
        assert not any(listener.renewed for listener in listeners.values())


@pytest.mark.parametrize("shown", ["BREAK", "END_OF_DAY"])
def test_changes_that_no_message_showed_are_remembered(shown: Any) -> None:
    """To the id: shown and hidden changes together are everything that happened, each change once."""
    market = TracedMarket(("FTMUSDT",), 7, levels=60, remembers=True)
    market.apply_faults(MarketFaults.of(Halt("FTMUSDT", 2, 5, shown, 20)))
    market.start(START_US)
    truth = market.truth()
    first = truth.first_id("FTMUSDT")
    events = [m.event for _ in range(SLOTS) for m in market.advance() if m.event]
    unsent = truth.unsent("FTMUSDT")
    assert {START_US + 2_000_000 <= one.time_us < START_US + 5_000_000 for one in unsent} == {True}
    assert sum(one.last_id - one.first_id + 1 for one in unsent) == pytest.approx(60, rel=0.1)
    spans = sorted(
        [(one.first_id, one.last_id) for one in unsent] + [(e.first_id, e.last_id) for e in events]
    )
    assert spans[0][0] == first + 1
    assert all(b[0] == a[1] + 1 for a, b in pairwise(spans))
    assert spans[-1][1] == market.update_id("FTMUSDT")
    for slot in range(10, SLOTS):
        time_us = START_US + slot * SLOT_MS * 1_000
        reached = truth.reached("FTMUSDT", time_us + 50_000)
        sent = [event.last_id for event in events if event.event_time_us <= time_us]
        hidden = [one.last_id for one in unsent if one.time_us <= time_us]
        assert reached.update_id == max(sent + hidden)
        assert not reached.counting


@pytest.mark.parametrize("shown", ["HALT", "CANCEL_ONLY"])
def test_a_halt_only_cancels_orders_and_the_status_says_so(shown: Any) -> None:
    """Levels shrink or vanish, none appears or grows; the ids chain throughout."""
    market = TracedMarket(("FTMUSDT",), 8, levels=60)
    market.apply_faults(MarketFaults.of(Halt("FTMUSDT", 2, 5, shown, 20)))
    market.start(START_US)
    truth, halted = market.truth(), 0
    last = truth.first_id("FTMUSDT")
    for _ in range(SLOTS):
        for message in market.advance():
            event = message.event
            assert event
            assert event.first_id == last + 1
            before, after = (texts(truth.book("FTMUSDT", one)) for one in (last, event.last_id))
            if 2 <= (event.event_time_us - START_US) / 1e6 < 5:
                halted += 1
                for side, then in zip(after, before, strict=True):
                    assert all(size <= then.get(price, 0) for price, size in side.items())
                assert before != after
            last = event.last_id
    assert halted >= 20
    assert not truth.unsent("FTMUSDT")


def test_cancels_never_empty_a_side() -> None:
    """However many, and for however long; afterwards the symbol trades on."""
    market = TracedMarket(("XMRBTC",), 9, levels=5)
    market.apply_faults(MarketFaults.of(Halt("XMRBTC", 1, 5, "BREAK", 500)))
    for _ in range(SLOTS):
        book = Naive(market.depth("XMRBTC", 5000, 0.9))
        assert book.bids
        assert book.asks
        market.advance()
    assert len(market.truth().unsent("XMRBTC")) >= 3


# ── ids that fall back ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("blank", "first_id"), [(True, 1), (False, 1), (True, 500)])
def test_ids_start_over(blank: bool, first_id: int) -> None:
    """From the event at that time on, and no message announces it; the book is a different one, or the same."""
    market = TracedMarket(("BTCUSDT",), 3, levels=30)
    market.apply_faults(MarketFaults.of(IdsReset(2, first_id=first_id, blank=blank)))
    market.start(START_US)
    truth = market.truth()
    events = [m.event for _ in range(40) for m in market.advance() if m.event]
    fresh = [event for event in events if event.event_time_us >= START_US + 2_000_000]
    old = events[: -len(fresh)]
    for some in (old, fresh):
        assert all(b.first_id == a.last_id + 1 for a, b in pairwise(some))
    assert fresh[0].first_id == first_id < old[0].first_id
    assert all(a.event_time_us < b.event_time_us for a, b in pairwise(events))
    ended, began = truth.book("BTCUSDT", old[-1].last_id), truth.book("BTCUSDT", first_id - 1)
    assert (texts(ended) == texts(began)) == (not blank)
    # Backwards too.
    assert texts(truth.book("BTCUSDT", old[-1].last_id)) == texts(ended)
    for update_id in (old[-1].last_id + 1, first_id - 2):
        with pytest.raises(ValueError, match="BTCUSDT"):
            truth.book("BTCUSDT", update_id)


def test_an_id_that_occurred_twice_must_be_distinguished() -> None:
    """By the number of times that the ids had started over."""
    market = TracedMarket(("BTCUSDT",), 3, levels=30)
    market.apply_faults(MarketFaults.of(IdsReset(1), IdsReset(2)))
    for _ in range(30):
        market.advance()
    truth = market.truth()
    with pytest.raises(ValueError, match="2 times"):
        truth.book("BTCUSDT", 5)
    books = [texts(truth.book("BTCUSDT", 5, counting)) for counting in (1, 2)]
    assert books[0] != books[1]
    for update_id, counting in ((10**6, 1), (5, 3), (5, -1)):
        with pytest.raises(ValueError, match="no update id"):
            truth.book("BTCUSDT", update_id, counting)


# ── openings ────────────────────────────────────────────────────────────────────────────────


def test_a_book_opens_with_one_event_that_holds_all_levels() -> None:
    """Until then the book is empty and has no id; applying the event to it gives the true book."""
    market = TracedMarket(("FTMUSDT",), 3, levels=30)
    market.apply_faults(MarketFaults.of(NewListing("FTMUSDT", 1, 2)))
    market.start(START_US)
    assert json.loads(market.depth("FTMUSDT", 5, 0)) == {
        "lastUpdateId": -1,
        "bids": [],
        "asks": [],
    }
    assert market.top("FTMUSDT", 0) == BookTicker("FTMUSDT", NOT_OPENED, None, None)
    events = [m.event for _ in range(40) for m in market.advance() if m.event]
    truth, opening = market.truth(), events[0]
    assert opening.event_time_us == START_US + 2_000_000
    assert opening.first_id == truth.first_id("FTMUSDT") + 1
    book = truth.book("FTMUSDT", opening.last_id)
    assert (book.bids, book.asks) == (opening.bids, opening.asks)
    assert len(book.bids) == len(book.asks) == 30
    assert not truth.book("FTMUSDT", NOT_OPENED).bids
    with pytest.raises(ValueError, match="begins at"):
        TracedMarket(("FTMUSDT",)).truth().book("FTMUSDT", NOT_OPENED)


# ── steps and sizes ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("finer", [True, False])
def test_new_orders_keep_the_tick_size_in_force(finer: bool) -> None:
    """Earlier orders stay where they are, so some prices are off the new grid."""
    symbol, grid = "FTMUSDT", 10
    market = TracedMarket((symbol,), 4, levels=200)
    market.apply_faults(MarketFaults.of(TickSize(symbol, 3, grid, finer)))
    market.start(START_US)
    (info,) = market.symbols()
    tick, truth = Decimal(info.tick_size), market.truth()
    first = texts(truth.book(symbol, truth.first_id(symbol)))
    off = {price for side in first for price in side if price % (tick * grid)}
    assert bool(off) != finer
    known, after = set(first[0]) | set(first[1]), 0
    for _ in range(SLOTS):
        for message in market.advance():
            event = json.loads(message.payload(Encoding(combined=False, microseconds=True)))
            coarse = (event["E"] >= START_US + 3_000_000) != finer
            for price, size in decimals(event["b"] + event["a"]):
                if size and price not in known:
                    assert not (price % (tick * grid if coarse else tick))
                    after += bool(price % (tick * grid))
                known.add(price)
    assert after
    last = texts(truth.book(symbol, market.update_id(symbol)))
    assert any(price % (tick * grid) for side in last for price in side)


def test_a_capped_size_has_all_its_decimals() -> None:
    """In events, snapshots, witnesses and the truth; the double is the nearest one."""
    market = TracedMarket(("FTMUSDT",), 4, levels=30)
    market.apply_faults(MarketFaults.of(Cap("FTMUSDT", 1)))
    market.want(
        [
            stream_name("FTMUSDT"),
            stream_name("FTMUSDT", "depth20@100ms"),
            stream_name("FTMUSDT", "bookTicker"),
        ]
    )
    truth, kinds = market.truth(), set()
    for _ in range(12):
        for message in market.advance():
            if (
                "92233720368.54775807"
                in message.payload(Encoding(combined=False, microseconds=True)).decode()
            ):
                kinds.add(message.stream.partition("@")[2])
    assert kinds == {"depth@100ms", "depth20@100ms", "bookTicker"}
    capped = [
        (double, text)
        for update_id in range(truth.first_id("FTMUSDT"), market.update_id("FTMUSDT"))
        for book in [truth.book("FTMUSDT", update_id)]
        for (_, double), (_, text) in zip(book.bids, book.bid_texts, strict=True)
        if double > 2**36
    ]
    assert set(capped) == {(92233720368.54775807, "92233720368.54775807")}
