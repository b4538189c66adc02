"""A recording with trades: two connections lost, one hole filled in the next segment, one never filled."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from booktape.core.gap_reasons import STOPPED
from booktape.core.tape_records import StreamMessage, TapeRecord, Tick, TradesAnswer
from booktape.core.trades import Trade
from booktape.sim.messages import Encoding, MarketMessage, stream_name
from booktape.wire.encode import encode_trades
from reader.day import BEGIN_S, SYMBOLS, day, opening
from support.archives import open_archive
from support.oracle import SECOND
from support.rotation import finish, follow, rotate

BTC, ETH = SYMBOLS
SECONDS, SEGMENT_S = 100, 40
CUT = 30
"""The book is not known from here on, for ten seconds."""
FILLED = range(25, 41)
FILLED_AT = 45
MISSING = range(60, 63)


def trade(second: int) -> Trade:
    """One a second, a tenth of a second before that second's book event."""
    time_us = (BEGIN_S + second) * 1_000_000 - 105_000
    price, size = 100.0 + second % 7 / 8, (second % 5 + 1) / 4
    return Trade(BTC, second, price, size, time_us, time_us + 1_000, buyer_is_maker=second % 3 == 0)


def message(second: int) -> StreamMessage:
    encoding = Encoding(combined=True, microseconds=True)
    payload = MarketMessage(stream_name(BTC, "trade"), trade(second)).payload(encoding)
    return StreamMessage((BEGIN_S + second) * SECOND - 50_000_000, 1, payload)


def records() -> Iterator[TapeRecord]:
    """The day, with trades of the first symbol, some of which are lost."""
    reached = 0
    for second, record in day(SECONDS, cuts=(CUT,)):
        while reached < second:
            reached += 1
            if CUT < reached <= CUT + 10:
                continue
            at_ns = (BEGIN_S + reached) * SECOND
            yield Tick(at_ns - 60_000_000, SECOND)
            if reached == FILLED_AT:
                body = encode_trades([trade(one) for one in FILLED], microseconds=True)
                yield TradesAnswer(at_ns - 55_000_000, BTC, FILLED[0], body)
            if reached not in FILLED and reached not in MISSING:
                yield message(reached)
        yield record


def write(root: Path, *, seal: bool = True) -> Path:
    """Three segments; the last one may stay unsealed."""
    start = replace(opening(*SYMBOLS), format=2, trades=True)
    with open_archive(root) as archive:
        recording, sealing, ends_s = archive.begin(start, "traded"), [], SEGMENT_S
        for record in records():
            if record.received_ns >= (BEGIN_S + ends_s) * SECOND:
                sealing.append(rotate(recording, (BEGIN_S + ends_s) * SECOND))
                ends_s += SEGMENT_S
            follow(recording, record)
        if seal:
            sealing.append(finish(recording, STOPPED))
        else:
            recording.writer.flush()
        for sealed in sealing:
            sealed.result()
    return root
