"""The objects that iteration yields: books, gaps and steps. Their fields are named like the columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from booktape.core.events import BookRow, DepthEvent, Floats, GapInterval
from booktape.reader.times import moment_at

_GAP_TIMES: Final = ("start_time", "end_time")


@dataclass(frozen=True, slots=True, eq=False)
class Book:
    """One book. Its arrays are best first. A horizon of `None` means that the whole side is known."""

    symbol: str
    event_time: datetime | None
    receive_time: datetime
    update_id: int
    epoch: int
    updates: int
    bid_price: Floats
    bid_size: Floats
    ask_price: Floats
    ask_size: Floats
    bid_horizon: float | None
    ask_horizon: float | None

    @classmethod
    def of(cls, row: BookRow, depth: int | None = None) -> Book:
        """From a row of the core, with at most `depth` levels a side."""
        event_time = None if row.event_time_us is None else moment_at(row.event_time_us)
        return cls(
            row.symbol,
            event_time,
            moment_at(row.received_ns // 1_000),
            row.update_id,
            row.epoch,
            row.updates,
            row.bid_price[:depth],
            row.bid_size[:depth],
            row.ask_price[:depth],
            row.ask_size[:depth],
            row.bid_horizon,
            row.ask_horizon,
        )

    @property
    def best_bid(self) -> float | None:
        """The price of the highest bid; None if there is no bid."""
        return float(self.bid_price[0]) if len(self.bid_price) else None

    @property
    def best_ask(self) -> float | None:
        """The price of the lowest ask; None if there is no ask."""
        return float(self.ask_price[0]) if len(self.ask_price) else None

    @property
    def mid(self) -> float | None:
        """Halfway between best bid and best ask; None if a side is empty."""
        if self.best_bid is None or self.best_ask is None:
            return None
        return (self.best_bid + self.best_ask) / 2

    @property
    def spread(self) -> float | None:
        """Best ask minus best bid; None if a side is empty."""
        if self.best_bid is None or self.best_ask is None:
            return None
        return self.best_ask - self.best_bid


@dataclass(frozen=True, slots=True)
class Gap:
    """An interval in which the book was not known. `end_time` is None while it is open.

    `reason` is one of those in docs/format.md, or `undeclared`: the epoch changes and no file has the gap, because
    files of the archive are missing or damaged.
    """

    symbol: str
    epoch: int
    start_time: datetime
    end_time: datetime | None
    last_update_id: int
    next_update_id: int | None
    missed_updates: int | None
    reason: str

    @classmethod
    def of(cls, gap: GapInterval) -> Gap:
        """From a gap of the core."""
        return cls(
            gap.symbol,
            gap.epoch,
            moment_at(gap.start_ns // 1_000),
            None if gap.end_ns is None else moment_at(gap.end_ns // 1_000),
            gap.last_update_id,
            gap.next_update_id,
            gap.missed_updates,
            gap.reason,
        )

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Gap:
        """From a row of the table `gaps`."""
        times = {name: row[name] and row[name].astimezone(UTC) for name in _GAP_TIMES}
        return cls(**{**row, **times})

    @classmethod
    def undeclared(
        cls, symbol: str, epoch: int, times: tuple[datetime, datetime], ids: tuple[int, int]
    ) -> Gap:
        """A gap that no file of the archive declares, from the last row before it to the first row after it."""
        return cls(symbol, epoch, *times, *ids, ids[1] - ids[0] - 1, "undeclared")

    def covers(self, moment: datetime) -> bool:
        """Whether the book was not known at this time. At both ends of the gap the book was known."""
        return self.start_time < moment and (self.end_time is None or moment < self.end_time)


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One event with the book after it. An epoch begins with a snapshot, for which `event` is None.

    The sizes in `event.bids` and `event.asks` are absolute, and 0 deletes a level.
    """

    event: DepthEvent | None
    book: Book
