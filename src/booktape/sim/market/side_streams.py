"""The market's witness streams: partial depth and book ticker, true at the ids they name.

A slot's witnesses come right before its depth event, as on the real exchange: partial depth with
the event's last id, and a ticker for each update that changed the touch, with that update's own id.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from booktape.core.checks import BookTicker, TopLevels
from booktape.sim.market.symbol_market import SymbolMarket
from booktape.sim.messages import MarketMessage, partial_stream, ticker_stream

PARTIAL_LEVELS: Final = (20, 10, 5)


class SideStreams:
    """Selected witness streams of one symbol that are wanted."""

    def __init__(self, symbol: str, wanted: Collection[str]) -> None:
        self._symbol = symbol
        streams = ((levels, partial_stream(symbol, levels)) for levels in PARTIAL_LEVELS)
        self._partial = [(levels, stream) for levels, stream in streams if stream in wanted]
        ticker = ticker_stream(symbol)
        self._ticker = ticker if ticker in wanted else None

    @property
    def need_touches(self) -> bool:
        """Whether each change of the touch must be noted."""
        return self._ticker is not None

    def messages(self, market: SymbolMarket) -> list[MarketMessage]:
        """The messages of a slot whose updates are all made, and which is not closed."""
        found = []
        for levels, stream in self._partial:
            bids, asks = market.levels(market.bids, levels), market.levels(market.asks, levels)
            found.append(
                MarketMessage(stream, TopLevels(self._symbol, market.update_id, bids, asks))
            )
        if self._ticker is not None:
            for touch in market.touches:
                bid, ask = market.listing.doubles([touch.bid, touch.ask])
                ticker = BookTicker(self._symbol, touch.update_id, bid, ask)
                found.append(MarketMessage(self._ticker, ticker))
        return found
