"""The seeded market: several symbols in step, 100 ms of exchange time a slot, and its own truth.

Pure: no clock and no I/O. A slot's updates carry consecutive ids, one level change each; the
slot's event coalesces them. A snapshot taken within a slot shows the updates made so far, so its
`lastUpdateId` usually falls inside the next event, as on the real exchange.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from booktape.core.events import DepthEvent, DepthSnapshot, Level
from booktape.sim.incidents import TRADING, Incidents
from booktape.sim.listing import DEFAULT_SYMBOLS, Listing, TextLevel, Whole, listing
from booktape.sim.pair import Pair, Surges
from booktape.sim.past import Past
from booktape.sim.replies import Old
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
        surges: dict[str, Surges] = {symbol: {} for symbol in symbols}
        self._settings = seed, levels, surges
        self._pairs = _pairs(*self._settings)
        self._slots = slots
        self._incidents = Incidents()
        self._past: Past | None = None
        self._start_us = 0
        self.slot = 0

    def symbols(self) -> list[SymbolInfo]:
        """What `exchangeInfo` lists."""
        return [pair.listing.info() for pair in self._pairs.values()]

    def start(self, time_us: int) -> None:
        """Slot k ends at `time_us` + k x 100 ms; `time_us` is moved back to the 100 ms grid."""
        self._start_us = time_us - time_us % (SLOT_MS * 1_000)

    def obey(self, incidents: Incidents) -> None:
        """Let these happen. Raises UsageError for an incident of a symbol that is not listed."""
        incidents.check(self._pairs)
        self._incidents = incidents
        self._past = Past(incidents.memory_events) if incidents.memory_events else None

    def due_s(self) -> float | None:
        """When the current slot ends."""
        if self._slots is not None and self.slot >= self._slots:
            return None
        return self._end_s()

    def _end_s(self, slots_ahead: int = 0) -> float:
        return (self.slot + 1 + slots_ahead) * SLOT_MS / 1_000

    def advance(self) -> list[EventMessage]:
        """End the slot: the events of all symbols that trade and changed in it."""
        now_s, next_s = self._end_s(), self._end_s(1)
        self.slot += 1
        time_us = self._start_us + self.slot * SLOT_MS * 1_000
        time_us += self._incidents.clock_step_us(now_s)
        events = []
        for symbol, pair in self._pairs.items():
            if not self._trades(symbol, now_s):
                continue
            event = self._close(pair, now_s, time_us)
            if event:
                events.append(EventMessage(event))
            if levels := self._incidents.levels(symbol, now_s, next_s):
                pair.surge(levels)
        return events

    def _close(self, pair: Pair, now_s: float, time_us: int) -> DepthEvent | None:
        pair.run_part(1)
        if self._past:
            self._past.keep(pair, now_s)
        return pair.close_slot(time_us)

    def _trades(self, symbol: str, now_s: float) -> bool:
        return self._incidents.status(symbol, now_s) == TRADING

    def depth(self, symbol: str, limit: int, fraction: float) -> bytes:
        """A `/depth` answer as of `fraction` of the current slot."""
        pair = self._pairs[symbol]
        due_s = self.due_s()
        if due_s is not None and self._trades(symbol, due_s):
            pair.run_part(fraction)
        bids, asks = pair.levels(pair.bids, limit), pair.levels(pair.asks, limit)
        return encode_depth(DepthSnapshot(symbol, limit, pair.update_id, bids, asks))

    def old_depth(self, symbol: str, limit: int, old: Old) -> bytes:
        """A `/depth` answer of some time, or events, ago; what `obey` let it remember."""
        if not self._past:
            return self.depth(symbol, limit, 0)
        until_s = self._end_s(-1) - old.seconds
        return encode_depth(self._past.book(self._pairs[symbol], limit, old.events, until_s))

    def holds(self, symbol: str) -> bool:  # noqa: ARG002 - a market knows every book
        """Never: every book is always known."""
        return False

    def update_id(self, symbol: str) -> int:
        """The last id made so far; once a bounded market has ended, the last id of all."""
        return self._pairs[symbol].update_id

    def truth(self) -> Truth:
        """What really stands in each book at each update id, independent of this object's state.

        Only the huge events that faults ask for are told to it, when this market comes to them.
        """
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

    def __init__(self, seed: int, levels: int | None, surges: dict[str, Surges]) -> None:
        self._settings = seed, levels
        self._surges = surges
        self._pairs = _pairs(seed, levels, surges)
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
            pair = Pair(pair.listing, *self._settings, self._surges[symbol])
            self._pairs[symbol] = pair
        while pair.update_id < update_id:
            pair.step()
        bids, asks = pair.whole(pair.bids), pair.whole(pair.asks)
        return TrueBook(update_id, pair.listing, bids, asks)


def _pairs(seed: int, levels: int | None, surges: dict[str, Surges]) -> dict[str, Pair]:
    return {symbol: Pair(listing(symbol), seed, levels, own) for symbol, own in surges.items()}
