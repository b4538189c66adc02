"""The seeded market: several symbols in step, 100 ms of exchange time a slot, and its own truth.

Pure: no clock and no I/O. A slot's updates carry consecutive ids, one level change each; the
slot's event coalesces them. A snapshot taken within a slot shows the updates made so far, so its
`lastUpdateId` usually falls inside the next event, as on the real exchange.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from booktape.core.events import DepthSnapshot, Level
from booktape.sim.listing import DEFAULT_SYMBOLS, Listing, TextLevel, Whole, listing
from booktape.sim.pair import Pair
from booktape.sim.source import EventMessage
from booktape.wire.binance import encode_depth
from booktape.wire.exchange_info import SymbolInfo

SLOT_MS: Final = 100


class Market:
    """A source of events that never happened. The same symbols and seed give the same bytes.

    `levels` a side replaces each symbol's own number (small books make fast tests); after `slots`
    slots the market stays quiet.
    """

    patient = False

    def __init__(
        self,
        symbols: Sequence[str] = DEFAULT_SYMBOLS,
        seed: int = 0,
        *,
        levels: int | None = None,
        slots: int | None = None,
    ) -> None:
        self._settings = tuple(symbols), seed, levels
        self._pairs = _pairs(*self._settings)
        self._slots = slots
        self._start_us = 0
        self.slot = 0

    def symbols(self) -> list[SymbolInfo]:
        """What `exchangeInfo` lists."""
        return [pair.listing.info() for pair in self._pairs.values()]

    def start(self, time_us: int) -> None:
        """Slot k ends at `time_us` + k x 100 ms; `time_us` is moved back to the 100 ms grid."""
        self._start_us = time_us - time_us % (SLOT_MS * 1_000)

    def due_s(self) -> float | None:
        """When the current slot ends."""
        if self._slots is not None and self.slot >= self._slots:
            return None
        return (self.slot + 1) * SLOT_MS / 1_000

    def advance(self) -> list[EventMessage]:
        """End the slot: the events of all symbols that changed in it."""
        self.slot += 1
        time_us = self._start_us + self.slot * SLOT_MS * 1_000
        events = (pair.close_slot(time_us) for pair in self._pairs.values())
        return [EventMessage(event) for event in events if event]

    def depth(self, symbol: str, limit: int, fraction: float) -> bytes:
        """A `/depth` answer as of `fraction` of the current slot."""
        pair = self._pairs[symbol]
        if self.due_s() is not None:
            pair.run_part(fraction)
        bids, asks = pair.levels(pair.bids, limit), pair.levels(pair.asks, limit)
        return encode_depth(DepthSnapshot(symbol, limit, pair.update_id, bids, asks))

    def holds(self, symbol: str) -> bool:  # noqa: ARG002 - a market knows every book
        """Never: every book is always known."""
        return False

    def update_id(self, symbol: str) -> int:
        """The last id made so far; once a bounded market has ended, the last id of all."""
        return self._pairs[symbol].update_id

    def truth(self) -> Truth:
        """What really stands in each book at each update id, independent of this object's state."""
        return Truth(*self._settings)


@dataclass(frozen=True)
class TrueBook:
    """One symbol's whole book right after one update, in whole ticks and lots, best first."""

    update_id: int
    listing: Listing
    bid_lots: list[Whole]
    ask_lots: list[Whole]

    @property
    def bids(self) -> list[Level]:
        """As doubles."""
        return self.listing.doubles(self.bid_lots)

    @property
    def asks(self) -> list[Level]:
        """As doubles."""
        return self.listing.doubles(self.ask_lots)

    @property
    def bid_texts(self) -> list[TextLevel]:
        """As exact text with 8 decimals."""
        return self.listing.texts(self.bid_lots)

    @property
    def ask_texts(self) -> list[TextLevel]:
        """As exact text with 8 decimals."""
        return self.listing.texts(self.ask_lots)


class Truth:
    """Re-runs the market from its seed, one update at a time, with the memory of one book a symbol.

    Ascending ids are cheap; an id behind the last one asked for starts that symbol again.
    """

    def __init__(self, symbols: tuple[str, ...], seed: int, levels: int | None) -> None:
        self._settings = seed, levels
        self._pairs = _pairs(symbols, seed, levels)
        self._first_ids = {symbol: pair.update_id for symbol, pair in self._pairs.items()}

    def first_id(self, symbol: str) -> int:
        """The id of the book that the market begins with."""
        return self._first_ids[symbol]

    def book(self, symbol: str, update_id: int) -> TrueBook:
        """The book after `update_id`, whether or not an event ends there.

        Raises ValueError for an id before the market's beginning.
        """
        if update_id < self._first_ids[symbol]:
            raise ValueError(f"{symbol} begins at update id {self._first_ids[symbol]}")
        pair = self._pairs[symbol]
        if update_id < pair.update_id:
            pair = self._pairs[symbol] = Pair(pair.listing, *self._settings)
        while pair.update_id < update_id:
            pair.step()
        bids, asks = pair.whole(pair.bids), pair.whole(pair.asks)
        return TrueBook(update_id, pair.listing, bids, asks)


def _pairs(symbols: tuple[str, ...], seed: int, levels: int | None) -> dict[str, Pair]:
    return {symbol: Pair(listing(symbol), seed, levels) for symbol in symbols}
