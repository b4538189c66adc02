"""Five questions about the month of `month.py`, asked of each way to store it and to read it.

`python -m bench.questions ROOT DAYS SECONDS WAY QUESTION` answers one question in a separate process, and prints what
it took: seconds (of the fastest of some rounds), bytes that were read in a round, the peak of memory, and for each
symbol a sum of the answer, by which answers are compared.
"""

from __future__ import annotations

import json
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import pairwise
from math import fsum
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

import booktape
from bench.month import MOST_DETAILED, SYMBOLS, moments
from booktape.core.book import BookSide
from booktape.core.events import Floats
from booktape.reader.resample import join_batches
from booktape.reader.times import moment_us

Row: TypeAlias = tuple[Any, ...]
"""One line of an answer: a symbol, a time in microseconds since 1970 (0: none), and numbers."""

NEAR: Final = 1e-3
"""10 bps."""

ROUNDS: Final = 5
REPEATED_S: Final = 2.0
"""A question that takes longer is asked once. Otherwise the fastest of some rounds counts; the rest is noise of the
machine."""

SECOND_US, MINUTE_US, HOUR_US = 10**6, 60 * 10**6, 3_600 * 10**6


class Month(NamedTuple):
    """Where it is, and the moments that are asked for."""

    root: Path
    moments: list[datetime]

    @property
    def archive(self) -> Path:
        return self.root / "archive"


class Way(ABC):
    """A way to store the month and to read it: its answer to each question."""

    def __init__(self, month: Month) -> None:
        self.month = month

    @abstractmethod
    def best_bids(self) -> Iterable[Row]:
        """For each symbol: second, and the last best bid in it."""

    @abstractmethod
    def spreads(self) -> Iterable[Row]:
        """For each symbol: hour, and the mean spread of its rows."""

    def depths(self) -> Iterable[Row]:
        """For each symbol: minute, and what rests within 10 bps of the mid at its end, bids and asks."""
        raise NotImplementedError

    def books(self) -> Iterable[Row]:
        """For each moment: how many bids there are, the sum of their sizes, the sum of the asks' prices."""
        raise NotImplementedError

    def coverage(self) -> Iterable[Row]:
        """For each symbol: the seconds for which its book was known."""
        raise NotImplementedError


def near(symbol: str, minute_us: int, sides: tuple[Floats, Floats, Floats, Floats]) -> Row:
    """A line of `depths`, from prices and sizes of both sides."""
    bid, bid_size, ask, ask_size = sides
    mid = (bid[0] + ask[0]) / 2
    bids, asks = bid_size[bid >= (1 - NEAR) * mid], ask_size[ask <= (1 + NEAR) * mid]
    return symbol, minute_us, float(bids.sum()), float(asks.sum())


