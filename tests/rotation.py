"""A new segment, all at once, for whoever has no loop to serve meanwhile."""

from __future__ import annotations

from concurrent.futures import Future

from booktape.store.recording import Recording


def rotate(recording: Recording, now_ns: int) -> Future[None]:
    """The result is there when the segment before is sealed."""
    for _ in recording.open_next(now_ns):
        pass
    return recording.seal_last()
