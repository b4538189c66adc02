"""A month of three symbols, scaled down: each day has some minutes of a lifelike market, and is silent otherwise.

BTCUSDT has a row after every event, ETHUSDT and SOLUSDT after every tenth. The same events are stored three times:

    archive/                            booktape's archive, one segment a day for each N
    deltas/SYMBOL/DATE.csv.gz           as Tardis stores them: one line a changed level, the whole book first
    levels/SYMBOL/DATE.parquet          the same lines as Parquet, in zstd
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Final, Protocol

import pyarrow.csv
import pyarrow.parquet as pq

from bench.lifelike import LIMIT, SLOTS_PER_S, Lifelike
from booktape.core.events import DepthEvent, DepthSnapshot
from booktape.core.gap_reasons import STOPPED
from booktape.core.tape_records import (
    Connected,
    DepthAnswer,
    SegmentStart,
    StreamMessage,
    TapeRecord,
)
from booktape.export.tardis import Incremental, decimal
from booktape.sim.messages import Encoding, event_message
from booktape.wire.binance import decode_depth
from support.archives import open_archive
from support.rotation import finish, follow

SYMBOLS: Final = {"BTCUSDT": 1, "ETHUSDT": 10, "SOLUSDT": 10}
"""And after how many events each has a row."""

MOST_DETAILED: Final = "BTCUSDT"
DAYS: Final = int(os.environ.get("BOOKTAPE_MONTH_DAYS", "30"))
MOMENTS: Final = 1_000
_FIRST_DAY: Final = datetime(2026, 6, 1, 10, tzinfo=UTC)
_IDS_MISSED: Final = 1_000_000


def first_of(day: int) -> datetime:
    """When a day's recording begins."""
    return _FIRST_DAY + timedelta(days=day)


def moments(days: int, seconds: int) -> list[datetime]:
    """At random, each within what was recorded, earliest first."""
    dice = Random(7)
    return sorted(
        first_of(dice.randrange(days)) + timedelta(milliseconds=dice.randrange(seconds * 1_000))
        for _ in range(MOMENTS)
    )


class Market(Protocol):
    """What a symbol's events come from."""

    update_id: int

    def event(self, time_us: int) -> DepthEvent:
        """The next one."""

    def depth(self) -> bytes:
        """The answer to a request for the whole book."""


class Symbol:
    """One symbol's events, day by day: its market continues where it was, and ids are missing in between."""

    def __init__(self, symbol: str, market: Market) -> None:
        self.symbol = symbol
        self._market = market

    def day(self, day: int, seconds: int) -> Iterator[tuple[int, DepthAnswer | DepthEvent]]:
        """Received when, in nanoseconds; the whole book, then ten events a second."""
        begin_ns = int(first_of(day).timestamp()) * 10**9
        self._market.update_id += _IDS_MISSED
        yield begin_ns, DepthAnswer(begin_ns, self.symbol, LIMIT, self._market.depth())
        for slot in range(1, seconds * SLOTS_PER_S + 1):
            at_ns = begin_ns + slot * 10**9 // SLOTS_PER_S
            yield at_ns, replace(self._market.event(at_ns // 1_000), symbol=self.symbol)


def build(root: Path, days: int, seconds: int, market: Callable[[int], Market] = Lifelike) -> None:
    """Write the month in all three forms. Each symbol has its own market, made from a seed."""
    markets = [Symbol(symbol, market(seed)) for seed, symbol in enumerate(SYMBOLS, 1)]
    for every in sorted(set(SYMBOLS.values())):
        own = [market for market in markets if SYMBOLS[market.symbol] == every]
        parts = root / f"every-{every}"
        with open_archive(parts) as archive:
            for day in range(days):
                found = {market.symbol: list(market.day(day, seconds)) for market in own}
                start = SegmentStart(
                    int(first_of(day).timestamp()) * 10**9,
                    *("bench", "sim", every, LIMIT, tuple(found)),
                    audit_s=0,
                )
                recording = archive.begin(start, f"every{every}")
                for record in _records(start, found):
                    follow(recording, record)
                finish(recording, STOPPED).result()
                for symbol, items in found.items():
                    _store_lines(root, symbol, first_of(day), items)
        _move(parts, root / "archive")


def _records(
    start: SegmentStart, found: dict[str, list[tuple[int, DepthAnswer | DepthEvent]]]
) -> Iterator[TapeRecord]:
    yield Connected(start.received_ns, 1, start.symbols)
    for at_ns, item in sorted((one for items in found.values() for one in items), key=_when):
        if isinstance(item, DepthAnswer):
            yield item
        else:
            payload = event_message(item).payload(Encoding(combined=True, microseconds=False))
            yield StreamMessage(at_ns, 1, payload)


def _when(item: tuple[int, object]) -> int:
    return item[0]


def _move(parts: Path, archive: Path) -> None:
    """Several recorders' archives of different symbols may stand in one folder."""
    for path in sorted(p for p in parts.rglob("*.*") if p.is_file() and "=" in p.parent.name):
        to = archive / path.relative_to(parts)
        to.parent.mkdir(parents=True, exist_ok=True)
        path.rename(to)


# ── as others store it ──────────────────────────────────────────────────────────────────────


def _store_lines(
    root: Path,
    symbol: str,
    begin: datetime,
    items: list[tuple[int, DepthAnswer | DepthEvent]],
) -> None:
    """One day's lines, as CSV and as Parquet."""
    text = "".join(_lines(symbol, items))
    path = root / "deltas" / symbol / f"{begin:%Y-%m-%d}.csv.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(f"{Incremental.header}\n{text}".encode(), 6))
    table = pyarrow.csv.read_csv(path).drop_columns(["exchange", "symbol"])
    path = root / "levels" / symbol / f"{begin:%Y-%m-%d}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="zstd")


def _lines(symbol: str, items: list[tuple[int, DepthAnswer | DepthEvent]]) -> Iterator[str]:
    for at_ns, item in items:
        whole = isinstance(item, DepthAnswer)
        book: DepthSnapshot | DepthEvent = (
            decode_depth(item.payload, symbol, LIMIT) if isinstance(item, DepthAnswer) else item
        )
        head = f"binance,{symbol},{at_ns // 1_000},{at_ns // 1_000},{str(whole).lower()}"
        for side, levels in (("bid", book.bids), ("ask", book.asks)):
            for price, size in levels:
                yield f"{head},{side},{decimal(price)},{decimal(size)}\n"
