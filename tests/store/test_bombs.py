"""A file of some kilobytes that holds gigabytes is named as damaged; no memory is taken for it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from booktape.core.tape_records import SegmentEnd
from booktape.errors import Damaged, DamagedTape
from booktape.store import parquet_reader, small_table, tape_reader
from booktape.store.extents import group_extents
from booktape.store.layout import LINE_BYTES_MAX
from booktape.store.parquet_reader import open_parquet
from booktape.store.schema import NOTES, SNAPSHOTS
from booktape.store.small_table import read_table
from booktape.store.tape_codec import encode_record
from booktape.store.tape_reader import read_carried_over, read_tape
from booktape.verify.model import tape
from support.limits import memory_left
from support.oracle import start

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LINE_BYTES = 2 << 30
LEFT_BYTES = 1 << 30

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="only Linux tells what a process has mapped"
)


@pytest.fixture(scope="module")
def bomb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tape that begins normally, followed by a line of 2 GiB in a few kilobytes."""
    path = tmp_path_factory.mktemp("bomb") / "tape.jsonl.zst"
    piece = zstd.compress(bytes(64 << 20))
    with path.open("wb") as file:
        file.write(zstd.compress(encode_record(start("BTCUSDT"))))
        for _ in range(LINE_BYTES // (64 << 20)):
            file.write(piece)
    assert path.stat().st_size < 1 << 20
    return path


def verified(path: Path) -> Iterator[object]:
    return tape.lines(path)


@pytest.mark.parametrize("read", [read_tape, verified, read_carried_over])
def test_a_line_too_long_to_be_ours_is_damage(
    bomb: Path, read: Callable[[Path], Iterator[object]]
) -> None:
    """For the reader, rebuild and a start; for verify; and where only the beginning of a tape is read."""
    with memory_left(LEFT_BYTES), pytest.raises(DamagedTape, match="128 MiB"):
        list(read(bomb))


def test_recovery_ends_before_such_a_line_on_a_torn_tape(bomb: Path) -> None:
    """As it does before any incomplete line."""
    with memory_left(LEFT_BYTES):
        assert [type(record) for record in read_tape(bomb, torn=True)] == [type(start("BTCUSDT"))]


@pytest.mark.parametrize(
    "most_bytes", [1 << 20, pytest.param(LINE_BYTES_MAX, marks=pytest.mark.long)]
)
def test_the_longest_allowed_line_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most_bytes: int
) -> None:
    """It has one byte less than the limit, its line end included."""
    for module in (tape_reader, tape):
        monkeypatch.setattr(module, "LINE_BYTES_MAX", most_bytes)
    path = tmp_path / "tape.jsonl.zst"
    empty, end = len(encode_record(SegmentEnd(1, ""))), encode_record(SegmentEnd(2, "stopped"))
    longest = SegmentEnd(1, "x" * (most_bytes - 1 - empty))
    path.write_bytes(zstd.compress(encode_record(longest) + end))
    assert list(read_tape(path)) == [longest, SegmentEnd(2, "stopped")]
    assert [line.whole("received_ns") for _, _, line in tape.lines(path)] == [1, 2]


@pytest.mark.parametrize(
    ("rows", "length"), [(3_200, 1), (101, 8_000)], ids=["many rows", "one long text in many rows"]
)
def test_a_small_table_too_large_to_be_ours_is_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int, length: int
) -> None:
    """Its rows become Python objects, so each repeated text costs its full length. (The limit is scaled down.)"""
    monkeypatch.setattr(small_table, "GROUP_BYTES_MAX", 800_000)
    note = {"symbol": None, "time": 0, "kind": "status", "detail": "x" * length}
    path = tmp_path / "notes.parquet"
    table = pa.Table.from_pylist([note] * rows, NOTES)
    pq.write_table(table, path)
    with pytest.raises(Damaged, match="MiB, decoded"):
        read_table(path, NOTES)
    pq.write_table(table.slice(rows // 20), path)
    assert len(read_table(path, NOTES)) == rows - rows // 20


@pytest.mark.parametrize("column", ["update_id", "bid_price"])
def test_a_row_group_too_large_to_be_ours_is_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, column: str
) -> None:
    """It holds one value a hundred thousand times in a few kilobytes. (The limit is scaled down.)"""
    monkeypatch.setattr(parquet_reader, "GROUP_BYTES_MAX", 100_000 * 8)
    rows = 100_001 if column == "update_id" else 1
    columns = {field.name: pa.nulls(rows, field.type) for field in SNAPSHOTS}
    if column == "bid_price":
        columns[column] = pa.array([[1.0] * 100_001], SNAPSHOTS.field(column).type)
    schema = pa.schema([pa.field(field.name, field.type) for field in SNAPSHOTS])
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table(columns, schema), path, compression="zstd")
    assert path.stat().st_size < 100_000
    with pytest.raises(Damaged, match="row group 0"):
        open_parquet(path)
    with pytest.raises(Damaged, match="row group 0"):
        group_extents(pq.read_metadata(path))
