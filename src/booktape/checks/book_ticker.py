"""Compares the book with `@bookTicker`: the best level of each side (the touch) after every event.

A ticker comes for each change of the touch, with the id of that change, which may lie inside an
event. So after an event that ends with id u, the touch must equal that of the ticker with the greatest
id up to u. It is certain which ticker that is once a ticker with a later id has come.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

from booktape.checks.compare import Comparison, KnownSide, differences_of
from booktape.core.book import BookSide
from booktape.core.checks import BookTicker, Difference
from booktape.core.events import Level
from booktape.core.sync import SymbolSync

WAITING_MAX: Final = 1_000
"""How many tickers, and how many touches, of one symbol may wait."""


class Touch(NamedTuple):
    """The best levels after one event, each as a side with one level or none."""

    update_id: int
    bid: KnownSide
    ask: KnownSide


class BookTickerCheck:
    """The tickers of one symbol, and the touches that could not be compared yet.

    Only the tickers of one connection are used, the first that delivers any: no ticker is missing between
    two of them. Between tickers of different connections, another may still be on its way.
    """

    def __init__(self) -> None:
        self._connection = 0
        self.tickers: deque[BookTicker] = deque(maxlen=WAITING_MAX)
        self._touches: deque[Touch] = deque(maxlen=WAITING_MAX)

    def reset(self) -> None:
        """The book is not known, or tickers may have been missed."""
        self.tickers.clear()
        self._touches.clear()

    def on_ticker(self, ticker: BookTicker, connection: int) -> list[Comparison]:
        """Another ticker. It is not used if it is of another connection or has an old id."""
        if not self.tickers:
            self._connection = connection
        elif connection != self._connection or ticker.update_id <= self.tickers[-1].update_id:
            return []
        self.tickers.append(ticker)
        return self._compare_settled()

    def on_applied(self, sync: SymbolSync) -> list[Comparison]:
        """One event has changed the book. Without any ticker there is nothing to compare with."""
        if not self.tickers:
            return []
        self._touches.append(touch_of(sync))
        return self._compare_settled()

    def confirms(self, ticker: BookTicker, sync: SymbolSync) -> bool:
        """Whether the ticker shows the book's touch as of the book's own id: evidence, from any connection."""
        if ticker.update_id != sync.update_id:
            return False
        return not compare_touch(touch_of(sync), ticker.bid, ticker.ask).differences

    def _compare_settled(self) -> list[Comparison]:
        """Compare each touch whose ticker is certain."""
        found = []
        newest_id = self.tickers[-1].update_id
        while self._touches and self._touches[0].update_id < newest_id:
            touch = self._touches.popleft()
            while len(self.tickers) > 1 and self.tickers[1].update_id <= touch.update_id:
                self.tickers.popleft()
            if self.tickers[0].update_id <= touch.update_id:
                found.append(compare_touch(touch, self.tickers[0].bid, self.tickers[0].ask))
        return found


def touch_of(sync: SymbolSync) -> Touch:
    """The touch of a known book."""
    book = sync.book
    bid = _best_if_known("bid", book.bids, book.bid_horizon)
    ask = _best_if_known("ask", book.asks, book.ask_horizon)
    return Touch(sync.update_id, bid, ask)


def _best_if_known(name: str, side: BookSide, horizon: float | None) -> KnownSide:
    """The best level, unless it lies beyond the horizon: then a better one may be missing."""
    touch = KnownSide(name, _levels(side.best()), horizon)
    return touch if touch.knows_all_of_its_levels() else touch._replace(levels=[])


def _levels(best: Level | None) -> list[Level]:
    return [best] if best else []


def compare_touch(touch: Touch, bid: Level | None, ask: Level | None) -> Comparison:
    """Compare with the best levels that the exchange shows, as far as the book must know them."""
    differences: list[Difference] = []
    for mine, theirs in ((touch.bid, bid), (touch.ask, ask)):
        differences += differences_of(mine.name, dict(mine.levels), mine.known_of(_levels(theirs)))
    return Comparison(touch.update_id, 2, tuple(differences))
