"""The public reader: the same answers as other tools, few imports, and mistakes that are named."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pytest

import booktape
from booktape import reader
from booktape.errors import UsageError
from reader.truth import moment

START, END = moment(90), moment(210)
SQL = """
    SELECT count(*), max(bid_price[1]), avg(ask_price[1] - bid_price[1]), sum(list_sum(ask_size)),
           count(DISTINCT epoch), max(update_id)
    FROM '{root}/snapshots/**/*.parquet'
    WHERE symbol = 'BTCUSDT' AND receive_time >= TIMESTAMPTZ '{start}'
      AND receive_time < TIMESTAMPTZ '{end}'
"""


def by_duckdb(root: Path) -> tuple[Any, ...]:
    relation = duckdb.sql(SQL.format(root=root, start=START, end=END))
    assert relation is not None
    return tuple(relation.fetchall()[0])


def by_polars(root: Path) -> tuple[Any, ...]:
    rows = pl.read_parquet(f"{root}/snapshots").filter(
        pl.col("symbol") == "BTCUSDT", pl.col("receive_time").is_between(START, END, closed="left")
    )
    spread = pl.col("ask_price").list.first() - pl.col("bid_price").list.first()
    return rows.select(
        pl.len(),
        pl.col("bid_price").list.first().max().alias("best"),
        spread.mean().alias("spread"),
        pl.col("ask_size").list.sum().sum(),
        pl.col("epoch").n_unique(),
        pl.col("update_id").max(),
    ).row(0)


def by_pandas(root: Path) -> tuple[Any, ...]:
    rows = pd.read_parquet(f"{root}/snapshots")
    time = rows["receive_time"]
    return _of_frame(rows[(rows["symbol"] == "BTCUSDT") & (time >= START) & (time < END)])


def _of_frame(rows: pd.DataFrame) -> tuple[Any, ...]:
    bid, ask = (rows[name].map(lambda side: float(side[0])) for name in ("bid_price", "ask_price"))
    sizes = rows["ask_size"].map(sum).sum()
    ids = rows["update_id"].max()
    return (len(rows), bid.max(), (ask - bid).mean(), sizes, rows["epoch"].nunique(), ids)


def by_reader(root: Path) -> tuple[Any, ...]:
    return _of_frame(booktape.open(root).snapshots("BTCUSDT", START, END).to_pandas())


def by_readers_array(root: Path) -> tuple[Any, ...]:
    rows = booktape.open(root).snapshots("BTCUSDT", START, END, depth=20)
    array, epochs = rows.to_numpy(), rows.epochs()
    last = rows.to_polars("long")["update_id"].max()
    ask, bid, sizes = array[:, 0], array[:, 2], array[:, 1::4]
    return (len(array), bid.max(), (ask - bid).mean(), sizes.sum(), len(set(epochs)), last)


def by_iterating(root: Path) -> tuple[Any, ...]:
    items = booktape.open(root).snapshots("BTCUSDT", START, END)
    books = [item for item in items if isinstance(item, booktape.Book)]
    spreads = [book.spread or 0 for book in books]
    return (
        len(books),
        max(book.best_bid or 0 for book in books),
        sum(spreads) / len(books),
        sum(book.ask_size.sum() for book in books),
        len({book.epoch for book in books}),
        books[-1].update_id,
    )


@pytest.mark.parametrize("ask", [by_polars, by_pandas, by_reader, by_readers_array, by_iterating])
def test_every_tool_gives_the_same_answers(sealed: Path, ask: Any) -> None:
    """DuckDB's: rows, best bid, mean spread, summed sizes, epochs, and the last id of two minutes."""
    answer = by_duckdb(sealed)
    assert answer[0] == 110
    assert ask(sealed) == pytest.approx(answer, rel=1e-12)


def test_nothing_is_loaded_before_it_is_needed() -> None:
    """Using the core loads no Arrow, and the reader needs neither pandas nor polars."""
    for statement, absent in (
        ("import booktape.core.book", ("pyarrow", "rich", "aiohttp", "booktape.reader")),
        ("import booktape; booktape.open", ("pandas", "polars", "duckdb", "aiohttp")),
    ):
        check = f"import sys; {statement}; print(*(n for n in {absent!r} if n in sys.modules))"
        done = subprocess.run(
            [sys.executable, "-c", check], check=True, capture_output=True, text=True
        )
        assert done.stdout.strip() == "", statement


def test_every_public_name_is_found(rec: booktape.Recording) -> None:
    """Lazily, in `dir`, and the same object as in the reader; other names are refused as Python does."""
    for name in booktape.__all__:
        assert getattr(booktape, name) is getattr(reader, name)
        assert name in dir(booktape)
    assert set(booktape.__all__) == set(reader.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        getattr(booktape, "nonsense")  # noqa: B009 mypy knows that it is not there
    assert repr(rec).startswith("<booktape recording /")


@pytest.mark.parametrize("depth", [0, -1])
def test_a_depth_below_one_is_refused(rec: booktape.Recording, depth: int) -> None:
    """An empty book would look like a market without orders."""
    with pytest.raises(UsageError, match=f"depth={depth} is not a valid number of levels"):
        rec.snapshots("BTCUSDT", depth=depth)


def test_a_naive_time_is_refused_everywhere(rec: booktape.Recording) -> None:
    """At once, by every call that takes a time."""
    with pytest.raises(UsageError, match="has no time zone"):
        rec.snapshots("BTCUSDT", "2026-06-09T00:00")
    with pytest.raises(UsageError, match="has no time zone"):
        rec.replay("BTCUSDT", end="2026-06-09T00:00")
    with pytest.raises(UsageError, match="has no time zone"):
        rec.at("BTCUSDT", "2026-06-09T00:00")
