"""The order in which segments were recorded, and when each ended, from the first records of their tapes.

Names are not enough: a clock may have been wrong when a segment was named, and archives of several
recorders may have been copied into one folder. So each tape names the segments that it continues. Older
tapes do not; `_Implied` finds what they continued. Pure: the caller reads the tapes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

from booktape.store.layout import Segment


@dataclass(frozen=True, slots=True)
class Beginning:
    """How a segment begins. `start_us` is our clock then, in microseconds since 1970.

    `continues` names the segments that it continues. It is None if the tape is older than this field or
    cannot be read. `format` is the tape's format; if the tape cannot be read it is 1, which promises the least.
    """

    segment: Segment
    start_us: int
    symbols: frozenset[str] = frozenset()
    continues: tuple[str, ...] | None = None
    format: int = 1

    @classmethod
    def unknown(cls, segment: Segment) -> Beginning:
        """The beginning of a segment whose tape cannot be read."""
        return cls(segment, segment.start_us)


CarriedOver = Callable[[Segment], frozenset[str]]
"""The symbols for which a tape begins with a checkpoint."""


class Lineage:
    """Which segment continues which. `order` has each segment after those that it continues.

    `missing` has the names of continued segments that are not in the archive. `carried_over` is called only
    for tapes that do not name what they continue.
    """

    def __init__(self, beginnings: Iterable[Beginning], carried_over: CarriedOver) -> None:
        self.beginnings = {each.segment: each for each in beginnings}
        named = {segment.name: segment for segment in self.beginnings}
        self.before: dict[Segment, tuple[Segment, ...]] = {}
        self.missing: dict[Segment, tuple[str, ...]] = {}
        implied = _Implied(self.beginnings, carried_over)
        for segment, begins in self.beginnings.items():
            names = begins.continues
            self.missing[segment] = tuple(name for name in names or () if name not in named)
            if names is None:
                self.before[segment] = implied.before(begins)
            else:
                self.before[segment] = tuple(named[name] for name in names if name in named)
        self.after: dict[Segment, list[Segment]] = {segment: [] for segment in self.beginnings}
        for segment, before in self.before.items():
            for one in before:
                self.after[one].append(segment)
        self.order = self._ordered()

    def last(self, *, but_of_run: str | None = None) -> list[Segment]:
        """The segments that none continues, as if the recorder `but_of_run` had not begun yet."""
        return [
            segment
            for segment in self.order
            if segment.run != but_of_run
            and not any(after.run != but_of_run for after in self.after[segment])
        ]

    def end_us(self, segment: Segment) -> int | None:
        """When the segments that continue this one began. None if there are none, or if the clock was set back."""
        starts = [self.beginnings[after].start_us for after in self.after[segment]]
        end_us = max(starts, default=-1)
        return end_us if end_us >= self.beginnings[segment].start_us else None

    def reaching_into(self, from_us: int | None, to_us: int | None) -> set[Segment]:
        """The segments that may have records between two times. None means no limit."""
        return {
            segment
            for segment, begins in self.beginnings.items()
            if (to_us is None or begins.start_us < to_us)
            and (from_us is None or (self.end_us(segment) or from_us + 1) > from_us)
        }

    def _ordered(self) -> list[Segment]:
        """By the clock, but each segment after those that it continues."""
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
        # Tapes that continue each other in a circle are forged. They are read all the same.
        return order + sorted(self.beginnings.keys() - set(order))

    def _key(self, segment: Segment) -> int:
        return self.beginnings[segment].start_us


class _Implied:
    """What was continued by older tapes, which do not name it. Their names increased even if the clock went back."""

    def __init__(self, beginnings: Mapping[Segment, Beginning], carried_over: CarriedOver) -> None:
        self._beginnings = beginnings
        self._carried_over = carried_over
        self._by_tag: dict[str, list[Segment]] = {}
        for segment in sorted(beginnings):
            self._by_tag.setdefault(segment.tag, []).append(segment)
        self._known: dict[str, frozenset[str]] = {}

    def before(self, begins: Beginning) -> tuple[Segment, ...]:
        """The previous segment of the same worker. For a worker's first segment, the last ones that had its symbols.

        A tape that begins without checkpoints continues nothing, which keeps two archives in one folder apart.
        """
        own = self._by_tag[begins.segment.tag]
        index = own.index(begins.segment)
        if index:
            return (own[index - 1],)
        symbols = self._carried_over(begins.segment)
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
            self._known[tag] = recorded | self._carried_over(first)
        return self._known[tag]
