"""What books take when an exchange makes them grow to their limit: `make bench BENCH=tests/bench/test_largest_books.py`.

In the figures of SECURITY.md. Promises nothing.
"""

from __future__ import annotations

import gc
import resource
from pathlib import Path
from typing import Final

import pytest

from booktape.checks.book_checks import LEVELS_MAX
from booktape.core.book import OrderBook
from booktape.core.events import DepthEvent, Level

pytestmark = pytest.mark.bench

SYMBOLS: Final = 1_400
EVENT_LEVELS: Final = 5_000
"""A side in each event: some hundred kilobytes, as a flood would send it."""


def resident_mb() -> float:
    """What this process holds now, of the machine's memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def flood(book: OrderBook) -> None:
    """Events with other levels each, until the book is at its limit. Nothing reads it meanwhile."""
    for first in range(0, LEVELS_MAX // 2, EVENT_LEVELS):
        bids: list[Level] = [(1e6 - n / 100, 1.0 + n) for n in range(first, first + EVENT_LEVELS)]
        asks: list[Level] = [(1e6 + n / 100, 1.0 + n) for n in range(first, first + EVENT_LEVELS)]
        book.apply(DepthEvent("X", 0, first, first, bids, asks))


def test_a_book_at_its_limit(capsys: pytest.CaptureFixture[str]) -> None:
    """Before its levels are sorted in, afterwards, and the same of 1,400 books."""
    book = OrderBook()
    gc.collect()
    before_mb = resident_mb()
    flood(book)
    gc.collect()
    pending_mb = resident_mb() - before_mb
    assert book.count() == LEVELS_MAX
    gc.collect()
    sorted_mb = resident_mb() - before_mb
    lines = [
        f"{name}: {one_mb:,.0f} MB a book, {one_mb * SYMBOLS / 1e3:,.0f} GB for {SYMBOLS:,} of them"
        for name, one_mb in (("not sorted in", pending_mb), ("sorted in", sorted_mb))
    ]
    with capsys.disabled():
        print("\n\n" + "\n".join(lines))
