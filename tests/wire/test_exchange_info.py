"""`exchangeInfo`: which symbols exist, whether doubles can hold their values, what a user meant."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from booktape.core.tape_records import TRADING
from booktape.errors import InexactSymbol, MalformedFrame, UnknownSymbol
from booktape.wire.exchange_info import (
    ExchangeInfo,
    SymbolInfo,
    decode_exchange_info,
)
from support.exchange_info import encode_exchange_info

ANSWER = {
    "timezone": "UTC",
    "rateLimits": [
        {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 100},
        {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 5, "limit": 9},
        {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 1200},
    ],
    "symbols": [
        {
            "symbol": "BTCUSDT",
            "status": "BREAK",
            "filters": [
                {
                    "filterType": "PRICE_FILTER",
                    "minPrice": "0.01",
                    "maxPrice": "1000000.00",
                    "tickSize": "0.01",
                },
                {"filterType": "LOT_SIZE", "maxQty": "9000.0", "stepSize": "0.00001000"},
                {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200},
            ],
        },
        {"symbol": "NEWCOIN"},
    ],
}


def test_a_real_answer() -> None:
    """It has symbols with their status and filters, and the weight budget of one minute."""
    info = decode_exchange_info(json.dumps(ANSWER).encode())
    assert info.weight_per_minute == 1200
    assert info.symbols["BTCUSDT"] == SymbolInfo(
        "BTCUSDT", "BREAK", "0.01", "1000000.00", "0.00001000", "9000.0"
    )


def test_absent_filters_and_limits_state_no_rule() -> None:
    """Without limits there is no budget, and without filters no step is refused."""
    info = decode_exchange_info(b'{"symbols":[{"symbol":"NEWCOIN"}]}')
    assert info == ExchangeInfo({"NEWCOIN": SymbolInfo("NEWCOIN")}, None)
    assert info.symbols["NEWCOIN"].prices_are_exact()
    assert info.symbols["NEWCOIN"].sizes_are_exact()


@pytest.mark.parametrize(
    "payload",
    [
        *(b"", b"<html>", b"[]", b"{}", b'{"symbols":[{}]}', b'{"code":-1,"msg":"x"}'),
        b'{"symbols":[],"rateLimits":[{"limit":%s}]}' % (b"9" * 5_000),
        b'{"symbols":[],"rateLimits":[{"limit":-1}]}',
    ],
)
def test_anything_else_is_malformed(payload: bytes) -> None:
    """An error page, an error body, or half an answer."""
    with pytest.raises(MalformedFrame, match="exchangeInfo"):
        decode_exchange_info(payload)


TEXTS = st.decimals(0, 10**6, places=8).map(str)
INFOS = st.builds(
    SymbolInfo,
    st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=8),
    st.sampled_from(["TRADING", "BREAK"]),
    TEXTS,
    TEXTS,
    TEXTS,
    TEXTS,
)


@given(st.lists(INFOS, max_size=4, unique_by=lambda info: info.symbol), st.integers(1, 10**6))
def test_encode_then_decode_is_identity(infos: list[SymbolInfo], weight: int) -> None:
    """The recorder reads what the built-in exchange says about itself."""
    info = decode_exchange_info(encode_exchange_info(infos, weight))
    assert info == ExchangeInfo({each.symbol: each for each in infos}, weight)


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("BTCUSD", "BTCUSDT"),
        ("BTCUSTD", "BTCUSDT"),
        ("ETHUSDT", "ETHUSDC"),
        ("XXXXXXX", None),
        ("", None),
    ],
)
def test_suggestions(asked: str, meant: str | None) -> None:
    """First the forgotten T, then the nearest name, otherwise nothing."""
    info = ExchangeInfo(
        {symbol: SymbolInfo(symbol) for symbol in ("BTCUSDC", "BTCUSDT", "ETHUSDC")}
    )
    assert info.suggest(asked) == meant


@pytest.mark.parametrize(
    ("largest", "step", "exact"),
    [
        ("1000000.00", "0.01", True),  # BTCUSDT's price
        ("92141578.00", "1.00", True),  # a coin traded in whole units
        ("9999999.99999999", "0.00000001", True),  # 7 + 8 digits
        ("67108863.99999999", "0.00000001", True),  # 8 + 8 digits, below 2^26
        ("67108864.00000000", "0.00000001", False),  # at 2^26
        ("99999999.0000000", "0.0000001", True),  # 8 + 7 digits are 15 again
        ("100000000.0000000", "0.0000001", False),  # 9 + 7 digits
        ("999999.000000000", "0.000000001", True),  # 6 + 9 digits
        ("1000000.000000000", "0.000000001", False),  # 7 + 9: nine decimals need 15 digits
        ("999999999999999", "1", True),
        ("1000000000000000", "1", False),
        ("1000000000000000", "100.00", False),
        ("0.00", "0.00000100", True),  # a maximum of 0 states no rule
        ("1e99", "0.00000000", True),  # neither does a step of 0
        ("1.0", "one", False),
        ("", "0.01", False),
        ("NaN", "0.01", False),
        ("1.0", "NaN", False),
        ("1.0", "Infinity", False),
        ("Infinity", "0.01", False),
        ("sNaN", "0.01", False),
        ("1.0", "sNaN", False),
        ("1.0", "1e9999999", False),
        ("1e9999999", "0.01", False),
        ("1.0", "1e-9999999", False),
        ("1.0", "9" * 5_000, False),
        ("1.0", "1.0000000000000000000000000001", False),  # not to be rounded to 1
    ],
)
def test_which_numbers_a_double_holds(largest: str, step: str, exact: bool) -> None:
    """15 digits, or 8 decimals below 2^26, for prices and sizes alike; unreadable numbers are refused."""
    price = SymbolInfo("X", tick_size=step, max_price=largest)
    size = SymbolInfo("X", step_size=step, max_quantity=largest)
    assert (price.prices_are_exact(), price.sizes_are_exact()) == (exact, True)
    assert (size.prices_are_exact(), size.sizes_are_exact()) == (True, exact)


@given(st.integers(1, 15), st.integers(0, 10), st.integers(0, 10**15))
def test_a_step_that_is_called_exact_is_exact(digits: int, decimals: int, number: int) -> None:
    """Any multiple of an accepted step, up to the maximum, survives text → double → text."""
    largest = Decimal(10) ** max(0, digits - decimals) - Decimal(10) ** -decimals
    step = Decimal(1).scaleb(-decimals)
    info = SymbolInfo("X", tick_size=f"{step:f}", max_price=f"{largest:f}")
    value = Decimal(number % 10**digits).scaleb(-decimals)
    if info.prices_are_exact() and value <= largest:
        assert Decimal(repr(float(f"{value:f}"))) == value


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("0.01000000", "0.01000000"),
        ("1", "1"),
        ("0.00000000", ""),
        ("", ""),
        ("one", ""),
        ("1e9999999", ""),
        ("0." + "1" * 5_000, ""),
    ],
)
def test_steps_are_kept_as_they_are_written(text: str, step: str) -> None:
    """There is none where the exchange states none, or none that can be read."""
    info = SymbolInfo("X", tick_size=text, step_size="0.1")
    assert info.steps() == (step, "0.1")
    assert SymbolInfo("X", step_size=text).steps() == ("", step)


def test_symbols_are_checked_before_anything_is_written() -> None:
    """The first symbol that is unknown, or whose prices doubles might not hold, is named; sizes are no reason."""
    fine = SymbolInfo("FINEUSDT", tick_size="0.00000001", max_price="99999999.00000000")
    wide = SymbolInfo("WIDEUSDT", step_size="0.00000001", max_quantity="99999999.00000000")
    info = ExchangeInfo({each.symbol: each for each in (SymbolInfo("BTCUSDT"), fine, wide)})
    info.check(["BTCUSDT", "WIDEUSDT"], "Binance Spot")
    with pytest.raises(UnknownSymbol, match=r"BTCUSD is not .* Did you mean BTCUSDT\?"):
        info.check(["BTCUSDT", "BTCUSD"], "Binance Spot")
    with pytest.raises(InexactSymbol, match="FINEUSDT is refused: its price"):
        info.check(["FINEUSDT"], "Binance Spot")


def test_which_symbols_trade_and_can_be_recorded() -> None:
    """All, or all quoted in one asset; none that is halted or has inexact prices."""
    prices = ("0.01", "1000000", "0.00001", "9000")
    big = SymbolInfo("BIGUSDT", TRADING, *prices[:2], "0.00000001", "1e12", "USDT")
    fine = SymbolInfo("FINEUSDT", TRADING, "0.00000001", "1e12", quote_asset="USDT")
    info = ExchangeInfo(
        {
            "BTCUSDT": SymbolInfo("BTCUSDT", TRADING, *prices, "USDT"),
            "ETHBTC": SymbolInfo("ETHBTC", TRADING, *prices, "BTC"),
            "OLDUSDT": SymbolInfo("OLDUSDT", "BREAK", *prices, "USDT"),
            "BIGUSDT": big,
            "FINEUSDT": fine,
        }
    )
    assert info.trading(None) == ("BTCUSDT", "ETHBTC", "BIGUSDT")
    assert info.trading("USDT") == ("BTCUSDT", "BIGUSDT")
    assert info.trading("EUR") == ()
