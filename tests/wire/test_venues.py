"""Addresses: what the exchange is asked, and how many symbols go on one connection."""

from __future__ import annotations

from itertools import chain, pairwise
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from booktape.wire import venues
from booktape.wire.limits import STREAMS_PER_CONNECTION, URL_BYTES_MAX
from booktape.wire.venues import DEPTH, VENUES, Venue

HERE = Venue("Here", "http://127.0.0.1:1", "ws://127.0.0.1:1")
CHINESE = "币安人生USDT"


def test_addresses_of_binance() -> None:
    """Market data only, combined stream, microseconds."""
    binance = VENUES["binance"]
    assert binance.depth_url("BTCUSDT", 5000) == (
        "https://data-api.binance.vision/api/v3/depth?symbol=BTCUSDT&limit=5000"
    )
    assert binance.exchange_info_url() == (
        "https://data-api.binance.vision/api/v3/exchangeInfo?showPermissionSets=false"
    )
    assert binance.exchange_info_url(("BTCUSDT", "ETHBTC")) == (
        "https://data-api.binance.vision/api/v3/exchangeInfo"
        "?symbols=%5B%22BTCUSDT%22%2C%22ETHBTC%22%5D&showPermissionSets=false"
    )
    assert VENUES["binance-us"].exchange_info_url() == "https://api.binance.us/api/v3/exchangeInfo"
    assert binance.best_prices_url() == ("https://data-api.binance.vision/api/v3/ticker/bookTicker")
    assert binance.best_prices_url(("BTCUSDT",)) == (
        "https://data-api.binance.vision/api/v3/ticker/bookTicker?symbols=%5B%22BTCUSDT%22%5D"
    )
    assert binance.stream_url(("BTCUSDT", "ETHBTC")) == (
        "wss://data-stream.binance.vision/stream"
        "?streams=btcusdt@depth@100ms/ethbtc@depth@100ms&timeUnit=MICROSECOND"
    )


@pytest.mark.parametrize("name", VENUES)
def test_every_venue_is_encrypted(name: str) -> None:
    """Nothing real is asked in the clear."""
    assert urlsplit(VENUES[name].rest_url).scheme == "https"
    assert urlsplit(VENUES[name].ws_url).scheme == "wss"


def test_symbols_that_are_not_ascii() -> None:
    """They exist, and go as percent-encoded UTF-8, lower-case in the stream."""
    url = HERE.depth_url(CHINESE, 5)
    assert url.isascii()
    assert parse_qs(urlsplit(url).query) == {"symbol": [CHINESE], "limit": ["5"]}
    stream = HERE.stream_url((CHINESE,))
    assert stream.isascii()
    assert unquote(stream) == (
        "ws://127.0.0.1:1/stream?streams=币安人生usdt@depth@100ms&timeUnit=MICROSECOND"
    )


def test_more_streams_of_a_symbol() -> None:
    """Side by side with its depth, and so fewer symbols fit on one connection."""
    url = HERE.stream_url(("BTCUSDT", "ETHBTC"), (DEPTH, "@bookTicker"))
    assert parse_qs(urlsplit(url).query)["streams"] == [
        "btcusdt@depth@100ms/btcusdt@bookTicker/ethbtc@depth@100ms/ethbtc@bookTicker"
    ]


def test_a_symbol_cannot_break_out_of_the_address() -> None:
    """Separators inside a name are encoded."""
    assert HERE.stream_url(("A/B&C?D",)).count("/") == HERE.stream_url(("AB",)).count("/")
    assert "A%2FB%26C" in HERE.depth_url("A/B&C", 5)


@given(st.lists(st.sampled_from(["BTCUSDT", "A", CHINESE, "X" * 40]), min_size=1, max_size=600))
def test_split_keeps_all_in_order_and_fits(symbols: list[str]) -> None:
    """No symbol is lost or moved, no address is too long, and no group could be larger."""
    groups = HERE.split(tuple(symbols))
    assert list(chain.from_iterable(groups)) == symbols
    assert all(groups)
    assert all(len(HERE.stream_url(group)) <= URL_BYTES_MAX for group in groups)
    for group, following in pairwise(groups):
        assert len(HERE.stream_url((*group, following[0]))) > URL_BYTES_MAX


@pytest.mark.parametrize("suffixes", [(DEPTH,), (DEPTH, "@bookTicker")])
def test_an_address_may_be_as_long_as_allowed(
    monkeypatch: pytest.MonkeyPatch, suffixes: tuple[str, ...]
) -> None:
    """To the byte: n streams are parted by n - 1 slashes."""
    whole = len(HERE.stream_url(("A", CHINESE, "C"), suffixes))
    symbols = ("A", CHINESE, "C", "D")
    monkeypatch.setattr(venues, "URL_BYTES_MAX", whole)
    assert HERE.split(symbols, suffixes) == [("A", CHINESE, "C"), ("D",)]
    monkeypatch.setattr(venues, "URL_BYTES_MAX", whole - 1)
    assert HERE.split(symbols, suffixes) == [("A", CHINESE), ("C", "D")]


def test_split_at_the_number_of_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """At most 1,024 streams on one connection, were addresses allowed to be that long."""
    monkeypatch.setattr(venues, "URL_BYTES_MAX", 10**6)
    symbols = tuple(f"S{n}" for n in range(2 * STREAMS_PER_CONNECTION + 1))
    assert [len(group) for group in HERE.split(symbols)] == [1024, 1024, 1]
    assert [len(group) for group in HERE.split(symbols[:1024])] == [1024]
    assert [len(group) for group in HERE.split(symbols[:1024], (DEPTH, "@x"))] == [512, 512]
