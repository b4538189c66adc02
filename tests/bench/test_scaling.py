"""How the cost of an event grows with the number of symbols, and with the levels of a book.

Promises nothing: `make bench` prints the tables and, when it writes the page, draws the picture. What
is measured is the pure path, from a frame to a row; all figures are microseconds of processor time.
"""

from __future__ import annotations

import gc
import math
import os
from collections.abc import Callable, Sequence
from functools import cache
from random import Random
from time import process_time
from typing import Final, NamedTuple, TypeAlias

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.test_core_costs import Shape
from booktape.core.events import DepthEvent
from booktape.core.tape_records import (
    Connected,
    DepthAnswer,
    SegmentStart,
    StreamMessage,
    TapeRecord,
)
from booktape.plot.style import ASK, BID, NEUTRAL, figure, save
from booktape.reconstruct import Reconstruction
from booktape.wire.encode import encode_combined, encode_depth, encode_event
from docs.generated import DOCS, table

pytestmark = pytest.mark.bench

EVENTS: Final = int(os.environ.get("BOOKTAPE_BENCH_EVENTS", "28000"))
CHANGES: Final = 4
"""A side, in every event."""

LEVELS: Final = 500
SYMBOLS: Final = (1, 10, 100, 1_400)
DEPTHS: Final = (100, 300, 1_000, 3_000, 10_000, 20_000)
NEVER: Final = 10**9
EVERY: Final = {"no rows": NEVER, "N = 100": 100, "N = 10": 10}
ROUNDS: Final = 5

Costs: TypeAlias = dict[str, float]


class Case(NamedTuple):
    """One cost to be measured: how many symbols of how many levels, and how often there is a row."""

    symbols: tuple[str, ...]
    levels: int
    every: int
    frames: Sequence[StreamMessage]

    def once_us(self) -> float:
        """Of an event and its part of a row."""
        books = known(self.symbols, self.levels, self.every)
        # What the benchmark itself holds is none of the collector's business.
        gc.collect()
        gc.freeze()
        began = process_time()
        follow(books, self.frames)
        took_s = process_time() - began
        gc.unfreeze()
        return took_s / len(self.frames) * 1e6


def shape_of(levels: int) -> Shape:
    """Changes over more levels where there are more."""
    return Shape("any", 2 * CHANGES, levels)


@cache
def opening(levels: int) -> bytes:
    """A book of any symbol."""
    return encode_depth(shape_of(levels).snapshot())


def messages(symbols: Sequence[str], levels: int) -> list[StreamMessage]:
    """One of each symbol in turn, until there are enough."""
    chance, shape, frames = Random(1), shape_of(levels), []
    for number in range(EVENTS):
        turn, which = divmod(number, len(symbols))
        sides = (shape.changes_of(chance, sign) for sign in (-1, 1))
        event = DepthEvent(symbols[which], 0, turn + 1, turn + 1, *sides)
        payload = encode_combined(f"{event.symbol.lower()}@depth@100ms", encode_event(event))
        frames.append(StreamMessage(0, 0, payload))
    return frames


def known(symbols: tuple[str, ...], levels: int, every: int) -> Reconstruction:
    """All books open, and, as in life, not all due for a row at the same time."""
    books = Reconstruction()
    frames: list[TapeRecord] = [SegmentStart(0, "bench", "bench", every, 5_000, symbols)]
    frames.append(Connected(0, 0, symbols))
    # Both sides are whole: they do not reach the limit.
    frames += [DepthAnswer(0, symbol, levels + 1, opening(levels)) for symbol in symbols]
    follow(books, frames)
    for number, symbol in enumerate(symbols):
        books.syncs[symbol].updates = number * 37 % 100
    return books


def follow(books: Reconstruction, frames: Sequence[TapeRecord]) -> None:
    for frame in frames:
        for _ in books.apply(frame):
            pass


def measured(cases: dict[tuple[int, str], Case]) -> dict[int, Costs]:
    """The least of several rounds: a machine that is slow for a while is so for all cases."""
    costs: dict[int, Costs] = {}
    for _ in range(ROUNDS):
        for (row, column), case in cases.items():
            found = costs.setdefault(row, {})
            found[column] = min(found.get(column, math.inf), case.once_us())
    return costs


