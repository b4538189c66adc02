"""One small recording with everything in it, and what must be stored of it.

Three symbols (one not ASCII) on two connections, gaps of every kind, garbage, witnesses that agree,
audits, notes, a rotation while a book is lost, and one book that is lost when the recording ends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Final, TypeAlias

from booktape.core.checks import Check
from booktape.core.events import BookRow, GapInterval, Note
from booktape.core.gap_reasons import STOPPED
from booktape.core.tape_records import (
    Checkpoint,
    ClockStep,
    DepthAnswer,
    SegmentEnd,
    SegmentStart,
    TapeRecord,
)
from booktape.reconstruct import Output, Reconstruction
from booktape.store.archive import Archive
from support.archives import open_archive
from support.oracle import (
    SECOND,
    asked,
    connected,
    event,
    listed,
    lost,
    rest,
    snapshot,
    start,
    stream,
    top,
)
from support.rotation import finish, rotate

BTC, ETH, YUAN = "BTCUSDT", "ETHBTC", "币安USDT"
OPENING: Final = start(BTC, ETH, YUAN, every=2)


class Do(Enum):
    """An action of the recorder between two records."""

    FLUSH = "flush"


@dataclass(frozen=True, slots=True)
class Rotate:
    """A new segment begins at second `at`."""

    at: int


Scene: TypeAlias = TapeRecord | Do | Rotate

SCENES: Final[tuple[Scene, ...]] = (
    connected(1, 1, (BTC, ETH)),
    connected(1, 2, (YUAN,)),
    rest(snapshot(10, {"100": "1", "99": "2"}, {"101": "1.5"}), 2),
    stream(event(10, 11, {"100": "3"}), 3, 1),
    Do.FLUSH,
    stream(event(12, 14, {"98.5": "0.1"}, {"101": "0", "102": "7"}), 4, 1),
    stream(top(14, {"100": "3", "99": "2", "98.5": "0.1"}, {"102": "7"}), 4, 1),
    rest(snapshot(5, {"0.03": "8"}, {}, symbol=ETH, limit=1), 5),
    rest(snapshot(70, {"7": "7"}, {"8": "8"}, symbol=YUAN), 6),
    asked(6, YUAN),
    stream(event(71, 71, {"7.5": "1"}, symbol=YUAN), 7, 2),
    rest(snapshot(71, {"7.5": "1", "7": "7"}, {"8": "8"}, symbol=YUAN), 7),
    stream(event(72, 75, {"7": "0"}, symbol=YUAN), 8, 2),
    # An id gap, closed by the next answer.
    stream(event(20, 21, {"100": "9"}), 9, 1),
    Do.FLUSH,
    ClockStep(10 * SECOND, -5 * SECOND),
    stream(b"\xff\x00 no event\n", 10, 1),
    rest(snapshot(21, {"100": "9"}, {"103": "1"}), 11),
    stream(event(22, 22, {}, {"103": "2"}), 12, 1),
    # The second connection is cut; its book is still lost when the segment ends.
    lost(14, 2, alive=13),
    stream(event(6, 7, {}, {"0.04": "1"}, symbol=ETH), 15, 1),
    stream(event(23, 23, {"99.5": "4"}), 16, 1),
    # One connection runs ahead of the other while the segment ends.
    connected(17, 5, (BTC,)),
    stream(event(25, 25, {"99.5": "0"}), 18, 5),
    Rotate(30),
    connected(31, 3, (YUAN,)),
    DepthAnswer(32 * SECOND, YUAN, 5000, b"<html>502</html>"),
    stream(event(90, 91, {"7": "3"}, symbol=YUAN), 33, 3),
    rest(snapshot(90, {"6": "1"}, {"8": "2"}, symbol=YUAN), 34),
    Do.FLUSH,
    stream(event(24, 24, {"99.5": "5"}), 35, 1),
    asked(36, ETH),
    stream(event(8, 9, {"0.02": "1"}, symbol=ETH), 36, 1),
    listed("HALT", 36, ETH),
    rest(snapshot(9, {"0.03": "8", "0.02": "1", "0.01": "3"}, {"0.04": "1"}, symbol=ETH), 37),
    stream(event(92, 99, {"7": "0"}, symbol=YUAN), 37, 3),
    stream(event(25, 25, {"99.5": "0"}), 38, 1),
    # Both are cut, and only one of their two books comes back.
    lost(39, 1),
    lost(39, 5),
    connected(40, 4, (BTC, ETH)),
    Do.FLUSH,
    rest(snapshot(30, {"95": "1"}, {"96": "1"}), 41),
    stream(event(31, 31, {"95": "2"}), 42, 4),
    stream(event(32, 32, {"95": "3"}), 43, 4),
)
RECORDS: Final[tuple[TapeRecord, ...]] = tuple(s for s in SCENES if not isinstance(s, Do | Rotate))


@dataclass(slots=True)
class Stored:
    """Everything that a recording stores, in the form in which `contents` reads it back.

    Checks have no order here: what a witness confirmed is reported when its segment ends.
    """

    rows: dict[str, list[tuple[object, ...]]] = field(default_factory=dict)
    gaps: list[tuple[object, ...]] = field(default_factory=list)
    checks: Counter[tuple[object, ...]] = field(default_factory=Counter)
    notes: list[tuple[object, ...]] = field(default_factory=list)
    # Only of the pure function's: where the next recorder goes on.
    books: Reconstruction = field(default_factory=Reconstruction, compare=False)

    def add(self, output: Output) -> None:
        match output:
            case BookRow():
                self.rows.setdefault(output.symbol, []).append(row_as_stored(output))
            case GapInterval():
                self.gaps.append(gap_as_stored(output))
            case Check():
                self.checks[check_as_stored(output)] += 1
            case Note():
                self.notes.append(note_as_stored(output))
            case _:
                pass


def row_as_stored(row: BookRow) -> tuple[object, ...]:
    """Every column of `snapshots`, times as microseconds."""
    lists = (row.bid_price, row.bid_size, row.ask_price, row.ask_size)
    return (
        row.event_time_us,
        row.received_ns // 1_000,
        row.update_id,
        row.epoch,
        row.updates,
        *(next(iter(values.tolist()), None) for values in lists),
        *(values.tolist() for values in lists),
        row.bid_horizon,
        row.ask_horizon,
    )


def gap_as_stored(gap: GapInterval) -> tuple[object, ...]:
    """Every column of `gaps`, times as microseconds."""
    return (
        gap.symbol,
        gap.epoch,
        gap.start_ns // 1_000,
        None if gap.end_ns is None else gap.end_ns // 1_000,
        gap.last_update_id,
        gap.next_update_id,
        gap.missed_updates,
        gap.reason,
    )


def check_as_stored(check: Check) -> tuple[object, ...]:
    """Every column of `checks` for a passed check, time as microseconds."""
    assert not check.differences
    detail = "" if check.witness == "rest" else f"{check.comparisons} comparisons"
    time_us = check.received_ns // 1_000
    known = check.update_id, check.witness, check.levels_compared, 0, detail
    return (check.symbol, time_us, *known)


def note_as_stored(note: Note) -> tuple[object, ...]:
    """Every column of `notes`, time as microseconds."""
    return (note.symbol, note.received_ns // 1_000, note.kind, note.detail)


def standing(checkpoints: Iterable[Checkpoint]) -> dict[str, tuple[object, ...]]:
    """The state of each book: everything in its next gap row, except the times."""
    return {
        saved.symbol: (
            saved.epoch,
            saved.update_id,
            saved.gap and (saved.gap.epoch, saved.gap.last_update_id, saved.gap.reason),
        )
        for saved in checkpoints
    }


def expected(
    records: Iterable[TapeRecord], reason: str = STOPPED, opening: SegmentStart = OPENING
) -> Stored:
    """The result of the pure function alone, from all records at once and without a disk."""
    stored = Stored()
    for tape_record in (opening, *records, SegmentEnd(0, reason)):
        for output in stored.books.apply(tape_record):
            stored.add(output)
    return stored


def perform(
    archive: Archive,
    scenes: Sequence[Scene] = SCENES,
    *,
    opening: SegmentStart = OPENING,
    tag: str = "first",
    on_flush: Callable[[int], None] = lambda _: None,
) -> None:
    """Record these scenes as the recorder does, and seal. `on_flush` gets the number of safe records."""
    recording = archive.begin(opening, tag)
    sealing: list[Future[None]] = []
    taken = 0
    for scene in scenes:
        if isinstance(scene, Rotate):
            now_ns = scene.at * SECOND
            sealing.append(rotate(recording, now_ns))
        elif isinstance(scene, Do):
            recording.writer.flush()
            on_flush(taken)
        else:
            taken += 1
            recording.handle(scene)
    sealing.append(finish(recording, STOPPED))
    for sealed in sealing:
        sealed.result()
    on_flush(taken)


def record(
    root: Path,
    scenes: Sequence[Scene] = SCENES,
    *,
    opening: SegmentStart = OPENING,
    tag: str = "first",
    on_flush: Callable[[int], None] = lambda _: None,
) -> None:
    """Start on a directory, record these scenes, seal, leave."""
    with open_archive(root) as archive:
        perform(archive, scenes, opening=opening, tag=tag, on_flush=on_flush)
