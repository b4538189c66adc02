"""One recording in progress: write each record to the tape, apply it, store the rows that follow from it.

Two kinds of records are handled differently. The end of a segment is applied first and written afterwards, because
the checkpoints after it must state what is known by then. The opening of a new tape only repeats what is known, so it
is written but not applied.

The recorder drives it with live records; recovery, rebuild and merge drive it with records from tapes. So all of them
write the same files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import replace

from booktape.core.checks import Check
from booktape.core.events import BookRow, GapInterval, Note
from booktape.core.tape_records import (
    ROTATED,
    Checkpoint,
    Connected,
    SegmentEnd,
    SegmentStart,
    TapeRecord,
)
from booktape.core.trades import TradeGap, TradeRow
from booktape.reconstruct import Output, Reconstruction
from booktape.store.catalog import free_segment
from booktape.store.layout import Layout, Segment
from booktape.store.segment_writer import Predecessor, SegmentWriter


class RecordingSession:
    """Call `handle` for every record, `rotate` when a segment ends, and `end` once.

    The tape begins with `start` and the checkpoints in `known_before`. All methods work in memory only.
    `writer.flush` writes to the disk, and `seal` of each writer that `take_ended` returns seals its segment: both may
    fail and be called again.

    **Checkpoints.** A segment can be read without the ones before it, because its tape begins with a
    checkpoint of every book: its levels, epoch, open gap and buffered events (core/checkpoint.py). So a
    damaged tape costs one segment, and segments can be rebuilt in parallel. The next recording continues from the
    last checkpoints, those after the end record of a stopped recording (store/archive.py).
    """

    def __init__(
        self,
        layout: Layout,
        segment: Segment,
        worker: Executor,
        start: SegmentStart,
        known_before: Iterable[Checkpoint] = (),
    ) -> None:
        self.books = Reconstruction()
        self.writer = SegmentWriter(layout, segment, worker, trades=start.trades)
        self.last_ns = 0
        self._start = start
        self._layout = layout
        self._worker = worker
        self._unsealed: list[SegmentWriter] = [self.writer]
        # The records of a new tape's opening that are not yet written.
        self._unwritten_opening: Iterator[TapeRecord] | None = None
        self.handle(start)
        for checkpoint in known_before:
            self.handle(checkpoint)
        self.writer.mark_recoverable()

    def handle(self, record: TapeRecord) -> list[Output]:
        """Write the record to the tape, apply it, and store its outputs. Returns all outputs."""
        self._write_rest_of_opening()
        self.writer.write(record)
        self.last_ns = max(self.last_ns, record.received_ns)
        return self._store(self.books.apply(record))

    def rotate(self, now_ns: int) -> None:
        """Begin the next segment.

        Its tape begins with a checkpoint of every book, which takes a while if there are many books. A caller
        with an event loop calls `write_next_of_opening` until it returns False, and lets the loop run in between.
        Any other caller just continues: the rest is written before the next record.
        """
        self._write_rest_of_opening()
        # The end record is applied before the checkpoints are made. It is written to the old tape once the
        # new one is on the disk (`SegmentWriter.flush`).
        end = SegmentEnd(now_ns, ROTATED)
        self._store(self.books.apply(end))
        self.last_ns = max(self.last_ns, now_ns)
        last = self.writer
        # Unsealed segments may have no file on the disk yet, so their names are given here.
        taken = {writer.segment for writer in self._unsealed}
        segment = free_segment(self._layout, now_ns, last.segment.tag, taken)
        before = Predecessor(last, end)
        self.writer = SegmentWriter(
            self._layout, segment, self._worker, before, trades=self._start.trades
        )
        self._unsealed.append(self.writer)
        start = replace(self._start, received_ns=now_ns, symbols=self.books.symbols)
        self.writer.write(replace(start, continues=(last.segment.name,)))
        self._unwritten_opening = self._opening_records(now_ns)

    def write_next_of_opening(self) -> bool:
        """Write one more record of a new tape's opening. Returns False if none was left."""
        if self._unwritten_opening is None:
            return False
        record = next(self._unwritten_opening, None)
        if record is None:
            self._unwritten_opening = None
            self.writer.mark_recoverable()
            return False
        self.writer.write(record)
        return True

    def end(self, reason: str) -> None:
        """Write the last records of the tape: its end and a checkpoint of every book.

        No checkpoints follow the reason `rotated`, with which a tape ended that recovery or rebuild repeats.
        """
        self._write_rest_of_opening()
        end = SegmentEnd(self.last_ns, reason)
        self._store(self.books.apply(end))
        known = self.books.checkpoints(self.last_ns) if reason != ROTATED else ()
        self.writer.end([end, *known])

    def take_ended(self) -> list[SegmentWriter]:
        """Take out and return the segments that can be sealed now, oldest first.

        A rotated segment can be sealed as soon as the next one's tape is on the disk.
        """
        ended = [writer for writer in self._unsealed if writer.is_ended]
        self._unsealed = [writer for writer in self._unsealed if not writer.is_ended]
        return ended

    def _write_rest_of_opening(self) -> None:
        while self.write_next_of_opening():
            pass

    def _opening_records(self, now_ns: int) -> Iterator[TapeRecord]:
        yield from self.books.checkpoints(now_ns)
        for connection, symbols in self.books.arbiter.connections.items():
            yield Connected(now_ns, connection, symbols)

    def _store(self, outputs: list[Output]) -> list[Output]:
        for output in outputs:
            if isinstance(output, BookRow):
                self.writer.add_row(output)
            elif isinstance(output, TradeRow):
                self.writer.add_trade(output)
            elif isinstance(output, GapInterval | Check | Note | TradeGap):
                self.writer.add(output)
        return outputs