def by_symbols() -> dict[int, Costs]:
    """Over the number of symbols; at last with each symbol's messages one after the other."""
    cases = {}
    for count in SYMBOLS:
        symbols = tuple(f"S{number}USDT" for number in range(count))
        frames = messages(symbols, LEVELS)
        for what, every in EVERY.items():
            cases[count, what] = Case(symbols, LEVELS, every, frames)
        in_order = [frame for start in range(count) for frame in frames[start::count]]
        cases[count, "in order"] = Case(symbols, LEVELS, NEVER, in_order)
    return measured(cases)


def by_levels() -> dict[int, Costs]:
    """Over the levels of a side; and what a row costs, by what it adds to ten events."""
    cases, symbols = {}, ("BTCUSDT",)
    for levels in DEPTHS:
        frames = messages(symbols, levels)
        for what, every in EVERY.items():
            cases[levels, what] = Case(symbols, levels, every, frames)
    costs = measured(cases)
    return {n: c | {"row": 10 * (c["N = 10"] - c["no rows"])} for n, c in costs.items()}


# ── telling ─────────────────────────────────────────────────────────────────────────────────

MARKS: Final = {
    "no rows": (BID, "o", "an event, no rows"),
    "N = 100": ("#009E73", "s", "an event and its part of a row every 100"),
    "N = 10": (ASK, "^", "an event and its part of a row every 10"),
    "in order": (NEUTRAL, "x", "an event, no rows, symbol after symbol"),
    "row": (NEUTRAL, "D", "one row: all levels sorted and copied"),
}
PICTURE: Final = DOCS / "pictures" / "performance-scaling.png"


def lines(axes: Axes, costs: dict[int, Costs]) -> None:
    over = list(costs)
    for what in costs[over[0]]:
        colour, marker, label = MARKS[what]
        found = [one[what] for one in costs.values()]
        axes.plot(over, found, color=colour, marker=marker, label=label, lw=1.6, ms=6)
    axes.set_xscale("log")
    axes.set_xticks(over, [f"{one:,}" for one in over])
    axes.minorticks_off()
    axes.grid(color="#dddddd", lw=0.6)
    axes.set_ylabel("microseconds of one processor")


def proportional(axes: Axes, last_us: float) -> None:
    """What would double with the levels."""
    least = [last_us * levels / DEPTHS[-1] for levels in DEPTHS]
    axes.plot(DEPTHS, least, color=NEUTRAL, lw=0.9, ls=":", label="in proportion to levels")


def draw(symbols: dict[int, Costs], levels: dict[int, Costs]) -> Figure:
    """Both tables as one picture."""
    picture = figure(11, 5)
    left, right = picture.subplots(1, 2)
    title = "What an event costs hardly depends on how many symbols there are, or how many levels"
    picture.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold")
    lines(left, symbols)
    left.set_ylim(0, 1.6 * max(max(one.values()) for one in symbols.values()))
    left.set_title(f"{LEVELS:,} levels a side", loc="left", fontsize=10)
    left.set_xlabel("symbols, which take turns (logarithmic)")
    lines(right, levels)
    proportional(right, levels[DEPTHS[-1]]["row"])
    right.set_yscale("log")
    right.set_ylim(1, 3_000)
    right.set_yticks([1, 10, 100, 1_000], ["1", "10", "100", "1,000"])
    right.set_title("one symbol", loc="left", fontsize=10)
    right.set_xlabel("levels a side (both axes logarithmic)")
    for axes in (left, right):
        axes.legend(loc="upper left", fontsize=8.5, frameon=False)
    return picture


def rows_of(costs: dict[int, Costs]) -> list[tuple[str, ...]]:
    return [(f"{n:,}", *(f"{us:,.1f}" for us in one.values())) for n, one in costs.items()]


NOTE: Final = (
    "In the last column the same messages are sorted by symbol, so that a book is fetched into "
    "the processor's caches once and not for each of its events. The work is the same: the cost "
    "of many symbols is waiting for memory."
)


def test_scaling(report: Callable[[str, str], None]) -> None:
    """Two tables and a picture."""
    symbols, levels = by_symbols(), by_levels()
    head = (f"symbols of {LEVELS:,} levels a side", *EVERY, "no rows, symbol after symbol")
    parts = [
        f"Microseconds of processor time for an event of {2 * CHANGES} changes, best of {ROUNDS}.",
        table(head, rows_of(symbols)),
        NOTE,
        table(("levels a side of one symbol", *EVERY, "one row, at N = 10"), rows_of(levels)),
        f"![The same as lines](pictures/{PICTURE.name})",
    ]
    report("scaling", "\n\n".join(parts))
    if os.environ.get("BOOKTAPE_BENCH_WRITE"):
        save(draw(symbols, levels), PICTURE)
