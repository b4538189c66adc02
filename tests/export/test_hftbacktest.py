"""hftbacktest's arrays, read back with numpy: every book, and an empty one inside a gap."""

from __future__ import annotations

import tracemalloc
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np
import pytest

import booktape
from booktape.errors import DamagedFile
from booktape.export import hftbacktest
from booktape.export.files import Written
from booktape.export.hftbacktest import (
    BOTH,
    BUY,
    CLEAR,
    DEPTH,
    EVENT,
    SELL,
    SNAPSHOT,
    Events,
    parts,
)
from booktape.export.updates import Break, updates
from booktape.reader import Step
from booktape.reader.times import moment_us
from export.seeded_recording import record, tape_records
from export.test_updates import sides
from support.oracle import SYMBOL


def exported(rec: booktape.Recording, out: Path, part_rows: int = 1_000_000) -> list[Events]:
    """The arrays of the files, in order of their names."""
    list(parts(updates(rec.replay(SYMBOL)), out, SYMBOL, part_rows))
    return [np.load(path)["data"] for path in sorted(out.iterdir())]


@pytest.fixture
def events(rec: booktape.Recording, tmp_path: Path) -> Events:
    (found,) = exported(rec, tmp_path)
    return found


def test_the_array_has_hftbacktests_layout(events: Events) -> None:
    """Its fields in its order, 64 bytes an event, and only what a depth feed has."""
    assert events.dtype == EVENT
    assert (EVENT.itemsize, EVENT.names) == (
        64,
        ("ev", "exch_ts", "local_ts", "px", "qty", "order_id", "ival", "fval"),
    )
    kinds = {CLEAR, DEPTH | BUY, DEPTH | SELL, SNAPSHOT | BUY, SNAPSHOT | SELL}
    assert set(events["ev"].tolist()) == {BOTH | kind for kind in kinds}
    for unused in ("order_id", "ival", "fval"):
        assert not events[unused].any()


def test_each_clock_never_falls(events: Events) -> None:
    """Both processors walk through the same array, so each clock must be in order."""
    assert (np.diff(events["exch_ts"]) >= 0).all()
    assert (np.diff(events["local_ts"]) >= 0).all()


def test_every_book_comes_back(rec: booktape.Recording, events: Events) -> None:
    """At each moment at which one was complete; inside the gap there is none."""
    books = _books(events)
    expected = {}
    for item in updates(rec.replay(SYMBOL)):
        empty = isinstance(item, Break)
        expected[item.local_us * 1_000] = ({}, {}) if isinstance(item, Break) else sides(item.book)
        assert empty == (expected[item.local_us * 1_000] == ({}, {}))
    assert books == expected


def _books(events: Events) -> dict[int, tuple[dict[float, float], dict[float, float]]]:
    """The book after the last event of each local time, by hftbacktest's own rules."""
    books, bids, asks = {}, dict[float, float](), dict[float, float]()
    for ev, _, local_ns, price, size, *_ in events.tolist():
        if ev & 0xFF == CLEAR:
            bids, asks = {}, {}
        else:
            side = bids if ev & BUY else asks
            side.pop(price, None)
            if size:
                side[price] = size
        books[local_ns] = (dict(bids), dict(asks))
    return books


def test_the_book_is_cleared_where_a_gap_begins(rec: booktape.Recording, events: Events) -> None:
    """By one clear without a side, which has no range, and again before each snapshot."""
    cleared = events[events["ev"] == BOTH | CLEAR]
    gaps = [item for item in rec.replay(SYMBOL) if not isinstance(item, Step)]
    starts = [moment_us(gap.start_time) * 1_000 for gap in gaps]
    assert cleared["local_ts"][1::2].tolist() == starts
    assert len(cleared) == 2 * len(gaps)
    for before, row in pairwise(events.tolist()):
        if row[0] & 0xFF == SNAPSHOT and before[0] & 0xFF != SNAPSHOT:
            assert before[0] == BOTH | CLEAR


def test_the_book_is_empty_where_a_tape_is_missing(tmp_path: Path) -> None:
    """In the middle of an epoch: a clear, nothing, and then another clear with the whole book."""
    root = record(tmp_path / "archive", tape_records(), rotate_after=(40, 80, 120))
    sorted(root.glob("tape/*/*.zst"))[1].unlink()
    with pytest.warns(DamagedFile, match="a tape is missing"):
        (events,) = exported(booktape.open(root), tmp_path / "exported")
    (at, *_) = np.flatnonzero(events["ev"][1:] == BOTH | CLEAR) + 1
    assert [kind & 0xFF for kind in events["ev"][at : at + 3].tolist()] == [CLEAR, CLEAR, SNAPSHOT]
    assert events["local_ts"][at] < events["local_ts"][at + 1]


def test_parts_are_one_array_cut_between_updates(
    rec: booktape.Recording, events: Events, tmp_path: Path
) -> None:
    """Their names sort by time, and say when the export begins."""
    found = exported(rec, tmp_path / "parts", part_rows=500)
    assert len(found) > 3
    assert np.array_equal(np.concatenate(found), events)
    ends = set(accumulate(len(hftbacktest.events(item)) for item in updates(rec.replay(SYMBOL))))
    assert ends.issuperset(accumulate(map(len, found)))
    assert min(map(len, found[:-1])) >= 500
    assert [path.name for path in sorted((tmp_path / "parts").iterdir())][:2] == [
        "BTCUSDT_20260609T101320.330000Z-1_0000.npz",
        "BTCUSDT_20260609T101320.330000Z-1_0001.npz",
    ]


def test_the_report_matches_what_was_written(rec: booktape.Recording, tmp_path: Path) -> None:
    """Files with their rows, and each gap."""
    outcomes = list(parts(updates(rec.replay(SYMBOL)), tmp_path, SYMBOL, 500))
    files = [outcome for outcome in outcomes if isinstance(outcome, Written)]
    assert [file.rows for file in files] == [len(np.load(file.path)["data"]) for file in files]
    assert len(outcomes) - len(files) == 2


def test_memory_does_not_grow_with_the_recording(rec: booktape.Recording, tmp_path: Path) -> None:
    """Eight times as many events in parts of the same size need the same memory."""
    items = list(updates(rec.replay(SYMBOL)))

    def peak(times: int) -> int:
        tracemalloc.start()
        for _ in parts(items * times, tmp_path / str(times), SYMBOL, 500):
            pass
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(1)
    assert peak(8) < 1.5 * peak(2)
