"""The best levels on a regular grid of time, as lines that are interrupted at gaps."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import pyarrow as pa

from booktape.errors import NotRecorded
from booktape.reader import Recording, Resampled
from booktape.reader.raster import DRAWN_MAX, Floats, check_can_be_drawn
from booktape.reader.time_range import TimeRange

_DAY_US: Final = 86_400_000_000
_NUMBERS: Final = (
    *("time", "symbol", "receive_time", "epoch"),
    *("best_bid", "best_ask", "bid_horizon", "ask_horizon"),
)
_AS_WIDE: Final = MappingProxyType({"best_bid": "bid_px_00", "best_ask": "ask_px_00"})


@dataclass(frozen=True, slots=True)
class Touch:
    """The last book known in each interval, its best levels only. NaN where none was known."""

    columns: dict[str, Floats]
    levels: int

    @classmethod
    def read(cls, rec: Recording, stretch: TimeRange, levels: int = 0) -> Touch:
        """Best prices and horizons; with `levels` the sizes of as many levels, too: then all lists are decoded.

        Raises NotRecorded if no book with two sides was known in this time, or none that can be drawn.
        """
        rows = grid(rec, stretch, levels or None)
        if levels:
            table = rows.to_arrow("wide")
        else:
            schema = pa.schema([field for field in rows.schema if field.name in _NUMBERS])
            table = pa.Table.from_batches(rows.batches(_NUMBERS[1:]), schema)
        touch = cls({_AS_WIDE.get(n, n): _floats(table[n]) for n in table.schema.names}, levels)
        check_can_be_drawn(stretch.symbol, touch["bid_px_00"], touch["ask_px_00"])
        if not np.isfinite(touch.mid).any():
            raise NotRecorded(
                f"{stretch.symbol} had no book with two sides between {stretch.start:%H:%M:%S} "
                f"and {stretch.end:%H:%M:%S} UTC. Choose another time."
            )
        return touch

    def __getitem__(self, name: str) -> Floats:
        """A column of the shape `wide`."""
        return self.columns[name]

    @property
    def days(self) -> Floats:
        """The start of each interval, in days since 1970, as matplotlib counts."""
        return self["time"]

    @property
    def mid(self) -> Floats:
        """Halfway between best bid and best ask."""
        mid: Floats = (self["bid_px_00"] + self["ask_px_00"]) / 2
        return mid

    @property
    def spread_bps(self) -> Floats:
        """Best ask minus best bid, in hundredths of a percent of the mid."""
        spread: Floats = (self["ask_px_00"] - self["bid_px_00"]) / self.mid * 1e4
        return spread

    def total(self, name: str) -> Floats:
        """The sum of a column over all levels (`bid_sz`); NaN where there is no level."""
        values = np.stack([self[f"{name}_{level:02d}"] for level in range(self.levels)])
        values = np.minimum(values, DRAWN_MAX)
        total: Floats = np.where(np.isfinite(values[0]), np.nansum(values, axis=0), np.nan)
        return total

    def line(self, values: Floats) -> tuple[Floats, Floats]:
        """The points of a line of steps, interrupted wherever the epoch changes, also within one interval."""
        epochs = self["epoch"]
        ends = np.flatnonzero(np.diff(epochs)) + 1
        days = np.append(self.days, 2 * self.days[-1] - self.days[-2:][0])
        values = np.append(values, values[-1])
        return np.insert(days, ends, days[ends]), np.insert(values, ends, np.nan)


def grid(rec: Recording, stretch: TimeRange, levels: int | None) -> Resampled:
    """The rows of this time, one per interval."""
    rows = rec.snapshots(stretch.symbol, stretch.start, stretch.after, depth=levels)
    return rows.resample(stretch.interval)


def days_of(times: pa.ChunkedArray[Any] | pa.Array[Any]) -> Floats:
    """Times as matplotlib counts them: days since 1970."""
    days: Floats = times.cast(pa.int64()).to_numpy() / _DAY_US
    return days


def _floats(column: pa.ChunkedArray[Any]) -> Floats:
    if pa.types.is_timestamp(column.type):
        return days_of(column.cast(pa.timestamp("us", tz="UTC")))
    if pa.types.is_string(column.type):
        return np.full(len(column), np.nan)
    # Ids above 2^53 are rounded: no picture shows them.
    return column.cast(pa.float64(), safe=False).to_numpy()
