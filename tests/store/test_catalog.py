"""The content of an archive, by the names of its files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from booktape.store.catalog import (
    free_segment,
    newest_rows,
    sealed_tapes,
    unsealed_segments,
)
from booktape.store.layout import Layout, Segment

DAY_US: Final = 86_400 * 10**6
BTC, ETH = "BTCUSDT", "ETHBTC"


def touch(*paths: Path) -> None:
    """Empty files: only their names count."""
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


def test_tapes_are_found_in_order(layout: Layout) -> None:
    """Oldest first over all days, without foreign files."""
    assert sealed_tapes(layout) == []
    ours = [Segment(us, "f") for us in (5 * DAY_US, 10, 9, DAY_US)]
    touch(*map(layout.tape, ours))
    some = layout.tape(ours[0])
    touch(some.with_name("zzz.jsonl.zst"), some.with_name("notes.txt"))
    touch(some.with_name(f"{Segment(5 * DAY_US + 1, 'f').name}.jsonl.zst.part"))
    touch(layout.root / "tape" / "notes.txt", layout.root / "tape" / "date=of-nothing")
    assert sealed_tapes(layout) == [ours[2], ours[1], ours[3], ours[0]]


def test_a_file_in_the_folder_of_another_day_does_not_count(layout: Layout) -> None:
    """Its name would not lead to it."""
    segment = Segment(5, "f")
    touch(layout.root / "tape" / "date=1970-01-02" / layout.tape(segment).name)
    assert sealed_tapes(layout) == []
    touch(layout.tape(segment))
    assert sealed_tapes(layout) == [segment]


def test_only_our_folders_are_unsealed_segments(layout: Layout) -> None:
    """Oldest first; stray files and folders with other names are not ours."""
    assert unsealed_segments(layout) == []
    old, new = Segment(1, "b"), Segment(2, "a")
    for name in (new.name, old.name, "lost+found", f"{new.name}.bak", "20261122T1Z-a"):
        (layout.unsealed / name).mkdir(parents=True)
    touch(layout.unsealed_of(Segment(3, "c")), layout.unsealed / "notes.txt")
    assert unsealed_segments(layout) == [old, new]


def test_the_newest_rows_of_a_symbol_are_found(layout: Layout) -> None:
    """The last over all days, of this symbol alone; foreign files are ignored."""
    assert not list(newest_rows(layout, BTC))
    first, last, later = Segment(1, "f"), Segment(DAY_US, "f"), Segment(2 * DAY_US, "f")
    for segment in (last, first):
        touch(layout.rows(segment, BTC))
    touch(layout.rows(later, ETH), layout.rows(later, BTC).with_name("zzz.parquet"))
    assert list(newest_rows(layout, BTC)) == [last, first]
    touch(layout.rows(Segment(DAY_US + 1, "a"), BTC))
    assert next(newest_rows(layout, BTC)) == Segment(DAY_US + 1, "a")


def test_the_newest_rows_are_found_by_reading_one_day(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even in an archive of years, with more than a thousand symbols."""
    for days in range(3):
        touch(layout.rows(Segment(days * DAY_US, "f"), BTC))
    looked: list[str] = []
    really = Path.iterdir

    def iterdir(path: Path) -> Iterator[Path]:
        looked.append(path.name)
        return iter(list(really(path)))

    monkeypatch.setattr(Path, "iterdir", iterdir)
    assert next(newest_rows(layout, BTC)) == Segment(2 * DAY_US, "f")
    assert looked == ["symbol=BTCUSDT", "date=1970-01-03"]


def test_a_name_is_used_only_once(layout: Layout) -> None:
    """A clock may be set back to the very microsecond at which a segment began."""
    assert free_segment(layout, 5_999, "f") == Segment(5, "f")
    touch(layout.tape(Segment(5, "f")))
    layout.unsealed_of(Segment(6, "f")).mkdir(parents=True)
    assert free_segment(layout, 5_999, "f") == Segment(7, "f")
    assert free_segment(layout, 5_999, "g") == Segment(5, "g")
