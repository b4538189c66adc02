"""Iterating never passes a gap silently."""

from __future__ import annotations

import shutil
from itertools import pairwise
from pathlib import Path

import pytest

import booktape
from reader.conftest import CUTS
from reader.truth import moment, truths


@pytest.mark.parametrize("name", ["sealed", "running"])
def test_rows_come_with_their_gaps_between_them(name: str, request: pytest.FixtureRequest) -> None:
    """Every row once; where the epoch changes, the gap with its reason."""
    items = list(booktape.open(request.getfixturevalue(name)).snapshots("BTCUSDT"))
    books = [item for item in items if isinstance(item, booktape.Book)]
    assert [b.update_id for b in books] == [t.update_id for t in truths("BTCUSDT")]
    assert sum(isinstance(item, booktape.Gap) for item in items) == len(CUTS)
    for before, after in pairwise(items):
        if isinstance(before, booktape.Book) and isinstance(after, booktape.Book):
            assert before.epoch == after.epoch
        elif isinstance(after, booktape.Gap):
            assert isinstance(before, booktape.Book)
            assert (after.epoch, after.reason) == (before.epoch, "disconnected")
            assert after.last_update_id == before.update_id


@pytest.mark.parametrize(
    ("start", "end", "kinds"),
    [
        (42, 48, "G"),  # nothing but a gap
        (39, 41, "BG"),  # it begins with the book's last second
        (45, 52, "GBB"),
        (50, 52, "BB"),  # at its end the book is known
        (0, 40, "B" * 40),  # at its start too
    ],
)
def test_a_gap_at_the_edge_of_a_query_is_shown(
    rec: booktape.Recording, start: int, end: int, kinds: str
) -> None:
    """Before the first row, after the last one, or with no row at all."""
    items = rec.snapshots("BTCUSDT", moment(start), moment(end))
    assert "".join(type(item).__name__[0] for item in items) == kinds
    gaps = [item for item in items if isinstance(item, booktape.Gap)]
    assert items.gaps() == gaps


def test_epochs_without_a_gap_between_them_get_one(sealed: Path, tmp_path: Path) -> None:
    """The files that declared it are missing: an undeclared gap appears between the right rows."""
    root = tmp_path / "copy"
    shutil.copytree(sealed, root)
    shutil.rmtree(root / "gaps")
    items = list(booktape.open(root).snapshots("BTCUSDT", depth=1))
    gaps = [item for item in items if isinstance(item, booktape.Gap)]
    assert [(g.reason, g.epoch) for g in gaps] == [("undeclared", 1), ("undeclared", 2)]
    assert [(g.last_update_id, g.next_update_id, g.missed_updates) for g in gaps] == [
        (39, 50, 10),
        (149, 160, 10),
    ]
    assert gaps[0].covers(moment(45))
    assert not gaps[0].covers(moment(50))


def test_keeping_a_book_keeps_nothing_else_in_memory(rec: booktape.Recording) -> None:
    """Its arrays are its own, and may be changed."""
    book = next(b for b in rec.snapshots("BTCUSDT") if isinstance(b, booktape.Book))
    assert book.bid_price.base is None
    book.bid_price[0] = 1.0
    assert len(book.bid_price) == len(book.bid_size) == 20
