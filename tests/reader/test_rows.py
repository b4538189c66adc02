"""Which rows a query gives: exactly those of its time, cut to its depth, one group at a time."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import booktape
from booktape.errors import NotRecorded
from booktape.reader import Book
from booktape.reader.archive_files import ArchiveFile, ArchiveFiles
from booktape.reader.rows import LISTS, SCHEMA, RowQuery, batches
from reader.day import SYMBOLS, write
from reader.truth import moment, truths
from store.small_recording import OPENING, RECORDS, expected, perform, record
from support.archives import open_archive


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_every_row_is_the_oracles_book(rec: booktape.Recording, symbol: str) -> None:
    """All of them, in order, across segments and epochs."""
    rows = rec.snapshots(symbol).to_arrow().to_pylist()
    true = list(truths(symbol))
    assert len(rows) == len(true) > 250
    for row, truth in zip(rows, true, strict=True):
        assert row["symbol"] == symbol
        assert row["receive_time"] == moment(truth.second)
        assert (row["update_id"], row["epoch"]) == (truth.update_id, truth.epoch)
        assert list(zip(row["bid_price"], row["bid_size"], strict=True)) == truth.bids
        assert list(zip(row["ask_price"], row["ask_size"], strict=True)) == truth.asks


def test_a_query_includes_its_start_and_excludes_its_end(
    rec: booktape.Recording, running: Path
) -> None:
    """For any range, including one that begins or ends between rows, or lies outside."""
    everything = rec.snapshots("BTCUSDT").to_arrow()
    times: list[Any] = everything["receive_time"].to_pylist()
    dice = random.Random(1)
    for _ in range(20):
        start, end = (moment(dice.randrange(-20, 640) / 2) for _ in range(2))
        wanted = [start <= time < end for time in times]
        for archive in (rec, booktape.open(running)):
            found = archive.snapshots("BTCUSDT", start, end).to_arrow()
            assert found == everything.filter(pa.array(wanted)), (start, end)


def test_depth_shortens_the_lists_and_nothing_else(rec: booktape.Recording) -> None:
    """The best levels remain; a depth beyond the book changes nothing."""
    whole = rec.snapshots("BTCUSDT").to_arrow()
    top = rec.snapshots("BTCUSDT", depth=3).to_arrow()
    for name in SCHEMA.names:
        column: list[Any] = whole[name].to_pylist()
        assert top[name].to_pylist() == ([v[:3] for v in column] if name in LISTS else column)
    assert rec.snapshots("BTCUSDT", depth=999).to_arrow() == whole


@pytest.mark.parametrize("depth", [None, 2])
def test_the_unsealed_end_reads_as_it_will_once_sealed(
    rec: booktape.Recording, running: Path, depth: int | None
) -> None:
    """Row by row; `unsealed=False` leaves it out."""
    later = booktape.open(running)
    for symbol in SYMBOLS:
        sealed = rec.snapshots(symbol, depth=depth).to_arrow()
        assert later.snapshots(symbol, depth=depth).to_arrow() == sealed
    without = booktape.open(running, unsealed=False).snapshots("BTCUSDT").to_arrow()
    assert 0 < without.num_rows < sealed.num_rows
    last: Any = without["receive_time"].to_pylist()[-1]
    assert last < moment(200)


def test_a_row_whose_event_was_held_over_midnight_is_found(tmp_path: Path) -> None:
    """The date in its file's name differs from the date of its stamp."""
    write(tmp_path, 3, segment_s=100)
    folder = tmp_path / "snapshots" / "symbol=BTCUSDT"
    (file,) = folder.glob("*/*.parquet")
    name = file.name.replace("20260609", "20260610")
    (folder / "date=2026-06-10").mkdir()
    file.rename(folder / "date=2026-06-10" / name)
    rows = booktape.open(tmp_path).snapshots("BTCUSDT", moment(1), moment(2))
    assert rows.to_arrow().num_rows == 1


