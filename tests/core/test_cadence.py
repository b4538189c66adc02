"""When an applied event becomes a row."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from booktape.core.cadence import is_due


def test_every_event_is_due_at_one() -> None:
    """N = 1 writes a row after every event."""
    assert all(is_due(updates, 1) for updates in range(10))


@given(every=st.integers(1, 1_000), epoch=st.integers(0, 50))
def test_rows_are_exactly_n_apart(every: int, epoch: int) -> None:
    """From the snapshot on (0 events), one row in every N events and never another."""
    due = [updates for updates in range(epoch * every + every) if is_due(updates, every)]
    assert due == [n * every for n in range(epoch + 1)]
