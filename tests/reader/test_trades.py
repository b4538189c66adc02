"""Trades as tables: each once, in order, even if filled later or not yet sealed."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import booktape
from booktape.errors import DamagedFile, NotRecorded
from booktape.reader.archive_files import ArchiveFiles
from booktape.reader.summary import summarize
from booktape.rerecord.rebuild import RebuildRequest, rebuild
from booktape.retention.limits import Limit
from booktape.retention.prune import Rules, prune
from booktape.verify.findings import Kind
from reader.day import BEGIN_S
from reader.with_trades import BTC, ETH, FILLED, MISSING, SECONDS, trade, write
from support.archives import open_archive
from verify.small import verified

BEGIN = datetime.fromtimestamp(BEGIN_S, UTC)
STORED = [one for one in range(1, SECONDS) if one not in MISSING]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("traded"))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("running"), seal=False)


def ids(table: pa.Table) -> list[int]:
    return [row["trade_id"] for row in table.select(["trade_id"]).to_pylist()]


def test_all_trades_are_in_order_of_time(root: Path) -> None:
    """Trades filled in a later segment are where they belong."""
    found = booktape.open(root).trades(BTC)
    assert ids(found) == STORED
    row = found.slice(1, 1).to_pylist()[0]
    true = trade(2)
    assert row == {
        "symbol": BTC,
        "trade_id": 2,
        "price": true.price,
        "size": true.size,
        "event_time": BEGIN + timedelta(microseconds=2_000_000 - 104_000),
        "trade_time": BEGIN + timedelta(microseconds=2_000_000 - 105_000),
        "receive_time": BEGIN + timedelta(microseconds=2_000_000 - 50_000),
        "buyer_is_maker": False,
        "filled": False,
    }
    filled = found.filter(found["filled"])
    assert ids(filled) == list(FILLED)
    assert filled["event_time"].null_count == len(FILLED)
    assert verified(root).clean


def test_a_time_is_that_of_the_trade(root: Path) -> None:
    """Not that of its arrival: a filled trade belongs to the time when it was traded."""
    start, end = BEGIN + timedelta(seconds=24), BEGIN + timedelta(seconds=30)
    assert ids(booktape.open(root).trades(BTC, start, end)) == list(range(25, 31))
    assert ids(booktape.open(root).trades(BTC, end=BEGIN)) == []


def test_trades_of_a_running_recording_are_read(root: Path, running: Path) -> None:
    """Unsealed trades come from the tape; those still being filled are in neither table."""
    assert booktape.open(running).trades(BTC).equals(booktape.open(root).trades(BTC))
    assert len(ids(booktape.open(running, unsealed=False).trades(BTC))) < len(STORED)
    assert booktape.open(running).trade_gaps().num_rows == 0


def test_missing_trades_are_listed(root: Path) -> None:
    """One row for each range of ids; it is final."""
    (row,) = booktape.open(root).trade_gaps().to_pylist()
    assert (row["symbol"], row["first_id"], row["last_id"]) == (BTC, MISSING[0], MISSING[-1])
    assert row["reason"] == "stopped"
    assert row["start_time"] < row["end_time"] < row["time"]
    assert booktape.open(root).trade_gaps(ETH).num_rows == 0


def test_symbols_without_trades_are_refused(root: Path) -> None:
    """The error says how to record trades."""
    rec = booktape.open(root)
    with pytest.raises(NotRecorded, match="--also trade"):
        rec.trades(ETH)
    with pytest.raises(NotRecorded):
        rec.trades("XRPUSDT")


def test_several_archives_read_as_one(root: Path) -> None:
    """Their trades as well."""
    several = booktape.open([root])
    assert ids(several.trades(BTC)) == STORED
    assert several.trade_gaps().num_rows == several.trade_gaps(BTC).num_rows == 1


def test_the_summary_counts_them(root: Path) -> None:
    """For each symbol that has any."""
    counts = summarize(ArchiveFiles.find(root), booktape.open(root, unsealed=False)).trades
    assert counts == {BTC: (len(STORED), len(MISSING))}


def test_a_damaged_file_is_skipped_and_named(tmp_path: Path) -> None:
    """The trades of all other segments are there."""
    write(tmp_path)
    first, *_ = sorted(tmp_path.glob("trades/*/*/*.parquet"))
    first.write_bytes(first.read_bytes()[:-20])
    rec = booktape.open(tmp_path)
    with pytest.warns(DamagedFile):
        found = ids(rec.trades(BTC))
    assert len(found) > 50
    assert found[0] > 1
    assert list(rec.damaged) == [str(first)]


def test_a_price_that_is_not_a_number_is_damage(tmp_path: Path) -> None:
    """The file is named, and the trades of the others are there."""
    write(tmp_path)
    first, *_ = sorted(tmp_path.glob("trades/*/*/*.parquet"))
    table = pq.ParquetFile(first).read()
    place = table.schema.get_field_index("price")
    prices = pa.array([math.nan] * table.num_rows, pa.float64())
    pq.write_table(table.set_column(place, table.schema.field(place), prices), first)
    rec = booktape.open(tmp_path)
    with pytest.warns(DamagedFile, match="price is not a number"):
        assert ids(rec.trades(BTC))[0] > 1


def test_trades_that_a_killed_recorder_leaves_are_recovered(tmp_path: Path) -> None:
    """Those of its last segment, and the holes open at that time."""
    write(tmp_path, seal=False)
    with open_archive(tmp_path):
        pass
    rec = booktape.open(tmp_path, unsealed=False)
    assert ids(rec.trades(BTC)) == STORED
    assert rec.trade_gaps()["reason"].to_pylist() == ["killed"]
    assert verified(tmp_path).clean


def test_a_rebuilt_archive_has_the_same_files_of_trades(root: Path, tmp_path: Path) -> None:
    """With another N, byte for byte."""
    rebuild(RebuildRequest(ArchiveFiles.find(root), tmp_path / "again", every=7))
    assert verified(tmp_path / "again").clean
    names = [path.relative_to(root) for path in root.glob("trade*/**/*.parquet")]
    assert len(names) == 6
    for name in names:
        assert (tmp_path / "again" / name).read_bytes() == (root / name).read_bytes()


def test_old_segments_are_removed_with_their_trades(tmp_path: Path) -> None:
    """Once they are verified; the remaining archive is clean, and says what was removed."""
    write(tmp_path)
    prune(tmp_path, Rules(everything=Limit(age_s=0)), (BEGIN_S + 10**6) * 10**6)
    assert len(list(tmp_path.glob("trades/*/*/*.parquet"))) == 1
    assert len(list(tmp_path.glob("trade_gaps/*/*.parquet"))) == 1
    assert ids(booktape.open(tmp_path).trades(BTC))[-1] == SECONDS - 1
    assert not verified(tmp_path).found.count[Kind.DIFFERENT]
