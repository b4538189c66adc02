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
    """One exchange's two doors; `title` is how a person calls it."""

    title: str
    rest_url: str
    ws_url: str

    def depth_url(self, symbol: str, limit: int) -> str:
        """REST address of one snapshot; non-ASCII symbols go as percent-encoded UTF-8."""
        return f"{self.rest_url}/api/v3/depth?{urlencode({'symbol': symbol, 'limit': limit})}"

    def exchange_info_url(self, symbols: tuple[str, ...] = ()) -> str:
        """REST address of the list of symbols, filters and limits; of these symbols or of all.

        "symbols=["BTCUSDT","BNBUSDT"]": one that is not listed makes it an error, -1121.
        """
        whole = f"{self.rest_url}/api/v3/exchangeInfo"
        named = json.dumps(symbols, ensure_ascii=False, separators=(",", ":"))
        return f"{whole}?{urlencode({'symbols': named})}" if symbols else whole

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
        "binance-us": Venue("Binance.US", "https://api.binance.us", "wss://stream.binance.us:9443"),
        "testnet": Venue(
            "Binance Spot Testnet",
            "https://testnet.binance.vision",
            "wss://stream.testnet.binance.vision",
        ),
    }
)
