"""After a `kill -9`: what was left unsealed is recorded once more, from its tape.

The same function over the same frames gives the same rows, so the result is what the recorder
would have written, minus at most the last moments that had not reached the tape.

Known weakness: it takes as long as reading the tape does, and nothing is recorded meanwhile. A
recording could begin at once, if its first epochs did not depend on how the torn tape ends.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import structlog

from booktape.core.frames import KILLED, ROTATED, Frame, SegmentEnd, SegmentStart
from booktape.errors import StoreError
from booktape.store.clearing import clear_segment
from booktape.store.found import lineage_of, unsealed_segments
from booktape.store.layout import Layout, Segment
from booktape.store.patience import patiently
from booktape.store.reading import beginning, read_tape
from booktape.store.recording import Recording
from booktape.store.sealing import writing
from booktape.store.writer import SegmentWriter

BREATH_FRAMES: Final = 100
"""After so many frames whoever waits for a recovery may look up."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Recovered:
    """A segment that a killed recorder had left unsealed, and that is sealed now."""

    segment: str
    frames: int


def recover(layout: Layout, worker: Executor) -> Iterator[Recovered | None]:
    """Seal every segment that is not, oldest first; each is yielded, and None every now and then.

    Whoever does not want to wait any more may leave it there: like a recovery that is killed, it
    begins anew.
    """
    unsealed = unsealed_segments(layout)
    starts = {segment: _first_line(layout, segment) for segment in unsealed}
    begun = [beginning(segment, start) for segment, start in starts.items() if start]
    lineage = lineage_of(layout, begun)
    for segment, start in starts.items():
        if layout.tape(segment).exists() or not _found_tape(layout, segment):
            yield from patiently(partial(_remove, layout, segment))
        elif start:
            # A segment that has a successor had been left in good order.
            reason = ROTATED if lineage.after[segment] else KILLED
            log.warning("recovering what a killed recorder left", segment=segment.name)
            frames = yield from _replay(layout, segment, start, reason, worker)
            log.warning("recovered", segment=segment.name, frames=frames)
            yield Recovered(segment.name, frames)
        # Else its very beginning was damaged, which no kill does: it is left for a person.


def _found_tape(layout: Layout, segment: Segment) -> Path | None:
    """The tape of an unsealed segment; None before its first lines were complete."""
    paths = layout.torn_tape(segment), layout.writing_tape(segment)
    return next((path for path in paths if path.exists() and path.stat().st_size), None)


def _first_line(layout: Layout, segment: Segment) -> SegmentStart | None:
    """How an unsealed tape begins; None when there is nothing to recover."""
    path = _found_tape(layout, segment)
    try:
        first = next(read_tape(path, torn=True), None) if path else None
    except OSError as error:
        raise StoreError(
            f"Cannot read {path}: {error.strerror}. It holds what a killed recorder left. Make it "
            "readable, then start again."
        ) from error
    return first if isinstance(first, SegmentStart) else None


def _set_aside(layout: Layout, segment: Segment) -> None:
    """The tape to recover from, alone in its folder.

    It is moved aside first: should recovery be killed too, the next one finds it again.
    """
    written, torn = layout.writing_tape(segment), layout.torn_tape(segment)
    with writing(torn):
        if not torn.exists():
            written.rename(torn)
        clear_segment(layout, segment, but=torn)


def _remove(layout: Layout, segment: Segment) -> None:
    with writing(layout.unsealed_of(segment)):
        # It may be tried again after it has been gone half-way.
        clear_segment(layout, segment)


def _replay(
    layout: Layout, segment: Segment, start: SegmentStart, reason: str, worker: Executor
) -> Generator[None, None, int]:
    """Record the torn tape once more, and seal. Returns how many frames it held."""
    yield from patiently(partial(_set_aside, layout, segment))
    frames = read_tape(layout.torn_tape(segment), torn=True)
    next(frames)
    recording = Recording(layout, segment, worker)
    recording.begin(start, ())
    return 1 + (yield from record_again(recording, frames, reason))


def record_again(
    recording: Recording, frames: Iterator[Frame], reason: str
) -> Generator[None, None, int]:
    """Take every frame of a tape but its first, and seal. Returns how many they were.

    It ends as the tape does, or for this `reason` where that does not say. Whoever leaves it early
    leaves everything unsealed.
    """
    count = 0
    for frame in frames:
        if isinstance(frame, SegmentEnd):
            reason, recording.last_ns = frame.reason, frame.received_ns
            # What follows is said anew; but only at the very end a checksum proves the last lines.
            for _ in frames:
                pass
            break
        for _ in recording.take(frame):
            pass  # what it asks of the exchange has been answered, or never was
        # Also after one that no row follows from: its line waits to be written.
        if recording.writer.wants_flush:
            yield from _flush(recording.writer)
        count += 1
        if not count % BREATH_FRAMES:
            yield
    recording.end(reason)
    yield from patiently(recording.writer.flush)
    yield from patiently(lambda: recording.writer.seal().result())
    return count


def _flush(writer: SegmentWriter) -> Iterator[None]:
    """Bring to the disk what waits for it; yields while the disk is full."""
    yield from patiently(writer.flush)
    busy = writer.busy
    if busy:
        busy.exception()  # waits for it; what it met is raised by the next flush