def test_footers_of_files_of_other_times_are_read_once(
    sealed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A query for another week reads only the footers of the files; the next one reads nothing."""
    place = ArchiveFiles.find(sealed)
    opened: list[str] = []
    really = place.open

    def opening(file: ArchiveFile) -> pa.NativeFile:
        opened.append(file.path)
        return really(file)

    monkeypatch.setattr(place, "open", opening)
    monkeypatch.setattr(
        pq.ParquetFile, "read_row_groups", lambda *_, **__: pytest.fail("rows read")
    )
    week_us = 7 * 86_400_000_000
    files = place.rows("BTCUSDT")
    end_us = files[0].segment.start_us - week_us
    for _ in range(2):
        assert list(batches(place, RowQuery("BTCUSDT", end_us=end_us))) == []
    assert opened == [file.path for file in files]


def test_row_groups_of_other_times_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A minute touches one or two groups of a long file."""
    write(tmp_path, 2_000, segment_s=3_600)
    read: list[int] = []
    whole = pq.ParquetFile.read_row_groups

    def reading(self: pq.ParquetFile, row_groups: list[int], columns: list[str]) -> pa.Table:
        read.extend(row_groups)
        return whole(self, row_groups, columns=columns)

    monkeypatch.setattr(pq.ParquetFile, "read_row_groups", reading)
    rec = booktape.open(tmp_path)
    assert rec.snapshots("BTCUSDT", moment(1_500), moment(1_560)).to_arrow().num_rows == 60
    assert read == [2]


def test_memory_is_that_of_one_group(tmp_path: Path) -> None:
    """Six groups need no more than two, if they are not kept."""
    peaks = []
    for seconds in (1_200, 3_600):
        write(tmp_path / str(seconds), seconds, segment_s=86_400)
        before = pa.total_allocated_bytes()
        rows, held = 0, []
        for batch in booktape.open(tmp_path / str(seconds)).snapshots("BTCUSDT").batches():
            rows += batch.num_rows
            held.append(pa.total_allocated_bytes() - before)
        assert rows == seconds
        peaks.append(max(held))
    assert 0 < peaks[1] < 1.5 * peaks[0]


def test_a_long_unsealed_end_comes_in_batches_too(tmp_path: Path) -> None:
    """Each has at most as many rows as a row group, and together they have all rows."""
    write(tmp_path, 700, segment_s=3_600, seal=False)
    found = list(booktape.open(tmp_path).snapshots("BTCUSDT", depth=1).batches())
    assert [batch.num_rows for batch in found] == [600, 100]


def test_a_missing_symbol_is_reported(rec: booktape.Recording) -> None:
    """The error lists the existing ones; a symbol without rows in the requested time is not a mistake."""
    with pytest.raises(NotRecorded, match=r"has no data for BTCUSD\. It has: BTCUSDT, ETHUSDT.$"):
        rec.snapshots("BTCUSD").to_arrow()
    assert rec.snapshots("BTCUSDT", "1999-01-01T00:00Z", "1999-01-02T00:00Z").to_arrow() == (
        SCHEMA.empty_table()
    )


def test_a_recording_that_has_just_begun_can_be_read(tmp_path: Path) -> None:
    """Its symbols and rows are there before the first segment is sealed."""
    write(tmp_path, 5, segment_s=100, seal=False)
    rec = booktape.open(tmp_path)
    assert rec.symbols() == list(SYMBOLS)
    assert rec.snapshots("BTCUSDT").to_arrow().num_rows == 5
    assert booktape.open(tmp_path, unsealed=False).symbols() == []


def test_a_recording_with_everything_can_be_read(tmp_path: Path) -> None:
    """Two connections, garbage, a symbol that is not ASCII: as the function produces it, nulls included."""
    record(tmp_path)
    rec = booktape.open(tmp_path)
    truth = expected(RECORDS)
    assert rec.symbols() == sorted(truth.rows)
    for symbol, rows in truth.rows.items():
        table = rec.snapshots(symbol).to_arrow().drop_columns(["symbol"])
        columns = [
            c.cast(pa.int64()) if pa.types.is_timestamp(c.type) else c for c in table.columns
        ]
        found = list(zip(*(column.to_pylist() for column in columns), strict=True))
        assert found == rows


def test_a_half_sealed_segment_is_not_read_twice(tmp_path: Path) -> None:
    """One symbol's file has its final name already, the other's rows come from the tape."""
    with open_archive(tmp_path) as archive:
        perform(archive)
    (tape,) = sorted(tmp_path.glob("tape/*/*"))[-1:]
    whole = {s: booktape.open(tmp_path).snapshots(s).to_arrow() for s in OPENING.symbols}
    segment = tape.name.removesuffix(".jsonl.zst")
    unsealed = tmp_path / "unsealed" / segment
    unsealed.mkdir(parents=True)
    tape.rename(unsealed / "tape.jsonl.zst")
    (tmp_path / "snapshots" / "symbol=BTCUSDT" / tape.parent.name / f"{segment}.parquet").unlink()
    assert {s: booktape.open(tmp_path).snapshots(s).to_arrow() for s in OPENING.symbols} == whole


def test_which_gaps_reach_into_a_query() -> None:
    """At the ends of a gap the book was known; an open gap has no end."""
    first = moment(0)
    second = timedelta(seconds=1)
    gap = booktape.Gap("X", 1, first, first + second, 1, 2, 0, "killed")
    us = int(first.timestamp()) * 1_000_000
    assert RowQuery("X").overlaps(gap)
    assert RowQuery("X", us + 999_999, us + 10**7).overlaps(gap)
    assert not RowQuery("X", us + 1_000_000).overlaps(gap)
    assert not RowQuery("X", end_us=us).overlaps(gap)
    still = booktape.Gap("X", 1, first, None, 1, None, None, "killed")
    assert RowQuery("X", us + 10**9).overlaps(still)


def test_the_last_row_is_read_from_the_end(
    sealed: Path, running: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sealed or not, and cut to the depth; only the footers of earlier files are read."""
    for rec in (booktape.open(running), booktape.open(sealed)):
        for end in (None, moment(250), moment(100), moment(41)):
            *_, book = (
                item for item in rec.snapshots("BTCUSDT", end=end) if isinstance(item, Book)
            )
            last = rec.snapshots("BTCUSDT", end=end, depth=1).last()
            assert last is not None
            assert (last.update_id, last.best_ask) == (book.update_id, book.best_ask)
            assert len(last.bid_price) == 1
        assert rec.snapshots("BTCUSDT", end=moment(0)).last() is None
    opened = []
    original = ArchiveFiles.open

    def counting(archive: ArchiveFiles, file: ArchiveFile) -> pa.NativeFile:
        opened.append(file.path)
        return original(archive, file)

    monkeypatch.setattr(ArchiveFiles, "open", counting)
    assert rec.snapshots("BTCUSDT").last() is not None
    assert len(opened) == 1
