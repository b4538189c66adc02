"""What an event and a row cost, for a liquid, a medium and an illiquid symbol.

Promises nothing: `make bench` prints the table of this machine. All numbers are microseconds of
processor time, all threads together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from random import Random
from time import process_time
from typing import Final

import pytest

from booktape.core import book as book_module
from booktape.core.arbitration import SymbolFeed
from booktape.core.book import FEW_PENDING, BookSide
from booktape.core.events import BookRow, DepthEvent, DepthSnapshot, Level
from booktape.core.tape_records import DepthAnswer, StreamMessage, TapeRecord
from booktape.reconstruct import Reconstruction
from booktape.store.parquet_file import BOOK_ROWS, GROUP_ROWS, StagedGroup
from booktape.store.schema import snapshot_batch
from booktape.store.tape_writer import TapeWriter
from booktape.wire.binance import decode_event
from booktape.wire.encode import encode_combined, encode_depth, encode_event
from docs.generated import table
from support.oracle import connected, start

pytestmark = pytest.mark.bench

EVENTS: Final = 2_000


@dataclass(frozen=True)
class Shape:
    """Level changes in an event, and levels a side."""

    name: str
    changes: int
    levels: int

    def snapshot(self) -> DepthSnapshot:
        sides = ([(self.price(sign, n), 1.5) for n in range(self.levels)] for sign in (-1, 1))
        return DepthSnapshot("BTCUSDT", self.levels + 1, 0, *sides)

    def price(self, sign: int, away: int) -> float:
        return round(60_000 + sign * (1 + away) / 100, 2)

    def events(self) -> list[DepthEvent]:
        chance = Random(1)
        return [
            DepthEvent("BTCUSDT", n, n, n, self.changes_of(chance, -1), self.changes_of(chance, 1))
            for n in range(1, EVENTS + 1)
        ]

    def changes_of(self, chance: Random, sign: int) -> list[Level]:
        """Most near the touch, a third of them deletions."""
        return [
            (
                self.price(sign, min(self.levels, int(chance.expovariate(20 / self.levels)))),
                chance.choice([0.0, 0.5, 0.12345]),
            )
            for _ in range(self.changes // 2)
        ]


SHAPES: Final = (Shape("liquid", 40, 7_500), Shape("medium", 8, 1_000), Shape("illiquid", 2, 200))


def microseconds(work: Callable[[], object], times: int) -> float:
    """The best of five: everything else is noise of the machine."""

    def once() -> float:
        began = process_time()
        work()
        return process_time() - began

    return min(once() for _ in range(5)) / times * 1e6


def whole_path(shape: Shape, payloads: list[bytes], every: int, connections: int = 1) -> float:
    """Frame to row: decode, merge, decide, apply, and copy out the rows that are due."""
    opening = DepthAnswer(0, "BTCUSDT", shape.levels + 1, encode_depth(shape.snapshot()))
    frames: list[TapeRecord] = [start(every=every)]
    frames += [connected(0, number) for number in range(connections)]
    frames.append(opening)
    frames += [
        StreamMessage(0, number, payload) for payload in payloads for number in range(connections)
    ]

    def read() -> None:
        machine = Reconstruction()
        for frame in frames:
            for _ in machine.apply(frame):
                pass

    return microseconds(read, EVENTS)


def stages(shape: Shape, folder: Path) -> Iterator[float]:
    """Decode, apply, the tape, the whole path at each N, and a row to Parquet."""
    events = shape.events()
    payloads = [encode_combined("btcusdt@depth@100ms", encode_event(item)) for item in events]

    def decode_all() -> None:
        # None is kept: finding room for all of them at once takes longer than this does.
        for payload in payloads:
            decode_event(payload)

    yield microseconds(decode_all, EVENTS)
    book = book_module.OrderBook.from_snapshot(shape.snapshot())
    book.bids.best()

    def apply_all() -> None:
        for item in events:
            book.apply(item)

    yield microseconds(apply_all, EVENTS)
    yield tape_cost(payloads, folder)
    for every in (1, 10, 100):
        yield whole_path(shape, payloads, every)
    yield parquet_cost(shape, payloads, folder)


def tape_cost(payloads: list[bytes], folder: Path) -> float:
    """To the disk, compressed, flushed every hundred events."""
    numbers = count()

    def write() -> None:
        tape = TapeWriter(folder / f"tape-{next(numbers)}")
        for number, payload in enumerate(payloads):
            tape.write(StreamMessage(number, 1, payload))
            if not number % 100:
                tape.flush()
        tape.seal()

    return microseconds(write, EVENTS)


def parquet_cost(shape: Shape, payloads: list[bytes], folder: Path) -> float:
    """A row group of consecutive rows, as the worker thread writes it."""
    opening = DepthAnswer(0, "BTCUSDT", shape.levels + 1, encode_depth(shape.snapshot()))
    frames: list[TapeRecord] = [start(every=1), connected(0, 0), opening]
    frames += [StreamMessage(0, 0, payload) for payload in payloads[: GROUP_ROWS - 1]]
    machine, group = Reconstruction(), StagedGroup(BOOK_ROWS)
    for frame in frames:
        for output in machine.apply(frame):
            if isinstance(output, BookRow):
                group.add(output)

    def write() -> None:
        (folder / "rows.parquet").unlink(missing_ok=True)
        file = BOOK_ROWS.new_file(folder / "rows.parquet", group.rows[-1])
        file.append(snapshot_batch(group.rows))
        file.seal(len(group.rows))

    return microseconds(write, len(group.rows))


HEAD: Final = [
    *("microseconds an event", "decode", "apply", "tape", "whole, N = 1", "whole, N = 10"),
    *("whole, N = 100", "a row to Parquet"),
]


def test_costs_of_events_and_rows(tmp_path: Path, report: Callable[[str, str], None]) -> None:
    """Stage by stage, for three kinds of symbol."""
    rows = []
    for shape in SHAPES:
        folder = tmp_path / shape.name
        cells = [f"{cost:.1f}" for cost in stages(shape, folder)]
        rows.append([f"{shape.name}: {shape.changes} changes, {shape.levels:,} levels", *cells])
    report("stages", table(HEAD, rows))


def arbitration_cost(connections: int, *, dropped: bool) -> float:
    """Merging alone. The first connection is an event ahead of the others, and may drop a tenth."""
    brought = [
        (n - 1.5 * (number == 0), number, event)
        for n, event in enumerate(Shape("any", 2, 200).events())
        for number in range(connections)
        if not dropped or number or n % 10
    ]
    brought.sort(key=lambda arrival: arrival[0])
    feed = SymbolFeed()

    def merge() -> None:
        feed.last_released, feed.last_by_connection = None, dict.fromkeys(range(connections))
        for _, number, event in brought:
            feed.accept(number, event, 0)

    return microseconds(merge, EVENTS)


def test_costs_of_connections(capsys: pytest.CaptureFixture[str]) -> None:
    """What a second connection costs: a second decoding, and a copy that is dropped."""
    with capsys.disabled():
        print("\n\nmicroseconds an event, all its copies together")
        print("arbitration, 1 connection  ", f"{arbitration_cost(1, dropped=False):9.2f}")
        print("arbitration, 2 connections ", f"{arbitration_cost(2, dropped=False):9.2f}")
        print("  and a tenth dropped by one", f"{arbitration_cost(2, dropped=True):8.2f}")
        for shape in SHAPES:
            events = shape.events()
            payloads = [encode_combined("btcusdt@depth@100ms", encode_event(e)) for e in events]
            one, two = (whole_path(shape, payloads, 100, connections=n) for n in (1, 2))
            print(f"{shape.name:9} whole path, N=100: 1 connection {one:7.1f}, 2 {two:7.1f}")


def side_of(levels: int) -> BookSide:
    side = BookSide([(float(n), 1.0) for n in range(levels)], descending=False)
    side.best()
    return side


def mend_cost(levels: int, pending: int, way: str) -> float:
    """One restoring of the order, half of the pending keys new ones."""
    side, chance, total = side_of(levels), Random(1), 0.0
    mend = getattr(side, way)
    for round_ in range(200):
        # Half of them toggles: present in one round, deleted in the next.
        size = float(round_ % 2)
        keys = [chance.randrange(levels) + 0.5 * (n % 2) for n in range(pending)]
        side._pending.update((key, size if key % 1 else 2.0) for key in keys)
        began = process_time()
        mend()
        total += process_time() - began
        side._pending.clear()
    return total / 200 * 1e6


def test_bisecting_or_merging(capsys: pytest.CaptureFixture[str]) -> None:
    """Where one numpy merge becomes cheaper than bisecting key by key: sets FEW_PENDING."""
    with capsys.disabled():
        print(f"\n\nmicroseconds to sort in      bisect    merge   (FEW_PENDING is {FEW_PENDING})")
        for levels in (200, 1_000, 7_500):
            for pending in (5, 10, 20, 40, 80, 160, 320):
                ways = (mend_cost(levels, pending, way) for way in ("_mend_each", "_merge_all"))
                cells = "".join(f"{cost:9.1f}" for cost in ways)
                print(f"{pending:4} keys into {levels:5,}{cells}")
