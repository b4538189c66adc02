"""One segment: row groups of bounded size, never ahead of the tape, sealed in a safe order."""

from __future__ import annotations

import errno
import os
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from threading import Event
from types import ModuleType

import numpy as np
import pyarrow.parquet as pq
import pytest

from booktape.core.checks import Check
from booktape.core.events import BookRow, GapInterval, Note
from booktape.core.tape_records import SegmentEnd, StreamMessage
from booktape.errors import WriteFailed
from booktape.store import parquet_file
from booktape.store import segment_writer as writer_module
from booktape.store.layout import Layout, Segment
from booktape.store.schema import CHECKS, GAPS, NOTES, SNAPSHOTS
from booktape.store.segment_writer import SegmentWriter
from booktape.store.tape_reader import read_tape
from store.contents import stored, table_rows
from store.fragile import SameThread
from store.small_recording import gap_as_stored, row_as_stored

BTC, ETH = "BTCUSDT", "ETHBTC"
SEGMENT = Segment(0, "a")
END = SegmentEnd(9, "stopped")
ROW_BYTES = 32  # one level a side, each with a price and a size


def row(update_id: int, symbol: str = BTC, levels: int = 1) -> BookRow:
    side = np.arange(1, levels + 1, dtype=np.float64)
    return BookRow(
        symbol, 5, update_id * 1_000, update_id, 1, 2, side, side, side, side, None, None
    )


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


@pytest.fixture
def writer(layout: Layout) -> SegmentWriter:
    """A segment in progress, whose worker runs each task at once."""
    found = SegmentWriter(layout, SEGMENT, SameThread())
    found.mark_recoverable()
    return found


def groups(layout: Layout, symbol: str = BTC) -> list[int]:
    """How many rows each row group of a sealed file holds."""
    metadata = pq.read_metadata(layout.rows(SEGMENT, symbol))
    return [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)]


def seal(writer: SegmentWriter) -> None:
    writer.write(END)
    writer.seal().result()


def test_a_sealed_segment_contains_what_was_added(layout: Layout, writer: SegmentWriter) -> None:
    """Records, rows and gaps are under their final names, and nothing is left behind."""
    record = StreamMessage(1, 0, b"{}")
    gap = GapInterval(BTC, 1, 1_000, 5, "id_gap", 2_000, 9)
    rows = [row(n, symbol, n) for n in range(3) for symbol in (BTC, "币安USDT")]
    writer.write(record)
    for one in rows:
        writer.add_row(one)
    writer.add(gap)
    writer.add(Check(BTC, 2_000, 7, "rest", 5))
    writer.add(Note(None, 3_000, "clock_step", "1.000000"))
    assert not stored(layout.root).rows, "nothing is visible before it is sealed"
    seal(writer)
    assert list(read_tape(layout.tape(SEGMENT))) == [record, END]
    found = stored(layout.root)
    for symbol in (BTC, "币安USDT"):
        assert found.rows[symbol] == [row_as_stored(one) for one in rows if one.symbol == symbol]
    assert found.gaps == [gap_as_stored(gap)]
    assert list(found.checks) == [(BTC, 2, 7, "rest", 5, 0, "")]
    assert found.notes == [(None, 3, "clock_step", "1.000000")]
    assert list(layout.unsealed.iterdir()) == []


def test_the_space_that_a_segment_takes_is_counted(layout: Layout, writer: SegmentWriter) -> None:
    """The tape counts exactly; the rows without the end of their file, where Parquet keeps its index."""
    assert writer.written_bytes == 0
    writer.write(StreamMessage(1, 0, b"{}"))
    writer.flush()
    after_flush = writer.written_bytes
    assert after_flush == layout.writing_tape(SEGMENT).stat().st_size
    writer.add_row(row(11))
    seal(writer)
    tape_bytes = layout.tape(SEGMENT).stat().st_size
    row_bytes = layout.rows(SEGMENT, BTC).stat().st_size
    assert after_flush < tape_bytes < writer.written_bytes < tape_bytes + row_bytes


