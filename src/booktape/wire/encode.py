"""Values → bytes: what the simulated exchange sends. The recorder uses none of it.

The counterpart of wire/binance.py, wire/witness.py and wire/trades.py, in the exchange's own field order and with its
8 decimals. Tests decode everything that is encoded here, so that the two cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec import Raw

from booktape.core.checks import BookTicker, TopLevels
from booktape.core.events import DepthEvent, DepthSnapshot, Level
from booktape.core.trades import Trade

CAP_TEXT: Final = "92233720368.54775807"
"""The largest size that the exchange writes; it means "or more". No double can hold its 8 decimals."""

_CAP: Final = float(CAP_TEXT)
_NOTHING: Final[Level] = (0.0, 0.0)
"""How a ticker shows a side without levels."""


def texts(levels: Iterable[Level]) -> list[tuple[str, str]]:
    """Levels with the exchange's 8 decimals."""
    return [(f"{price:.8f}", f"{size:.8f}" if size < _CAP else CAP_TEXT) for price, size in levels]


def encode_event(event: DepthEvent, *, microseconds: bool = False) -> bytes:
    """A raw `depthUpdate`."""
    time = event.event_time_us if microseconds else event.event_time_us // 1_000
    message = {
        "e": "depthUpdate",
        "E": time,
        "s": event.symbol,
        "U": event.first_id,
        "u": event.last_id,
        "b": texts(event.bids),
        "a": texts(event.asks),
    }
    return msgspec.json.encode(message)


def encode_top(top: TopLevels) -> bytes:
    """A raw partial depth message."""
    return msgspec.json.encode(
        {"lastUpdateId": top.last_id, "bids": texts(top.bids), "asks": texts(top.asks)}
    )


def encode_ticker(ticker: BookTicker) -> bytes:
    """A raw `bookTicker`."""
    bid, ask = texts([ticker.bid or _NOTHING, ticker.ask or _NOTHING])
    return msgspec.json.encode(
        {
            "u": ticker.update_id,
            "s": ticker.symbol,
            "b": bid[0],
            "B": bid[1],
            "a": ask[0],
            "A": ask[1],
        }
    )


def encode_trade(trade: Trade, *, microseconds: bool = False) -> bytes:
    """A raw `trade`."""
    unit = 1 if microseconds else 1_000
    return msgspec.json.encode(
        {
            "e": "trade",
            "E": (trade.event_time_us or trade.trade_time_us) // unit,
            "s": trade.symbol,
            "t": trade.trade_id,
            "p": f"{trade.price:.8f}",
            "q": f"{trade.size:.8f}",
            "T": trade.trade_time_us // unit,
            "m": trade.buyer_is_maker,
            "M": True,
        }
    )


def encode_trades(trades: Iterable[Trade], *, microseconds: bool = False) -> bytes:
    """A REST `/historicalTrades` answer."""
    unit = 1 if microseconds else 1_000
    return msgspec.json.encode(
        [
            {
                "id": trade.trade_id,
                "price": f"{trade.price:.8f}",
                "qty": f"{trade.size:.8f}",
                "quoteQty": f"{trade.price * trade.size:.8f}",
                "time": trade.trade_time_us // unit,
                "isBuyerMaker": trade.buyer_is_maker,
                "isBestMatch": True,
            }
            for trade in trades
        ]
    )


def encode_tops(tops: Iterable[BookTicker]) -> bytes:
    """The list of a REST `/ticker/bookTicker` answer. It has no ids."""
    return msgspec.json.encode([_top(top) for top in tops])


def encode_one_top(top: BookTicker) -> bytes:
    """The answer of REST `/ticker/bookTicker` to `symbol=`: one entry, not a list."""
    return msgspec.json.encode(_top(top))


def _top(top: BookTicker) -> dict[str, str]:
    (bid, bid_size), (ask, ask_size) = texts([top.bid or _NOTHING, top.ask or _NOTHING])
    return {
        "symbol": top.symbol,
        "bidPrice": bid,
        "bidQty": bid_size,
        "askPrice": ask,
        "askQty": ask_size,
    }


def encode_server_shutdown(time_ms: int) -> bytes:
    """A raw `serverShutdown`: the server will go down."""
    return msgspec.json.encode({"e": "serverShutdown", "E": time_ms})


def encode_combined(stream: str, data: bytes) -> bytes:
    """The wrapper in which `/stream` sends any raw message."""
    return msgspec.json.encode({"stream": stream, "data": Raw(data)})


def encode_depth(snapshot: DepthSnapshot) -> bytes:
    """A REST `/depth` answer: the best `limit` levels of the snapshot, best first."""
    message = {
        "lastUpdateId": snapshot.last_id,
        "bids": texts(snapshot.bids[: snapshot.limit]),
        "asks": texts(snapshot.asks[: snapshot.limit]),
    }
    return msgspec.json.encode(message)
