"""The simulator's own truth: its events and snapshots agree with it at every update id."""

from __future__ import annotations

import json
from collections import Counter
from statistics import quantiles
from typing import Any

import pytest

from booktape.core.events import DepthEvent
from booktape.sim.faults.market import MarketFaults
from booktape.sim.market.listing import DEFAULT_SYMBOLS, NON_ASCII_SYMBOL, listing
from booktape.sim.market.symbol_market import SymbolMarket
from booktape.sim.messages import Encoding
from sim.visitor import Levels, Naive, decimals, texts
from support.truth import TracedMarket

SYMBOLS = (*DEFAULT_SYMBOLS, NON_ASCII_SYMBOL)


def raw(event: Any) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(event.payload(Encoding(combined=False, microseconds=True)))
    return message


def played(market: TracedMarket, slots: int) -> list[DepthEvent]:
    events = (message.event for _ in range(slots) for message in market.advance())
    return [event for event in events if event]


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_snapshots_equal_the_truth_at_every_id_they_show(symbol: str) -> None:
    """At whatever moment a snapshot is taken, it is the true book of its lastUpdateId."""
    market, ids = TracedMarket((symbol,), 5, levels=20), set()
    truth = market.truth()
    for _ in range(100):
        for step in range(4):
            snapshot = market.depth(symbol, 5000, step / 4)
            book = Naive(snapshot)
            ids.add(book.id)
            assert (book.bids, book.asks) == texts(truth.book(symbol, book.id))
        market.advance()
    assert len(ids) > 8


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_a_snapshot_and_the_later_events_give_the_truth_of_every_event(symbol: str) -> None:
    """From the middle of any event, the exchange's own procedure stays on the true book."""
    market = TracedMarket((symbol,), 6, levels=20)
    truth = market.truth()
    books = [Naive(market.depth(symbol, 5000, 0))]
    middles = 0
    for slot in range(120):
        if slot % 20 == 0:
            books.append(Naive(market.depth(symbol, 5000, 0.5)))
        for message in market.advance():
            event = raw(message)
            middles += books[-1].id >= event["U"]
            for book in books:
                assert book.apply(event)
                assert (book.bids, book.asks) == texts(truth.book(symbol, event["u"]))
    assert middles >= (4 if listing(symbol).profile.activity > 0.9 else 0)


def test_consecutive_true_books_differ_by_one_level() -> None:
    """Each update id is one level change, including ids in the middle of an event."""
    market = TracedMarket(("FTMUSDT",), 7, levels=40)
    truth, first = market.truth(), market.update_id("FTMUSDT")
    played(market, 60)
    last = market.update_id("FTMUSDT")
    before = texts(truth.book("FTMUSDT", first))
    for update_id in range(first + 1, last + 1):
        after = texts(truth.book("FTMUSDT", update_id))
        changed = sum(len(a.items() ^ b.items()) for a, b in zip(before, after, strict=True))
        assert changed <= 2, "one level's old and new size at most"
        before = after
    assert last - first > 100


def test_the_truth_can_be_read_backwards() -> None:
    """An id before the last one requested is just as true."""
    truth = TracedMarket(("BTCUSDT",), 8, levels=40).truth()
    first = truth.first_id("BTCUSDT")
    forward = [texts(truth.book("BTCUSDT", first + step)) for step in range(30)]
    backward = [texts(truth.book("BTCUSDT", first + step)) for step in reversed(range(30))]
    assert forward == backward[::-1]
    with pytest.raises(ValueError, match="begins at"):
        truth.book("BTCUSDT", first - 1)


def test_the_truth_is_exact_as_double_and_as_text() -> None:
    """Each double is the nearest one to its decimal."""
    book = (
        TracedMarket(SYMBOLS, 9)
        .truth()
        .book("BTCUSDT", TracedMarket(SYMBOLS, 9).update_id("BTCUSDT"))
    )
    for doubles, exact in ((book.bids, book.bid_texts), (book.asks, book.ask_texts)):
        assert doubles == [(float(price), float(size)) for price, size in exact]
        assert len(doubles) == 8_000


def test_ids_chain_and_events_keep_the_exchanges_rules() -> None:
    """No gap between events, none empty, no price twice in a side, times on the 100 ms grid."""
    market = TracedMarket(SYMBOLS, 10, levels=60)
    market.start(1_780_861_677_414_123)
    last = {symbol: market.update_id(symbol) for symbol in SYMBOLS}
    times: dict[str, int] = {}
    for event in played(market, 400):
        assert event.first_id == last[event.symbol] + 1 <= event.last_id
        last[event.symbol] = event.last_id
        assert event.bids or event.asks
        for side in (event.bids, event.asks):
            assert len({price for price, _ in side}) == len(side)
        assert event.event_time_us % 100_000 == 0
        assert event.event_time_us > times.get(event.symbol, 1_780_861_677_400_000)
        times[event.symbol] = event.event_time_us
    assert max(times.values()) == 1_780_861_677_400_000 + 400 * 100_000


@pytest.mark.parametrize("symbol", SYMBOLS)
@pytest.mark.parametrize("levels", [2, 30])
def test_the_book_is_never_crossed_and_keeps_its_size(symbol: str, levels: int) -> None:
    """After every single update the best bid is below the best ask, and no side grows or shrinks without bound."""
    pair = SymbolMarket(listing(symbol), 11, levels, MarketFaults())
    for _ in range(6_000):
        pair.step()
        assert pair.bids.best < pair.asks.best
        assert all(1 <= len(side.prices) <= levels + 60 for side in (pair.bids, pair.asks))
        assert pair.bids.prices[0] > 0


