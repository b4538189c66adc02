"""`@bookTicker`: the touch after each event equals that of the newest ticker up to its id."""

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
        """The touches that this event proves; each must be right."""
        self.sync.handle(event(self.sync.update_id + 1, last, bids, asks), SECOND)
        return proven(list(self.witness.on_applied(self.sync)))

    def ticker(self, update_id: int, bid: str = "1", connection: int = 0) -> list[int]:
        """The touches that this ticker proves."""
        return proven(self.hear(update_id, {"99": bid}, {"101": "1"}, connection))

    def hear(self, at: int, bids: Texts, asks: Texts, connection: int = 0) -> list[Comparison]:
        return list(self.witness.on_ticker(ticker(at, bids, asks), connection))


def proven(found: list[Comparison]) -> list[int]:
    assert all(comparison[1:] == (2, ()) for comparison in found)
    return [comparison.update_id for comparison in found]


def test_a_touch_is_compared_once_a_later_ticker_has_come() -> None:
    """Before that, the ticker that belongs to it may still be on its way."""
    book = BookWithTicker()
    book.ticker(10)
    assert book.event(11, {"98": "1"}) == []
    assert book.ticker(11) == []
    assert book.ticker(12) == [11]
    assert book.ticker(13) == []


def test_the_ticker_with_the_greatest_id_up_to_the_event_counts() -> None:
    """It may be inside the event or at its end, but never later."""
    book = BookWithTicker()
    for at, bid in ((10, "1"), (12, "2"), (14, "3"), (17, "4")):
        book.ticker(at, bid)
    assert book.event(14, {"99": "3"}) == [14]
    assert book.event(16, {"98": "1"}) == [16]
    assert book.event(17, {"99": "4"}) == []


def test_an_event_may_settle_waiting_tickers() -> None:
    """Tickers that ran ahead wait for their events; one ticker settles several touches."""
    book = BookWithTicker()
    book.ticker(10)
    assert book.event(11, {"98": "1"}) == []
    assert book.event(12, {"98": "2"}) == []
    assert book.ticker(15, "2") == [11, 12]
    assert book.event(14, {"98": "3"}) == [14]


def test_without_a_ticker_there_is_nothing_to_wait_for() -> None:
    """Touches before the first ticker stay unproven."""
    book = BookWithTicker()
    assert book.event(11) == []
    assert book.ticker(12) == []


def test_a_touch_before_the_first_ticker_is_not_compared() -> None:
    """The true touch of that time is unknown."""
    book = BookWithTicker()
    book.ticker(15, "7")
    assert book.event(12) == []
    assert book.ticker(16, "7") == []


def test_copies_are_ignored() -> None:
    """Both the same ticker again and an older one."""
    book = BookWithTicker()
    book.ticker(11)
    for at in (11, 10):
        book.ticker(at, "9")
    assert [waiting.update_id for waiting in book.witness.tickers] == [11]


def test_only_one_connection_counts() -> None:
    """Another that joined later may skip tickers that are still on their way on the first."""
    book = BookWithTicker()
    book.ticker(10, connection=1)
    book.ticker(15, "3", connection=2)
    book.ticker(12, "2", connection=1)
    assert book.event(12, {"99": "2"}) == []
    assert book.ticker(15, "3", connection=1) == [12]


def test_after_forgetting_any_connection_may_count() -> None:
    """The first to bring a ticker counts from then on."""
    book = BookWithTicker()
    book.ticker(10, connection=1)
    book.witness.reset()
    book.ticker(11, connection=2)
    book.event(11)
    assert book.ticker(12, connection=1) == []
    assert book.ticker(12, connection=2) == [11]


def test_forgetting_drops_touches_too() -> None:
    """Unproven touches stay unproven."""
    book = BookWithTicker()
    book.ticker(10)
    book.event(11)
    book.witness.reset()
    assert book.ticker(12) == []


def test_a_touch_that_differs() -> None:
    """By a size, a price or an empty side: each level that only one of the two has is reported."""
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
    """Here neither shows a bid."""
    book = BookWithTicker()
    book.hear(11, {}, {"101": "1"})
    assert book.event(11, {"99": "0"}) == []
    assert book.ticker(12) == [11]


def test_beyond_the_horizon_nothing_is_claimed() -> None:
    """When all known levels are gone, the best one left may not be the true best."""
    book = BookWithTicker(limit=1)
    book.hear(11, {"98": "1"}, {"102": "1"})
    assert book.event(11, {"99": "0", "97": "1"}, {"101": "0", "103": "1"}) == []
    assert book.ticker(12) == [11]


def test_the_horizon_at_the_time_of_the_touch_counts() -> None:
    """A touch beyond it does not become wrong because the book knows more now."""
    book = BookWithTicker(limit=1)
    book.hear(11, {"98": "1"}, {"101": "1"})
    book.event(11, {"99": "0"})
    book.sync.book.bid_horizon = None
    assert book.ticker(12) == [11]


def test_the_number_of_waiting_touches_and_tickers_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The oldest of both are dropped; touches that only those could prove stay unproven."""
    monkeypatch.setattr(ticker_module, "WAITING_MAX", 2)
    book = BookWithTicker()
    book.ticker(10)
    for last in (11, 12, 13):
        book.event(last)
    assert book.ticker(20) == [12, 13]
    for at in (21, 22):
        book.ticker(at)
    assert book.event(20) == []
