"""The expected answers about the synthetic recording, computed without the reader.

The books come from the naive oracle, which shares no code with booktape.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from booktape.core.tape_records import DepthAnswer, Disconnected, StreamMessage
from reader.conftest import CUTS, SECONDS
from reader.day import BEGIN_S, day
from support.oracle import SECOND, Oracle, doubles

Levels = list[tuple[float, float]]


class Truth(NamedTuple):
    """A book, as of a second since the start of the recording."""

    second: int
    update_id: int
    epoch: int
    bids: Levels
    asks: Levels


def moment(second: float) -> datetime:
    """A second of the recording as a moment."""
    return datetime.fromtimestamp(BEGIN_S, UTC) + timedelta(seconds=second)


def truths(symbol: str) -> Iterator[Truth]:
    """Every row that must be stored, in order: each event is one, and each snapshot."""
    oracle, epoch = Oracle(), 0
    for second, record in day(SECONDS, CUTS):
        if isinstance(record, Disconnected):
            oracle = Oracle()
        elif isinstance(record, DepthAnswer) and record.symbol == symbol:
            oracle.snapshot(record.payload)
            epoch += 1
        elif (
            not isinstance(record, StreamMessage)
            or symbol.encode() not in record.payload
            or not oracle.event(record.payload)
        ):
            continue
        if oracle.id is not None:
            at = getattr(record, "received_ns", 0) // SECOND - BEGIN_S if second else 0
            bids = doubles(oracle.bids, best_is_highest=True)
            yield Truth(at, oracle.id, epoch, bids, doubles(oracle.asks, best_is_highest=False))
