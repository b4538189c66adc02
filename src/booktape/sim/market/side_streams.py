"""The market's witness streams: partial depth and book ticker, true at the ids they name.

A slot's witnesses come right before its depth event, as on the real exchange: partial depth with
the event's last id, and a ticker for each update that changed the touch, with that update's own id.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final, TypeAlias

from booktape.core.checks import BookTicker, TopLevels
from booktape.sim.market.symbol_market import SymbolMarket
from booktape.wire.encode import encode_combined, encode_ticker, encode_top

PARTIAL_LEVELS: Final = (20, 10, 5)

Statement: TypeAlias = TopLevels | BookTicker


@dataclass(frozen=True)
class SideStreamMessage:
    """What a witness says, encoded at most once for each kind of client. It tells no time."""

    stream: str
    statement: Statement
    event: None = None

    def payload(self, *, combined: bool, microseconds: bool) -> bytes:  # noqa: ARG002 - see above
        """See `Message`."""
        return self._combined if combined else self._raw

    @cached_property
    def _raw(self) -> bytes:
        if isinstance(self.statement, TopLevels):
            return encode_top(self.statement)
        return encode_ticker(self.statement)

    @cached_property
    def _combined(self) -> bytes:
        return encode_combined(self.stream, self._raw)


class SideStreams:
    """Those witness streams of one symbol that are wanted."""

    def __init__(self, symbol: str, wanted: Collection[str]) -> None:
        self._symbol = symbol
        streams = ((levels, partial_stream(symbol, levels)) for levels in PARTIAL_LEVELS)
        self._partial = [(levels, stream) for levels, stream in streams if stream in wanted]
        ticker = ticker_stream(symbol)
        self._ticker = ticker if ticker in wanted else None

    def watch(self, pair: SymbolMarket) -> None:
        """Let the market note what will be asked for."""
        pair.watched = self._ticker is not None

    def messages(self, pair: SymbolMarket) -> Iterator[SideStreamMessage]:
        """What they say of a slot in which all is done, and which is not closed."""
        for levels, stream in self._partial:
            bids, asks = pair.levels(pair.bids, levels), pair.levels(pair.asks, levels)
            yield SideStreamMessage(stream, TopLevels(self._symbol, pair.update_id, bids, asks))
        if self._ticker is None:
            return
        for touch in pair.touches:
            bid, ask = pair.listing.doubles([touch.bid, touch.ask])
            ticker = BookTicker(self._symbol, touch.update_id, bid, ask)
            yield SideStreamMessage(self._ticker, ticker)


def partial_stream(symbol: str, levels: int) -> str:
    """The name of a symbol's partial depth stream, of 5, 10 or 20 levels a side."""
    return f"{symbol.lower()}@depth{levels}@100ms"


def ticker_stream(symbol: str) -> str:
    """The name of a symbol's book ticker stream."""
    return f"{symbol.lower()}@bookTicker"
