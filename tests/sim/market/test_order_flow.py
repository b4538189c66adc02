"""A price that falls and recovers: never crossed, always true, and old levels come near."""

from __future__ import annotations

from itertools import pairwise

import pytest

from booktape.core.events import DepthEvent
from booktape.sim.faults import requests
from booktape.sim.faults.conditions import Attempts
from booktape.sim.faults.market import Fall, Huge, MarketFaults, Push
from booktape.sim.faults.outcomes import Old
from booktape.sim.market.listing import listing
from sim.visitor import Naive, decimals, texts
from support.truth import ReplayedSymbolMarket, TracedMarket

BTC = listing("BTCUSDT")


@pytest.mark.parametrize("levels", [1, 2, 40])
def test_the_book_is_never_crossed_or_empty_however_the_price_is_moved(levels: int) -> None:
    """After every single update of a series of jumps, up and down, to the lowest price of all."""
    shares = [0.9, 0.5, 1.5, 1.49, 1.0, 0.000_000_01, 1.0]
    pushes = {slot: Push(price=share) for slot, share in enumerate(shares * 3, 2)}
    pair = ReplayedSymbolMarket(pushes, BTC, 3, levels, MarketFaults())
    lowest = highest = pair.bids.best
    for _ in range(6_000):
        pair.step()
        assert pair.bids.best < pair.asks.best
        assert pair.bids.prices[0] > 0
        lowest, highest = min(lowest, pair.bids.best), max(highest, pair.asks.best)
    assert lowest == 1
    assert highest > BTC.start_ticks * 1.4


@pytest.mark.parametrize("share", [0.6, 1.6])
def test_the_price_stays_where_it_was_moved(share: float) -> None:
    """It then wanders near the new price, and does not go straight back to where it started."""
    pair = ReplayedSymbolMarket({2: Push(price=share)}, BTC, 3, 500, MarketFaults())
    for _ in range(300):
        pair.close_slot(0)
    assert pair.bids.best / BTC.start_ticks == pytest.approx(share, rel=0.04)


def falling(by: float, *, levels: int, slots: int) -> TracedMarket:
    """From second 1 to one second before the end."""
    market = TracedMarket(("BTCUSDT",), 3, levels=levels, slots=slots)
    market.apply_faults(MarketFaults.of(Fall("BTCUSDT", 1, slots / 10 - 1, by)))
    return market


def event_of(market: TracedMarket) -> DepthEvent:
    """The next one; in some slots nothing happens."""
    while not (messages := market.advance()):
        pass
    assert messages[0].event
    return messages[0].event


def follow(book: Naive, event: DepthEvent) -> None:
    """Applies the event as a client would."""
    sides = (book.bids, event.bids), (book.asks, event.asks)
    for side, levels in sides:
        for price, size in decimals([[f"{p:.8f}", f"{s:.8f}"] for p, s in levels]):
            if size:
                side[price] = size
            else:
                side.pop(price, None)
    book.id = event.last_id


@pytest.mark.parametrize("by", [0.1, -0.1])
def test_the_price_falls_by_its_share_and_recovers(by: float) -> None:
    """Straight down and straight back, in nearly every slot; with a negative share it rises."""
    market, off = falling(by, levels=1_000, slots=120), []
    for slot in range(120):
        market.advance()
        book = Naive(market.depth("BTCUSDT", 1, 0))
        away = min(max((slot - 9) / 100, 0), 1)
        course = 1 - by * (1 - abs(2 * away - 1))
        touch = (*book.bids, *book.asks)
        off.append(min(abs(float(p) * 100 / BTC.start_ticks - course) for p in touch))
    assert sorted(off)[110] < 0.002
    assert max(off) < 0.02


@pytest.mark.parametrize(
    ("levels", "limit", "slots"),
    [
        (800, 500, 120),
        pytest.param(8_500, 5_000, 600, marks=pytest.mark.bench),
    ],
)
@pytest.mark.parametrize("by", [0.1, -0.1])
def test_levels_beyond_a_snapshot_come_near_and_the_rest_stays_true(
    by: float, levels: int, limit: int, slots: int
) -> None:
    """A client with one snapshot is right inside its horizon, and does not see old levels beyond it."""
    market = falling(by, levels=levels, slots=slots)
    truth = market.truth()
    book = Naive(market.depth("BTCUSDT", limit, 0))
    low, high = min(book.bids), max(book.asks)
    assert len(book.bids) == len(book.asks) == limit
    unseen_best = 0
    for slot in range(slots - 2):
        follow(book, event_of(market))
        if slot % 8:
            continue
        bids, asks = texts(truth.book("BTCUSDT", book.id))
        assert {p: s for p, s in bids.items() if p >= low} == {
            p: s for p, s in book.bids.items() if p >= low
        }
        assert {p: s for p, s in asks.items() if p <= high} == {
            p: s for p, s in book.asks.items() if p <= high
        }
        known, true = (book.bids, bids) if by > 0 else (book.asks, asks)
        best = sorted(true, reverse=by > 0)[:20]
        unseen_best = max(unseen_best, len([price for price in best if price not in known]))
    assert unseen_best >= 5, "the market never fell out of what the snapshot showed"


def test_far_levels_are_left_untouched() -> None:
    """Most of what lies beyond the fall is unchanged at the end, on both sides."""
    market = falling(0.1, levels=800, slots=120)
    truth, first = market.truth(), market.update_id("BTCUSDT")
    for _ in range(120):
        market.advance()
    (bids, asks), (later_bids, later_asks) = (
        texts(truth.book("BTCUSDT", update_id))
        for update_id in (first, market.update_id("BTCUSDT"))
    )
    far_bids = {p: s for p, s in bids.items() if p < 54_000}
    far_asks = {p: s for p, s in asks.items() if p > 62_000}
    for far, later in ((far_bids, later_bids), (far_asks, later_asks)):
        assert len(far) > 50
        assert len(far.items() & later.items()) > 0.8 * len(far)


def test_a_fall_is_remembered_and_suppresses_a_huge_event() -> None:
    """Old snapshots are true during the fall; a huge event due at the same time does not come."""
    market = TracedMarket(("BTCUSDT",), 4, levels=60)
    truth = market.truth()
    faults = (
        Fall("BTCUSDT", 1, 4),
        Huge("BTCUSDT", 2.0, 5_000),
        requests.stale(Attempts(), events=3),
    )
    market.apply_faults(MarketFaults.of(*faults))
    sizes = []
    for _ in range(60):
        event = event_of(market)
        sizes.append(len(event.bids) + len(event.asks))
        stale = Naive(market.depth("BTCUSDT", 5_000, 0, Old(events=3)))
        assert (stale.bids, stale.asks) == texts(truth.book("BTCUSDT", stale.id))
    assert max(sizes) < 2_000


def test_events_of_a_fall_chain_and_come_in_time() -> None:
    """Like any other events."""
    market = falling(0.1, levels=100, slots=80)
    events = [event_of(market) for _ in range(78)]
    assert all(b.first_id == a.last_id + 1 for a, b in pairwise(events))
    assert all(b.event_time_us > a.event_time_us for a, b in pairwise(events))
