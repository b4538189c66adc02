"""Tape first, then the function, then its rows: one recording in progress.

The recorder drives it with live frames, recovery with the tape of a recorder that was killed. So
both write the same files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import replace

from booktape.core.events import BookRow, Gap, Note
from booktape.core.frames import (
    ROTATED,
    Checkpoint,
    Connected,
    Frame,
    SegmentEnd,
    SegmentStart,
)
from booktape.core.proving import Check
from booktape.reconstruct import Output, Reconstruction
from booktape.store.layout import Layout, Segment
from booktape.store.writer import SegmentWriter


class Recording:
    """Everything between a frame and the disk: `begin`, `take` every frame, `end`."""

    def __init__(self, layout: Layout, segment: Segment, worker: Executor) -> None:
        self.books = Reconstruction()
        self.writer = SegmentWriter(layout, segment, worker)
        self.last_ns = 0
        self._layout = layout
        self._worker = worker

    def begin(self, start: SegmentStart, past: Iterable[Checkpoint]) -> None:
        """First lines of a tape: what is recorded, and all that is known from before."""
        self._start = start
        self._follow(start)
        for checkpoint in past:
            self._follow(checkpoint)
        self.writer.begin()

    def take(self, frame: Frame) -> Iterable[Output]:
        """Write the frame down, then follow it. Yields every output, stored ones included."""
        self.writer.write(frame)
        self.last_ns = max(self.last_ns, frame.received_ns)
        outputs = self.books.feed(frame)
        return self._stored(outputs) if outputs else ()

    def open_next(self, now_ns: int) -> Iterator[None]:
        """Begin the next segment, book by book: whoever has a loop to serve does so in between.

        No frame may be taken before it is exhausted and `seal_last` was called. The new tape stands
        before the old one says that it ended: whenever we are killed, one of the two knows how
        things stood.
        """
        # The end is followed before the checkpoints are taken, and written down after them.
        self._ended = SegmentEnd(now_ns, ROTATED)
        for _ in self._stored(self.books.feed(self._ended)):
            pass
        # What the new tape's checkpoints contain, the old one must tell.
        self.writer.flush()
        self._last, before = self.writer, self.writer.segment
        segment = Segment.at(now_ns, before.tag, after=before)
        self.writer = SegmentWriter(self._layout, segment, self._worker)
        self.writer.write(replace(self._start, received_ns=now_ns, symbols=self.books.symbols))
        for checkpoint in self.books.checkpoints(now_ns):
            self.writer.write(checkpoint)
            yield
        for connection, symbols in self.books.merge.open.items():
            self.writer.write(Connected(now_ns, connection, symbols))

    def seal_last(self) -> Future[None]:
        """The next segment counts from now on; the result is there when the last one is sealed."""
        self.writer.begin()
        self.last_ns = max(self.last_ns, self._ended.received_ns)
        self._last.write(self._ended)
        return self._last.seal()

    def end(self, reason: str) -> Future[None]:
        """Last lines of a tape, with what is known now for whoever starts next."""
        self._follow(SegmentEnd(self.last_ns, reason))
        if reason != ROTATED:
            for checkpoint in self.books.checkpoints(self.last_ns):
                self.writer.write(checkpoint)
        return self.writer.seal()

    def _follow(self, frame: Frame) -> None:
        """Take a note that asks nothing of anyone."""
        for _ in self.take(frame):
            pass

    def _stored(self, outputs: Iterable[Output]) -> Iterator[Output]:
        for output in outputs:
            if isinstance(output, BookRow):
                self.writer.add_row(output)
            elif isinstance(output, Gap | Check | Note):
                self.writer.add(output)
            yield output
