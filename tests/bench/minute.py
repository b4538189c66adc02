"""One minute of changes, counted: what `likeness.py` makes its figures of."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final, TypeAlias

from booktape.core.events import DepthEvent, Level
from booktape.sim.market.listing import Whole
from booktape.sim.market.order_flow import Ladder

TICKS_PER_UNIT: Final = 100
LOTS_PER_UNIT: Final = 100_000
NEAR_TICKS: Final = (1_500, 15_000)
ROWS: Final = (10, 100)
NEVER: Final = -(10**9)

Place: TypeAlias = tuple[int, int]
"""Side (0: bids) and price in ticks."""


def whole(levels: Iterable[Level]) -> list[Whole]:
    """In whole ticks and lots."""
    return [(round(p * TICKS_PER_UNIT), round(s * LOTS_PER_UNIT)) for p, s in levels]


class Minute:
    """What happened to every price that was named; it remembers nothing before it but the book.

    Lists have an entry for each price that an event names, or for each event. Ages and lives are
    counted in events.
    """

    def __init__(self, ladders: tuple[Ladder, Ladder]) -> None:
        self.ladders = ladders
        self.levels_before = self.levels()
        self.payloads: list[bytes] = []
        self.named_in: list[int] = []  # by event
        self.kinds: Counter[str] = Counter()
        self.behind: list[int] = []  # ticks behind the touch as it was before the event
        self.between: list[int] = []  # levels that stay between one change and the next
        self.ages: list[int] = []  # since the price was named before
        self.ages_of_inserted: list[int] = []
        self.sizes: list[int] = []  # inserted, or set
        self.sizes_had_before = 0
        self.inserted: list[int] = []  # their sizes
        self.inserted_for_deleted = 0  # with a size that goes elsewhere in the same event
        self.lives: list[int] = []
        self.moves: list[int] = []  # of the best bid, in ticks, by event
        self.wide = 0
        self.near: dict[int, list[int]] = {ticks: [] for ticks in NEAR_TICKS}
        self.net: dict[int, list[int]] = {every: [] for every in ROWS}
        self.named: dict[Place, int] = {}  # the last event that did
        self._had: dict[Place, set[int]] = {}
        self._born: dict[Place, int] = {}
        self._was: dict[int, dict[Place, int]] = {every: {} for every in ROWS}

    def levels(self) -> int:
        """Of both sides."""
        return sum(len(ladder.prices) for ladder in self.ladders)

    def take(self, event: DepthEvent, payload: bytes) -> None:
        """The next event; the ladders change with it."""
        at = len(self.payloads)
        bids, asks = self.ladders
        bid, ask = bids.best, asks.best
        self.payloads.append(payload)
        self.named_in.append(len(event.bids) + len(event.asks))
        self._side(at, 0, bid, whole(event.bids))
        self._side(at, 1, ask, whole(event.asks))
        self.moves.append(abs(bids.best - bid))
        self.wide += asks.best - bids.best > 1
        self._look(at + 1)

    def _side(self, at: int, side: int, best: int, levels: Sequence[Whole]) -> None:
        ladder = self.ladders[side]
        gone: Counter[int] = Counter()
        new: Counter[int] = Counter()
        changed = []
        for ticks, lots in levels:
            old = ladder.lots.get(ticks, 0)
            kind = self._name(at, (side, ticks), old, lots)
            self.behind.append((ticks - best) * ladder.behind)
            if old != lots:
                changed.append(ticks)
                ladder.put(ticks, lots)
            gone[old] += kind == "deleted"
            new[lots] += kind == "inserted"
        self.inserted_for_deleted += (gone & new).total()
        self.between += [
            bisect_left(ladder.prices, higher) - bisect_right(ladder.prices, lower)
            for lower, higher in pairwise(sorted(changed))
        ]

    def _name(self, at: int, place: Place, old: int, lots: int) -> str:
        kind = _kind(old, lots)
        self.kinds[kind] += 1
        age = at - self.named.get(place, NEVER)
        self.ages.append(age)
        self.named[place] = at
        for was in self._was.values():
            was.setdefault(place, old)
        if kind in {"inserted", "another size"}:
            had = self._had.setdefault(place, {old})
            self.sizes_had_before += lots in had
            had.add(lots)
            self.sizes.append(lots)
        if kind == "inserted":
            self.ages_of_inserted.append(age)
            self.inserted.append(lots)
            self._born[place] = at
        elif kind == "deleted" and place in self._born:
            self.lives.append(at - self._born[place])
        return kind

    def _look(self, count: int) -> None:
        """At the book, after a number of events."""
        bids, asks = self.ladders
        if not count % 10:
            for ticks, counts in self.near.items():
                near = len(bids.prices) - bisect_right(bids.prices, bids.best - ticks)
                counts.append(near + bisect_left(asks.prices, asks.best + ticks))
        for every, was in self._was.items():
            if not count % every:
                now = (self.ladders[side].lots.get(ticks, 0) for side, ticks in was)
                self.net[every].append(sum(a != b for a, b in zip(now, was.values(), strict=True)))
                was.clear()


def _kind(old: int, lots: int) -> str:
    if not lots:
        return "deleted" if old else "deleted, though not there"
    if not old:
        return "inserted"
    return "another size" if old != lots else "the same size"
