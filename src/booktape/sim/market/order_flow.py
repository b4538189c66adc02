"""The orders of one symbol: which single level changes next, at random from a seed.

Pure: the same generator, called in the same order, always gives the same changes.

Weaknesses: sides never run empty, cancellations do not come in bursts, and the price wanders around its
anchor, which only a scripted fall moves.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Sequence
from itertools import islice, zip_longest
from math import exp, log, pi, sqrt
from random import Random
from typing import Final, TypeAlias

from booktape.sim.market.listing import CAPPED_LOTS, Listing, Whole

_AHEAD, _AT_TOUCH, _FAR = 0.04, 0.03, 0.02
_INSERT_OR_DELETE, _DELETE_UNKNOWN, _UPDATE = 0.69, 0.07, 0.22
_NEAR_LN_BPS, _NEAR_SD = log(5), 1.6
_FAR_LN_BPS: Final = (log(800), log(4_000))
_BPS_MAX: Final = 9_000.0
_START_SD: Final = 1.6
_DENSITY: Final = 1 / (_START_SD * sqrt(2 * pi))
_EVEN: Final = 0.5
_LOTS_LN, _LOTS_SD, _LOTS_MAX = 8.0, 1.8, 10**8
_SURGE_INSERTS: Final = 0.02
_QUOTE_BPS: Final = (0, 0.5, 1, 2, 4, 8)


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
        """Set the absolute size of one price; 0 deletes the level, if there is one."""
        if not lots:
            if self.lots.pop(ticks, 0):
                del self.prices[bisect_left(self.prices, ticks)]
            return
        if ticks not in self.lots:
            insort(self.prices, ticks)
        self.lots[ticks] = lots

    def nearest(self, ticks: int) -> int:
        """The closest price that has a level; the lower one if two are equally close."""
        at = bisect_left(self.prices, ticks)
        below_and_above = self.prices[max(at - 1, 0) : at + 1]
        return min(below_and_above, key=lambda price: abs(price - ticks))

    def on_grid(self, ticks: int, grid: int) -> int:
        """The first multiple of `grid` from this price on, away from the touch; this price if there is none."""
        steps = ticks // grid if self.behind < 0 else -(-ticks // grid)
        return steps * grid or ticks

    def free(self, ticks: int, grid: int = 1) -> int | None:
        """The first price without a level from this one on, away from the touch, by `grid`; None at 0 or below."""
        while ticks in self.lots:
            ticks += self.behind * grid
        return ticks if ticks > 0 else None

    def best_first(self, limit: int | None = None) -> list[Whole]:
        """The best `limit` levels."""
        prices = self.prices if self.behind > 0 else reversed(self.prices)
        return [(ticks, self.lots[ticks]) for ticks in islice(prices, limit)]

    def ahead_of(self, ticks: int) -> list[int]:
        """The prices that are better than this one, best first."""
        if self.behind > 0:
            return self.prices[: bisect_left(self.prices, ticks)]
        return self.prices[bisect_right(self.prices, ticks) :][::-1]


Change: TypeAlias = tuple[Ladder, int, int]
"""A side, a price in ticks, and its new size in lots; 0 for none."""

Place: TypeAlias = tuple[bool, int]
"""A side (is it the bids?) and a price in ticks."""


class OrderFlow:
    """Fills two sides with `target` levels each, and then decides what changes in them.

    New prices are multiples of `grid` ticks; when `grid` changes, existing levels stay.
    """

    def __init__(self, listing: Listing, rng: Random, target: int, grid: int = 1) -> None:
        self.grid = grid
        self.bids, self.asks = Ladder(is_bid=True), Ladder(is_bid=False)
        self._listing = listing
        self._rng = rng
        self._target = target
        self._anchor_ticks = listing.start_ticks
        self._fill(self.bids, listing.start_ticks)
        self._fill(self.asks, listing.start_ticks + 1)

    def change(self, touched: Sequence[Place]) -> Change:
        """The next ordinary change; `touched` is what this slot has already changed."""
        rng = self._rng
        if touched and rng.random() < self._listing.profile.again:
            # A level that exists changes; one that is gone stays gone.
            is_bid, ticks = touched[int(rng.random() * len(touched))]
            ladder = self.bids if is_bid else self.asks
            return ladder, ticks, self._size() if ticks in ladder.lots else 0
        where = rng.random()
        if where < _AHEAD:
            return self._ahead()
        ladder = self.bids if rng.random() < _EVEN else self.asks
        if where < _AHEAD + _AT_TOUCH:
            gone = len(ladder.prices) > 1 and rng.random() < _EVEN
            return ladder, ladder.best, 0 if gone else self._size()
        if where < _AHEAD + _AT_TOUCH + _FAR:
            bps = exp(rng.uniform(*_FAR_LN_BPS))
        else:
            bps = min(exp(rng.gauss(_NEAR_LN_BPS, _NEAR_SD)), _BPS_MAX)
        return self._operate(ladder, bps)

    def surge(self, levels: int) -> Iterator[Change]:
        """Changes at `levels` prices behind the touch, on the two sides in turn; no price occurs twice.

        Most of them delete levels that do not exist, as on the real exchange; otherwise the book would take long to
        return to its shape.
        """
        for left in range(levels, 0, -1):
            behind = 1 + left // 2
            ladder = self.bids if left % 2 else self.asks
            ticks = self._behind(ladder, behind)
            if ticks <= 0:
                # No price is left below: continue above all that the asks will reach.
                ladder, ticks = self.asks, self._behind(self.asks, levels + behind)
            is_change = ticks in ladder.lots or self._rng.random() < _SURGE_INSERTS
            yield ladder, ticks, self._size() if is_change else 0

    def _behind(self, ladder: Ladder, steps: int) -> int:
        """The price `steps` steps behind the best one."""
        return ladder.on_grid(ladder.best, self.grid) + ladder.behind * steps * self.grid

    def caps(self) -> Iterator[Change]:
        """The best bid, and an ask a little behind the best, grow beyond what a size can show."""
        yield self.bids, self.bids.best, CAPPED_LOTS
        yield self.asks, self.asks.prices[:3][-1], CAPPED_LOTS

    def cross(self) -> Iterator[Change]:
        """A bid one step above the best ask."""
        yield self.bids, self.asks.best + self.grid, self._size()

    def cancels(self, count: int) -> Iterator[Change]:
        """`count` levels, anywhere, shrink or disappear; no price occurs twice, and no side runs empty."""
        seen: set[Place] = set()
        left = {ladder.behind: len(ladder.prices) for ladder in (self.bids, self.asks)}
        most = sum(left.values()) - 2
        while len(seen) < min(count, most):
            ladder = self.bids if self._rng.random() < _EVEN else self.asks
            ticks = ladder.prices[int(self._rng.random() * len(ladder.prices))]
            place = ladder.behind < 0, ticks
            if place in seen:
                continue
            # A capped size shrinks to an ordinary one: doubles cannot distinguish the sizes in between.
            lots = int(self._rng.random() * min(ladder.lots[ticks], _LOTS_MAX))
            if left[ladder.behind] == 1 and not lots:
                # The last level of a side stays.
                most = len(seen)
                continue
            seen.add(place)
            left[ladder.behind] -= not lots
            yield ladder, ticks, lots

    def empty(self) -> list[Change]:
        """Remove all levels, and return the changes that would put them back, best levels first."""
        sides = (
            [(side, ticks, lots) for ticks, lots in side.best_first()]
            for side in (self.bids, self.asks)
        )
        changes = [change for both in zip_longest(*sides) for change in both if change]
        for ladder in (self.bids, self.asks):
            ladder.lots, ladder.prices = {}, []
        return changes

    def take_to(self, price_ticks: int) -> Iterator[Change]:
        """Bring the best bid down, or the best ask up, to a price, which is then the anchor.

        Orders in the way disappear, best first, and both sides quote again around the price. Orders
        farther away stay, however old.
        """
        price_ticks = max(self.grid, price_ticks - price_ticks % self.grid)
        self._anchor_ticks = price_ticks
        below, above = (self.bids, price_ticks), (self.asks, price_ticks + self.grid)
        if self.bids.best > price_ticks:
            (losing, end), gaining = below, above
        elif self.asks.best <= price_ticks:
            (losing, end), gaining = above, below
        else:
            return
        gone = losing.ahead_of(end)
        # This comes first, so that the side is never empty.
        yield losing, end, self._size()
        for ticks in gone:
            yield losing, ticks, 0
        yield from self._quote(*gaining)
        yield from self._quote(losing, end)

    def _quote(self, ladder: Ladder, best: int) -> Iterator[Change]:
        for bps in _QUOTE_BPS:
            behind = round(bps * self._listing.start_ticks / 10_000)
            ticks = ladder.on_grid(max(1, best + ladder.behind * behind), self.grid)
            yield ladder, ticks, self._size()

    # ── the start ───────────────────────────────────────────────────────────────────────────

    def _fill(self, ladder: Ladder, best: int) -> None:
        best = ladder.on_grid(best, self.grid)
        ladder.lots[best] = self._size()
        center = log(self._listing.profile.depth_bps)
        while len(ladder.lots) < self._target:
            bps = min(exp(self._rng.gauss(center, _START_SD)), _BPS_MAX)
            ticks = max(1, best + ladder.behind * self._distance(bps))
            free = ladder.free(ladder.on_grid(ticks, self.grid), self.grid)
            if free is not None:
                ladder.lots[free] = self._size()
        ladder.prices = sorted(ladder.lots)

    # ── chance ──────────────────────────────────────────────────────────────────────────────

    def _ahead(self) -> Change:
        """Improve the touch; if there is no room, take the best level of the other side.

        The farther the price is from its anchor, the more likely it turns back.
        """
        away = self.bids.best / self._anchor_ticks - 1
        is_bid = self._rng.random() < min(max(0.5 - 2 * away, 0.05), 0.95)
        mine, other = (self.bids, self.asks) if is_bid else (self.asks, self.bids)
        room = self.asks.best - self.bids.best - 1
        if room > 0:
            step = 1 + int(self._rng.random() * room)
            return mine, mine.on_grid(mine.best - mine.behind * step, self.grid), self._size()
        lots = self._size() if len(other.prices) == 1 else 0
        return other, other.best, lots

    def _operate(self, ladder: Ladder, bps: float) -> Change:
        """Insert, delete, update or repeat a level at a distance from the touch."""
        distance = self._distance(bps)
        ticks = max(1, ladder.best + ladder.behind * distance)
        nearest = ladder.nearest(ticks)
        free = ladder.free(ladder.on_grid(ticks, self.grid), self.grid)
        room = self._room(ladder, bps, distance, abs(nearest - ticks))
        choice = self._rng.random()
        if choice < _INSERT_OR_DELETE * room and free is not None:
            return ladder, free, self._size()
        if choice < _INSERT_OR_DELETE and len(ladder.prices) > 1:
            return ladder, nearest, 0
        if choice < _INSERT_OR_DELETE + _DELETE_UNKNOWN and free is not None:
            return ladder, free, 0
        if choice < _INSERT_OR_DELETE + _DELETE_UNKNOWN + _UPDATE:
            return ladder, nearest, self._size()
        return ladder, nearest, ladder.lots[nearest]

    def _room(self, ladder: Ladder, bps: float, distance: int, to_nearest: int) -> float:
        """The share of inserts among inserts and deletes that keeps the book in its shape.

        It is larger where the nearest level is farther away than the shape says, and while the side has too few levels.
        """
        z = log(bps / self._listing.profile.depth_bps) / _START_SD
        levels_per_e_fold = _DENSITY * self._target * exp(-z * z / 2)
        usual = distance / levels_per_e_fold
        share = usual / (usual + 2 * to_nearest)
        missing = 1 - len(ladder.prices) / self._target
        return min(max(1 - share + 2 * missing, 0.05), 0.95)

    def _distance(self, bps: float) -> int:
        return max(1, round(self._listing.start_ticks * bps / 10_000))

    def _size(self) -> int:
        return min(1 + int(exp(self._rng.gauss(_LOTS_LN, _LOTS_SD))), _LOTS_MAX)
