"""A table with a column of another type is damaged: it is named, and everything else is shown, in every query."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import booktape
from booktape.cli import app
from booktape.errors import DamagedFile
from booktape.store.schema import SNAPSHOTS, TABLES, TRADES
from reader.with_trades import BTC, write
from verify.small import reseal, verified

TIME: Final = SNAPSHOTS.field("receive_time").type
LEVELS: Final = SNAPSHOTS.field("bid_price").type
WRONG: Final[Mapping[pa.DataType, tuple[pa.DataType, ...]]] = MappingProxyType(
    {
        pa.int64(): (pa.string(), pa.float64(), pa.int32()),
        pa.float64(): (pa.string(), pa.int64(), pa.float32()),
        pa.string(): (pa.int64(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())),
        pa.bool_(): (pa.string(), pa.int8()),
        TIME: (pa.int64(), pa.string(), pa.timestamp("ms", "UTC"), pa.timestamp("us")),
        LEVELS: (
            pa.float64(),
            pa.list_(pa.field("element", pa.string())),
            pa.large_list(pa.field("element", pa.float64())),
        ),
    }
)
"""For each column type, other types: some of its values can be converted, others cannot."""

SCHEMAS: Final = MappingProxyType(
    {"snapshots": SNAPSHOTS, "trades": TRADES, **{name: TABLES[name].schema for name in TABLES}}
)
COLUMNS: Final = [(table, field.name) for table, schema in SCHEMAS.items() for field in schema]

READS: Final[Mapping[str, tuple[Callable[[booktape.Recording], object], ...]]] = MappingProxyType(
    {
        "snapshots": (
            lambda rec: rec.snapshots(BTC).to_arrow(),
            lambda rec: rec.quotes(BTC).to_arrow(),
            lambda rec: rec.spread(BTC, interval="10s"),
            lambda rec: list(rec.snapshots(BTC)),
            lambda rec: rec.gaps(),
            lambda rec: rec.coverage(),
        ),
        "gaps": (
            lambda rec: rec.gaps(),
            lambda rec: rec.coverage(),
            lambda rec: list(rec.quotes(BTC).gaps()),
        ),
        "trades": (lambda rec: rec.trades(BTC),),
        "checks": (lambda rec: rec.checks(),),
        "notes": (lambda rec: rec.notes(),),
        "trade_gaps": (lambda rec: rec.trade_gaps(),),
    }
)
"""For each table, the calls that read it."""


USED_EVERYWHERE: Final = {"epoch", "receive_time", "update_id", "start_time"}
"""For these columns every read of a table is tried, for all others one."""


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three segments with trades."""
    return write(tmp_path_factory.mktemp("traded") / "data")


@pytest.fixture
def root(traded: Path, tmp_path: Path) -> Path:
    """A copy in which a test may change anything."""
    shutil.copytree(traded, tmp_path / "copy")
    return tmp_path / "copy"


def file_of(root: Path, table: str) -> Path:
    """Its second file, if it has several segments."""
    folder = f"{table}/symbol={BTC}" if table in {"snapshots", "trades"} else table
    return sorted((root / folder).rglob("*.parquet"))[1]


def retype(path: Path, name: str, wrong: pa.DataType) -> None:
    """Give a column another type, and values of that type."""
    table = pq.read_table(path, partitioning=None)
    value: Any = "x" if "string" in str(wrong) else 1
    values = [[value] if "list" in str(wrong) else value] * table.num_rows
    column = pa.array(values, wrong)
    at = table.schema.get_field_index(name)
    pq.write_table(table.set_column(at, pa.field(name, wrong), column), path)


