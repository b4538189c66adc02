"""Driving a recording without a loop: for tests in which nobody waits for the disk meanwhile."""

from __future__ import annotations

from concurrent.futures import Future, wait

from booktape.core.frames import Frame
from booktape.store.recording import Recording


def rotate(recording: Recording, now_ns: int) -> Future[None]:
    """A new segment, all at once. The result is there when the segment before is sealed."""
    recording.rotate(now_ns)
    while recording.save_next():
        pass
    recording.writer.flush()
    (last,) = recording.ended()
    return last.seal()


def finish(recording: Recording, reason: str) -> Future[None]:
    """The end of a recording. The result is there when its last segment is sealed."""
    recording.end(reason)
    recording.writer.flush()
    (last,) = recording.ended()
    return last.seal()


def follow(recording: Recording, frame: Frame) -> None:
    """Take a frame of the past, and write what is full."""
    for _ in recording.take(frame):
        pass
    if recording.writer.wants_flush:
        recording.writer.flush()
        busy = recording.writer.busy
        if busy:
            wait([busy])
