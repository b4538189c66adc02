"""Trades in the form that other tools need: by time, beside the changes of a book, with clocks that never go back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from booktape.export.updates import Break, Update

_CHUNK_ROWS: Final = 100_000


@dataclass(frozen=True, slots=True)
class TradeItem:
    """One trade. Times are microseconds since 1970.

    `local_us` is when it arrived. A trade that was filled, or that arrived after later ones, has the local time of the
    next trade: by then it would have arrived.
    """

    trade_id: int
    exchange_us: int
    local_us: int
    price: float
    size: float
    buyer_is_maker: bool


def trade_items(trades: pa.Table) -> Iterator[TradeItem]:
    """The rows of `Recording.trades`, in its order."""
    received = trades["receive_time"].cast(pa.int64()).to_numpy()
    exchange = trades["trade_time"].cast(pa.int64()).to_numpy()
    filled = trades["filled"].to_numpy()
    # From the last trade backwards: the earliest arrival among this trade and all later ones.
    latest = np.where(filled, np.iinfo(np.int64).max, received)
    local = np.minimum.accumulate(latest[::-1])[::-1]
    # No trade arrived after the filled trades at the very end, so they have no such arrival.
    last = max(received[~filled], default=0)
    local = np.where(local == np.iinfo(np.int64).max, np.maximum(exchange, last), local)
    names = ("trade_id", "price", "size", "buyer_is_maker")
    for start in range(0, trades.num_rows, _CHUNK_ROWS):
        part = slice(start, start + _CHUNK_ROWS)
        ids, prices, sizes, makers = (trades[name][part].to_pylist() for name in names)
        times = exchange[part].tolist(), np.maximum.accumulate(local)[part].tolist()
        columns = zip(ids, *times, prices, sizes, makers, strict=True)
        yield from (TradeItem(*row) for row in columns)


def with_trades(
    items: Iterable[Update | Break], trades: Iterable[TradeItem]
) -> Iterator[Update | Break | TradeItem]:
    """The changes of a book, each after the trades up to its own exchange time.

    So the book at a trade is the one before it. Trades made while the book was not known are left out, and so are those
    after the last change.
    """
    waiting = iter(trades)
    trade = next(waiting, None)
    exchange_us = local_us = 0
    known = False
    for item in items:
        known = known and not (isinstance(item, Update) and item.opens)
        while trade and trade.exchange_us <= item.exchange_us:
            if known:
                exchange_us = max(exchange_us, trade.exchange_us)
                local_us = max(local_us, min(trade.local_us, item.local_us))
                values = trade.price, trade.size, trade.buyer_is_maker
                yield TradeItem(trade.trade_id, exchange_us, local_us, *values)
            trade = next(waiting, None)
        yield item
        exchange_us, local_us, known = item.exchange_us, item.local_us, isinstance(item, Update)
