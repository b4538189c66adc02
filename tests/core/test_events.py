"""The nouns hold what they are given, and a gap counts what it missed."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from booktape.core.events import BookRow, FetchSnapshot, Gap


def gap(next_update_id: int | None) -> Gap:
    return Gap("BTCUSDT", 1, 10, 100, "disconnected", 20, next_update_id)


@pytest.mark.parametrize(("next_update_id", "missed"), [(100, 0), (101, 0), (102, 1), (150, 49), (90, -11)])
def test_gap_counts_ids_between_two_known_states(next_update_id: int, missed: int) -> None:
    """Both ends are known, so only what lies strictly between was missed; ids may fall back."""
    assert gap(next_update_id).missed_updates == missed


def test_open_gap_has_missed_nobody_knows_how_many() -> None:
    """While a gap is open the number of missed updates is not known."""
    assert gap(None).missed_updates is None


def test_nouns_cannot_be_changed() -> None:
    """What the exchange said and what the core said back is history."""
    with pytest.raises(FrozenInstanceError):
        FetchSnapshot("BTCUSDT", 1).attempt = 2  # type: ignore[misc]


def test_rows_are_compared_by_identity() -> None:
    """Arrays have no single truth value, so a row's equality does not pretend to have one."""
    none = np.array([])
    one, other = (
        BookRow("BTCUSDT", None, 1, 2, 3, 0, none, none, none, none, None, None) for _ in range(2)
    )
    assert one != other
