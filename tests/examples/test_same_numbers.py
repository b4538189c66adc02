"""One question, four tools: DuckDB, polars, pandas and the reader, across a gap."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pytest

import booktape

Numbers: TypeAlias = list[float]
Ask: TypeAlias = Callable[[Path], Numbers]

BTC: Final = "FROM '{}/snapshots/**/*.parquet' WHERE symbol = 'BTCUSDT'"


def sql(data: Path, query: str) -> Numbers:
    """The rows of one column."""
    found = duckdb.execute(query.replace("btc", f"({BTC.format(data)})")).fetchall()
    return [float(value) for (value,) in found]


def polars(data: Path) -> pl.LazyFrame:
    return pl.scan_parquet(data / "snapshots").filter(symbol="BTCUSDT").sort("update_id")


def pandas(data: Path) -> pd.DataFrame:
    rows = pd.read_parquet(data / "snapshots", filters=[("symbol", "==", "BTCUSDT")])
    return rows.sort_values("update_id")


def books(data: Path) -> list[booktape.Book | booktape.Gap]:
    return list(booktape.open(data).snapshots("BTCUSDT"))


def best_each_second() -> dict[str, Ask]:
    """The last best bid of each second that has a row."""

    def by_polars(data: Path) -> Numbers:
        second = pl.col("receive_time").dt.truncate("1s")
        best = pl.col("bid_price").last().list.first().alias("best")
        found = polars(data).group_by(second).agg(best).sort("receive_time").collect()
        return found["best"].to_list()

    def by_pandas(data: Path) -> Numbers:
        rows = pandas(data)
        last = rows.groupby(rows.receive_time.dt.floor("1s")).bid_price.last()
        return [float(prices[0]) for prices in last]

    def by_reader(data: Path) -> Numbers:
        rows = booktape.open(data).snapshots("BTCUSDT", depth=1)
        grid = rows.resample("1s").to_arrow("wide").to_pylist()
        best = {row["time"]: row["bid_px_00"] for row in grid}
        there = [item.receive_time for item in rows if isinstance(item, booktape.Book)]
        return [best[time] for time in sorted({time.replace(microsecond=0) for time in there})]

    query = """SELECT last(bid_price[1] ORDER BY update_id) FROM btc
               GROUP BY date_trunc('second', receive_time) ORDER BY min(update_id)"""
    return {
        "duckdb": lambda data: sql(data, query),
        "polars": by_polars,
        "pandas": by_pandas,
        "reader": by_reader,
    }


def moves_within_epochs() -> dict[str, Ask]:
    """How the mid moved from row to row, never across a gap."""
    mid = (pl.col("bid_price").list.first() + pl.col("ask_price").list.first()) / 2

    def by_pandas(data: Path) -> Numbers:
        rows = pandas(data)
        mids = (rows.bid_price.str[0] + rows.ask_price.str[0]) / 2
        return mids.groupby(rows.epoch).diff().dropna().tolist()

    def by_reader(data: Path) -> Numbers:
        found, before = [], None
        for item in books(data):
            now = item.mid if isinstance(item, booktape.Book) else None
            if now is not None and before is not None:
                found.append(now - before)
            before = now
        return found

    query = """SELECT step FROM (SELECT update_id, (bid_price[1] + ask_price[1]) / 2 AS mid,
               mid - lag(mid) OVER (PARTITION BY epoch ORDER BY update_id) AS step FROM btc)
               WHERE step IS NOT NULL ORDER BY update_id"""
    return {
        "duckdb": lambda data: sql(data, query),
        "polars": lambda data: (
            polars(data).select(step=mid.diff().over("epoch")).drop_nulls().collect()["step"]
        ).to_list(),
        "pandas": by_pandas,
        "reader": by_reader,
    }


def value_of_the_bids() -> dict[str, Ask]:
    """Price times size of all bids known for certain, row by row."""

    def of(price: np.ndarray, size: np.ndarray, horizon: float) -> float:
        sure = price >= horizon
        return float(price[sure] @ size[sure])

    def by_polars(data: Path) -> Numbers:
        price, size = pl.col("bid_price"), pl.col("bid_size")
        levels = polars(data).select("update_id", "bid_horizon", price, size)
        sure = levels.explode("bid_price", "bid_size").filter(price >= pl.col("bid_horizon"))
        value = (price * size).sum().alias("value")
        return sure.group_by("update_id").agg(value).sort("update_id").collect()["value"].to_list()

    def by_pandas(data: Path) -> Numbers:
        rows = pandas(data)
        columns = (rows.bid_price, rows.bid_size, rows.bid_horizon)
        return [of(*row) for row in zip(*columns, strict=True)]

    def by_reader(data: Path) -> Numbers:
        return [
            of(item.bid_price, item.bid_size, item.bid_horizon or 0.0)
            for item in books(data)
            if isinstance(item, booktape.Book)
        ]

    query = """SELECT sum(price * size) FROM (
               SELECT update_id, bid_horizon, unnest(bid_price) AS price, unnest(bid_size) AS size
               FROM btc) WHERE price >= bid_horizon GROUP BY update_id ORDER BY update_id"""
    return {
        "duckdb": lambda data: sql(data, query),
        "polars": by_polars,
        "pandas": by_pandas,
        "reader": by_reader,
    }


@pytest.mark.parametrize("question", [best_each_second, moves_within_epochs, value_of_the_bids])
def test_four_tools_give_the_same_numbers(
    question: Callable[[], dict[str, Ask]], workplace: Path
) -> None:
    """The same count and the same values, up to the order of additions."""
    answers = {tool: ask(workplace / "data") for tool, ask in question().items()}
    reader = answers["reader"]
    assert len(reader) > 100
    for tool, answer in answers.items():
        assert answer == pytest.approx(reader, rel=1e-9, abs=1e-9), tool


def test_the_questions_are_asked_across_a_gap(workplace: Path) -> None:
    """For each epoch there is one move fewer than rows."""
    moves = moves_within_epochs()["reader"](workplace / "data")
    rows = [item for item in books(workplace / "data") if isinstance(item, booktape.Book)]
    assert len({book.epoch for book in rows}) == 2
    assert len(moves) == len(rows) - 2