def test_a_segment_without_gaps_says_so(layout: Layout, writer: SegmentWriter) -> None:
    """Its files of gaps, checks and notes exist and are empty; a symbol without rows has no file."""
    seal(writer)
    for name, schema in {"gaps": GAPS, "checks": CHECKS, "notes": NOTES}.items():
        path = layout.table(SEGMENT, name)
        assert pq.read_schema(path).equals(schema, check_metadata=True)
        assert table_rows(path) == []
    assert not layout.snapshots.exists()


@pytest.mark.parametrize(("levels", "codec"), [(2_047, "ZSTD"), (2_048, "BROTLI")])
def test_files_are_written_with_the_measured_settings(
    layout: Layout, writer: SegmentWriter, levels: int, codec: str
) -> None:
    """Deep rows use Brotli, others zstd; there are no dictionaries, and statistics only where they help."""
    writer.add_row(row(1, levels=levels))
    seal(writer)
    file = pq.ParquetFile(layout.rows(SEGMENT, BTC))
    assert file.schema_arrow.equals(SNAPSHOTS, check_metadata=True)
    group = file.metadata.row_group(0)
    for column in (group.column(n) for n in range(group.num_columns)):
        is_list = "." in column.path_in_schema
        assert column.compression == codec
        assert not column.has_dictionary_page
        assert column.is_stats_set is not is_list


def test_the_last_row_decides_how_a_file_is_compressed(
    layout: Layout, writer: SegmentWriter
) -> None:
    """A book may start shallow: the last row of its first row group resembles the following ones."""
    writer.add_row(row(1))
    writer.add_row(row(2, levels=2_048))
    seal(writer)
    metadata = pq.read_metadata(layout.rows(SEGMENT, BTC))
    assert metadata.row_group(0).column(0).compression == "BROTLI"


@pytest.mark.parametrize(
    ("limit", "closed"),
    [
        ((parquet_file, "GROUP_ROWS", 3), [3, 3, 1]),
        ((parquet_file, "GROUP_BYTES", 2 * ROW_BYTES), [2, 2, 2, 1]),
        ((writer_module, "STAGED_BYTES", 4 * ROW_BYTES), [4, 3]),
    ],
)
def test_a_row_group_ends_in_time(
    layout: Layout,
    monkeypatch: pytest.MonkeyPatch,
    limit: tuple[ModuleType, str, int],
    closed: list[int],
) -> None:
    """It ends at its limit of rows or bytes, or when all staged rows together take too much memory."""
    monkeypatch.setattr(*limit)
    writer = SegmentWriter(layout, SEGMENT, SameThread())
    writer.mark_recoverable()
    for n in range(7):
        writer.add_row(row(n))
    seal(writer)
    assert groups(layout) == closed


