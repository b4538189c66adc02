"""In which order segments were recorded, and how far each reaches: by what their tapes say.

Names do not tell: a clock may have been wrong when a segment was named, and the archives of several
recorders may have been copied into one folder. So each tape names the segments that it goes on from.
Pure: what the tapes say comes in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

from booktape.store.layout import Segment


@dataclass(frozen=True, slots=True)
class Beginning:
    """How a segment begins. `start_us` is our clock then, in microseconds since 1970.

    `continues` names the segments it goes on from; None on a tape from before that was written down,
    and where the tape cannot be read.
    """

    segment: Segment
    start_us: int
    symbols: frozenset[str] = frozenset()
    continues: tuple[str, ...] | None = None

    @classmethod
    def unknown(cls, segment: Segment) -> Beginning:
        """Of a segment whose tape does not tell."""
        return cls(segment, segment.start_us)


CarriedOver = Callable[[Segment], frozenset[str]]
"""The symbols of which a tape begins with a checkpoint."""


class Lineage:
    """Which segment goes on from which. `order` has each after those that it goes on from.

    `missing` are the names of those that a segment goes on from and that are not there. `taken_over`
    is asked only for tapes that do not say from which segments they go on.
    """

    def __init__(self, beginnings: Iterable[Beginning], taken_over: CarriedOver) -> None:
        self.beginnings = {each.segment: each for each in beginnings}
        named = {segment.name: segment for segment in self.beginnings}
        self.before: dict[Segment, tuple[Segment, ...]] = {}
        self.missing: dict[Segment, tuple[str, ...]] = {}
        implied = _Implied(self.beginnings, taken_over)
        for segment, begins in self.beginnings.items():
            said = begins.continues
            self.missing[segment] = tuple(name for name in said or () if name not in named)
            if said is None:
                self.before[segment] = implied.before(begins)
            else:
                self.before[segment] = tuple(named[name] for name in said if name in named)
        self.after: dict[Segment, list[Segment]] = {segment: [] for segment in self.beginnings}
        for segment, before in self.before.items():
            for one in before:
                self.after[one].append(segment)
        self.order = self._ordered()

    def last(self, *, but_of_run: str | None = None) -> list[Segment]:
        """Those that no other one goes on from; as if the recorder `but_of_run` had not begun yet."""
        return [
            segment
            for segment in self.order
            if segment.run != but_of_run
            and not any(after.run != but_of_run for after in self.after[segment])
        ]

    def end_us(self, segment: Segment) -> int | None:
        """When a segment gave way to those that go on from it; None where that does not tell.

        It does not where the clock was set back in between.
        """
        starts = [self.beginnings[after].start_us for after in self.after[segment]]
        end_us = max(starts, default=-1)
        return end_us if end_us >= self.beginnings[segment].start_us else None

    def reaching_into(self, from_us: int | None, to_us: int | None) -> set[Segment]:
        """Those that may hold something of a stretch of time; None: no end."""
        return {
            segment
            for segment, begins in self.beginnings.items()
            if (to_us is None or begins.start_us < to_us)
            and (from_us is None or (self.end_us(segment) or from_us + 1) > from_us)
        }

    def _ordered(self) -> list[Segment]:
        """By the clock, but each after those that it goes on from, whatever the clock said."""
        waits = {segment: len(before) for segment, before in self.before.items()}
        ready = [(self._key(segment), segment) for segment, count in waits.items() if not count]
        heapify(ready)
        order = []
        while ready:
            _, segment = heappop(ready)
            order.append(segment)
            for after in self.after[segment]:
                waits[after] -= 1
                if not waits[after]:
                    heappush(ready, (self._key(after), after))
        # Tapes that go on from each other are forged. They are looked at all the same.
        return order + sorted(self.beginnings.keys() - set(order))

    def _key(self, segment: Segment) -> int:
        return self.beginnings[segment].start_us


class _Implied:
    """What tapes went on from before they said so: then names grew whatever the clock said."""

    def __init__(self, beginnings: Mapping[Segment, Beginning], taken_over: CarriedOver) -> None:
        self._beginnings = beginnings
        self._taken_over = taken_over
        self._by_tag: dict[str, list[Segment]] = {}
        for segment in sorted(beginnings):
            self._by_tag.setdefault(segment.tag, []).append(segment)
        self._known: dict[str, frozenset[str]] = {}

    def before(self, begins: Beginning) -> tuple[Segment, ...]:
        """The one before it of its own worker; of a recorder's first one, the last that knew its symbols.

        Who begins with nothing goes on from nothing: so two archives in one folder stay apart.
        """
        own = self._by_tag[begins.segment.tag]
        place = own.index(begins.segment)
        if place:
            return (own[place - 1],)
        symbols = self._taken_over(begins.segment)
        if not symbols:
            return ()
        ended = sorted(tapes[-1] for tapes in self._by_tag.values() if tapes[-1] < begins.segment)
        found: set[Segment] = set()
        for symbol in symbols:
            knew = (one for one in reversed(ended) if symbol in self._symbols_known(one.tag))
            found.update(one for one in [next(knew, None)] if one)
        return tuple(sorted(found))

    def _symbols_known(self, tag: str) -> frozenset[str]:
        if tag not in self._known:
            first, last = self._by_tag[tag][0], self._by_tag[tag][-1]
            recorded = self._beginnings[first].symbols | self._beginnings[last].symbols
            self._known[tag] = recorded | self._taken_over(first)
        return self._known[tag]
