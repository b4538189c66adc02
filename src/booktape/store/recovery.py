"""After a `kill -9`: what was left unsealed is recorded once more, from its tape.

The same function over the same frames gives the same rows, so the result is what the recorder
would have written, minus at most the last moments that had not reached the tape.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from booktape.core.frames import KILLED, ROTATED, Frame, SegmentEnd, SegmentStart
from booktape.store.layout import Layout, Segment
from booktape.store.recording import Recording
from booktape.store.sealing import writing
from booktape.store.tape import read_tape


@dataclass(frozen=True, slots=True)
class Recovered:
    """A segment that a killed recorder had left unsealed, and that is sealed now."""

    segment: str
    frames: int


def recover(layout: Layout, worker: Executor) -> Iterator[Recovered]:
    """Seal every segment that is not, oldest first. Safe to be killed at any moment, too."""
    unsealed = layout.unsealed_segments()
    for segment in unsealed:
        # A segment that has a successor had been left in good order.
        reason = KILLED if segment == unsealed[-1] else ROTATED
        torn = _torn_tape(layout, segment)
        frames = _replay(layout, segment, torn, reason, worker) if torn else 0
        if frames:
            yield Recovered(segment.name, frames)
        else:
            shutil.rmtree(layout.torn_tape(segment).parent)


def _torn_tape(layout: Layout, segment: Segment) -> Path | None:
    """The tape to recover from, alone in its folder; None when the segment is sealed or empty.

    It is moved aside first: should recovery be killed too, the next one finds it again.
    """
    written, torn = layout.writing_tape(segment), layout.torn_tape(segment)
    if layout.tape(segment).exists():
        return None
    with writing(torn):
        if written.exists() and not torn.exists():
            written.rename(torn)
        for half_done in torn.parent.iterdir():
            if half_done != torn:
                half_done.unlink()
    return torn if torn.exists() else None


def _replay(layout: Layout, segment: Segment, torn: Path, reason: str, worker: Executor) -> int:
    """Record the torn tape once more, and seal. Returns how many frames it held."""
    frames = read_tape(torn, torn=True)
    start = next(frames, None)
    if not isinstance(start, SegmentStart):
        return 0
    recording = Recording(layout, segment, worker)
    recording.begin(start, ())
    count = 1
    for frame in frames:
        if isinstance(frame, SegmentEnd):
            reason = frame.reason
            break
        _take(recording, frame)
        count += 1
    recording.end(reason).result()
    return count


def _take(recording: Recording, frame: Frame) -> None:
    """Follow a frame of the past: what it asks of the exchange has been answered, or never was."""
    for _ in recording.take(frame):
        busy = recording.writer.busy
        if busy:
            busy.result()
            recording.writer.flush()