class DuckDb(Way):
    """SQL, best prices from their columns."""

    bid, ask = "best_bid", "best_ask"

    def _rows(self, query: str) -> list[Row]:
        db = duckdb.connect()
        db.execute("SET TimeZone = 'UTC'")
        db.execute(f"CREATE VIEW books AS FROM '{self.month.archive}/snapshots/**/*.parquet'")
        db.execute(f"CREATE VIEW gaps AS FROM '{self.month.archive}/gaps/**/*.parquet'")
        db.register("moments", pa.table({"moment": self.month.moments}))
        return db.execute(query.format(bid=self.bid, ask=self.ask)).fetchall()

    def best_bids(self) -> Iterable[Row]:
        return self._rows("""
            SELECT symbol, epoch_us(date_trunc('second', receive_time)) AS second,
                   arg_max({bid}, update_id) FROM books GROUP BY symbol, second""")

    def spreads(self) -> Iterable[Row]:
        return self._rows("""
            SELECT symbol, epoch_us(date_trunc('hour', receive_time)) AS hour, avg({ask} - {bid})
            FROM books GROUP BY symbol, hour""")

    def depths(self) -> Iterable[Row]:
        return self._rows("""
            WITH lasts AS (SELECT symbol, date_trunc('minute', receive_time) AS minute,
                                  max(update_id) AS update_id FROM books GROUP BY symbol, minute),
            found AS (SELECT *, ({bid} + {ask}) / 2 AS mid FROM lasts JOIN books USING (symbol, update_id))
            SELECT symbol, epoch_us(minute),
                   list_sum(bid_size[:len(list_filter(bid_price, lambda p: p >= 0.999 * mid))]),
                   list_sum(ask_size[:len(list_filter(ask_price, lambda p: p <= 1.001 * mid))])
            FROM found""")

    def books(self) -> Iterable[Row]:
        return self._rows("""
            SELECT symbol, 0, len(bid_price), list_sum(bid_size), list_sum(ask_price) FROM moments
            ASOF JOIN (FROM books WHERE symbol = 'BTCUSDT') ON receive_time <= moment""")

    def coverage(self) -> Iterable[Row]:
        return self._rows("""
            SELECT symbol, 0, any_value(span) - coalesce(sum(epoch_us(end_time) - epoch_us(start_time)), 0) / 1e6
            FROM (SELECT symbol, (epoch_us(max(receive_time)) - epoch_us(min(receive_time))) / 1e6 AS span
                  FROM books GROUP BY symbol)
            LEFT JOIN gaps USING (symbol) GROUP BY symbol""")


class DuckDbLists(DuckDb):
    """SQL, best prices from the lists."""

    bid, ask = "bid_price[1]", "ask_price[1]"


class Polars(Way):
    """Lazy frames, best prices from their columns."""

    bid, ask = pl.col("best_bid"), pl.col("best_ask")

    @property
    def _books(self) -> pl.LazyFrame:
        return pl.scan_parquet(self.month.archive / "snapshots")

    def _per(self, unit: str, *what: pl.Expr) -> pl.LazyFrame:
        at = pl.col("receive_time").dt.truncate(unit).dt.epoch("us").alias("at")
        return self._books.group_by("symbol", at).agg(*what)

    def best_bids(self) -> Iterable[Row]:
        return self._per("1s", self.bid.last()).collect().rows()

    def spreads(self) -> Iterable[Row]:
        return self._per("1h", (self.ask - self.bid).mean()).collect().rows()

    def depths(self) -> Iterable[Row]:
        lists = pl.col("bid_price", "bid_size", "ask_price", "ask_size").last()
        mid = ((self.bid + self.ask) / 2).last().alias("mid")
        rows = self._per("1m", lists, mid).collect()
        return [
            near(row["symbol"], row["at"], tuple(np.array(row[name]) for name in rows.columns[2:6]))  # type: ignore[arg-type]
            for row in rows.iter_rows(named=True)
        ]

    def books(self) -> Iterable[Row]:
        wanted = pl.LazyFrame({"receive_time": self.month.moments}).cast(pl.Datetime("us", "UTC"))
        own = self._books.filter(pl.col("symbol") == MOST_DETAILED).set_sorted("receive_time")
        sums = pl.col("bid_size").list.sum(), pl.col("ask_price").list.sum()
        found = wanted.join_asof(own, on="receive_time")
        bids = pl.col("bid_price").list.len()
        return found.select("symbol", pl.lit(0).alias("at"), bids, *sums).collect().rows()

    def coverage(self) -> Iterable[Row]:
        time = pl.col("receive_time")
        lost = (pl.col("end_time") - pl.col("start_time")).sum().dt.total_microseconds()
        gaps = pl.scan_parquet(self.month.archive / "gaps").group_by("symbol").agg(lost=lost)
        spans = self._books.group_by("symbol").agg(span=(time.max() - time.min()))
        known = (pl.col("span").dt.total_microseconds() - pl.col("lost").fill_null(0)) / 1e6
        both = spans.join(gaps, on="symbol", how="left")
        return both.select("symbol", pl.lit(0).alias("at"), known).collect().rows()


