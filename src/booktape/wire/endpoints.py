"""The addresses and paths of each exchange. Market data only: booktape never needs a key."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final
from urllib.parse import quote, urlencode

from booktape.wire.limits import (
    BINANCE,
    BINANCE_US,
    PING_EVERY_S,
    STREAMS_PER_CONNECTION,
    TRADES_MAX,
    URL_BYTES_MAX,
    Weights,
)

DEPTH: Final = "@depth@100ms"
DEPTH_ONLY: Final = (DEPTH,)


@dataclass(frozen=True, slots=True)
class Venue:
    """One exchange: its name for people (`title`), its addresses, the weights of its requests.

    `other_rest_url` and `other_ws_url` are second addresses of the same books with the same ids; "" if
    there is none. The exchange pings every connection once every `ping_every_s`. `hides_permissions`: the
    exchange may know the option `showPermissionSets`; it refuses options that it does not know (-1104).
    """

    title: str
    rest_url: str
    ws_url: str
    other_rest_url: str = ""
    other_ws_url: str = ""
    weights: Weights = BINANCE
    ping_every_s: float = PING_EVERY_S
    hides_permissions: bool = True

    @property
    def rest_urls(self) -> tuple[str, ...]:
        """The addresses that go before a path. Of two, one is used while the other cannot be reached."""
        return tuple(filter(None, (self.rest_url, self.other_rest_url)))

    @property
    def ws_urls(self) -> tuple[str, ...]:
        """The addresses that go before `/stream`. Connections of the same symbols are spread over them."""
        return tuple(filter(None, (self.ws_url, self.other_ws_url)))

    def reached_by(self, rest_urls: tuple[str, ...], ws_urls: tuple[str, ...]) -> Venue:
        """The same exchange at one or two other addresses; if none is given, it keeps its own."""
        rest_url, other_rest_url = _two(rest_urls or self.rest_urls)
        ws_url, other_ws_url = _two(ws_urls or self.ws_urls)
        return replace(
            self,
            rest_url=rest_url,
            ws_url=ws_url,
            other_rest_url=other_rest_url,
            other_ws_url=other_ws_url,
        )

    def depth_path(self, symbol: str, limit: int) -> str:
        """REST path of one snapshot; non-ASCII symbols are sent as percent-encoded UTF-8."""
        return _path("depth", {"symbol": symbol, "limit": str(limit)})

    def exchange_info_path(self, symbols: tuple[str, ...] = ()) -> str:
        """REST path of the list of symbols, filters and limits; of these symbols or of all.

        "symbols=["BTCUSDT","BNBUSDT"]": one symbol that is not listed makes the answer an error, -1121.
        """
        # "showPermissionSets: controls whether the content of the permissionSets field is populated": it is
        # more than half of the list, and we do not read it.
        lean = {"showPermissionSets": "false"} if self.hides_permissions else {}
        return _path("exchangeInfo", _named(symbols) | lean)

    def best_prices_path(self, symbols: tuple[str, ...] = ()) -> str:
        """REST path of the best bid and ask of these symbols, or of all."""
        return _path("ticker/bookTicker", _named(symbols))

    def trades_path(self, symbol: str, from_id: int) -> str:
        """REST path of the trades of a symbol from this id on, as many as one answer holds."""
        query = {"symbol": symbol, "fromId": str(from_id), "limit": str(TRADES_MAX)}
        return _path("historicalTrades", query)

    def time_path(self) -> str:
        """REST path of the exchange's time of day."""
        return _path("time", {})

    def stream_url(
        self, symbols: tuple[str, ...], suffixes: tuple[str, ...] = DEPTH_ONLY, ws_url: str = ""
    ) -> str:
        """Combined stream of these symbols: `suffixes` name the streams; timestamps in microseconds.

        At `ws_url`, or at the exchange's first address.
        """
        streams = "/".join(_stream(symbol) + each for symbol in symbols for each in suffixes)
        return f"{ws_url or self.ws_url}/stream?streams={streams}&timeUnit=MICROSECOND"

    def split(
        self, symbols: tuple[str, ...], suffixes: tuple[str, ...] = DEPTH_ONLY
    ) -> list[tuple[str, ...]]:
        """Groups of symbols that each fit on one connection, in order."""
        groups: list[list[str]] = []
        url_bytes = URL_BYTES_MAX  # the first symbol begins the first group
        for symbol in symbols:
            # Each name counts with the slash before it.
            more_bytes = sum(len(_stream(symbol) + each) + 1 for each in suffixes)
            streams = (len(groups[-1]) + 1) * len(suffixes) if groups else 0
            if streams > STREAMS_PER_CONNECTION or url_bytes + more_bytes > URL_BYTES_MAX:
                groups.append([])
                # The first name has no slash before it; and the group must fit at each of the addresses.
                url_bytes = len(self.stream_url((), ws_url=max(self.ws_urls, key=len))) - 1
            groups[-1].append(symbol)
            url_bytes += more_bytes
        return [tuple(group) for group in groups]


def _two(urls: tuple[str, ...]) -> tuple[str, str]:
    return urls[0], urls[1] if len(urls) > 1 else ""


def _named(symbols: tuple[str, ...]) -> dict[str, str]:
    """The query for a list of symbols; an empty list means all."""
    named = json.dumps(symbols, ensure_ascii=False, separators=(",", ":"))
    return {"symbols": named} if symbols else {}


def _path(what: str, query: dict[str, str]) -> str:
    return f"/api/v3/{what}?{urlencode(query)}" if query else f"/api/v3/{what}"


def _stream(symbol: str) -> str:
    """Stream names are lower-case; the exchange wants UTF-8, URL-encoded."""
    return quote(symbol.lower(), safe="")


VENUES: Final = MappingProxyType(
    {
        # "For APIs that only send public market data, please use … data-api.binance.vision"; the other addresses
        # are the exchange's main ones, which send the same data.
        "binance": Venue(
            "Binance Spot",
            "https://data-api.binance.vision",
            "wss://data-stream.binance.vision",
            other_rest_url="https://api.binance.com",
            other_ws_url="wss://stream.binance.com:9443",
        ),
        "binance-us": Venue(
            "Binance.US",
            "https://api.binance.us",
            "wss://stream.binance.us:9443",
            weights=BINANCE_US,
            ping_every_s=180,
            hides_permissions=False,
        ),
        # Live market data and limits, for orders that are not real.
        "demo": Venue(
            "Binance Spot Demo", "https://demo-api.binance.com", "wss://demo-stream.binance.com"
        ),
        "testnet": Venue(
            "Binance Spot Testnet",
            "https://testnet.binance.vision",
            "wss://stream.testnet.binance.vision",
        ),
    }
)