@pytest.mark.parametrize(("table", "name"), COLUMNS)
def test_a_column_of_another_type_is_named(root: Path, table: str, name: str) -> None:
    """Each read names the file, the column and its type; none ends with an error."""
    path = file_of(root, table)
    whole = path.read_bytes()
    first, *others = READS[table]
    for wrong in WRONG[SCHEMAS[table].field(name).type]:
        path.write_bytes(whole)
        retype(path, name, wrong)
        for read in (first, *others) if name in USED_EVERYWHERE else (first,):
            rec = booktape.open(root)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DamagedFile)
                read(rec)
            why = f"its column {name} has the type {wrong} instead of "
            ((damaged, said),) = rec.damaged.items()
            assert (damaged, said.startswith(why)) == (str(path), True), said


@pytest.mark.parametrize("table", SCHEMAS)
def test_info_and_verify_name_the_column(
    root: Path, table: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The last column of each table: `info` shows nothing from it."""
    path, name = file_of(root, table), SCHEMAS[table].names[-1]
    retype(path, name, pa.int8())
    reseal(root)
    assert app(["info", str(root)], result_action="return_value") == 1
    shown, said = capsys.readouterr()
    assert BTC in shown
    assert f"{path.name} cannot be read" in said.replace("\n", "")
    (found,) = [one for one in verified(root).found.kept if "has the type" in one.what]
    assert found.file == str(path.relative_to(root))
    assert found.what.startswith(f"cannot be read: its column {name} has the type int8 instead of ")


@pytest.mark.parametrize("table", sorted(SCHEMAS.keys() - {"trades"}))
def test_an_extra_column_is_not_damage(root: Path, table: str) -> None:
    """Unused columns are ignored. (A file of trades has no others: it is never rewritten.)"""
    path = file_of(root, table)
    stored = pq.read_table(path, partitioning=None)
    further = pa.array([2**62] * stored.num_rows, pa.timestamp("us"))
    pq.write_table(stored.append_column("further", further), path)
    reseal(root)
    rec = booktape.open(root)
    for read in (*READS[table], booktape.Recording.check_files):
        read(rec)
    assert not rec.damaged


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("best_bid", None, "best_bid is not the first of bid_price"),
        ("best_ask_size", 7e7, "best_ask_size is not the first of ask_size"),
        ("ask_size", [-1.0], "ask_size is not above 0"),
        ("bid_size", [0.0], "bid_size is not above 0"),
    ],
)
def test_an_impossible_value_is_damage(root: Path, name: str, value: Any, why: str) -> None:
    """A best price that differs from that of the list, or a size that no level has."""
    path = file_of(root, "snapshots")
    stored = pq.read_table(path, partitioning=None)
    rows = stored.to_pylist()
    rows[1][name] = value if not isinstance(value, list) else value * len(rows[1][name])
    pq.write_table(pa.Table.from_pylist(rows, stored.schema), path)
    rec = booktape.open(root)
    with pytest.warns(DamagedFile, match=why):
        assert rec.snapshots(BTC).to_arrow().num_rows
    assert list(rec.damaged) == [str(path)]


@pytest.mark.parametrize("wrong", WRONG[pa.int64()])
def test_verify_names_the_column_if_no_tape_is_left(root: Path, wrong: pa.DataType) -> None:
    """Rows without a tape are only counted, using one column."""
    path = file_of(root, "snapshots")
    sorted((root / "tape").rglob("*.zst"))[1].unlink()
    retype(path, "epoch", wrong)
    reseal(root)
    (found,) = [one for one in verified(root).found.kept if "has the type" in one.what]
    assert found.file == str(path.relative_to(root))


@pytest.mark.parametrize("name", ["epoch", "update_id", "receive_time"])
def test_a_missing_value_between_two_epochs_is_named(root: Path, name: str) -> None:
    """If no gap declares that the epoch changes, single rows are read to find out."""
    path = file_of(root, "snapshots")
    stored = pq.read_table(path, partitioning=None)
    rows = stored.to_pylist()
    rows[-1]["epoch"] += 1
    rows[1][name] = None
    columns = pa.schema([field.with_nullable(True) for field in stored.schema])
    pq.write_table(pa.Table.from_pylist(rows, columns), path)
    with pytest.warns(DamagedFile, match=f"in one of its rows {name} is missing"):
        booktape.open(root).gaps()