class PolarsLists(Polars):
    """Lazy frames, best prices from the lists."""

    bid, ask = pl.col("bid_price").list.first(), pl.col("ask_price").list.first()


class Pandas(Way):
    """Best prices from their columns. The lists of a month do not fit into memory as Python objects."""

    def _grouped(self, unit: str, value: Callable[[pd.DataFrame], Any], how: str) -> Iterable[Row]:
        needed = ["symbol", "receive_time", "best_bid", "best_ask"]
        books = pd.read_parquet(self.month.archive / "snapshots", columns=needed)
        books["value"] = value(books)
        keys = ["symbol", books.receive_time.dt.floor(unit)]
        found = books.groupby(keys, observed=True)["value"].agg(how).reset_index()
        times = found["receive_time"].dt.as_unit("us").astype("int64")
        return list(zip(found["symbol"], times, found["value"], strict=True))

    def best_bids(self) -> Iterable[Row]:
        return self._grouped("1s", lambda books: books.best_bid, "last")

    def spreads(self) -> Iterable[Row]:
        return self._grouped("1h", lambda books: books.best_ask - books.best_bid, "mean")


class Reader(Way):
    """booktape's reader: `quotes`, `snapshots` and `resample`."""

    def __init__(self, month: Month) -> None:
        super().__init__(month)
        self.rec = booktape.open(month.archive)

    def rows(self, symbol: str) -> booktape.Quotes | booktape.Snapshots:
        return self.rec.quotes(symbol)

    def columns(self, *sides: str) -> list[str]:
        return [f"best_{side}" for side in sides]

    def best(self, batch: pa.RecordBatch, side: str) -> Floats:
        return batch.column(f"best_{side}").to_numpy(zero_copy_only=False)

    def best_bids(self) -> Iterable[Row]:
        for symbol in SYMBOLS:
            for batch in self.rows(symbol).resample("1s").batches(self.columns("bid")):
                known = batch.filter(batch.column("epoch").is_valid())
                times = known.column("time").cast(pa.int64()).to_pylist()
                yield from (
                    (symbol, *each)
                    for each in zip(times, self.best(known, "bid").tolist(), strict=True)
                )

    def spreads(self) -> Iterable[Row]:
        for symbol in SYMBOLS:
            hours: dict[int, list[Floats]] = {}
            for batch in self.rows(symbol).batches(["receive_time", *self.columns("bid", "ask")]):
                of = batch.column("receive_time").cast(pa.int64()).to_numpy() // HOUR_US
                spread = self.best(batch, "ask") - self.best(batch, "bid")
                for hour in np.unique(of).tolist():
                    hours.setdefault(hour, []).append(spread[of == hour])
            yield from (
                (symbol, h * HOUR_US, float(np.concatenate(v).mean())) for h, v in hours.items()
            )

    def depths(self) -> Iterable[Row]:
        for symbol in SYMBOLS:
            for batch in self.rec.snapshots(symbol).resample("1m").batches():
                known = batch.filter(batch.column("epoch").is_valid())
                for row in range(known.num_rows):
                    lists = (known.column(name).slice(row, 1) for name in LISTS)
                    sides = tuple(pc.list_flatten(each).to_numpy() for each in lists)
                    minute_us = known.column("time").cast(pa.int64())[row].as_py()
                    yield near(symbol, minute_us, sides)  # type: ignore[arg-type]

    def books(self) -> Iterable[Row]:
        """Each row until the next one, as they come."""
        wanted = [moment_us(moment) for moment in self.month.moments]
        columns = ["receive_time", "bid_price", "bid_size", "ask_price"]
        last: pa.RecordBatch | None = None
        for batch in self.rec.snapshots(MOST_DETAILED).batches(columns):
            rows = batch if last is None else join_batches(last, batch)
            times = rows.column("receive_time").cast(pa.int64()).to_numpy()
            while wanted and wanted[0] < times[-1]:
                yield self._book(rows, int(np.searchsorted(times, wanted.pop(0), "right")) - 1)
            last = rows.slice(rows.num_rows - 1)
        if last is not None:
            yield from (self._book(last, 0) for _ in wanted)

    def _book(self, rows: pa.RecordBatch, at: int) -> Row:
        bid, size, ask = (
            pc.list_flatten(rows.column(name).slice(at, 1)).to_numpy()
            for name in ("bid_price", "bid_size", "ask_price")
        )
        return MOST_DETAILED, 0, len(bid), float(size.sum()), float(ask.sum())

    def coverage(self) -> Iterable[Row]:
        return [(own.symbol, 0, own.span_s - own.lost_s) for own in self.rec.coverage()]


