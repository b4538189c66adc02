"""The trades of a real recording: their ids are consecutive, and lost trades are found and filled in.

It was made by others (see SOURCES.md beside it) and stays outside this repository.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

from booktape.core.events import BookRow
from booktape.core.tape_records import SegmentStart, StreamMessage, TapeRecord, Tick, TradesAnswer
from booktape.core.trades import FetchTrades, TradeGap, TradeRow
from booktape.reconstruct import Output, Reconstruction
from booktape.wire.encode import encode_trades
from captures.capture import BTCUSDT, frames, lines, needs_captures

pytestmark = needs_captures


def with_trades(lost: range | None = None) -> Iterator[TapeRecord]:
    """The capture, without some of its trades, and with a tick a second."""
    ticked_ns = 0
    for record in frames(*BTCUSDT, every=10**9):
        if isinstance(record, SegmentStart):
            yield replace(record, format=2, trades=True)
            continue
        if record.received_ns - ticked_ns >= 10**9:
            ticked_ns = record.received_ns
            yield Tick(record.received_ns, 10**9)
        if lost and isinstance(record, StreamMessage) and trade_id(record.payload) in lost:
            continue
        yield record


def trade_id(payload: bytes) -> int | None:
    found = json.loads(payload)
    return found["data"]["t"] if found.get("stream", "").endswith("@trade") else None


def test_all_trades_are_stored_once_and_none_is_missing() -> None:
    """2,889 trades of 59 s, in order of their ids; values as the exchange wrote them."""
    books = Reconstruction()
    found = [output for record in with_trades() for output in books.apply(record)]
    trades = [output.trade for output in found if isinstance(output, TradeRow)]
    sent = [
        json.loads(line.payload)["data"] for line in lines(BTCUSDT[0]) if line.stream == "trade"
    ]
    assert [t.trade_id for t in trades] == [each["t"] for each in sent]
    assert len(trades) == 2_889
    assert all(t.price == float(s["p"]) for t, s in zip(trades, sent, strict=True))
    assert all(t.buyer_is_maker is s["m"] for t, s in zip(trades, sent, strict=True))
    assert trades[-1].trade_id - trades[0].trade_id == 2_888
    assert not any(isinstance(output, TradeGap) for output in found)
    assert any(isinstance(output, BookRow) for output in found)


def test_lost_trades_are_requested_and_filled() -> None:
    """As if a connection had lost a thousand in a row."""
    everything = Reconstruction()
    all_rows = [o for r in with_trades() for o in everything.apply(r) if isinstance(o, TradeRow)]
    first = all_rows[500].trade.trade_id
    lost = range(first, first + 1_000)
    books, found = Reconstruction(), list[Output]()
    for record in with_trades(lost):
        for output in books.apply(record):
            found.append(output)
            if isinstance(output, FetchTrades):
                had = [row.trade for row in all_rows if row.trade.trade_id >= output.from_id]
                body = encode_trades(had[:1_000], microseconds=True)
                at_ns = record.received_ns
                found += books.apply(TradesAnswer(at_ns, "BTCUSDT", output.from_id, body))
    rows = [output for output in found if isinstance(output, TradeRow)]
    assert sorted(row.trade.trade_id for row in rows) == [r.trade.trade_id for r in all_rows]
    assert {row.trade.trade_id for row in rows if row.is_filled} == set(lost)
    assert sum(isinstance(output, FetchTrades) for output in found) == 1
