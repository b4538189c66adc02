"""A replay in the form that other tools need: changes of levels, and clocks that never go back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Final

from booktape.core.events import Floats, Level
from booktape.reader import Book, Gap, Step
from booktape.reader.times import moment_us

_LONG_AGO: Final = -(2**62)


@dataclass(frozen=True, slots=True, eq=False)
class Update:
    """The changes that led to `book`. If `opens` is true, they are all levels of the book.

    Sizes are absolute, and 0 deletes. Times are microseconds since 1970. Neither clock ever goes back: an
    event that was held for a snapshot has the time of the snapshot, which is when the book became known.
    """

    opens: bool
    exchange_us: int
    local_us: int
    bids: list[Level]
    asks: list[Level]
    book: Book

    @property
    def epoch(self) -> int:
        """The epoch of its book."""
        return self.book.epoch


@dataclass(frozen=True, slots=True)
class Break:
    """From here on the book was not known. `gap` has its end and reason."""

    exchange_us: int
    local_us: int
    epoch: int
    gap: Gap


def updates(replayed: Iterable[Step | Gap]) -> Iterator[Update | Break]:
    """Every change, and a `Break` where a gap begins. A gap before the first change is left out."""
    exchange_us = local_us = _LONG_AGO
    before: Book | None = None
    for item, following in pairwise(chain(replayed, (None,))):
        if isinstance(item, Step):
            # Each clock stays where it is if it would go back.
            exchange_us = max(exchange_us, _exchange_us(item, following))
            local_us = max(local_us, moment_us(item.book.receive_time))
            yield _update(item, before, (exchange_us, local_us))
            before = item.book
        elif item is not None and before is not None:
            # A gap has no exchange time, so the exchange's clock advances as much as ours.
            passed_us = max(0, moment_us(item.start_time) - local_us)
            exchange_us, local_us = exchange_us + passed_us, local_us + passed_us
            yield Break(exchange_us, local_us, before.epoch, item)
            before = None


def _exchange_us(step: Step, following: Step | Gap | None) -> int:
    """The exchange time of a step. A snapshot has none; it gets that of the next event, or ours if that is earlier."""
    if step.book.event_time is not None:
        return moment_us(step.book.event_time)
    local_us = moment_us(step.book.receive_time)
    if isinstance(following, Step) and following.book.event_time is not None:
        return min(local_us, moment_us(following.book.event_time))
    return local_us


def _update(step: Step, before: Book | None, times: tuple[int, int]) -> Update:
    book, event = step.book, step.event
    if (
        before is None
        or event is None
        or before.epoch != book.epoch
        # Where our clock went back, a replay between two times may leave out steps within an epoch.
        or event.first_id > before.update_id + 1
    ):
        bids, asks = _levels(book.bid_price, book.bid_size), _levels(book.ask_price, book.ask_size)
        return Update(True, *times, bids, asks, book)
    if (before.bid_horizon, before.ask_horizon) == (book.bid_horizon, book.ask_horizon):
        return Update(False, *times, event.bids, event.asks, book)
    # An audit moved the horizon, so the book has new levels that its events do not have.
    bids = changed(before.bid_price, before.bid_size, book.bid_price, book.bid_size)
    asks = changed(before.ask_price, before.ask_size, book.ask_price, book.ask_size)
    return Update(False, *times, bids, asks, book)


def _levels(prices: Floats, sizes: Floats) -> list[Level]:
    return list(zip(prices.tolist(), sizes.tolist(), strict=True))


def changed(prices: Floats, sizes: Floats, new_prices: Floats, new_sizes: Floats) -> list[Level]:
    """The changes from the old side to the new one: deleted levels first, then changed and new ones."""
    old, new = dict(_levels(prices, sizes)), dict(_levels(new_prices, new_sizes))
    gone = [(price, 0.0) for price in old if price not in new]
    return gone + [(price, size) for price, size in new.items() if old.get(price) != size]
