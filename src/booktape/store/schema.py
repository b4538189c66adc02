"""The columns, their types and their meaning. The tables in docs/format.md are generated from this file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa

from booktape.core.checks import Check
from booktape.core.events import BookRow, Floats, GapInterval, Note
from booktape.core.trades import TradeGap, TradeRow

_TIME: Final = pa.timestamp("us", tz="UTC")
_INT, _DOUBLE, _TEXT = pa.int64(), pa.float64(), pa.string()
# Elements are never null, which spares Parquet one level of bookkeeping per value.
_DOUBLES: Final = pa.list_(pa.field("element", pa.float64(), nullable=False))


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table."""

    name: str
    type: pa.DataType
    meaning: str
    nullable: bool = False


TABLE_FORMAT: Final = 2
"""The format of the tables that are written now. The tape has a separate format.

1: `snapshots` without the columns of `FIRST_OF`. 2: with them.
"""

TABLE_FORMAT_KEY: Final = "booktape.table_format"
"""Each Parquet file names its format under this key in its metadata. Without the key, the format is 1."""

SNAPSHOT_COLUMNS: Final = (
    Column(
        "event_time",
        _TIME,
        "exchange time `E` of the last applied event; null in an epoch's first row if no event was applied yet",
        nullable=True,
    ),
    Column(
        "receive_time",
        _TIME,
        "our clock when this book was known here: the latest stamp among the snapshot and the events "
        "that it was made from",
    ),
    Column("update_id", _INT, "id of the last update included"),
    Column(
        "epoch",
        _INT,
        "grows by one each time the book has to be rebuilt, including after a restart, and never "
        "decreases in one DIR; within an epoch no update is missing",
    ),
    Column("updates", _INT, "events applied in this epoch so far; 0 in its first row"),
    Column("best_bid", _DOUBLE, "first of `bid_price`; null when there is no bid", nullable=True),
    Column(
        "best_bid_size", _DOUBLE, "first of `bid_size`; null when there is no bid", nullable=True
    ),
    Column("best_ask", _DOUBLE, "first of `ask_price`; null when there is no ask", nullable=True),
    Column(
        "best_ask_size", _DOUBLE, "first of `ask_size`; null when there is no ask", nullable=True
    ),
    Column("bid_price", _DOUBLES, "all known bid prices, best (highest) first"),
    Column("bid_size", _DOUBLES, "their sizes, all > 0"),
    Column("ask_price", _DOUBLES, "all known ask prices, best (lowest) first"),
    Column("ask_size", _DOUBLES, "their sizes, all > 0"),
    Column(
        "bid_horizon",
        _DOUBLE,
        "the bid side is complete down to this price; levels below it are real, but others may "
        "be missing; null when the whole side is known",
        nullable=True,
    ),
    Column(
        "ask_horizon",
        _DOUBLE,
        "the ask side is complete up to this price; levels above it are real, but others may "
        "be missing; null when the whole side is known",
        nullable=True,
    ),
)

GAP_COLUMNS: Final = (
    Column("symbol", _TEXT, "the symbol whose book was not known"),
    Column("epoch", _INT, "the epoch that ended"),
    Column("start_time", _TIME, "our clock when the book was last known"),
    Column("end_time", _TIME, "our clock when it was known again; null while open", nullable=True),
    Column("last_update_id", _INT, "update id of the last known state before the gap"),
    Column(
        "next_update_id",
        _INT,
        "update id of the first known state after the gap, the first row of the next epoch; null while open",
        nullable=True,
    ),
    Column(
        "missed_updates",
        _INT,
        "number of update ids strictly between the two; null while open; negative when the exchange's ids "
        "went backwards",
        nullable=True,
    ),
    Column("reason", _TEXT, "why; see below"),
)

CHECK_COLUMNS: Final = (
    Column("symbol", _TEXT, "the symbol whose book was compared"),
    Column(
        "time",
        _TIME,
        "our clock when the book and the witness were both known; of several, the last time",
    ),
    Column(
        "update_id", _INT, "the update id as of which they were compared; of several, the last one"
    ),
    Column(
        "witness",
        _TEXT,
        "`rest`: a later snapshot, over the whole range that both know; `depth20`, `bookTicker`: "
        "the streams of these names; `pulse`: the best levels of a quiet book; `book`: a book "
        "whose best bid is not below its best ask, stored as the exchange sent it",
    ),
    Column("levels_compared", _INT, "number of prices compared"),
    Column(
        "mismatches",
        _INT,
        "number of prices at which the sizes differed; for `book`, the two that cross",
    ),
    Column(
        "detail",
        _TEXT,
        "for comparisons that passed within a minute, how many; for one that failed, the levels that "
        "differed (JSON, at most 1,000: side, price, size in the book, size at the witness, which is 0 for `book`)",
    ),
)

