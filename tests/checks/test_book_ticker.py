"""`@bookTicker`: the touch after each event is that of the newest ticker up to its id, in time."""

from __future__ import annotations

import pytest

from booktape.checks import book_ticker as ticker_module
from booktape.checks.book_ticker import BookTickerCheck
from booktape.checks.compare import Comparison
from booktape.core.checks import Difference
from booktape.core.sync import SymbolSync
from support.oracle import SECOND, Texts, connected, event, snapshot, ticker


class BookWithTicker:
    """A book that is LIVE at id 10, and its witness."""

    def __init__(self, limit: int = 5000) -> None:
        self.witness = BookTickerCheck()
        self.sync = SymbolSync("BTCUSDT")
        self.sync.handle(connected(1), SECOND)
        answer = snapshot(10, {"99": "1"}, {"101": "1"}, limit=limit)
        self.sync.handle(answer, SECOND)

    def event(self, last: int, bids: Texts | None = None, asks: Texts | None = None) -> list[int]:
        """Which touches are proven by this event; each must be right."""
        self.sync.handle(event(self.sync.update_id + 1, last, bids, asks), SECOND)
        return proven(list(self.witness.on_applied(self.sync)))

    def ticker(self, update_id: int, bid: str = "1", connection: int = 0) -> list[int]:
        """Which touches are proven by this ticker."""
        return proven(self.hear(update_id, {"99": bid}, {"101": "1"}, connection))

    def hear(self, at: int, bids: Texts, asks: Texts, connection: int = 0) -> list[Comparison]:
        return list(self.witness.on_ticker(ticker(at, bids, asks), connection))


def proven(found: list[Comparison]) -> list[int]:
    assert all(comparison[1:] == (2, ()) for comparison in found)
    return [comparison.update_id for comparison in found]


def test_a_touch_is_compared_once_a_later_ticker_came() -> None:
    """Before that the one that belongs to it may still be on its way."""
    book = BookWithTicker()
    book.ticker(10)
    assert book.event(11, {"98": "1"}) == []
    assert book.ticker(11) == []
    assert book.ticker(12) == [11]
    assert book.ticker(13) == []


def test_the_greatest_id_up_to_the_event_s_counts() -> None:
    """One inside the event, the one at its end, and none of the later ones."""
    book = BookWithTicker()
    for at, bid in ((10, "1"), (12, "2"), (14, "3"), (17, "4")):
        book.ticker(at, bid)
    assert book.event(14, {"99": "3"}) == [14]
    assert book.event(16, {"98": "1"}) == [16]
    assert book.event(17, {"99": "4"}) == []


def test_an_event_may_be_the_one_that_settles() -> None:
    """Tickers that ran ahead wait for their events; one settles several touches."""
    book = BookWithTicker()
    book.ticker(10)
    assert book.event(11, {"98": "1"}) == []
    assert book.event(12, {"98": "2"}) == []
    assert book.ticker(15, "2") == [11, 12]
    assert book.event(14, {"98": "3"}) == [14]


def test_without_a_ticker_there_is_nothing_to_wait_for() -> None:
    """What happened before the first one stays unproven."""
    book = BookWithTicker()
    assert book.event(11) == []
    assert book.ticker(12) == []


def test_a_touch_before_the_first_ticker_is_not_compared() -> None:
    """What was true then is unknown."""
    book = BookWithTicker()
    book.ticker(15, "7")
    assert book.event(12) == []
    assert book.ticker(16, "7") == []


def test_copies_say_nothing() -> None:
    """Neither the same one again, nor an older one."""
    book = BookWithTicker()
    book.ticker(11)
    for at in (11, 10):
        book.ticker(at, "9")
    assert [waiting.update_id for waiting in book.witness.tickers] == [11]


def test_only_one_connection_is_listened_to() -> None:
    """Another one that joined later may skip what the first has still on its way."""
    book = BookWithTicker()
    book.ticker(10, connection=1)
    book.ticker(15, "3", connection=2)
    book.ticker(12, "2", connection=1)
    assert book.event(12, {"99": "2"}) == []
    assert book.ticker(15, "3", connection=1) == [12]


def test_after_forgetting_any_connection_may_speak() -> None:
    """The first one that does is the one that counts from then on."""
    book = BookWithTicker()
    book.ticker(10, connection=1)
    book.witness.reset()
    book.ticker(11, connection=2)
    book.event(11)
    assert book.ticker(12, connection=1) == []
    assert book.ticker(12, connection=2) == [11]


def test_forgetting_forgets_touches_too() -> None:
    """What was not proven stays so."""
    book = BookWithTicker()
    book.ticker(10)
    book.event(11)
    book.witness.reset()
    assert book.ticker(12) == []


def test_a_touch_that_differs() -> None:
    """A size, a price, an empty side: each level that one has and the other has not."""
    book = BookWithTicker()
    book.hear(10, {"99": "1"}, {"101": "1"})
    book.hear(11, {"99": "4"}, {"102": "1"})
    book.event(11, {"98": "1"})
    (found,) = book.hear(12, {}, {"101": "1"})
    assert found == Comparison(
        11,
        2,
        (
            Difference("bid", 99, 1, 4),
            Difference("ask", 101, 1, 0),
            Difference("ask", 102, 0, 1),
        ),
    )


def test_an_empty_side_is_a_touch_too() -> None:
    """Both show no bid."""
    book = BookWithTicker()
    book.hear(11, {}, {"101": "1"})
    assert book.event(11, {"99": "0"}) == []
    assert book.ticker(12) == [11]


def test_beyond_the_horizon_nothing_is_claimed() -> None:
    """When all known levels are gone, the best one left may not be the true one."""
    book = BookWithTicker(limit=1)
    book.hear(11, {"98": "1"}, {"102": "1"})
    assert book.event(11, {"99": "0", "97": "1"}, {"101": "0", "103": "1"}) == []
    assert book.ticker(12) == [11]


def test_the_horizon_is_the_one_of_that_moment() -> None:
    """A touch that was not known does not become wrong because the book knows more now."""
    book = BookWithTicker(limit=1)
    book.hear(11, {"98": "1"}, {"101": "1"})
    book.event(11, {"99": "0"})
    book.sync.book.bid_horizon = None
    assert book.ticker(12) == [11]


def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of touches and of tickers the oldest go; what only they could prove stays unproven."""
    monkeypatch.setattr(ticker_module, "WAITING_MAX", 2)
    book = BookWithTicker()
    book.ticker(10)
    for last in (11, 12, 13):
        book.event(last)
    assert book.ticker(20) == [12, 13]
    for at in (21, 22):
        book.ticker(at)
    assert book.event(20) == []
