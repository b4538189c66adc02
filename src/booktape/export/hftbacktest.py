"""hftbacktest's `.npz`: one array `data` of events a file, times in nanoseconds.

Every event is for both of its processors (the exchange's and the local one), which is right because
neither clock ever goes back. A DEPTH_CLEAR without a side comes where a gap begins, so that the book is
empty inside the gap, and before each snapshot: clearing a range would leave levels beyond it.
If trades were recorded, they come between the changes.

Memory holds the events of one file, 64 bytes each, and twice as much while the file is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from booktape.core.events import Level
from booktape.errors import UsageError
from booktape.export.files import Outcome, Written, file_name, new_file, stamp
from booktape.export.trades import TradeItem
from booktape.export.updates import Break, Update
from booktape.store.durable_files import disk_errors_named

EVENT: Final = np.dtype(
    [
        ("ev", "u8"),
        ("exch_ts", "i8"),
        ("local_ts", "i8"),
        ("px", "f8"),
        ("qty", "f8"),
        ("order_id", "u8"),
        ("ival", "i8"),
        ("fval", "f8"),
    ]
)
Events: TypeAlias = NDArray[np.void]

DEPTH, TRADE, CLEAR, SNAPSHOT = 1, 2, 3, 4
BOTH: Final = 1 << 31 | 1 << 30
"""The event is for the exchange's processor and for the local one."""
BUY, SELL = 1 << 29, 1 << 28
"""The side of a level, or the taker of a trade: "it indicates that the trade initiator is a buyer"."""

_LATEST_US: Final = (2**63 - 1) // 1_000

PART_ROWS: Final = 1_000_000
"""A file ends after the update that brings it to this many events: 64 MB in memory."""


def parts(
    items: Iterable[Update | Break | TradeItem], out: Path, symbol: str, part_rows: int = PART_ROWS
) -> Iterator[Outcome]:
    """Write the events to files. An update is never split between two files. File names sort by time."""
    prefix, number, rows = file_name(symbol), 0, 0
    waiting: list[Events] = []
    for item in items:
        if not isinstance(item, TradeItem) and not number and not waiting:
            prefix += f"_{stamp(item.local_us, item.epoch)}"
        waiting.append(events(item))
        rows += len(waiting[-1])
        if rows >= part_rows:
            yield _write(out / f"{prefix}_{number:04}.npz", waiting)
            waiting, rows, number = [], 0, number + 1
        if isinstance(item, Break):
            yield item.gap
    if waiting:
        yield _write(out / f"{prefix}_{number:04}.npz", waiting)


def _write(path: Path, found: list[Events]) -> Written:
    data = np.concatenate(found)
    with new_file(path) as (file, _), disk_errors_named(path):
        np.savez_compressed(file, data=data)
    return Written(path, len(data))


def events(item: Update | Break | TradeItem) -> Events:
    """The hftbacktest events of an update, a break or a trade."""
    found = _trade(item) if isinstance(item, TradeItem) else _changes(item)
    times_us = item.exchange_us, item.local_us
    if not all(-_LATEST_US <= time_us <= _LATEST_US for time_us in times_us):
        raise UsageError(
            "hftbacktest counts nanoseconds, which end on 2262-04-11, and an event is stamped "
            f"{max(times_us, key=abs):,} us after 1970. End the export before it (--to), or choose another format."
        )
    found["exch_ts"], found["local_ts"] = (time_us * 1_000 for time_us in times_us)
    return found


def _trade(trade: TradeItem) -> Events:
    found = np.zeros(1, EVENT)
    found["ev"] = BOTH | TRADE | (SELL if trade.buyer_is_maker else BUY)
    found["px"], found["qty"] = trade.price, trade.size
    return found


def _changes(item: Update | Break) -> Events:
    bids, asks = ([], []) if isinstance(item, Break) else (item.bids, item.asks)
    whole_book = not isinstance(item, Break) and item.opens
    clears = int(whole_book or isinstance(item, Break))
    found = np.zeros(clears + len(bids) + len(asks), EVENT)
    found["ev"][:clears] = BOTH | CLEAR
    kind = BOTH | (SNAPSHOT if whole_book else DEPTH)
    found["ev"][clears : clears + len(bids)] = kind | BUY
    found["ev"][clears + len(bids) :] = kind | SELL
    levels: list[Level] = [*bids, *asks]
    if levels:
        found["px"][clears:], found["qty"][clears:] = zip(*levels, strict=True)
    return found
