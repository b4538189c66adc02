"""The part of a book that fits on a screen: its best levels, and its sizes by price around the mid. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from booktape.core.events import Floats, Level
from booktape.reader.raster import DRAWN_MAX, DRAWN_MIN, PriceAxis, tick_of

LEVELS: Final = 25
"""The best levels of each side that are shown one by one."""

CELLS: Final = 200
"""About this many cells of price from one end of the view to the other."""

REACHES_BPS: Final = (5, 10, 25, 50, 100, 250, 500, 1_000)
"""How far from the mid a view may reach, in hundredths of a percent. Fixed steps keep the cells in place."""


@dataclass(frozen=True, slots=True)
class BookView:
    """A known book. Each cell is the total size over `step` of price, from `low` up; without a mid there are no cells."""

    time_us: int
    event_time_us: int | None
    update_id: int
    epoch: int
    bids: list[Level]
    asks: list[Level]
    bid_levels: int
    ask_levels: int
    bid_horizon: float | None
    ask_horizon: float | None
    low: float
    step: float
    bid_cells: list[float]
    ask_cells: list[float]


def view_book(
    times_us: tuple[int, int | None],
    update_id: int,
    epoch: int,
    columns: tuple[Floats, Floats, Floats, Floats, float | None, float | None],
    reach_bps: int,
) -> BookView:
    """A view of a book's columns, best first, as in `OrderBook.columns`. `times_us`: when received, and of the event."""
    bid_price, bid_size, ask_price, ask_size, bid_horizon, ask_horizon = columns
    prices = _prices(bid_price, ask_price, reach_bps)
    return BookView(
        *times_us,
        update_id,
        epoch,
        _best(bid_price, bid_size),
        _best(ask_price, ask_size),
        len(bid_price),
        len(ask_price),
        bid_horizon,
        ask_horizon,
        prices.low if prices else 0.0,
        prices.step if prices else 0.0,
        _cells(bid_price, bid_size, prices),
        _cells(ask_price, ask_size, prices),
    )


def _best(price: Floats, size: Floats) -> list[Level]:
    return list(zip(price[:LEVELS].tolist(), size[:LEVELS].tolist(), strict=True))


def _cells(price: Floats, size: Floats, prices: PriceAxis | None) -> list[float]:
    if prices is None:
        return []
    places = prices.cells(price)
    inside = (places >= 0) & (places < prices.bins)
    sizes = np.minimum(size[inside], DRAWN_MAX)
    found: list[float] = np.bincount(places[inside], sizes, prices.bins).tolist()
    return found


def _prices(bid: Floats, ask: Floats, reach_bps: int) -> PriceAxis | None:
    """The cells around the mid; None if a side is empty, or its best price cannot be drawn."""
    if not len(bid) or not len(ask):
        return None
    best_bid, best_ask = float(bid[0]), float(ask[0])
    if min(best_bid, best_ask) < DRAWN_MIN or max(best_bid, best_ask) > DRAWN_MAX:
        return None
    tick = tick_of([bid[:LEVELS], ask[:LEVELS]])
    margin = reach_bps * 1e-4 * (best_bid + best_ask) / 2
    return PriceAxis.between(best_bid - margin, best_ask + margin, tick, CELLS)
