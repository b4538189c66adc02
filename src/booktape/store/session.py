"""Tape first, then the function, then its rows: one recording in progress.

The recorder drives it with live records, recovery with the tape of a recorder that was killed. So
both write the same files.
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
from booktape.reconstruct import Output, Reconstruction
from booktape.store.catalog import free_segment
from booktape.store.layout import Layout, Segment
from booktape.store.segment_writer import Predecessor, SegmentWriter


class RecordingSession:
    """Everything between a record and the disk: `begin`, `handle` every record, `end`.

    All of it is memory's work. What there is reaches the disk with `writer.flush`, and segments that
    have `ended` are sealed one by one: both may fail, and be called again.
    """

    def __init__(self, layout: Layout, segment: Segment, worker: Executor) -> None:
        self.books = Reconstruction()
        self.writer = SegmentWriter(layout, segment, worker)
        self.last_ns = 0
        self._layout = layout
        self._worker = worker
        # What the first lines of a new tape still lack.
        self._opening: Iterator[TapeRecord] = iter(())
        self._is_opening = False
        self._unsealed: list[SegmentWriter] = [self.writer]

    def begin(self, start: SegmentStart, past: Iterable[Checkpoint]) -> None:
        """First lines of a tape: what is recorded, and all that is known from before."""
        self._start = start
        self._handle_quietly(start)
        for checkpoint in past:
            self._handle_quietly(checkpoint)
        self.writer.begin()

    def handle(self, record: TapeRecord) -> Iterable[Output]:
        """Write the record down, then follow it. Yields every output, stored ones included."""
        self._complete_opening()
        self.writer.write(record)
        self.last_ns = max(self.last_ns, record.received_ns)
        outputs = self.books.feed(record)
        return self._stored(outputs) if outputs else ()

    def rotate(self, now_ns: int) -> None:
        """Begin the next segment.

        The books have yet to be written down, which takes a while when there are many: whoever has a
        loop to serve calls `save_next` until it is False, and whoever does not simply goes on.
        """
        self._complete_opening()
        # The end is followed before the checkpoints are taken, and written down after them.
        end = SegmentEnd(now_ns, ROTATED)
        for _ in self._stored(self.books.feed(end)):
            pass
        self.last_ns = max(self.last_ns, now_ns)
        last = self.writer
        # Those that are not sealed yet may not stand on the disk yet.
        taken = {writer.segment for writer in self._unsealed}
        segment = free_segment(self._layout, now_ns, last.segment.tag, taken)
        self.writer = SegmentWriter(self._layout, segment, self._worker, Predecessor(last, end))
        self._unsealed.append(self.writer)
        start = replace(self._start, received_ns=now_ns, symbols=self.books.symbols)
        self.writer.write(replace(start, continues=(last.segment.name,)))
        self._opening, self._is_opening = self._books_as_they_stand(now_ns), True

    def save_next(self) -> bool:
        """Write the next book down on a new tape; whether there was one left."""
        record = next(self._opening, None)
        if record is not None:
            self.writer.write(record)
        elif self._is_opening:
            self.writer.begin()
            self._is_opening = False
        return record is not None

    def end(self, reason: str) -> None:
        """Last lines of a tape, with what is known now for whoever starts next."""
        self._complete_opening()
        end = SegmentEnd(self.last_ns, reason)
        for _ in self._stored(self.books.feed(end)):
            pass
        known = self.books.checkpoints(self.last_ns) if reason != ROTATED else ()
        self.writer.end([end, *known])

    def ended(self) -> list[SegmentWriter]:
        """The segments that can be sealed now, oldest first, each once.

        One that was rotated is among them as soon as the next one stands on the disk.
        """
        found = [writer for writer in self._unsealed if writer.is_ended]
        self._unsealed = [writer for writer in self._unsealed if not writer.is_ended]
        return found

    def _complete_opening(self) -> None:
        while self.save_next():
            pass

    def _books_as_they_stand(self, now_ns: int) -> Iterator[TapeRecord]:
        yield from self.books.checkpoints(now_ns)
        for connection, symbols in self.books.arbiter.connections.items():
            yield Connected(now_ns, connection, symbols)

    def _handle_quietly(self, record: TapeRecord) -> None:
        """Take a note that asks nothing of anyone."""
        for _ in self.handle(record):
            pass

    def _stored(self, outputs: Iterable[Output]) -> Iterator[Output]:
        for output in outputs:
            if isinstance(output, BookRow):
                self.writer.add_row(output)
            elif isinstance(output, GapInterval | Check | Note):
                self.writer.add(output)
            yield output
