"""An archive of table format 1 answers like its rebuild in format 2 through all four readers; so does a mixture of both.

The older one is kept in `tests/kept/tables-1`: it was recorded before `snapshots` had columns of best prices.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, TypeAlias

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest

import booktape
from booktape.cli import app
from booktape.store.parquet_reader import table_format
from booktape.store.schema import FIRST_OF
from docs.generated import DOCS
from store.contents import final_files
from verify.small import verified

KEPT: Final = Path(__file__).parents[1] / "kept" / "tables-1"
EVERY: Final = 2
KEYS: Final = ["symbol", "update_id", "epoch", *FIRST_OF, "bids", "top"]
"""For each row; `bids` is their number, `top` the sum of the best five sizes of the asks."""

Rows: TypeAlias = list[tuple[Any, ...]]


def files_of(root: Path) -> list[Path]:
    """Its files of rows."""
    return [path for path in final_files(root) if "snapshots" in path.parts]


@pytest.fixture(scope="module")
def rebuilt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same recording, in the newest format."""
    root = tmp_path_factory.mktemp("rebuilt") / "data"
    app(
        ["rebuild", str(KEPT), "--every", str(EVERY), "--out", str(root)],
        result_action="return_value",
    )
    return root


@pytest.fixture(scope="module")
def mixed(rebuilt: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As left by a recorder that was upgraded in between: the last segment has the newest format."""
    root = tmp_path_factory.mktemp("mixed") / "data"
    shutil.copytree(KEPT, root)
    last = max(path.name for path in files_of(root)).removesuffix(".parquet")
    for path in rebuilt.rglob(f"{last}*"):
        shutil.copy(path, root / path.relative_to(rebuilt))
    return root


def formats(root: Path) -> set[int]:
    return {table_format(pq.read_metadata(path)) for path in files_of(root)}


def test_each_archive_has_the_formats_of_its_name(rebuilt: Path, mixed: Path) -> None:
    """One has format 1, one format 2, and one both."""
    assert (formats(KEPT), formats(rebuilt), formats(mixed)) == ({1}, {2}, {1, 2})
    for path in final_files(rebuilt):
        if path.suffix == ".parquet":
            assert table_format(pq.read_metadata(path)) == 2
    names = [path.relative_to(KEPT) for path in files_of(KEPT)]
    assert names == [path.relative_to(rebuilt) for path in files_of(rebuilt)]
    assert {name.parts[1] for name in names} == {"symbol=BTCUSDT", "symbol=XMRBTC"}
    assert len({name.name for name in names}) > 2


# ── the same questions through four readers ─────────────────────────────────────────────────


def plain(rows: Any) -> Rows:
    """Sorted, as plain values: a missing value is None, whatever a frame calls it."""
    found = [
        tuple(None if isinstance(v, float) and np.isnan(v) else v for v in map(as_python, row))
        for row in rows
    ]
    return sorted(found, key=lambda row: row[:3])


def as_python(value: Any) -> Any:
    if value is pd.NA:
        return None
    return value.item() if isinstance(value, np.generic) else value


def by_reader(root: Path) -> Rows:
    rec = booktape.open(root)
    found: Rows = []
    for symbol in rec.symbols():
        quotes = rec.quotes(symbol).to_arrow().select(KEYS[:7]).to_pylist()
        books = rec.snapshots(symbol).to_arrow().to_pylist()
        for quote, book in zip(quotes, books, strict=True):
            assert quote == {name: book[name] for name in KEYS[:7]}
            found.append((*quote.values(), len(book["bid_price"]), added(book["ask_size"][:5])))
    return plain(found)


def added(sizes: Iterable[float]) -> float:
    """Added one after the other, as the other readers do: from Python 3.12 on, `sum` is more exact than that."""
    total = 0.0
    for size in sizes:
        total += size
    return total


def by_duckdb(root: Path, best: str = "{column}") -> Rows:
    columns = ", ".join(best.format(column=column, of=of) for column, of in FIRST_OF.items())
    books = f"FROM '{root}/snapshots/**/*.parquet'"
    lists = "len(bid_price), list_sum(ask_size[:5])"
    return plain(
        duckdb.execute(f"{books} SELECT symbol, update_id, epoch, {columns}, {lists}").fetchall()
    )


def by_polars(frame: pl.LazyFrame, best: Callable[[str, str], pl.Expr]) -> Rows:
    columns = [best(column, of).alias(column) for column, of in FIRST_OF.items()]
    lists = pl.col("bid_price").list.len(), pl.col("ask_size").list.head(5).list.sum().alias("top")
    return plain(frame.select("symbol", "update_id", "epoch", *columns, *lists).collect().rows())


def by_pandas(frame: pd.DataFrame, best: Callable[[pd.DataFrame, str, str], Any]) -> Rows:
    columns = [best(frame, column, of) for column, of in FIRST_OF.items()]
    keys = [frame[name].astype(object) for name in ("symbol", "update_id", "epoch")]
    lists = frame.bid_price.map(len), frame.ask_size.map(lambda sizes: added(sizes[:5]))
    return plain(zip(*keys, *columns, *lists, strict=True))


def first(frame: pd.DataFrame, _: str, of: str) -> Any:
    return frame[of].map(lambda values: values[0] if len(values) else None)


def test_four_readers_get_the_same_answers_from_the_old_archive_and_its_rebuild(
    rebuilt: Path,
) -> None:
    """Row by row, to the last bit: from the lists of the old one and the columns of the new one."""
    expected = by_reader(KEPT)
    assert len(expected) > 100
    assert by_reader(rebuilt) == expected
    assert by_duckdb(KEPT, "{of}[1]") == by_duckdb(rebuilt) == expected
    polars = (
        by_polars(pl.scan_parquet(KEPT / "snapshots"), lambda _, of: pl.col(of).list.first()),
        by_polars(pl.scan_parquet(rebuilt / "snapshots"), lambda best, _: pl.col(best)),
    )
    assert polars == (expected, expected)
    pandas = (
        by_pandas(pd.read_parquet(KEPT / "snapshots"), first),
        by_pandas(pd.read_parquet(rebuilt / "snapshots"), lambda frame, best, _: frame[best]),
    )
    assert pandas == (expected, expected)


def test_everything_else_of_both_is_the_same(rebuilt: Path, mixed: Path) -> None:
    """Gaps, checks, notes, coverage, a grid and the mean spread; and all rows are proved."""

    def answers(root: Path) -> list[Any]:
        rec = booktape.open(root)
        found: list[Any] = [rec.gaps(), rec.checks(), rec.notes()]
        found += [(own.symbol, own.rows, own.first, own.last, own.gaps) for own in rec.coverage()]
        for symbol in rec.symbols():
            found += [rec.quotes(symbol).resample("1s").to_arrow()]
            found += [rec.snapshots(symbol, depth=3).to_arrow("wide")]
            found += [rec.spread(symbol, interval="1s")]
        return found

    expected = answers(KEPT)
    assert expected[0].num_rows > 0
    for root in (rebuilt, mixed):
        assert answers(root) == expected
    for root in (rebuilt, mixed):  # tests/test_older_archives.py covers the old one
        report = verified(root)
        assert report.clean, root
        assert report.found.counts_of("BTCUSDT").equal["rows"] > 50


# ── both formats in one folder: the recipes of docs/format.md ───────────────────────────────

SECTION: Final = (DOCS / "format.md").read_text().split("### The format of the tables")[1]
RECIPES: Final = re.findall(r"```(?:sql|python)\n(.*?)```", SECTION.split("\n## ")[0], re.DOTALL)


def bids(root: Path) -> Rows:
    """Symbol, update id, best bid: what each recipe shows."""
    return plain((row[0], row[1], row[3]) for row in by_reader(root))


def by_recipe(recipe: str) -> Rows:
    """The result of a recipe, run as it stands in the folder that holds `data`."""
    if recipe.startswith("SELECT"):
        return plain(duckdb.execute(recipe).fetchall())
    names: dict[str, Any] = {}
    *_, last = recipe.strip().splitlines()
    code = recipe.replace(last, f"found = {last.removeprefix('print(').removesuffix(')')}")
    exec(compile(code, "format.md", "exec"), names)  # noqa: S102 it is our own document
    found = names["found"]
    rows = found.rows() if isinstance(found, pl.DataFrame) else found.itertuples(index=False)
    return plain(rows)


def test_there_is_a_recipe_for_each_tool() -> None:
    """DuckDB, polars and pandas."""
    assert [next(w for w in ("read_parquet('", "polars", "pandas") if w in r) for r in RECIPES] == [
        "read_parquet('",
        "polars",
        "pandas",
    ]


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_reads_both_formats(
    recipe: str, mixed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every row of both, with its best bid."""
    monkeypatch.chdir(mixed.parent)
    assert by_recipe(recipe) == bids(mixed) == bids(KEPT)