class ReaderLists(Reader):
    """As it was done before there were quotes: `snapshots` with one level."""

    def rows(self, symbol: str) -> booktape.Quotes | booktape.Snapshots:
        return self.rec.snapshots(symbol, depth=1)

    def columns(self, *sides: str) -> list[str]:
        return [f"{side}_price" for side in sides]

    def best(self, batch: pa.RecordBatch, side: str) -> Floats:
        firsts = pc.list_slice(batch.column(f"{side}_price"), 0, 1, return_fixed_size_list=True)
        found: Floats = pc.list_element(firsts, 0).to_numpy(zero_copy_only=False)
        return found


class State(NamedTuple):
    """A book after an event, valid until the next one; both times in microseconds."""

    at: int
    until: int | None
    bids: BookSide
    asks: BookSide

    def is_last_of(self, unit_us: int) -> bool:
        return self.until is None or self.until // unit_us > self.at // unit_us

    def sides(self) -> tuple[Floats, Floats, Floats, Floats]:
        return *self.bids.best_first(), *self.asks.best_first()


class Deltas(Way):
    """Changes of levels in CSV.gz. They hold no book: each file is replayed, into the fastest book that we have."""

    folder = "deltas"

    def read(self, path: Path) -> pa.Table:
        return pyarrow.csv.read_csv(path)

    def _files(self, symbol: str) -> list[Path]:
        return sorted((self.month.root / self.folder / symbol).iterdir())

    def _states(self, path: Path) -> Iterator[State]:
        lines = self.read(path)
        times = lines["local_timestamp"].to_numpy()
        is_bid = pc.equal(lines["side"], pa.scalar("bid")).to_numpy()
        prices, sizes = lines["price"].to_numpy(), lines["amount"].to_numpy()
        bounds = [0, *(np.flatnonzero(np.diff(times)) + 1).tolist(), len(times)]
        bids, asks = BookSide((), descending=True), BookSide((), descending=False)
        for begin, end in pairwise(bounds):
            middle = begin + int(is_bid[begin:end].sum())  # bids come first
            bids.update(
                zip(prices[begin:middle].tolist(), sizes[begin:middle].tolist(), strict=True)
            )
            asks.update(zip(prices[middle:end].tolist(), sizes[middle:end].tolist(), strict=True))
            yield State(
                int(times[begin]), int(times[end]) if end < len(times) else None, bids, asks
            )

    def _all(self) -> Iterator[tuple[str, State]]:
        for symbol in SYMBOLS:
            for path in self._files(symbol):
                yield from ((symbol, state) for state in self._states(path))

    def best_bids(self) -> Iterable[Row]:
        for symbol, state in self._all():
            if state.is_last_of(SECOND_US) and (best := state.bids.best()):
                yield symbol, state.at // SECOND_US * SECOND_US, best[0]

    def spreads(self) -> Iterable[Row]:
        found: dict[tuple[str, int], list[float]] = {}
        for symbol, state in self._all():
            bid, ask = state.bids.best(), state.asks.best()
            if bid and ask:
                found.setdefault((symbol, state.at // HOUR_US), []).append(ask[0] - bid[0])
        return [(symbol, h * HOUR_US, fsum(v) / len(v)) for (symbol, h), v in found.items()]

    def depths(self) -> Iterable[Row]:
        for symbol, state in self._all():
            if state.is_last_of(MINUTE_US):
                yield near(symbol, state.at // MINUTE_US * MINUTE_US, state.sides())

    def books(self) -> Iterable[Row]:
        days: dict[str, list[int]] = {}
        for moment in self.month.moments:
            days.setdefault(f"{moment:%Y-%m-%d}", []).append(moment_us(moment))
        for path in self._files(MOST_DETAILED):
            wanted = days.get(path.name[:10], [])
            for state in self._states(path) if wanted else ():
                if wanted and (state.until is None or wanted[0] < state.until):
                    bid, bid_size, ask, _ = state.sides()
                    line = MOST_DETAILED, 0, len(bid), float(bid_size.sum()), float(ask.sum())
                    while wanted and (state.until is None or wanted[0] < state.until):
                        wanted.pop(0)
                        yield line

    def coverage(self) -> Iterable[Row]:
        """No gap is stored: the time between two files is one."""
        known: dict[str, float] = {}
        for symbol in SYMBOLS:
            for path in self._files(symbol):
                times = self.read(path)["local_timestamp"].to_numpy()
                known[symbol] = known.get(symbol, 0.0) + (times[-1] - times[0]) / 1e6
        return [(symbol, 0, seconds) for symbol, seconds in known.items()]


class DeltasInParquet(Deltas):
    """The same lines in Parquet: a row for each changed level."""

    folder = "levels"

    def read(self, path: Path) -> pa.Table:
        return pq.read_table(path)


LISTS: Final = ("bid_price", "bid_size", "ask_price", "ask_size")
QUESTIONS: Final[dict[str, Callable[[Way], Iterable[Row]]]] = {
    "best bid each second": lambda way: way.best_bids(),
    "mean spread each hour": lambda way: way.spreads(),
    "depth within 10 bps each minute": lambda way: way.depths(),
    "the book at 1,000 moments": lambda way: way.books(),
    "coverage": lambda way: way.coverage(),
}
WAYS: Final[dict[str, type[Way]]] = {
    "DuckDB, lists": DuckDbLists,
    "DuckDB, columns": DuckDb,
    "polars, lists": PolarsLists,
    "polars, columns": Polars,
    "pandas, columns": Pandas,
    "reader, lists": ReaderLists,
    "reader, columns": Reader,
    "deltas in CSV.gz": Deltas,
    "deltas in Parquet": DeltasInParquet,
}


def summary(rows: Iterable[Row]) -> dict[str, list[float]]:
    """For each symbol: how many lines, the sum of their times, and the sum of their numbers."""
    found: dict[str, tuple[list[int], list[float]]] = {}
    for symbol, at_us, *numbers in rows:
        times, sums = found.setdefault(symbol, ([], []))
        times.append(at_us)
        sums.append(fsum(numbers))
    return {symbol: [len(t), sum(t), fsum(sums)] for symbol, (t, sums) in found.items()}


def read_bytes() -> int:
    """What this process has read so far by `read` and its like. What is mapped into memory is not seen."""
    text = Path("/proc/self/io").read_text()
    return int(text.split("rchar: ")[1].split()[0])


def peak_bytes() -> int:
    """The most memory that this process had. (`getrusage` would count that of the process that started it.)"""
    text = Path("/proc/self/status").read_text()
    return int(text.split("VmHWM:")[1].split()[0]) * 1024


def main(root: str, days: str, seconds: str, way: str, question: str) -> None:
    """Answer one question."""
    month = Month(Path(root), moments(int(days), int(seconds)))
    took_s: list[float] = []
    while len(took_s) < ROUNDS and sum(took_s) < REPEATED_S:
        read, began = read_bytes(), time.perf_counter()
        answer = list(QUESTIONS[question](WAYS[way](month)))
        took_s.append(time.perf_counter() - began)
        read = read_bytes() - read
    found = {
        "s": min(took_s),
        "read": read,
        "peak_mb": peak_bytes() / 1e6,
        "answer": summary(answer),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
