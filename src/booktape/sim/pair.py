"""One symbol's market: a seeded generator of single level changes, each with its own update id.

Pure: the same listing and seed give the same changes for ever, however they are asked for. That is
what makes the truth of any update id, in the middle of an event too, cheap to know.

Weaknesses: sides never run empty, nobody cancels in bursts, and the price wanders round its start.
"""

from __future__ import annotations

from math import exp, log, pi, sqrt
from random import Random
from typing import Final, TypeAlias

from booktape.core.events import DepthEvent, Level
from booktape.sim.ladder import Ladder
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
_SURGE_INSERTS: Final = 0.02

Changes: TypeAlias = dict[tuple[bool, int], int]
"""By side (is it the bids?) and price in ticks, a size in lots; 0 for none."""

Surges: TypeAlias = dict[int, int]
"""By a symbol's slot, counted from 1, how many levels change in it beyond the usual."""


class Pair:
    """The market of one symbol, moved one slot at a time, or one update at a time.

    `surges` is shared with all that re-run this market: what `surge` adds to it, they do too.
    """

    def __init__(
        self,
        listing: Listing,
        seed: int,
        levels: int | None = None,
        surges: Surges | None = None,
    ) -> None:
        self.listing = listing
        self._surges: Surges = {} if surges is None else surges
        self._slot = 0
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
        ladder, ticks, lots = self._surge_change() if self._surging else self._change()
        key = ladder.behind < 0, ticks
        if key not in self._event:
            self._touched.append(key)
            self.before[key] = ladder.lots.get(ticks, 0)
        self._event[key] = lots
        ladder.put(ticks, lots)
        self._left -= 1
        self.update_id += 1

    def run_part(self, fraction: float) -> None:
        """Make the updates of the first `fraction` of this slot, unless they are made already."""
        until = self.first_id - 1 + int(fraction * self._count)
        while self._left and self.update_id < until:
            self.step()

    def close_slot(self, time_us: int) -> DepthEvent | None:
        """Make the slot's remaining updates; its event, or None when nothing happened in it."""
        while self._left:
            self.step()
        event = self._coalesce(time_us) if self._count else None
        self._open_slot()
        return event

    def surge(self, levels: int) -> None:
        """Change so many further levels, each once, before all else in the slot just opened."""
        self._surges[self._slot] = levels
        self._add_surge(levels)

    def _add_surge(self, levels: int) -> None:
        self._surging = levels
        self._count += levels
        self._left += levels

    def _open_slot(self) -> None:
        profile, rng = self.listing.profile, self._rng
        self._slot += 1
        self.first_id = self.update_id + 1
        self.before: Changes = {}
        self._event: Changes = {}
        self._touched: list[tuple[bool, int]] = []
        self._count = 0
        if rng.random() < profile.activity:
            shock = rng.gauss(0, profile.ids_sd * sqrt(1 - profile.ids_phi**2))
            self._ln_ids = (
                profile.ids_mu + profile.ids_phi * (self._ln_ids - profile.ids_mu) + shock
            )
            self._count = min(max(1, round(exp(self._ln_ids))), _IDS_MAX)
        self._left = self._count
        self._surging = 0
        self._add_surge(self._surges.get(self._slot, 0))

    def _coalesce(self, time_us: int) -> DepthEvent:
        """One event of the whole slot: the last size of each price, best first."""
        sides: dict[bool, list[Whole]] = {True: [], False: []}
        for (is_bid, ticks), lots in self._event.items():
            sides[is_bid].append((ticks, lots))
        bids = self.listing.doubles(sorted(sides[True], reverse=True))
        asks = self.listing.doubles(sorted(sides[False]))
        symbol = self.listing.symbol
        return DepthEvent(symbol, time_us, self.first_id, self.update_id, bids, asks)

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
            ticks = ladder.free(max(1, best + ladder.behind * self._distance(bps)))
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

    def _surge_change(self) -> tuple[Ladder, int, int]:
        """The next price behind the touch, on either side in turn; no price comes twice.

        Most of them are deletes of what is not there, as in life; else the book would not get back
        to its shape for long.
        """
        behind = 1 + self._surging // 2
        ladder = self.bids if self._surging % 2 else self.asks
        ticks = ladder.best + ladder.behind * behind
        if ticks <= 0:
            # Below there is no price left: go on above all that the asks will reach.
            ladder, ticks = self.asks, self.asks.best + self._count + behind
        self._surging -= 1
        known = ticks in ladder.lots or self._rng.random() < _SURGE_INSERTS
        return ladder, ticks, self._size() if known else 0

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
        distance = self._distance(bps)
        ticks = max(1, ladder.best + ladder.behind * distance)
        known, free = ladder.nearest(ticks), ladder.free(ticks)
        room = self._room(ladder, bps, distance, abs(known - ticks))
        choice = self._rng.random()
        if choice < _INSERT_OR_DELETE * room and free is not None:
            return ladder, free, self._size()
        if choice < _INSERT_OR_DELETE and len(ladder.prices) > 1:
            return ladder, known, 0
        if choice < _INSERT_OR_DELETE + _DELETE_UNKNOWN and free is not None:
            return ladder, free, 0
        if choice < _INSERT_OR_DELETE + _DELETE_UNKNOWN + _UPDATE:
            return ladder, known, self._size()
        return ladder, known, ladder.lots[known]

    def _room(self, ladder: Ladder, bps: float, distance: int, to_nearest: int) -> float:
        """The share of inserts among inserts and deletes, which keeps the book in its shape.

        More where the nearest level is farther than the shape says, and while the side is short.
        """
        z = log(bps / self.listing.profile.depth_bps) / _START_SD
        levels_per_e_fold = _DENSITY * self._target * exp(-z * z / 2)
        usual = distance / levels_per_e_fold
        crowd = usual / (usual + 2 * to_nearest)
        missing = 1 - len(ladder.prices) / self._target
        return min(max(1 - crowd + 2 * missing, 0.05), 0.95)

    def _distance(self, bps: float) -> int:
        return max(1, round(self.listing.start_ticks * bps / 10_000))

    def _size(self) -> int:
        return min(1 + int(exp(self._rng.gauss(_LOTS_LN, _LOTS_SD))), _LOTS_MAX)
