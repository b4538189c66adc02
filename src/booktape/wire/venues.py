"""Where each exchange is reached. Market data only: booktape never needs a key."""

from __future__ import annotations

import json
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final
from urllib.parse import quote, urlencode

from booktape.wire.limits import STREAMS_PER_CONNECTION, URL_BYTES_MAX

DEPTH: Final = "@depth@100ms"
DEPTH_ONLY: Final = (DEPTH,)


@dataclass(frozen=True, slots=True)
class Venue:
    """One exchange's two doors; `title` is how a person calls it.

    `hides_permissions` says that it knows `showPermissionSets`; an exchange refuses what it does not know.
    """

    title: str
    rest_url: str
    ws_url: str
    hides_permissions: bool = True

    def depth_url(self, symbol: str, limit: int) -> str:
        """REST address of one snapshot; non-ASCII symbols go as percent-encoded UTF-8."""
        return f"{self.rest_url}/api/v3/depth?{urlencode({'symbol': symbol, 'limit': limit})}"

    def exchange_info_url(self, symbols: tuple[str, ...] = ()) -> str:
        """REST address of the list of symbols, filters and limits; of these symbols or of all.

        "symbols=["BTCUSDT","BNBUSDT"]": one that is not listed makes it an error, -1121.
        """
        # "showPermissionSets: controls whether the content of the permissionSets field is populated": more
        # than half of the list, and nothing to us.
        lean = {"showPermissionSets": "false"} if self.hides_permissions else {}
        return _url(f"{self.rest_url}/api/v3/exchangeInfo", _named(symbols) | lean)

    def best_prices_url(self, symbols: tuple[str, ...] = ()) -> str:
        """REST address of the best bid and ask of these symbols, or of all that there are."""
        return _url(f"{self.rest_url}/api/v3/ticker/bookTicker", _named(symbols))

    def stream_url(self, symbols: tuple[str, ...], suffixes: tuple[str, ...] = DEPTH_ONLY) -> str:
        """Combined stream of these symbols' depth, and more; timestamps in microseconds."""
        streams = "/".join(_stream(symbol) + each for symbol in symbols for each in suffixes)
        return f"{self.ws_url}/stream?streams={streams}&timeUnit=MICROSECOND"

    def split(
        self, symbols: tuple[str, ...], suffixes: tuple[str, ...] = DEPTH_ONLY
    ) -> list[tuple[str, ...]]:
        """Groups of symbols that each fit on one connection, in order."""
        groups: list[list[str]] = []
        url_bytes = URL_BYTES_MAX  # the first symbol begins the first group
        for symbol in symbols:
            # Each with the slash that parts it from the one before.
            more_bytes = sum(len(_stream(symbol) + each) + 1 for each in suffixes)
            streams = (len(groups[-1]) + 1) * len(suffixes) if groups else 0
            if streams > STREAMS_PER_CONNECTION or url_bytes + more_bytes > URL_BYTES_MAX:
                groups.append([])
                url_bytes = len(self.stream_url(())) - 1  # before the first there is no slash
            groups[-1].append(symbol)
            url_bytes += more_bytes
        return [tuple(group) for group in groups]


def _named(symbols: tuple[str, ...]) -> dict[str, str]:
    """How a list of symbols is asked for; none means all."""
    named = json.dumps(symbols, ensure_ascii=False, separators=(",", ":"))
    return {"symbols": named} if symbols else {}


def _url(path: str, query: dict[str, str]) -> str:
    return f"{path}?{urlencode(query)}" if query else path


def _stream(symbol: str) -> str:
    """Stream names are lower-case; the exchange wants UTF-8, URL-encoded."""
    return quote(symbol.lower(), safe="")


VENUES: Final = MappingProxyType(
    {
        "binance": Venue(
            "Binance Spot",
            "https://data-api.binance.vision",
            "wss://data-stream.binance.vision",
        ),
        "binance-us": Venue(
            "Binance.US",
            "https://api.binance.us",
            "wss://stream.binance.us:9443",
            hides_permissions=False,
        ),
        "testnet": Venue(
            "Binance Spot Testnet",
            "https://testnet.binance.vision",
            "wss://stream.testnet.binance.vision",
        ),
    }
)
