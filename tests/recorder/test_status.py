"""A recorder's status is a value that cannot be changed."""

from __future__ import annotations

import pytest

from booktape.recorder.status import BookStatus, RecorderStatus
from core.frozen import check_frozen


def test_a_status_is_a_value() -> None:
    """Two looks at the same moment are equal."""
    books = (BookStatus("BTCUSDT", "live", 1, 20, 7_500, 0.01, 3, 0),)
    status = RecorderStatus(books, 1, 1, 3, 0, 25, 0, 0.4, 1, "2026-11-22T10-00-00Z")
    assert status == RecorderStatus(books, 1, 1, 3, 0, 25, 0, 0.4, 1, "2026-11-22T10-00-00Z")


@pytest.mark.parametrize("kind", [BookStatus, RecorderStatus])
def test_a_status_is_of_one_moment(kind: type) -> None:
    """Later it still says what was true then; and it has no dict of its own."""
    check_frozen(kind)
