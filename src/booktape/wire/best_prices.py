"""REST `ticker/bookTicker`: the best bid and ask of every symbol, in one answer without ids.

    [{"symbol":"BTCUSDT","bidPrice":"61222.00000000","bidQty":"0.88634000","askPrice":…,"askQty":…},…]

A side without levels has price and size 0.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TypeAlias

import msgspec
from msgspec import Struct

from booktape.errors import MalformedFrame, MalformedNumber
from booktape.wire.numbers import decimal_number

Top: TypeAlias = tuple[str, str, str, str]
"""Price and size of the best bid and of the best ask, as the exchange writes them."""


class _Entry(Struct, rename="camel"):
    symbol: str
    bid_price: str
    bid_qty: str
    ask_price: str
    ask_qty: str


_entries = msgspec.json.Decoder(list[_Entry])


@dataclass(frozen=True, slots=True)
class BestPrices:
    """One answer: the `names` of all its symbols, those that are `quoted` (have a price), and the `tops`.

    `tops` and `unreadable` are of the requested symbols only; `unreadable` has a sentence for each of them whose
    numbers make no sense.
    """

    names: frozenset[str]
    quoted: frozenset[str]
    tops: dict[str, Top]
    unreadable: tuple[str, ...] = ()


def decode_best_prices(payload: bytes, symbols: Collection[str]) -> BestPrices:
    """The best levels of these symbols, and the names of all.

    Raises MalformedFrame for anything that is not a list of best prices. Numbers that make no sense affect
    only their own symbol: one odd entry among thousands must not leave all other books without a check.
    """
    try:
        entries = _entries.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedFrame(f"best prices: {error}: {payload[:80]!r}") from error
    tops: dict[str, Top] = {}
    unreadable: list[str] = []
    for entry in entries:
        if entry.symbol in symbols:
            try:
                tops[entry.symbol] = _top(entry)
            except (MalformedFrame, MalformedNumber) as error:
                unreadable.append(f"{entry.symbol}: {error}")
    quoted = (e.symbol for e in entries if _is_a_price(e.bid_price) or _is_a_price(e.ask_price))
    names = frozenset(entry.symbol for entry in entries)
    return BestPrices(names, frozenset(quoted), tops, tuple(unreadable))


def _top(entry: _Entry) -> Top:
    for price, size in ((entry.bid_price, entry.bid_qty), (entry.ask_price, entry.ask_qty)):
        if bool(decimal_number(price)) != bool(decimal_number(size)):
            raise MalformedFrame(f"a price of {price} with a size of {size}")
    return entry.bid_price, entry.bid_qty, entry.ask_price, entry.ask_qty


def _is_a_price(text: str) -> bool:
    return bool(text.strip("0."))