def test_the_same_seed_gives_the_same_bytes() -> None:
    """Symbols and seed decide every byte, and snapshots in between change none; another seed is another market."""

    def bytes_of(seed: int, *, looked_at: bool = False) -> list[bytes]:
        market, found = TracedMarket(SYMBOLS, seed, levels=50), []
        for slot in range(50):
            if looked_at:
                market.depth("BTCUSDT", 100, slot % 10 / 10)
            found += [
                m.payload(Encoding(combined=True, microseconds=True)) for m in market.advance()
            ]
        return found

    assert bytes_of(1) == bytes_of(1) == bytes_of(1, looked_at=True)
    assert bytes_of(1) != bytes_of(2)


def test_a_symbols_market_does_not_depend_on_the_others() -> None:
    """Adding a symbol changes no other symbol's bytes."""
    alone, together = TracedMarket(("BTCUSDT",), 3, levels=50), TracedMarket(SYMBOLS, 3, levels=50)
    theirs = [event for event in played(together, 30) if event.symbol == "BTCUSDT"]
    assert played(alone, 30) == theirs


def test_after_its_slots_the_market_stays_quiet() -> None:
    """A bounded market ends; from then on its snapshots show the last event's id."""
    market = TracedMarket(("BTCUSDT",), 12, levels=50, slots=3)
    due = []
    while (due_s := market.due_s()) is not None:
        due.append(due_s)
        last = played(market, 1)[-1].last_id
    assert due == [0.1, 0.2, 0.3]
    assert Naive(market.depth("BTCUSDT", 5000, 0.5)).id == last == market.update_id("BTCUSDT")


def test_a_snapshot_of_5000_levels_need_not_hold_the_whole_book() -> None:
    """BTCUSDT has a horizon, while ETHUSDT is known completely, as on the real exchange."""
    market = TracedMarket(seed=13)
    assert len(Naive(market.depth("BTCUSDT", 5000, 0)).bids) == 5_000
    assert 3_500 < len(Naive(market.depth("ETHUSDT", 5000, 0)).asks) < 4_500
    assert 150 < len(Naive(market.depth("XMRBTC", 5000, 0)).asks) < 250


@pytest.mark.parametrize(
    ("symbol", "events_per_s", "ids_mean", "levels_mean", "spread_bps"),
    [
        ("BTCUSDT", (9.9, 10), (45, 110), (25, 65), 3),
        ("FTMUSDT", (5, 8), (3, 7), (2.5, 6), 30),
        ("XMRBTC", (0.8, 2.5), (1, 2), (1, 2), 200),
    ],
)
def test_the_load_is_like_the_real_exchanges(
    symbol: str,
    events_per_s: tuple[float, float],
    ids_mean: tuple[float, float],
    levels_mean: tuple[float, float],
    spread_bps: float,
) -> None:
    """Events per second, ids and levels per event, and the spread are those of real recordings."""
    market, slots = TracedMarket((symbol,), 14), 800
    events = played(market, slots)
    low, high = events_per_s
    assert low <= len(events) / slots * 10 <= high
    ids = [event.last_id - event.first_id + 1 for event in events]
    levels = [len(event.bids) + len(event.asks) for event in events]
    for values, (low, high) in ((ids, ids_mean), (levels, levels_mean)):
        assert low <= sum(values) / len(values) <= high
    book = Naive(market.depth(symbol, 5000, 0))
    best_bid, best_ask = max(book.bids), min(book.asks)
    assert 0 < (best_ask - best_bid) / best_bid * 10_000 < spread_bps


def test_the_mix_of_operations_is_like_the_real_exchanges() -> None:
    """Insert, delete, delete of an unknown level, update and repeat come in the recorded shares."""
    market = TracedMarket(("BTCUSDT",), 15, levels=8_000)
    book, mix, bps = Naive(market.depth("BTCUSDT", 5000, 0)), Counter[str](), []
    everything = market.truth().book("BTCUSDT", book.id)
    book.bids, book.asks = texts(everything)
    for _ in range(400):
        for message in market.advance():
            event = raw(message)
            touch = max(book.bids)
            for side, levels in ((book.bids, event["b"]), (book.asks, event["a"])):
                mix.update(_operation(side, price, size) for price, size in levels)
            bps += [float((touch - p) / touch) * 1e4 for p, _ in decimals(event["b"]) if p < touch]
            book.apply(event)
    share = {name: count / mix.total() for name, count in mix.items()}
    assert share == {
        "insert": pytest.approx(0.35, abs=0.06),
        "delete": pytest.approx(0.34, abs=0.06),
        "delete unknown": pytest.approx(0.08, abs=0.03),
        "update": pytest.approx(0.22, abs=0.05),
        "same": pytest.approx(0.02, abs=0.015),
    }
    lower, median, upper = quantiles(bps, n=4)
    assert 0.8 < lower < 3 < median < 9 < upper < 30


def _operation(side: Levels, price: str, size: str) -> str:
    ((exact, new),) = decimals([[price, size]])
    old = side.get(exact)
    if not new:
        return "delete" if old else "delete unknown"
    if old is None:
        return "insert"
    return "same" if old == new else "update"


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_prices_and_sizes_follow_the_listed_rules(symbol: str) -> None:
    """Every price is a multiple of the listed tick, every size one of the step, and both are within bounds."""
    market = TracedMarket((symbol,), 16)
    (info,) = market.symbols()
    assert info.symbol == symbol
    assert info.prices_are_exact()
    assert info.sizes_are_exact()
    book = Naive(market.depth(symbol, 5000, 0))
    filters = [[info.tick_size, info.step_size], [info.max_price, info.max_quantity]]
    (tick, step), (top, most) = decimals(filters)
    for price, size in [*book.bids.items(), *book.asks.items()]:
        assert price % tick == 0 < price <= top
        assert size % step == 0 < size <= most
