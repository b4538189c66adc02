"""From books to the cells of a picture: columns are times, rows are prices, values are total sizes. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, log10
from sys import float_info
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from booktape.core.events import Floats
from booktape.errors import NotRecorded
from booktape.reader.rows import flat

DRAWN_MIN: Final = 1e-100
DRAWN_MAX: Final = 1e100
"""Prices beyond these are not drawn: numbers computed from them may be 0, or exceed the largest double, 1.8e308.
No market has such prices, but a forged message may. A larger size is drawn as DRAWN_MAX."""

_DIGITS: Final = 1e-12
"""No cell is smaller than this fraction of a price: its ends would be the same double."""

_ROUND: Final = (1, 2, 5, 10)
# Prices are decimals stored as doubles: 61222.1 / 0.1 is slightly below 612221.
_HAIR: Final = 1e-6


@dataclass(frozen=True, slots=True)
class PriceAxis:
    """The prices of a picture: `bins` cells of `step` each, from `low` up; `low` is a multiple of `step`."""

    low: float
    step: float
    bins: int

    @classmethod
    def between(cls, low: float, high: float, tick: float, bins: int) -> PriceAxis:
        """About `bins` cells from `low` to `high`, none smaller than `tick`."""
        # A range too small to divide (5e-324) becomes one cell. In a crossed book `high` may be below `low`.
        smallest = max(_DIGITS * abs(low), _DIGITS * abs(high), float_info.min)
        step = max(round_up(max((high - low) / bins, smallest)), tick)
        first = floor(low / step + _HAIR)
        return cls(first * step, step, max(1, ceil(high / step - _HAIR) - first))

    @classmethod
    def around(
        cls, bid: Floats, ask: Floats, tick: float, bins: int, bps: float | None
    ) -> PriceAxis:
        """About `bins` cells around the best prices of a time range; at least one bid and one ask is a number.

        They reach `bps` hundredths of a percent beyond the lowest bid and the highest ask. Without `bps` they reach half
        as far as the price moved, and at least 5 bps and ten spreads.
        """
        low, high = float(np.nanmin(bid)), float(np.nanmax(ask))
        mid = float(np.nanmedian((bid + ask) / 2))
        if bps is None:
            spread = float(np.nanmedian(ask - bid))
            margin = max((high - low) / 2, 5e-4 * mid, 10 * spread)
        else:
            margin = bps * 1e-4 * mid
        return cls.between(low - margin, high + margin, tick, bins)

    @property
    def high(self) -> float:
        """Where the last cell ends."""
        return self.low + self.bins * self.step

    def cells(self, prices: Floats) -> NDArray[np.int64]:
        """The cell of each price; prices outside have numbers below 0, or from `bins` up."""
        # Prices far outside would have numbers that no integer holds. NaN, from a forged file, is outside too.
        near = np.fmin(np.fmax(prices, self.low - self.step), self.high + self.step)
        found: NDArray[np.int64] = np.floor((near - self.low) / self.step + _HAIR).astype(np.int64)
        return found


def round_up(value: float) -> float:
    """The next of 1, 2, 5, 10, 20, … (and 0.5, 0.2, …)."""
    power = 10.0 ** floor(log10(value))
    found = next(factor for factor in _ROUND if factor * power >= value * (1 - 1e-9))
    # Not 0.30000000000000004 for three tenths.
    return float(f"{found * power:.12g}")


def check_can_be_drawn(symbol: str, bid: Floats, ask: Floats) -> None:
    """Raises NotRecorded if any of these best prices cannot be drawn. NaN means that there is no price."""
    prices = np.concatenate([bid, ask])
    if ((prices < DRAWN_MIN) | (prices > DRAWN_MAX)).any():
        raise NotRecorded(
            f"{symbol} had prices then that no picture can show. Choose another time."
        )


def tick_of(columns: list[Floats]) -> float:
    """The smallest distance between two prices; 0 if there are fewer than two. NaN does not count as a price."""
    prices = np.unique(np.concatenate(columns)) if columns else np.empty(0)
    steps = np.diff(prices[np.isfinite(prices)])
    return float(f"{steps.min():.6g}") if len(steps) else 0.0


def paint(batch: pa.RecordBatch, prices: PriceAxis) -> Floats:
    """(rows of the batch, bins) sizes; NaN in rows whose book was not known."""
    grid = np.zeros((batch.num_rows, prices.bins))
    for side in ("bid", "ask"):
        column = batch.column(f"{side}_price")
        rows = pc.list_parent_indices(column).to_numpy()
        cells = prices.cells(flat(column))
        sizes = np.minimum(flat(batch.column(f"{side}_size")), DRAWN_MAX)
        inside = (cells >= 0) & (cells < prices.bins)
        np.add.at(grid, (rows[inside], cells[inside]), sizes[inside])
    grid[batch.column("epoch").is_null().to_numpy(zero_copy_only=False)] = np.nan
    return grid


def size_range(cells: Floats) -> tuple[float, float]:
    """The sizes at both ends of the colour scale; the few smallest and largest cells lie beyond them."""
    resting = cells[np.nan_to_num(cells) > 0]
    low, high = np.quantile(resting, [0.02, 0.998]).tolist() if len(resting) else (1.0, 1.0)
    return low, max(high, low * 1.01)
