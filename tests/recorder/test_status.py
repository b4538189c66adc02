"""A recorder's status is a value that cannot be changed, and puts the books with trouble first."""

from __future__ import annotations

import pytest

from booktape.recorder.status import (
    OLD_EVIDENCE_NS,
    BookStatus,
    BookTop,
    RecorderStatus,
    Trouble,
    by_trouble,
)
from core.frozen import check_frozen


def test_a_status_is_a_value() -> None:
    """Two looks at the same moment are equal."""
    books = (BookStatus("BTCUSDT", "live", 1, 20, 3, 0, top=BookTop(7_500, 9.5, 9.6)),)
    status = RecorderStatus(5, 1, books, 25, 0, 0.4, 1, 1, 700, "2026-11-22T10-00-00Z")
    assert status == RecorderStatus(5, 1, books, 25, 0, 0.4, 1, 1, 700, "2026-11-22T10-00-00Z")


def test_books_with_trouble_come_first() -> None:
    """The worst comes first, equal ones are sorted by name; an ended symbol is no trouble."""
    now_ns = 2 * OLD_EVIDENCE_NS
    fresh, old = now_ns - OLD_EVIDENCE_NS, now_ns - OLD_EVIDENCE_NS - 1
    books = {
        "H": BookStatus("H", "ended", 1, 0, 0, 1),
        "G": BookStatus("G", "live", 1, 0, 0, 0, evidence_ns=fresh),
        "F": BookStatus("F", "live", 1, 0, 0, 0, evidence_ns=fresh),
        "E": BookStatus("E", "live", 1, 0, 0, 1, evidence_ns=fresh),
        "D": BookStatus("D", "live", 1, 0, 0, 1, evidence_ns=fresh, failed_checks=1),
        "C": BookStatus("C", "live", 1, 0, 0, 1, evidence_ns=old, failed_checks=1),
        "B": BookStatus("B", "syncing", 1, 0, 0, 0, "id_gap", fresh),
        "A": BookStatus("A", "cold", 0, 0, 0, 0),
    }
    assert [book.symbol for book in by_trouble(books.values(), now_ns)] == [*"ABCDEFGH"]
    assert books["G"].trouble(now_ns) is Trouble.NONE


def test_totals_include_all_books() -> None:
    """Even books that are not shown; the oldest evidence is that of a known book."""
    books = (
        BookStatus("A", "cold", 1, 9, 10, 2, "disconnected", 5, failed_checks=1),
        BookStatus("B", "live", 1, 9, 20, 1, "", 50),
        BookStatus("C", "live", 1, 9, 30, 0, "", 40, failed_checks=2),
    )
    status = RecorderStatus(3_600 * 10**9, 0, books, 25, 0, 0.4, 1, 1, 700, "first")
    assert (status.known, status.rows, status.gaps, status.failed_checks) == (2, 60, 3, 3)
    assert status.oldest_evidence_ns == 40
    assert status.bytes_an_hour == 700
    assert RecorderStatus(1, 1, (), 0, 0, 0.0, 0, 0, 0, "").oldest_evidence_ns is None


@pytest.mark.parametrize("kind", [BookTop, RecorderStatus])
def test_a_status_describes_one_moment(kind: type) -> None:
    """It does not change later. A `BookStatus` could be changed: freezing a thousand costs too much."""
    check_frozen(kind)
