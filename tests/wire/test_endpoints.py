"""Addresses: which requests the exchange gets, and how many symbols fit on one connection."""

from __future__ import annotations

from itertools import chain, pairwise
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from booktape.wire import endpoints
from booktape.wire.endpoints import DEPTH, VENUES, Venue
from booktape.wire.limits import STREAMS_PER_CONNECTION, URL_BYTES_MAX

HERE = Venue("Here", "http://127.0.0.1:1", "ws://127.0.0.1:1")
CHINESE = "币安人生USDT"


def test_addresses_of_binance() -> None:
    """Market data only, combined stream, microseconds; and an alternative host for the same data."""
    binance = VENUES["binance"]
    assert binance.rest_urls == ("https://data-api.binance.vision", "https://api.binance.com")
    assert binance.ws_urls == (
        "wss://data-stream.binance.vision",
        "wss://stream.binance.com:9443",
    )
    assert binance.depth_path("BTCUSDT", 5000) == "/api/v3/depth?symbol=BTCUSDT&limit=5000"
    assert binance.time_path() == "/api/v3/time"
    assert binance.stream_url(("BTCUSDT", "ETHBTC")) == (
        "wss://data-stream.binance.vision/stream"
        "?streams=btcusdt@depth@100ms/ethbtc@depth@100ms&timeUnit=MICROSECOND"
    )


def test_lists_are_requested_by_name_or_whole() -> None:
    """Permission sets are left out where the exchange supports that."""
    named = "symbols=%5B%22BTCUSDT%22%2C%22ETHBTC%22%5D"
    symbols = ("BTCUSDT", "ETHBTC")
    info = "/api/v3/exchangeInfo"
    binance, us = VENUES["binance"], VENUES["binance-us"]
    assert binance.exchange_info_path() == f"{info}?showPermissionSets=false"
    assert binance.exchange_info_path(symbols) == f"{info}?{named}&showPermissionSets=false"
    assert us.exchange_info_path() == info
    assert us.exchange_info_path(symbols) == f"{info}?{named}"
    assert binance.best_prices_path() == "/api/v3/ticker/bookTicker"
    assert binance.best_prices_path(symbols) == f"/api/v3/ticker/bookTicker?{named}"


def test_weights_belong_to_the_venue() -> None:
    """Binance.US counts a fifth of the weight, so the same number of requests fits into a minute."""
    binance, us = VENUES["binance"].weights, VENUES["binance-us"].weights
    limits = (1, 100, 101, 500, 501, 1_000, 1_001, 5_000)
    assert [us.depth_weight(limit) for limit in limits] == [1, 1, 5, 5, 10, 10, 50, 50]
    assert [binance.depth_weight(limit) for limit in limits] == [5, 5, 25, 25, 50, 50, 250, 250]
    assert (us.per_minute, us.exchange_info) == (1_200, 10)
    for limit in limits:
        books = binance.per_minute // binance.depth_weight(limit)
        assert us.per_minute // us.depth_weight(limit) == books


def test_an_address_that_is_given_replaces_both_hosts() -> None:
    """The alternative host of the exchange is dropped too; an address that is not given stays."""
    binance = VENUES["binance"]
    one = binance.reached_by(("http://a",), ())
    assert (one.rest_urls, one.ws_urls) == (("http://a",), binance.ws_urls)
    two = binance.reached_by((), ("ws://a", "ws://b"))
    assert (two.rest_urls, two.ws_urls) == (binance.rest_urls, ("ws://a", "ws://b"))
    assert two.weights == binance.weights


@pytest.mark.parametrize("name", VENUES)
def test_every_venue_is_encrypted(name: str) -> None:
    """No real exchange is contacted unencrypted."""
    assert {urlsplit(url).scheme for url in VENUES[name].rest_urls} == {"https"}
    assert {urlsplit(url).scheme for url in VENUES[name].ws_urls} == {"wss"}


def test_symbols_that_are_not_ascii() -> None:
    """They exist, and are sent as percent-encoded UTF-8, in lower case in stream names."""
    url = HERE.depth_path(CHINESE, 5)
    assert url.isascii()
    assert parse_qs(urlsplit(url).query) == {"symbol": [CHINESE], "limit": ["5"]}
    stream = HERE.stream_url((CHINESE,))
    assert stream.isascii()
    assert unquote(stream) == (
        "ws://127.0.0.1:1/stream?streams=币安人生usdt@depth@100ms&timeUnit=MICROSECOND"
    )


def test_additional_streams_of_a_symbol() -> None:
    """They share the connection with its depth stream, so fewer symbols fit on one connection."""
    url = HERE.stream_url(("BTCUSDT", "ETHBTC"), (DEPTH, "@bookTicker"))
    assert parse_qs(urlsplit(url).query)["streams"] == [
        "btcusdt@depth@100ms/btcusdt@bookTicker/ethbtc@depth@100ms/ethbtc@bookTicker"
    ]


def test_a_symbol_cannot_break_out_of_the_address() -> None:
    """Separators inside a name are encoded."""
    assert HERE.stream_url(("A/B&C?D",)).count("/") == HERE.stream_url(("AB",)).count("/")
    assert "A%2FB%26C" in HERE.depth_path("A/B&C", 5)


@given(st.lists(st.sampled_from(["BTCUSDT", "A", CHINESE, "X" * 40]), min_size=1, max_size=600))
def test_split_keeps_every_symbol_in_order_and_within_limits(symbols: list[str]) -> None:
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
    """This is exact to the byte: n streams are separated by n - 1 slashes."""
    whole = len(HERE.stream_url(("A", CHINESE, "C"), suffixes))
    symbols = ("A", CHINESE, "C", "D")
    monkeypatch.setattr(endpoints, "URL_BYTES_MAX", whole)
    assert HERE.split(symbols, suffixes) == [("A", CHINESE, "C"), ("D",)]
    monkeypatch.setattr(endpoints, "URL_BYTES_MAX", whole - 1)
    assert HERE.split(symbols, suffixes) == [("A", CHINESE), ("C", "D")]


def test_split_at_the_number_of_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """At most 1,024 streams share a connection, even if addresses could be long enough for more."""
    monkeypatch.setattr(endpoints, "URL_BYTES_MAX", 10**6)
    symbols = tuple(f"S{n}" for n in range(2 * STREAMS_PER_CONNECTION + 1))
    assert [len(group) for group in HERE.split(symbols)] == [1024, 1024, 1]
    assert [len(group) for group in HERE.split(symbols[:1024])] == [1024]
    assert [len(group) for group in HERE.split(symbols[:1024], (DEPTH, "@x"))] == [512, 512]
