"""Driving a recording without a loop: for tests in which nothing else runs while the disk works."""

from __future__ import annotations

from concurrent.futures import Future, wait

from booktape.core.tape_records import TapeRecord
from booktape.store.session import RecordingSession


def rotate(recording: RecordingSession, now_ns: int) -> Future[None]:
    """A new segment, all at once. The result is there when the previous segment is sealed."""
    recording.rotate(now_ns)
    while recording.write_next_of_opening():
        pass
    recording.writer.flush()
    (last,) = recording.take_ended()
    return last.seal()


def finish(recording: RecordingSession, reason: str) -> Future[None]:
    """The end of a recording. The result is there when its last segment is sealed."""
    recording.end(reason)
    recording.writer.flush()
    (last,) = recording.take_ended()
    return last.seal()


def follow(recording: RecordingSession, frame: TapeRecord) -> None:
    """Handle a frame, and write the row groups that are full."""
    for _ in recording.handle(frame):
        pass
    if recording.writer.wants_flush:
        recording.writer.flush()
        backlog = recording.writer.backlog
        if backlog:
            wait([backlog])