def test_the_largest_row_group_ends_first(
    layout: Layout, writer: SegmentWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When memory runs short, the symbol that frees the most is written, and no longer counts."""
    monkeypatch.setattr(writer_module, "STAGED_BYTES", 10 * ROW_BYTES)
    for one in (row(1), row(1, ETH, 8), row(2), row(2, ETH), row(3), row(3, ETH)):
        writer.add_row(one)
    seal(writer)
    assert groups(layout, ETH) == [1, 2]
    assert groups(layout, BTC) == [3]


def test_no_row_is_ahead_of_the_tape(
    layout: Layout, writer: SegmentWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a row group is written, the tape on disk holds the records its rows follow from."""
    monkeypatch.setattr(parquet_file, "GROUP_ROWS", 2)
    written = SegmentWriter._write_groups
    checked = []

    def check(self: SegmentWriter, count: int) -> None:
        on_disk = list(read_tape(layout.writing_tape(SEGMENT), torn=True))
        for _, group in [self._queue[n] for n in range(count)]:
            assert on_disk[-1].received_ns >= group.rows[-1].received_ns
            checked.append(len(group.rows))
        written(self, count)

    monkeypatch.setattr(SegmentWriter, "_write_groups", check)
    for n in range(5):
        writer.write(StreamMessage(n * 1_000, 0, b"{}"))
        writer.add_row(row(n))
    writer.write(SegmentEnd(9_000, "stopped"))
    writer.seal().result()
    assert checked == [2, 2, 1]


def test_an_error_of_the_worker_is_raised_by_the_next_flush(
    layout: Layout, writer: SegmentWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a row group that cannot be written is reported soon."""
    monkeypatch.setattr(parquet_file, "GROUP_ROWS", 1)
    layout.writing_rows(SEGMENT, BTC).mkdir(parents=True)
    writer.add_row(row(1))
    with pytest.raises(WriteFailed, match=r"Cannot write .*symbol=BTCUSDT.parquet"):
        writer.flush()


def test_a_row_group_that_the_disk_refused_is_written_once(
    layout: Layout, writer: SegmentWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is already encoded: the next flush writes the same bytes, and then those that follow."""
    monkeypatch.setattr(parquet_file, "GROUP_ROWS", 1)
    for update_id in (1, 2):
        writer.add_row(row(update_id))
    really, refusals = os.pwrite, iter([True])

    def pwrite(descriptor: int, data: bytes, at: int) -> int:
        if next(refusals, False):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return really(descriptor, data, at)

    monkeypatch.setattr(os, "pwrite", pwrite)
    with pytest.raises(WriteFailed, match="the disk is full"):
        writer.flush()
    writer.flush()
    seal(writer)
    assert groups(layout) == [1, 1]


def test_an_error_of_the_worker_is_raised_by_seal(layout: Layout, writer: SegmentWriter) -> None:
    """A segment with a failed row group is not sealed: none of it becomes visible."""
    layout.writing_rows(SEGMENT, BTC).mkdir(parents=True)
    writer.add_row(row(1, ETH))
    writer.add_row(row(1))
    writer.write(END)
    with pytest.raises(WriteFailed, match=r"Cannot write .*symbol=BTCUSDT.parquet"):
        writer.seal().result()
    assert not stored(layout.root).rows
    assert list(read_tape(layout.writing_tape(SEGMENT), torn=True)) == [END]


def test_a_segment_is_busy_while_its_worker_is_behind(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When too much has been handed over, there is a task to wait for until it is written."""
    monkeypatch.setattr(parquet_file, "GROUP_ROWS", 1)
    monkeypatch.setattr(writer_module, "BACKLOG_BYTES", 2 * ROW_BYTES)
    free = Event()
    with ThreadPoolExecutor(1) as worker:
        writer = SegmentWriter(layout, SEGMENT, worker)
        writer.mark_recoverable()
        worker.submit(free.wait)
        seen = []
        for n in range(4):
            writer.add_row(row(n))
            assert writer.wants_flush, "a full group waits for it"
            writer.flush()
            seen.append(writer.backlog is not None)
        assert seen == [False, False, True, True]
        first = writer.backlog
        assert first
        assert not first.done()
        free.set()
        worker.submit(int).result()
        assert writer.backlog is None, "everything is written without a flush"
        writer.write(END)
        writer.seal().result()
    assert groups(layout) == [1, 1, 1, 1]


def test_files_are_durable_before_their_names(
    layout: Layout, writer: SegmentWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every file is synced before its rename, its folder after it, and the tape comes last."""
    really_sync, really_rename = os.fsync, Path.rename
    synced: list[int] = []
    names: list[str] = []

    def sync(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        really_sync(descriptor)

    def rename(path: Path, final: Path) -> Path:
        assert path.stat().st_ino in synced
        names.append(final.relative_to(layout.root).parts[0])
        return really_rename(path, final)

    writer.flush()
    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "rename", rename)
    for symbol in (BTC, ETH):
        writer.add_row(row(1, symbol))
    seal(writer)
    assert names == [
        *("snapshots", "snapshots", "gaps", "checks", "notes", "manifests", "tape"),
    ]


def test_giving_up_leaves_every_file(layout: Layout, writer: SegmentWriter) -> None:
    """The recorder seals nothing more: the tape is where the next start looks for it."""
    writer.write(END)
    writer.flush()
    assert list(read_tape(layout.writing_tape(SEGMENT), torn=True)) == [END]


def test_any_executor_can_be_the_worker(layout: Layout) -> None:
    """The executor decides the order of row groups: one thread keeps it."""
    worker: Executor = ThreadPoolExecutor(1)
    with worker:
        writer = SegmentWriter(layout, SEGMENT, worker)
        writer.mark_recoverable()
        for n in range(600 + 5):
            writer.add_row(row(n))
        seal(writer)
    assert groups(layout) == [600, 5]
    assert [found[2] for found in table_rows(layout.rows(SEGMENT, BTC))] == list(range(605))
