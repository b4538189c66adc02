"""The best prices of all symbols: every name, and the best levels of the symbols asked for."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from booktape.core.checks import BookTicker
from booktape.errors import MalformedFrame
from booktape.wire.best_prices import BestPrices, decode_best_prices
from booktape.wire.encode import encode_tops

BTC, ETH, NEW = "BTCUSDT", "ETHBTC", "NEWUSDT"


def entry(symbol: str, *texts: str) -> dict[str, Any]:
    fields = ("bidPrice", "bidQty", "askPrice", "askQty")
    return {"symbol": symbol, **dict(zip(fields, texts, strict=True))}


def decoded(*entries: dict[str, Any]) -> BestPrices:
    return decode_best_prices(json.dumps(entries).encode(), {BTC, ETH})


def test_the_texts_are_kept_as_they_are() -> None:
    """For the symbols asked for; for the others only the names are kept."""
    texts = ("61222.00", "0.88634000", "61224.53000000", "1e1")
    empty = ("0.00000000", "0.00000000", "0.0", "0")
    prices = decoded(entry(BTC, *texts), entry(ETH, *empty), entry(NEW, *texts))
    assert prices == BestPrices(
        frozenset({BTC, ETH, NEW}), frozenset({BTC, NEW}), {BTC: texts, ETH: empty}
    )


def test_the_answer_of_the_built_in_exchange_is_read() -> None:
    """One side may be empty."""
    tops = [BookTicker(BTC, 1, (1.5, 2.0), (2.5, 1.0)), BookTicker(ETH, 2, None, (2.5, 1.0))]
    prices = decode_best_prices(encode_tops(tops), {BTC, ETH})
    assert prices.tops[BTC] == ("1.50000000", "2.00000000", "2.50000000", "1.00000000")
    assert prices.tops[ETH] == ("0.00000000", "0.00000000", "2.50000000", "1.00000000")
    assert prices.quoted == {BTC, ETH}


@pytest.mark.parametrize(
    "texts",
    [
        ("0.00000000", "1.0", "2", "1"),  # a size without a price
        ("1", "1", "2", "0.00000000"),  # a price without a size
        ("-1", "1", "2", "1"),
        ("NaN", "1", "2", "1"),
        ("1", "1", "", "1"),
        ("1", "1", "1e9999999", "1"),
        ("1", "9" * 5_000, "1", "1"),
    ],
)
def test_nonsensical_numbers_affect_only_their_own_symbol(texts: tuple[str, ...]) -> None:
    """One odd entry among thousands must not cost all the others their proof."""
    good = ("1", "1", "2", "1")
    prices = decoded(entry(BTC, *texts), entry(ETH, *good), entry(NEW, *texts))
    assert prices.tops == {ETH: good}
    assert prices.names == {BTC, ETH, NEW}
    (why,) = prices.unreadable
    assert why.startswith(f"{BTC}: ")
    assert len(why) < 200


@pytest.mark.parametrize(
    "payload",
    [
        *(
            b"",
            b"<html>",
            b"{}",
            b"[1]",
            b"[{}]",
            b'{"code":-1121,"msg":"x"}',
            b"\xff",
            b"[" * 9_999,
        ),
        b'[{"symbol":"BTCUSDT","bidPrice":1.5,"bidQty":"1","askPrice":"2","askQty":"1"}]',
        b'[{"symbol":"BTCUSDT","bidPrice":"1.5","bidQty":"1","askPrice":"2","askQ',
    ],
)
def test_anything_else_is_malformed(payload: bytes) -> None:
    """An error page, an error body, half an answer, numbers that are not strings."""
    with pytest.raises(MalformedFrame, match="best prices"):
        decode_best_prices(payload, {BTC})


@given(st.binary(max_size=200) | st.text().map(str.encode))
def test_any_input_gives_prices_or_one_error(payload: bytes) -> None:
    """No other exception is raised."""
    try:
        decode_best_prices(payload, {BTC})
    except MalformedFrame:
        return
