"""The best prices without the levels: the first of each list, and no list is decoded."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import booktape
from booktape.errors import NotRecorded, UsageError
from booktape.reader import rows
from booktape.reader.rows import QUOTES
from booktape.store.schema import FIRST_OF, SNAPSHOTS_1
from reader.day import SYMBOLS, write
from reader.truth import moment
from store.small_recording import ETH, record
from verify.small import edit_table, sealed


def from_lists(books: booktape.Snapshots) -> list[dict[str, Any]]:
    """The same, computed from whole books."""
    found = []
    for row in books.to_arrow().to_pylist():
        firsts = {best: next(iter(row[of]), None) for best, of in FIRST_OF.items()}
        found.append({name: row[name] for name in QUOTES.names[:6]} | firsts)
    return found


@pytest.mark.parametrize("name", ["sealed", "running"])
@pytest.mark.parametrize("symbol", SYMBOLS)
def test_a_quote_is_the_first_level_of_its_row(
    name: str, symbol: str, request: pytest.FixtureRequest
) -> None:
    """Row by row, at any time, sealed or not."""
    rec = booktape.open(request.getfixturevalue(name))
    dice = random.Random(2)
    for _ in range(20):
        start, end = sorted(moment(dice.randrange(-20, 640) / 2) for _ in range(2))
        found = rec.quotes(symbol, start, end).to_arrow()
        assert found.schema == QUOTES
        assert found.to_pylist() == from_lists(rec.snapshots(symbol, start, end))
    assert rec.quotes(symbol).to_arrow().num_rows == 280


def test_an_empty_side_has_no_price(tmp_path: Path) -> None:
    """It is null, in the columns and in frames."""
    record(tmp_path)
    rec = booktape.open(tmp_path)
    found = rec.quotes(ETH).to_arrow().to_pylist()
    assert found == from_lists(rec.snapshots(ETH))
    assert found[0]["best_bid"] == 0.03
    assert found[0]["best_ask"] is found[0]["best_ask_size"] is None
    assert rec.quotes(ETH).to_pandas().best_ask.isna()[0]


def without_levels(root: Path) -> None:
    """Overwrite every list of levels in every file: decoding any of them fails."""
    for path in sealed(root, "snapshots"):
        content = bytearray(path.read_bytes())
        metadata = pq.read_metadata(path)
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            for chunk in map(group.column, range(group.num_columns)):
                if "." in chunk.path_in_schema:
                    begin, length = chunk.data_page_offset, chunk.total_compressed_size
                    content[begin : begin + length] = b"\xff" * length
        path.write_bytes(content)


def test_no_level_is_read(sealed: Path, tmp_path: Path) -> None:
    """Quotes, a grid of them, and the mean spread stay the same if every level is garbage."""
    root = tmp_path / "copy"
    shutil.copytree(sealed, root)
    without_levels(root)
    whole, garbage = booktape.open(sealed), booktape.open(root)
    with pytest.warns(Warning, match="cannot be read"):
        assert garbage.snapshots("BTCUSDT").to_arrow().num_rows == 0
    assert garbage.quotes("BTCUSDT").to_arrow() == whole.quotes("BTCUSDT").to_arrow()
    for rec in (whole, garbage):
        assert rec.quotes("BTCUSDT").resample("1s").to_arrow()["best_bid"].null_count == 20
    assert garbage.spread("BTCUSDT", interval="1m") == whole.spread("BTCUSDT", interval="1m")


def test_a_file_of_table_format_1_has_quotes_too(sealed: Path, tmp_path: Path) -> None:
    """From its lists; so has an archive in which only some files are older."""
    rec = booktape.open(sealed)
    expected = rec.quotes("BTCUSDT").to_arrow(), rec.snapshots("BTCUSDT", depth=2).to_arrow()
    root = tmp_path / "copy"
    shutil.copytree(sealed, root)
    for path in (root / "snapshots" / "symbol=BTCUSDT").glob("*/*"):
        edit_table(path, lambda _: None, SNAPSHOTS_1.with_metadata({}))
        assert not {*FIRST_OF} & {*pq.read_schema(path).names}
        older = booktape.open(root)
        assert older.quotes("BTCUSDT").to_arrow() == expected[0]
        assert older.snapshots("BTCUSDT", depth=2).to_arrow() == expected[1]


def test_a_grid_of_quotes_is_that_of_books(rec: booktape.Recording) -> None:
    """The last known quotes of each interval; null in a gap."""
    grid = rec.quotes("BTCUSDT").resample("3s").to_arrow()
    books = rec.snapshots("BTCUSDT", depth=1).resample("3s").to_arrow("wide")
    assert grid["time"] == books["time"]
    names = ("bid_px_00", "bid_sz_00", "ask_px_00", "ask_sz_00")
    for best, name in zip(FIRST_OF, names, strict=True):
        assert grid[best].to_pandas().equals(books[name].to_pandas())
    assert grid["best_bid"].null_count == 5


def test_an_empty_result_is_an_empty_frame(rec: booktape.Recording) -> None:
    """With the same columns; a missing symbol is named."""
    none = rec.quotes("BTCUSDT", moment(-9), moment(-8))
    assert none.to_arrow() == QUOTES.empty_table()
    assert none.resample("1s").to_arrow().num_rows == 0
    with pytest.raises(NotRecorded, match="has no data for NOSUCH"):
        rec.quotes("NOSUCH").to_arrow()


@pytest.mark.parametrize("shape", ["wide", "long"])
def test_quotes_have_no_levels_to_show(rec: booktape.Recording, shape: Any) -> None:
    """The sentence says what has them."""
    for quotes in (rec.quotes("BTCUSDT"), rec.quotes("BTCUSDT").resample("1s")):
        with pytest.raises(UsageError, match=rf"no levels to show as {shape}. Use snapshots\("):
            quotes.to_arrow(shape)
    with pytest.raises(UsageError, match="an array needs a number of levels"):
        rec.quotes("BTCUSDT").to_numpy()


def test_all_of_a_file_is_read_at_once(
    rec: booktape.Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without lists a row takes about 80 bytes, so small pieces would only cost time."""
    read: list[tuple[int, ...]] = []
    whole = pq.ParquetFile.read_row_groups

    def reading(self: pq.ParquetFile, row_groups: list[int], columns: list[str]) -> pa.Table:
        assert not [name for name in columns if name in FIRST_OF.values()]
        read.append(tuple(row_groups))
        return whole(self, row_groups, columns=columns)

    monkeypatch.setattr(pq.ParquetFile, "read_row_groups", reading)
    assert rec.quotes("BTCUSDT").to_arrow().num_rows == 280
    assert read == [(0,)] * 3


def test_memory_is_bounded_however_many_row_groups_a_file_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Groups are decoded together only up to a certain number of rows. (The limit is scaled down.)"""
    write(tmp_path, 2_000, segment_s=3_600)
    whole = booktape.open(tmp_path).quotes("BTCUSDT")
    assert [batch.num_rows for batch in whole.batches()] == [2_000]
    monkeypatch.setattr(rows, "ROWS_AT_ONCE", 1_200)
    assert [batch.num_rows for batch in whole.batches()] == [1_200, 800]
    monkeypatch.setattr(rows, "ROWS_AT_ONCE", 1)
    assert [batch.num_rows for batch in whole.batches()] == [600, 600, 600, 200]
