"""One symbol's market: a seeded generator of single level changes, each with its own update id.

Pure: the same listing and seed give the same changes for ever, however they are asked for. That is
what makes the truth of any update id, in the middle of an event too, cheap to know.

Weaknesses: sides never run empty, nobody cancels in bursts, and the price wanders round its start.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from math import exp, log, pi, sqrt
from random import Random
from typing import Final

from booktape.core.events import DepthEvent, Level
from booktape.sim.listing import Listing, Whole

_IDS_MAX: Final = 2_000
_AHEAD, _AT_TOUCH, _FAR = 0.04, 0.03, 0.02
_INSERT_OR_DELETE, _DELETE_UNKNOWN, _UPDATE = 0.69, 0.07, 0.22
_NEAR_LN_BPS, _NEAR_SD = log(5), 1.6
_FAR_LN_BPS: Final = (log(800), log(4_000))
_BPS_MAX: Final = 9_000.0
_START_SD: Final = 1.6
_DENSITY: Final = 1 / (_START_SD * sqrt(2 * pi))
_EVEN: Final = 0.5
_LOTS_LN, _LOTS_SD, _LOTS_MAX = 8.0, 1.8, 10**8


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
        """The known price closest to this one."""
        at = bisect_left(self.prices, ticks)
        return min(self.prices[max(at - 1, 0) : at + 1], key=lambda price: abs(price - ticks))

    def free(self, ticks: int) -> int | None:
        """The first price without a level from here on, away from the touch."""
        while ticks in self.lots:
            ticks += self.behind
        return ticks if ticks > 0 else None

    def best_first(self, limit: int | None = None) -> list[int]:
        """The prices of the best `limit` levels."""
        if self.behind > 0:
            return self.prices[:limit]
        return self.prices[::-1][:limit]


class Pair:
    """The market of one symbol, moved one slot at a time, or one update at a time."""

    def __init__(self, listing: Listing, seed: int, levels: int | None = None) -> None:
        self.listing = listing
        self._target = levels or listing.profile.levels
        self._rng = Random(f"{seed}/{listing.symbol}")
        self.update_id = self._rng.randrange(10**9, 9 * 10**10)
        self.bids, self.asks = Ladder(is_bid=True), Ladder(is_bid=False)
        self._fill(self.bids, listing.start_ticks)
        self._fill(self.asks, listing.start_ticks + 1)
        self._ln_ids = listing.profile.ids_mu
        self._open_slot()

    # ── moving on ───────────────────────────────────────────────────────────────────────────

    def step(self) -> None:
        """Make the next single update, in whatever slot it falls."""
        while not self._left:
            self._open_slot()
        ladder, ticks, lots = self._change()
        ladder.put(ticks, lots)
        self._left -= 1
        self.update_id += 1
        key = ladder.behind < 0, ticks
        if key not in self._event:
            self._touched.append(key)
        self._event[key] = lots

    def run_part(self, fraction: float) -> None:
        """Make the updates of the first `fraction` of this slot, unless they are made already."""
        until = self._first_id - 1 + int(fraction * self._count)
        while self._left and self.update_id < until:
            self.step()

    def close_slot(self, time_us: int) -> DepthEvent | None:
        """Make the slot's remaining updates; its event, or None when nothing happened in it."""
        while self._left:
            self.step()
        event = self._coalesce(time_us) if self._count else None
        self._open_slot()
        return event

    def _open_slot(self) -> None:
        profile, rng = self.listing.profile, self._rng
        self._first_id = self.update_id + 1
        self._event: dict[tuple[bool, int], int] = {}
        self._touched: list[tuple[bool, int]] = []
        self._count = 0
        if rng.random() < profile.activity:
            shock = rng.gauss(0, profile.ids_sd * sqrt(1 - profile.ids_phi**2))
            self._ln_ids = (
                profile.ids_mu + profile.ids_phi * (self._ln_ids - profile.ids_mu) + shock
            )
            self._count = min(max(1, round(exp(self._ln_ids))), _IDS_MAX)
        self._left = self._count

    def _coalesce(self, time_us: int) -> DepthEvent:
        """One event of the whole slot: the last size of each price, best first."""
        sides: dict[bool, list[Whole]] = {True: [], False: []}
        for (is_bid, ticks), lots in self._event.items():
            sides[is_bid].append((ticks, lots))
        bids = self.listing.doubles(sorted(sides[True], reverse=True))
        asks = self.listing.doubles(sorted(sides[False]))
        symbol = self.listing.symbol
        return DepthEvent(symbol, time_us, self._first_id, self.update_id, bids, asks)

    # ── what is there ───────────────────────────────────────────────────────────────────────

    def whole(self, ladder: Ladder, limit: int | None = None) -> list[Whole]:
        """The best levels of one side, as whole ticks and lots."""
        return [(ticks, ladder.lots[ticks]) for ticks in ladder.best_first(limit)]

    def levels(self, ladder: Ladder, limit: int | None = None) -> list[Level]:
        """The best levels of one side, as doubles."""
        return self.listing.doubles(self.whole(ladder, limit))

    # ── chance ──────────────────────────────────────────────────────────────────────────────

    def _fill(self, ladder: Ladder, best: int) -> None:
        ladder.lots[best] = self._size()
        center = log(self.listing.profile.depth_bps)
        while len(ladder.lots) < self._target:
            bps = min(exp(self._rng.gauss(center, _START_SD)), _BPS_MAX)
            ticks = ladder.free(self._away(ladder, best, bps))
            if ticks is not None:
                ladder.lots[ticks] = self._size()
        ladder.prices = sorted(ladder.lots)

    def _change(self) -> tuple[Ladder, int, int]:
        rng = self._rng
        if self._touched and rng.random() < self.listing.profile.again:
            return self._again()
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

    def _again(self) -> tuple[Ladder, int, int]:
        """Touch a price of this event again: what is there changes, what is gone stays gone."""
        is_bid, ticks = self._touched[int(self._rng.random() * len(self._touched))]
        ladder = self.bids if is_bid else self.asks
        return ladder, ticks, self._size() if ticks in ladder.lots else 0

    def _ahead(self) -> tuple[Ladder, int, int]:
        """Improve the touch; where there is no room, take the best level of the other side.

        The farther the price is from its start, the likelier it turns back.
        """
        away = self.bids.best / self.listing.start_ticks - 1
        is_bid = self._rng.random() < min(max(0.5 - 2 * away, 0.05), 0.95)
        mine, other = (self.bids, self.asks) if is_bid else (self.asks, self.bids)
        room = self.asks.best - self.bids.best - 1
        if room:
            step = 1 + int(self._rng.random() * room)
            return mine, mine.best - mine.behind * step, self._size()
        lots = self._size() if len(other.prices) == 1 else 0
        return other, other.best, lots

    def _operate(self, ladder: Ladder, bps: float) -> tuple[Ladder, int, int]:
        """Insert, delete, update or repeat a level at a distance from the touch."""
        ticks = self._away(ladder, ladder.best, bps)
        known, free = ladder.nearest(ticks), ladder.free(ticks)
        choice = self._rng.random()
        if choice < _INSERT_OR_DELETE * self._room(ladder, bps, known - ticks) and free is not None:
            return ladder, free, self._size()
        if choice < _INSERT_OR_DELETE and len(ladder.prices) > 1:
            return ladder, known, 0
        if choice < _INSERT_OR_DELETE + _DELETE_UNKNOWN and free is not None:
            return ladder, free, 0
        if choice < _INSERT_OR_DELETE + _DELETE_UNKNOWN + _UPDATE:
            return ladder, known, self._size()
        return ladder, known, ladder.lots[known]

    def _room(self, ladder: Ladder, bps: float, to_nearest: int) -> float:
        """The share of inserts among inserts and deletes, which keeps the book in its shape.

        More where the nearest level is farther than the shape says, and while the side is short.
        """
        z = log(bps / self.listing.profile.depth_bps) / _START_SD
        levels_per_e_fold = _DENSITY * self._target * exp(-z * z / 2)
        usual = self._distance(bps) / levels_per_e_fold
        crowd = usual / (usual + 2 * abs(to_nearest))
        missing = 1 - len(ladder.prices) / self._target
        return min(max(1 - crowd + 2 * missing, 0.05), 0.95)

    def _distance(self, bps: float) -> int:
        return max(1, round(self.listing.start_ticks * bps / 10_000))

    def _away(self, ladder: Ladder, ticks: int, bps: float) -> int:
        return max(1, ticks + ladder.behind * self._distance(bps))

    def _size(self) -> int:
        return min(1 + int(exp(self._rng.gauss(_LOTS_LN, _LOTS_SD))), _LOTS_MAX)
