"""The book against `@bookTicker`: the best level of each side after every event.

A ticker comes for each change of the touch, with the id of that change, which may lie inside an
event. So after an event that ends with id u the touch must be that of the ticker with the greatest
id up to u, and which one that is, is certain once a ticker with a later id has come.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final, NamedTuple

from booktape.core.book import Side
from booktape.core.events import Level
from booktape.core.proving import BookTicker, Difference
from booktape.core.sync import SymbolSync
from booktape.proof.window import Comparison, Window, differing

WAITING_MAX: Final = 1_000


class _Touch(NamedTuple):
    """The best levels after one event, each as a side of one level or none."""

    update_id: int
    bid: Window
    ask: Window


class TickerWitness:
    """The tickers of one symbol, and the touches that none has spoken about yet.

    Only one connection is listened to, the first that speaks: between two of its tickers there is
    no other. Between those of two connections there may be one that is still on its way.
    """

    def __init__(self) -> None:
        self._speaker = 0
        self.tickers: deque[BookTicker] = deque(maxlen=WAITING_MAX)
        self._touches: deque[_Touch] = deque(maxlen=WAITING_MAX)

    def forget(self) -> None:
        """The book is not known, or tickers may have been missed."""
        self.tickers.clear()
        self._touches.clear()

    def take(self, ticker: BookTicker, connection: int) -> Iterator[Comparison]:
        """One more ticker; what another connection says, or what is no news, says nothing."""
        if not self.tickers:
            self._speaker = connection
        elif connection != self._speaker or ticker.update_id <= self.tickers[-1].update_id:
            return
        self.tickers.append(ticker)
        yield from self._settle()

    def applied(self, sync: SymbolSync) -> Iterator[Comparison]:
        """The book is one event further. Without any ticker there is nothing to wait for."""
        if self.tickers:
            book = sync.book
            bid = _window("bid", book.bids, book.bid_horizon)
            ask = _window("ask", book.asks, book.ask_horizon)
            self._touches.append(_Touch(sync.update_id, bid, ask))
            yield from self._settle()

    def _settle(self) -> Iterator[Comparison]:
        newest_id = self.tickers[-1].update_id
        while self._touches and self._touches[0].update_id < newest_id:
            touch = self._touches.popleft()
            while len(self.tickers) > 1 and self.tickers[1].update_id <= touch.update_id:
                self.tickers.popleft()
            if self.tickers[0].update_id <= touch.update_id:
                yield _compare(touch, self.tickers[0])


def _window(name: str, side: Side, horizon: float | None) -> Window:
    """The best level, unless it lies beyond the horizon: then perhaps a better one is unknown."""
    touch = Window(name, _levels(side.best()), horizon)
    return touch if touch.is_inside() else touch._replace(levels=[])


def _levels(best: Level | None) -> list[Level]:
    return [best] if best else []


def _compare(touch: _Touch, ticker: BookTicker) -> Comparison:
    differences: list[Difference] = []
    for mine, said in ((touch.bid, ticker.bid), (touch.ask, ticker.ask)):
        differences += differing(mine.name, dict(mine.levels), mine.inside(_levels(said)))
    return Comparison(touch.update_id, 2, tuple(differences))
