"""What must hold after any failure of a recorder, once the next one has started."""

from __future__ import annotations

from pathlib import Path

from booktape.core.gap_reasons import KILLED
from store.contents import (
    assert_only_whole_files,
    digests,
    end_of_tape,
    records_on_tape,
    stored,
    tapes,
)
from store.small_recording import OPENING, RECORDS, expected, standing
from support.archives import open_archive, past_of


def assert_recovers(root: Path, safe: int) -> None:
    """After the next start, rows and gaps contain every record of the tape, at least the `safe` ones."""
    assert_only_whole_files(root)
    records = records_on_tape(root)
    assert records == list(RECORDS[: len(records)])
    assert len(records) >= safe
    reason = (end_of_tape(root) if tapes(root) else None) or KILLED
    truth = expected(records, reason)
    with open_archive(root) as archive:
        assert stored(root) == truth
        if records:
            past = past_of(archive, OPENING.symbols, 0).values()
            assert standing(past) == standing(truth.books.checkpoints(0))
        assert not list(root.glob("unsealed/*"))
        assert records_on_tape(root) == records
    once = assert_only_whole_files(root)
    with open_archive(root) as again:
        assert again.recovered == []
    assert digests(root) == once
