"""Compares the book with the exchange's other streams.

Messages that wait are dropped when the book is lost and when a segment ends, so that a segment can be read
alone.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from booktape.verify.model.book import DecimalSide
from booktape.verify.model.checks import Sizes, Verdict, differ, sizes
from booktape.verify.model.decode import Answer, Levels, Ticker
from booktape.verify.model.sync import ModelSync

_TOP_LEVELS: Final = 20
_TOPS_MAX: Final = 100
_TICKERS_MAX: Final = 1_000


class Depth20Comparison:
    """`@depth20`: equal to the top of the book after the event that ends with its id.

    `agreed` is the id of the last message that was equal.
    """

    def __init__(self, sync: ModelSync) -> None:
        self.agreed: int | None = None
        self._sync = sync
        self._newest = -1
        self._waiting: list[tuple[int | None, Answer]] = []

    def reset(self) -> None:
        """Drop everything that waits."""
        self._newest, self._waiting, self.agreed = -1, [], None

    def step_clock(self, step_ns: int) -> None:
        """Our clock was set back: the stamps of messages that wait move with it."""
        self._waiting = [(at_ns and at_ns + step_ns, top) for at_ns, top in self._waiting]

    def on_levels(self, top: Answer, shown_ns: int | None) -> Verdict | None:
        """One more message. If it agrees, it proves the book at `shown_ns` (None: at no moment)."""
        if top.last < self._sync.update_id or top.last <= self._newest:
            if top.last == self._sync.update_id == self.agreed and shown_ns is not None:
                self._sync.on_agreement(shown_ns)
            return None
        self._newest = top.last
        if top.last == self._sync.update_id:
            return self._compare(top, shown_ns)
        self._waiting = [*self._waiting, (shown_ns, top)][-_TOPS_MAX:]
        return None

    def on_applied(self) -> Verdict | None:
        """The book has changed by one event."""
        now = self._sync.update_id
        reached = [waiting for waiting in self._waiting if waiting[1].last == now]
        self._waiting = [waiting for waiting in self._waiting if waiting[1].last > now]
        return self._compare(reached[0][1], reached[0][0]) if reached else None

    def _compare(self, top: Answer, shown_ns: int | None) -> Verdict:
        book, levels, wrong = self._sync.book, 0, []
        for side, shown in ((book.bids, top.bids), (book.asks, top.asks)):
            mine, theirs = side.best(_TOP_LEVELS), _known(side, shown)
            levels += len(mine.keys() | theirs.keys())
            wrong += differ(side, mine.keys() | theirs.keys(), mine, theirs)
        if not wrong:
            self.agreed = self._sync.update_id
            if shown_ns is not None:
                self._sync.on_agreement(shown_ns)
        return Verdict(self._sync.update_id, levels, tuple(wrong))


def _known(side: DecimalSide, shown: Levels) -> Sizes:
    """The levels of a witness at prices that the book must know; a size of zero is no level."""
    return {p.value: size.value for p, size in shown if side.knows(p.value)}


class ModelTouch(NamedTuple):
    """The best level of each side, if known, after the event that ends with `update_id`."""

    update_id: int
    bids: DecimalSide
    asks: DecimalSide


class BookTickerComparison:
    """`@bookTicker`: the ticker with the greatest id up to an event's last id is the touch after that event.

    Only the connection that delivers the first ticker counts: between tickers of two connections another
    one may be missing.
    """

    def __init__(self, sync: ModelSync) -> None:
        self._sync = sync
        self._tickers: list[Ticker] = []
        self._touches: list[ModelTouch] = []
        self._connection = 0

    def reset(self) -> None:
        """Drop everything that waits."""
        self._tickers, self._touches = [], []

    def on_ticker(self, ticker: Ticker, connection: int) -> list[Verdict]:
        """One more message. A copy is not used."""
        if not self._tickers:
            self._connection = connection
        elif connection != self._connection or ticker.last <= self._tickers[-1].last:
            return []
        self._tickers = [*self._tickers, ticker][-_TICKERS_MAX:]
        return self._settle()

    def on_applied(self) -> list[Verdict]:
        """The book has changed by one event. Without any ticker there is nothing to compare with."""
        if not self._tickers:
            return []
        touch = touch_of(self._sync)
        self._touches = [*self._touches, touch][-_TICKERS_MAX:]
        return self._settle()

    def _settle(self) -> list[Verdict]:
        newest, found = self._tickers[-1].last, []
        for touch in [touch for touch in self._touches if touch.update_id < newest]:
            earlier = [ticker for ticker in self._tickers if ticker.last <= touch.update_id]
            if earlier:
                # Tickers before the one that was compared are not needed any more.
                self._tickers = self._tickers[len(earlier) - 1 :]
                found.append(compare_touch(touch, earlier[-1].bids, earlier[-1].asks))
        self._touches = [touch for touch in self._touches if touch.update_id >= newest]
        return found


def _top_of(side: DecimalSide) -> DecimalSide:
    """A copy of the best level, unless it lies beyond the horizon."""
    best = next(iter(side), None)
    copy = DecimalSide(side.sign, (), side.horizon)
    if best is not None and side.knows(best):
        copy.sizes[best] = side.sizes[best]
    return copy


def touch_of(sync: ModelSync) -> ModelTouch:
    """The touch of the book now."""
    return ModelTouch(sync.update_id, _top_of(sync.book.bids), _top_of(sync.book.asks))


def compare_touch(touch: ModelTouch, bids: Levels, asks: Levels) -> Verdict:
    """Compare a touch with the best levels that a witness shows."""
    wrong = []
    for side, shown in ((touch.bids, bids), (touch.asks, asks)):
        mine, theirs = sizes(side), _known(side, shown)
        wrong += differ(side, mine.keys() | theirs.keys(), mine, theirs)
    return Verdict(touch.update_id, 2, tuple(wrong))
