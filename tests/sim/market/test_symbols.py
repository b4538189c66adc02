"""A whole exchange: 1,400 symbols, realistic as a whole, and cheap until a client subscribes."""

from __future__ import annotations

from itertools import pairwise
from statistics import quantiles

import pytest

from booktape.sim.market import market as market_module
from booktape.sim.market.listing import SYMBOLS_MAX, spot
from booktape.sim.messages import stream_name
from sim.visitor import Naive, texts
from support.truth import TracedMarket


def test_all_symbols_are_different_and_always_the_same() -> None:
    """1,400 names, none of them a pair of an asset with itself; every number survives as a double."""
    listings = spot()
    assert listings == spot()
    assert len({one.symbol for one in listings}) == len(listings) == SYMBOLS_MAX == 1_400
    assert not any(one.symbol[: len(one.symbol) // 2] * 2 == one.symbol for one in listings)
    assert all(one.info().prices_are_exact() and one.info().sizes_are_exact() for one in listings)


@pytest.mark.parametrize("count", [1_400, 200])
def test_a_few_are_liquid_and_most_are_not(count: int) -> None:
    """Books have from some dozens to thousands of levels a side, most of them few; few symbols are busy."""
    listings = spot(count)
    levels = [one.profile.levels for one in listings]
    _, median, _ = quantiles(levels, n=4)
    assert min(levels) < 80 < median < 400
    assert 5_000 < levels[0] == 8_000
    assert 0.003 < sum(many > 4_000 for many in levels) / count < 0.02
    assert 0.1 < sum(many > 500 for many in levels) / count < 0.3
    activity = [one.profile.activity for one in listings]
    assert sorted(activity, reverse=True) == activity
    assert 1.5 < 10 * sum(activity) / count < 2.5  # events per second of one symbol


def test_the_number_of_symbols_is_bounded() -> None:
    """There must be at least one."""
    assert [one.symbol for one in spot(1)] == ["BTCUSDT"]
    for count in (0, 1_401):
        with pytest.raises(ValueError, match="1 to 1400 symbols"):
            spot(count)


def test_a_book_is_made_when_it_is_requested() -> None:
    """Listing every symbol makes no book; the others stand still; a requested one trades from then on."""
    market = TracedMarket(spot(), 3)
    assert len(market.symbols()) == 1_400
    market.want({stream_name("ETHUSDT")})
    asked = market.symbols()[700].symbol
    Naive(market.depth(asked, 5_000, 0))
    traded = {m.event.symbol for _ in range(120) for m in market.advance() if m.event}
    assert traded == {"ETHUSDT", asked}
    assert market._markets.keys() == {"ETHUSDT", asked}


def test_many_wanted_books_begin_over_several_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until all have begun; no slot makes many more levels than its share."""
    monkeypatch.setattr(market_module, "BEGIN_LEVELS", 2_000)
    listings, sums = spot(50), [0]
    market = TracedMarket(listings, 3)
    while len(market._markets) < len(listings):
        market.advance()
        begun = [one.profile.levels for one in listings if one.symbol in market._markets]
        sums.append(sum(begun))
    assert len(sums) > 5
    assert all(b - a < 2_000 + listings[0].profile.levels for a, b in pairwise(sums))


def test_the_truth_of_a_symbol_does_not_depend_on_when_it_began() -> None:
    """Only its times do: the same ids have the same books."""
    early, late = TracedMarket(spot(1_400), 3), TracedMarket(spot(1_400), 3)
    symbol = early.symbols()[400].symbol
    early.want({stream_name(symbol)})
    late.want(set())
    for _ in range(50):
        late.advance()
    late.want({stream_name(symbol)})
    first = early.update_id(symbol)
    assert late.update_id(symbol) == first
    for market in (early, late):
        for _ in range(100):
            market.advance()
        book = Naive(market.depth(symbol, 5_000, 0))
        assert book.id > first
        assert (book.bids, book.asks) == texts(late.truth().book(symbol, book.id))