NOTE_COLUMNS: Final = (
    Column("symbol", _TEXT, "the symbol it concerns; null: all symbols", nullable=True),
    Column("time", _TIME, "our clock when it was noticed"),
    Column("kind", _TEXT, "see below"),
    Column("detail", _TEXT, "see below"),
)

NOTE_KINDS: Final = {
    "status": "the symbol's new status in the exchange's list: TRADING, HALT, BREAK, CANCEL_ONLY …; "
    "DELISTED when the list no longer has the symbol",
    "clock_step": "our clock was set, or the machine slept (`detail` has the seconds)",
    "pause": "the recorder itself stood still, and received nothing (`detail` has the seconds)",
    "tick_size": "the step of the symbol's prices, as the exchange writes it, when first seen and when changed",
    "lot_size": "the step of its sizes, likewise",
    "clock_offset": "how far our clock was ahead of the exchange's, give or take half a round trip",
}

TRADE_COLUMNS: Final = (
    Column("trade_id", _INT, "the exchange's id: one above that of the previous trade"),
    Column("price", _DOUBLE, "price"),
    Column("size", _DOUBLE, "size, in the base asset"),
    Column(
        "event_time",
        _TIME,
        "exchange time `E`, when the stream sent it; null for a trade that was filled",
        nullable=True,
    ),
    Column("trade_time", _TIME, "exchange time `T` of the trade itself"),
    Column("receive_time", _TIME, "our clock when its message, or the REST answer, arrived"),
    Column("buyer_is_maker", pa.bool_(), "true: the seller took; false: the buyer took"),
    Column("filled", pa.bool_(), "whether it was requested because no connection delivered it"),
)

TRADE_GAP_COLUMNS: Final = (
    Column("symbol", _TEXT, "the symbol whose trades are missing"),
    Column("first_id", _INT, "id of the first missing trade"),
    Column("last_id", _INT, "id of the last missing trade"),
    Column("start_time", _TIME, "exchange time of the trade before them"),
    Column("end_time", _TIME, "exchange time of the trade after them"),
    Column("time", _TIME, "our clock when they were given up"),
    Column("reason", _TEXT, "why; see below"),
)

_DIFFERENCES_MAX: Final = 1_000


def _schema(columns: Iterable[Column], table_format: int = TABLE_FORMAT) -> pa.Schema:
    """The columns, and the format that a file with them will name."""
    fields = [pa.field(c.name, c.type, nullable=c.nullable) for c in columns]
    return pa.schema(fields, metadata={TABLE_FORMAT_KEY: str(table_format)})


FIRST_OF: Final = MappingProxyType(
    {
        "best_bid": "bid_price",
        "best_bid_size": "bid_size",
        "best_ask": "ask_price",
        "best_ask_size": "ask_size",
    }
)
"""The columns that hold the first element of a list, and which list. They are new in table format 2.

They stand beside the other numbers, before the lists. So everything a query about best prices needs is one contiguous
part of the file, and one request to a bucket.
"""

SNAPSHOTS: Final = _schema(SNAPSHOT_COLUMNS)
SNAPSHOTS_1: Final = _schema([c for c in SNAPSHOT_COLUMNS if c.name not in FIRST_OF], 1)
"""The columns of table format 1."""
GAPS: Final = _schema(GAP_COLUMNS)
CHECKS: Final = _schema(CHECK_COLUMNS)
NOTES: Final = _schema(NOTE_COLUMNS)
TRADES: Final = _schema(TRADE_COLUMNS)
TRADE_GAPS: Final = _schema(TRADE_GAP_COLUMNS)

SCALARS: Final = [c.name for c in SNAPSHOT_COLUMNS if c.type != _DOUBLES]
"""Columns with statistics, by which a reader skips row groups. Lists have none."""


