"""A recorder that never ends, for a test that kills it: `python -m store.endless DIR`.

Real threads, small row groups, a rotation now and then. After each flush it says how many records
are safe.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Final

from booktape.core.tape_records import TapeRecord
from booktape.store import parquet_file
from support.archives import open_archive
from support.oracle import SECOND, connected, event, rest, snapshot, start, stream
from support.rotation import rotate

OPENING: Final = start(every=3)


def records() -> Iterator[TapeRecord]:
    """One symbol's events, one a second; every hundredth was preceded by a loss."""
    yield connected(1)
    at = update_id = 10
    while True:
        update_id += 5
        yield rest(snapshot(update_id, {"100": "1"}, {"101": "1"}), at)
        for n in range(100):
            at, update_id = at + 1, update_id + 1
            yield stream(event(update_id, update_id, {f"{90 - n % 50}": "1"}), at)
        update_id, at = update_id + 5, at + 1
        yield stream(event(update_id, update_id), at)


def main(root: Path) -> None:
    parquet_file.GROUP_ROWS = 7  # type: ignore[misc]
    sealing: list[Future[None]] = []
    with open_archive(root) as archive:
        recording = archive.begin(OPENING, "first")
        for count, record in zip(itertools.count(1), records(), strict=False):
            recording.handle(record)
            if count % 20 == 0:
                recording.writer.flush()
                print(count, flush=True)  # noqa: T201 - the parent reads it
            if count % 330 == 0:
                now_ns = record.received_ns + SECOND // 2
                sealing.append(rotate(recording, now_ns))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
