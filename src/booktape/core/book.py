"""One symbol's book: two sides, sorted only when they are read.

A row is due once every N events, so most states of a book are never read. An event therefore costs only
one `dict.update` per side, in which a later change at a price overwrites an earlier one. Reading restores
the order: level by level if few changes are pending, with one numpy merge if many are.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable
from typing import Final

import numpy as np

from booktape.core.events import DepthEvent, DepthSnapshot, Floats, Level

FEW_PENDING: Final = 80
"""Up to this number of changes, bisecting is faster than one numpy merge; measured by `make bench`."""


class BookSide:
    """The levels of one side, price → size, and the changes that are not yet sorted in.

    Both sides keep their best level last, because most changes are near the best price and inserting a
    level moves only those behind it. A level takes 16 bytes. Asks are sorted by the negative of their price.
    """

    __slots__ = ("_keys", "_pending", "_sign", "_sizes")

    def __init__(self, levels: Iterable[Level], *, descending: bool) -> None:
        self._sign = 1.0 if descending else -1.0
        self._pending: dict[float, float] = dict(levels)
        self._keys = array("d")
        self._sizes = array("d")

    def update(self, levels: Iterable[Level]) -> None:
        """Set the absolute size at each price; 0 deletes the level, even one that was never here.

        "Receiving an event that removes a price level that is not in your local order book can
        happen and is normal."
        """
        self._pending.update(levels)

    def best_first(self) -> tuple[Floats, Floats]:
        """Prices and sizes, best first, as copies that later updates do not touch."""
        self._apply_pending()
        # Copied at once: an array cannot grow while a view of it is alive, perhaps in a traceback.
        return np.abs(np.frombuffer(self._keys)[::-1]), np.array(self._sizes)[::-1]

    def levels(self, most: int | None = None) -> list[Level]:
        """The `most` best levels, or all of them, best first."""
        self._apply_pending()
        best = slice(None if most is None else -most, None)
        keys = self._keys[best]
        # The keys of bids are their prices.
        prices = keys if self._sign > 0 else map(abs, keys)
        return list(zip(prices, self._sizes[best], strict=True))[::-1]

    def best(self) -> Level | None:
        """The best level, or None when the side is empty."""
        self._apply_pending()
        return (abs(self._keys[-1]), self._sizes[-1]) if self._keys else None

    def count_to(self, price: float) -> int:
        """How many levels are at this price or better."""
        self._apply_pending()
        return len(self._keys) - bisect_left(self._keys, self._sign * price)

    def __len__(self) -> int:
        self._apply_pending()
        return len(self._keys)

    def _apply_pending(self) -> None:
        if self._pending:
            if len(self._pending) > FEW_PENDING:
                self._merge_pending()
            else:
                self._insert_each()
            self._pending.clear()

    def _insert_each(self) -> None:
        keys, sizes, sign = self._keys, self._sizes, self._sign
        for price, size in self._pending.items():
            key = sign * price
            at = bisect_left(keys, key)
            known = at < len(keys) and keys[at] == key
            if not size:
                if known:
                    del keys[at], sizes[at]
            elif known:
                sizes[at] = size
            else:
                keys.insert(at, key)
                sizes.insert(at, size)

    def _merge_pending(self) -> None:
        """Merge all changes at once, from the farthest level that changes up to the best."""
        count = len(self._pending)
        new = self._sign * np.fromiter(self._pending.keys(), np.float64, count)
        new_sizes = np.fromiter(self._pending.values(), np.float64, count)
        far = bisect_left(self._keys, new.min())
        keys = np.concatenate([np.frombuffer(self._keys[far:]), new])
        sizes = np.concatenate([np.frombuffer(self._sizes[far:]), new_sizes])
        # Pending changes come last, and a stable sort leaves them behind the size they replace.
        order = keys.argsort(kind="stable")
        keys, sizes = keys.take(order), sizes.take(order)
        keep = sizes > 0
        keep[:-1] &= keys[1:] != keys[:-1]
        self._keys[far:] = array("d", keys[keep].tobytes())
        self._sizes[far:] = array("d", sizes[keep].tobytes())


class OrderBook:
    """Both sides of one symbol, and the horizon of each: the price up to which all levels are known.

    A horizon of None means that the whole side is known. Levels beyond a horizon are real, but others
    may be missing between them. They are kept: nothing is pruned.
    """

    __slots__ = ("ask_horizon", "asks", "bid_horizon", "bids")

    # Books are compared by their levels, which change, so a book cannot be the key of a dict.
    __hash__ = None  # type: ignore[assignment]

    def __init__(
        self,
        bids: Iterable[Level] = (),
        asks: Iterable[Level] = (),
        bid_horizon: float | None = None,
        ask_horizon: float | None = None,
    ) -> None:
        self.bids = BookSide(bids, descending=True)
        self.asks = BookSide(asks, descending=False)
        self.bid_horizon = bid_horizon
        self.ask_horizon = ask_horizon

    @classmethod
    def from_snapshot(cls, snapshot: DepthSnapshot) -> OrderBook:
        """The book that a REST answer shows.

        "The depth snapshots retrieved from the API have a limit on the number of price levels
        (5000 on each side maximum)": a side that fills the limit is known only as far as its last
        price; a shorter side is complete.
        """
        bids, asks, limit = snapshot.bids, snapshot.asks, snapshot.limit
        return cls(
            bids,
            asks,
            min(price for price, _ in bids) if len(bids) >= limit else None,
            max(price for price, _ in asks) if len(asks) >= limit else None,
        )

    def apply(self, event: DepthEvent) -> None:
        """Set every level of the event: sizes are absolute."""
        self.bids.update(event.bids)
        self.asks.update(event.asks)

    def columns(self) -> tuple[Floats, Floats, Floats, Floats, float | None, float | None]:
        """Prices and sizes of both sides, best first, and both horizons: the last part of a row."""
        levels = (*self.bids.best_first(), *self.asks.best_first())
        return *levels, self.bid_horizon, self.ask_horizon

    def count(self) -> int:
        """How many levels both sides have."""
        return len(self.bids) + len(self.asks)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, OrderBook):
            return NotImplemented
        mine, theirs = self.columns()[:4], other.columns()[:4]
        return all(np.array_equal(a, b) for a, b in zip(mine, theirs, strict=True))