def snapshot_batch(rows: Sequence[BookRow]) -> pa.RecordBatch:
    """Rows as one Arrow batch. Times lose their nanoseconds: they are cut to microseconds."""
    lists = [[getattr(row, name) for row in rows] for name in FIRST_OF.values()]
    columns: list[pa.Array[Any]] = [
        pa.array([row.event_time_us for row in rows], _TIME),
        pa.array([row.received_ns // 1_000 for row in rows], _TIME),
        pa.array([row.update_id for row in rows], _INT),
        pa.array([row.epoch for row in rows], _INT),
        pa.array([row.updates for row in rows], _INT),
        *map(_firsts, lists),
        *map(_lists, lists),
        pa.array([row.bid_horizon for row in rows], _DOUBLE),
        pa.array([row.ask_horizon for row in rows], _DOUBLE),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=SNAPSHOTS)


def trade_batch(rows: Sequence[TradeRow]) -> pa.RecordBatch:
    """Rows as one Arrow batch."""
    trades = [row.trade for row in rows]
    columns: list[pa.Array[Any]] = [
        pa.array([trade.trade_id for trade in trades], _INT),
        pa.array([trade.price for trade in trades], _DOUBLE),
        pa.array([trade.size for trade in trades], _DOUBLE),
        pa.array([trade.event_time_us for trade in trades], _TIME),
        pa.array([trade.trade_time_us for trade in trades], _TIME),
        pa.array([row.received_ns // 1_000 for row in rows], _TIME),
        pa.array([trade.buyer_is_maker for trade in trades], pa.bool_()),
        pa.array([row.is_filled for row in rows], pa.bool_()),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=TRADES)


def _firsts(values: Sequence[Floats]) -> pa.Array[Any]:
    return pa.array([v[0] if len(v) else None for v in values], _DOUBLE)


def _lists(values: Sequence[Floats]) -> pa.Array[Any]:
    lengths = np.fromiter((len(v) for v in values), np.int32, len(values))
    offsets = np.concatenate([np.zeros(1, np.int32), np.cumsum(lengths, dtype=np.int32)])
    return pa.ListArray.from_arrays(
        pa.array(offsets), pa.array(np.concatenate(values)), type=_DOUBLES
    )


@dataclass(frozen=True, slots=True)
class SmallTable:
    """A table of rare items, for all symbols: the class of the items, and how an item becomes a row."""

    holds: type
    schema: pa.Schema
    row: Callable[[Any], tuple[object, ...]]

    def batch(self, items: Iterable[object]) -> pa.RecordBatch:
        """The items of this table's class as one Arrow batch, which may be empty.

        A null in a column that allows none is refused later by the Parquet writer.
        """
        rows = [self.row(item) for item in items if isinstance(item, self.holds)]
        # Without rows `zip` makes no columns.
        columns = list(zip(*rows, strict=True)) or [()] * len(self.schema)
        typed = zip(columns, self.schema.types, strict=True)
        arrays = [pa.array(values, of) for values, of in typed]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)


def _gap_row(gap: GapInterval) -> tuple[object, ...]:
    return (
        gap.symbol,
        gap.epoch,
        gap.start_ns // 1_000,
        None if gap.end_ns is None else gap.end_ns // 1_000,
        gap.last_update_id,
        gap.next_update_id,
        gap.missed_updates,
        gap.reason,
    )


def _check_row(check: Check) -> tuple[object, ...]:
    return (
        check.symbol,
        check.received_ns // 1_000,
        check.update_id,
        check.witness,
        check.levels_compared,
        len(check.differences),
        _detail(check),
    )


def _detail(check: Check) -> str:
    if check.differences:
        return msgspec.json.encode(check.differences[:_DIFFERENCES_MAX]).decode()
    return "" if check.witness == "rest" else f"{check.comparisons} comparisons"


def _note_row(note: Note) -> tuple[object, ...]:
    return note.symbol, note.received_ns // 1_000, note.kind, note.detail


def _trade_gap_row(gap: TradeGap) -> tuple[object, ...]:
    hole = gap.hole
    times = (hole.after_us, hole.before_us, gap.declared_ns // 1_000)
    return gap.symbol, hole.first_id, hole.last_id, *times, gap.reason


TRADE_GAPS_NAME: Final = "trade_gaps"
"""The one small table that only a recording with trades has."""

TABLES: Final = MappingProxyType(
    {
        "gaps": SmallTable(GapInterval, GAPS, _gap_row),
        "checks": SmallTable(Check, CHECKS, _check_row),
        "notes": SmallTable(Note, NOTES, _note_row),
        TRADE_GAPS_NAME: SmallTable(TradeGap, TRADE_GAPS, _trade_gap_row),
    }
)
"""By the name of their folder."""
