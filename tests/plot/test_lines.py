"""Lines of best levels: nothing is drawn where nothing was known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import booktape
from booktape.core.gap_reasons import STOPPED
from booktape.errors import NotRecorded
from booktape.plot.lines import line, read_grid
from booktape.reader.book_grid import BookGrid
from booktape.reader.time_range import TimeRange
from plot.drawn import when
from reader.day import BEGIN_S, opening, opening_book, tick
from reader.truth import moment
from support.archives import open_archive
from support.oracle import connected, stream
from support.rotation import finish


def test_a_line_is_broken_where_the_book_was_lost(rec: booktape.Recording) -> None:
    """From the second in which the gap began to the one in which it ended."""
    grid = read_grid(rec, TimeRange.clip(rec, "BTCUSDT", None, None, 119))
    days, mids = line(grid, grid.mid)
    unknown = [when(day) for day, mid in zip(days, mids, strict=True) if np.isnan(mid)]
    assert (min(unknown), max(unknown)) == (moment(40), moment(50))
    assert set(mids[np.isfinite(mids)]) == {100.5}


def test_a_line_is_broken_at_a_gap_that_fits_between_two_points(rec: booktape.Recording) -> None:
    """Each of two one-minute intervals has a row, yet no line connects them."""
    grid = read_grid(rec, TimeRange.clip(rec, "BTCUSDT", None, None, 2))
    assert grid.best["epoch"].tolist() == [2, 2]
    wide = read_grid(rec, TimeRange.clip(rec, "BTCUSDT", moment(20), moment(80), 2))
    assert wide.best["epoch"].tolist() == [1, 2, 2]
    assert np.isnan(line(wide, wide.mid)[1]).sum() == 1


def test_a_range_inside_a_gap_has_no_picture(rec: booktape.Recording) -> None:
    """A sentence says so instead of an empty picture."""
    with pytest.raises(NotRecorded, match="no book with two sides between 00:00:42 and 00:00:48"):
        read_grid(rec, TimeRange.clip(rec, "BTCUSDT", moment(42), moment(48), 100))


def test_a_picture_begins_with_the_last_row_before_it(rec: booktape.Recording) -> None:
    """A book that did not change was known all the same; and so it was after the last row."""
    between = moment(20).replace(microsecond=100_000), moment(20).replace(microsecond=900_000)
    grid = BookGrid(rec, TimeRange.clip(rec, "BTCUSDT", *between, 100))
    assert set(grid.best["best_bid"]) == {100.0}


def test_totals_count_the_levels_that_exist(rec: booktape.Recording) -> None:
    """A side with fewer levels than requested is not unknown."""
    grid = BookGrid(rec, TimeRange.clip(rec, "BTCUSDT", moment(0), moment(1), 2))
    assert grid.total_sizes("bid", 25)[0] == 20.0


def test_a_picture_long_after_the_last_row_is_drawn(tmp_path: Path) -> None:
    """No column is made for the time between them."""
    late = 300 * 86_400
    with open_archive(tmp_path) as archive:
        recording = archive.begin(opening("BTCUSDT"), "quiet")
        recording.handle(connected(BEGIN_S, 1, ("BTCUSDT",)))
        recording.handle(opening_book("BTCUSDT", 0))
        for second in (1, 2):
            recording.handle(stream(tick("BTCUSDT", second), BEGIN_S + late + second, 1))
        finish(recording, STOPPED).result()
    rec = booktape.open(tmp_path)
    grid = BookGrid(rec, TimeRange.clip(rec, "BTCUSDT", moment(late), moment(late + 3), 600))
    assert set(grid.best["epoch"]) == {1.0}
    assert grid.count < 600
    assert np.isfinite(grid.cells(grid.prices(10, None))).all()
