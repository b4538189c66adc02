"""Tardis.dev's CSV layouts, `incremental_book_L2`, `book_snapshot_K` and `trades`, compressed with gzip.

A file of book changes ends where updates are missing, because some readers cut a second snapshot in a file to the size
of the first. One file has all trades. Memory holds one book.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from itertools import chain, groupby
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import numpy as np

from booktape.core.events import Level
from booktape.export.files import (
    Outcome,
    Written,
    check_cell,
    file_name,
    gzip_file,
    new_file,
    stamp,
)
from booktape.export.trades import TradeItem
from booktape.export.updates import Break, Update
from booktape.store.durable_files import disk_errors_named

_KEYS: Final = "exchange,symbol,timestamp,local_timestamp"


class Naming(NamedTuple):
    """The folder of the files, and the values of their first columns. `exchange` is a name that Tardis uses."""

    out: Path
    exchange: str
    symbol: str

    def path(self, kind: str, first: Update | Break) -> Path:
        """`binance_incremental_book_L2_<start>-<epoch>_BTCUSDT.csv.gz`."""
        when = stamp(first.local_us, first.epoch)
        return self.out / f"{self.exchange}_{kind}_{when}_{file_name(self.symbol)}.csv.gz"

    def path_of_trades(self, first: TradeItem) -> Path:
        """`binance_trades_<start>_BTCUSDT.csv.gz`."""
        when = stamp(first.local_us)
        return self.out / f"{self.exchange}_trades_{when}_{file_name(self.symbol)}.csv.gz"

    def keys(self, item: Update | TradeItem) -> str:
        """The first columns; times in microseconds."""
        return f"{self.exchange},{self.symbol},{item.exchange_us},{item.local_us}"


class Lines(Protocol):
    """The lines of one layout. A new one is made for each file."""

    header: str

    def lines_for(self, update: Update, keys: str) -> list[str]:
        """The lines for one update."""


def decimal(value: float) -> str:
    """The shortest text of a double without an exponent, because some readers do not accept one."""
    text = repr(value)
    if "e" in text:
        text = f"{Decimal(text):f}"
    return text.removesuffix(".0")


class Incremental:
    """One line a level; a size of 0 deletes the level. The first update of a file is the whole book."""

    header = f"{_KEYS},is_snapshot,side,price,amount"

    def lines_for(self, update: Update, keys: str) -> list[str]:
        """Bids before asks, best first in a snapshot."""
        head = f"{keys},{'true' if update.opens else 'false'}"
        sides: tuple[tuple[str, list[Level]], ...] = (("bid", update.bids), ("ask", update.asks))
        return [
            f"{head},{side},{decimal(price)},{decimal(size)}\n"
            for side, levels in sides
            for price, size in levels
        ]


class TopLevels:
    """One line whenever one of the best `depth` levels has changed. A missing level is an empty cell."""

    def __init__(self, depth: int) -> None:
        names = ("asks[{0}].price", "asks[{0}].amount", "bids[{0}].price", "bids[{0}].amount")
        cells = (name.format(level) for level in range(depth) for name in names)
        self.header = ",".join([_KEYS, *cells])
        self._depth = depth
        self._last: list[bytes] = []

    def lines_for(self, update: Update, keys: str) -> list[str]:
        """One line, or none if none of its levels has changed."""
        book, best = update.book, slice(self._depth)
        sides = (
            book.ask_price[best],
            book.ask_size[best],
            book.bid_price[best],
            book.bid_size[best],
        )
        now = [side.tobytes() for side in sides]
        if now == self._last:
            return []
        self._last = now
        square = np.full((self._depth, len(sides)), np.nan)
        for column, side in enumerate(sides):
            square[: len(side), column] = side
        cells = ("" if value != value else decimal(value) for value in square.ravel().tolist())  # noqa: PLR0124 only NaN differs from itself
        return [",".join([keys, *cells]) + "\n"]


def incremental(items: Iterable[Update | Break], naming: Naming) -> Iterator[Outcome]:
    """Write `incremental_book_L2`: every level of every event."""
    for stretch in _stretches(items):
        yield from _write(stretch, naming, "incremental_book_L2", Incremental())


def snapshots(items: Iterable[Update | Break], naming: Naming, depth: int) -> Iterator[Outcome]:
    """Write `book_snapshot_<depth>`: the best levels, whenever they change."""
    for stretch in _stretches(items):
        yield from _write(stretch, naming, f"book_snapshot_{depth}", TopLevels(depth))


def trades(items: Iterator[TradeItem], naming: Naming) -> Iterator[Outcome]:
    """Write `trades`: one line a trade; `side` is the taker's. Writes no file if there are no trades."""
    check_cell(naming.symbol)
    first = next(items, None)
    if first is None:
        return
    path, rows = naming.path_of_trades(first), 0
    with _csv_file(path, f"{_KEYS},id,side,price,amount") as write:
        for item in chain((first,), items):
            side = "sell" if item.buyer_is_maker else "buy"
            cells = item.trade_id, side, decimal(item.price), decimal(item.size)
            write(f"{naming.keys(item)},{','.join(map(str, cells))}\n")
            rows += 1
    yield Written(path, rows)


def _stretches(items: Iterable[Update | Break]) -> Iterator[Iterator[Update | Break]]:
    """The items, cut before each whole book. A stretch is not an epoch: a tape may be missing within an epoch."""
    whole_books = 0

    def number(item: Update | Break) -> int:
        nonlocal whole_books
        whole_books += isinstance(item, Update) and item.opens
        return whole_books

    return (stretch for _, stretch in groupby(items, number))


def _write(
    items: Iterator[Update | Break], naming: Naming, kind: str, lines: Lines
) -> Iterator[Outcome]:
    """One file with the changes of one stretch, then the gap that ends it."""
    check_cell(naming.symbol)
    first, gaps, rows = next(items), [], 0
    path = naming.path(kind, first)
    with _csv_file(path, lines.header) as write:
        for item in chain((first,), items):
            if isinstance(item, Break):
                gaps.append(item.gap)
                continue
            found = lines.lines_for(item, naming.keys(item))
            rows += len(found)
            write("".join(found))
    yield Written(path, rows)
    yield from gaps


@contextmanager
def _csv_file(path: Path, header: str) -> Iterator[Callable[[str], None]]:
    """A new compressed file with its header line. Yields a function that writes text to it."""
    with new_file(path) as (raw, stack):
        with disk_errors_named(path):
            file = gzip_file(raw, stack)

        def write(text: str) -> None:
            with disk_errors_named(path):
                file.write(text.encode())

        write(f"{header}\n")
        yield write
