"""Which recording has the rows of which time, where our clock was set back between two of them. Pure.

Rows are in the order of recording. After the clock was set back, two recordings may have the same time. A question about
time (a grid, a mean over time) then uses the rows of the one recorded last, as `at` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple


class Span(NamedTuple):
    """The first and the last time in one file of one recorder's run, both included, in microseconds since 1970."""

    run: str
    first_us: int
    last_us: int


class Part(NamedTuple):
    """The number of a span, and the range of times for which it is used: `start_us <= … < end_us`. None: no limit."""

    number: int
    start_us: int | None
    end_us: int | None


def goes_back(spans: Sequence[Span]) -> bool:
    """Whether any span begins before the end of the span recorded before it."""
    return any(one.last_us > other.first_us for one, other in pairwise(spans))


def time_order(spans: Sequence[Span]) -> list[Part]:
    """The parts of the spans in the order of time: each time is in one part, that of the span recorded last.

    `spans` are in the order of recording. The time between two consecutive spans of one run belongs to that run.
    Known weaknesses: a gap inside a later run hides an earlier run that knew the book then. After the later run, the
    earlier one is used again from its next row on; its last hidden row is not, although it was still valid.
    """
    if not goes_back(spans):
        return [Part(number, None, None) for number in range(len(spans))]
    stretches: list[list[int]] = []
    for number, span in enumerate(spans):
        last = spans[number - 1]
        if not number or span.run != last.run or goes_back([last, span]):
            stretches.append([])
        stretches[-1].append(number)
    taken: list[tuple[int, int]] = []
    parts: list[tuple[int, Part]] = []
    for stretch in reversed(stretches):
        own = spans[stretch[0]].first_us, spans[stretch[-1]].last_us
        for first_us, last_us in _without(own, taken):
            for number in stretch:
                if spans[number].first_us <= last_us and spans[number].last_us >= first_us:
                    begin_us = max(first_us, spans[number].first_us)
                    parts.append((begin_us, Part(number, first_us, last_us + 1)))
        taken.append(own)
    return [part for _, part in sorted(parts)]


def _without(own: tuple[int, int], taken: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The rest of a range, both ends included, without the ranges in `taken`."""
    left = [own]
    for begin, end in taken:
        cut = [
            piece
            for first, last in left
            for piece in ((first, min(last, begin - 1)), (max(first, end + 1), last))
        ]
        left = [(first, last) for first, last in cut if first <= last]
    return left
