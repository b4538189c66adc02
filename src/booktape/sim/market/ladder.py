"""One side of a market's book, in whole ticks and lots."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort


class Ladder:
    """One side in whole ticks and lots. `behind` is the direction away from the touch."""

    __slots__ = ("behind", "lots", "prices")

    def __init__(self, *, is_bid: bool) -> None:
        self.behind = -1 if is_bid else 1
        self.lots: dict[int, int] = {}
        self.prices: list[int] = []  # ascending for both sides

    @property
    def best(self) -> int:
        """The price of the touch, in ticks."""
        return self.prices[-1 if self.behind < 0 else 0]

    def put(self, ticks: int, lots: int) -> None:
        """Set the absolute size of one price; 0 deletes, also what is not there."""
        if not lots:
            if self.lots.pop(ticks, 0):
                del self.prices[bisect_left(self.prices, ticks)]
            return
        if ticks not in self.lots:
            insort(self.prices, ticks)
        self.lots[ticks] = lots

    def nearest(self, ticks: int) -> int:
        """The known price closest to this one, the lower of two."""
        prices = self.prices
        at = bisect_left(prices, ticks)
        if at == len(prices):
            return prices[-1]
        above = prices[at]
        if not at:
            return above
        below = prices[at - 1]
        return below if ticks - below <= above - ticks else above

    def on_grid(self, ticks: int, grid: int) -> int:
        """The nearest multiple of `grid` from here on, away from the touch; the same where none is."""
        below = ticks - ticks % grid
        on = below if below == ticks or self.behind < 0 else below + grid
        return on or ticks

    def free(self, ticks: int, grid: int = 1) -> int | None:
        """The first price without a level from here on, away from the touch, in steps of `grid`."""
        while ticks in self.lots:
            ticks += self.behind * grid
        return ticks if ticks > 0 else None

    def best_first(self, limit: int | None = None) -> list[int]:
        """The prices of the best `limit` levels."""
        if self.behind > 0:
            return self.prices[:limit]
        return self.prices[: -limit - 1 : -1] if limit is not None else self.prices[::-1]

    def ahead_of(self, ticks: int) -> list[int]:
        """The prices that are better than this one, best first."""
        if self.behind > 0:
            return self.prices[: bisect_left(self.prices, ticks)]
        return self.prices[bisect_right(self.prices, ticks) :][::-1]
