"""The seeded market: several symbols that advance together, in slots of 100 ms of exchange time.

Pure: no clock and no I/O. A slot's updates carry consecutive ids, one level change each; the
slot's event coalesces them. A snapshot taken within a slot shows the updates made so far, so its
`lastUpdateId` usually falls inside the next event, as on the real exchange.

A symbol begins to trade once a client subscribes to it (see `want`). If many are new, only some begin in
each slot: making books takes time, and a market of 1,400 would otherwise be seconds late.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from booktape.core.checks import BookTicker
from booktape.core.events import DepthSnapshot
from booktape.core.tape_records import DELISTED, NO_MARKET_DATA
from booktape.core.trades import Trade
from booktape.sim.faults.conditions import chance
from booktape.sim.faults.market import MarketFaults
from booktape.sim.faults.outcomes import Old
from booktape.sim.market.listing import DEFAULT_SYMBOLS, Listing, listing
from booktape.sim.market.symbol_market import SymbolMarket
from booktape.sim.messages import MarketMessage
from booktape.wire.encode import encode_depth
from booktape.wire.exchange_info import SymbolInfo

SLOT_MS: Final = 100

NOT_OPENED: Final = -1
"""The id of the empty book of a symbol that is listed but has not opened."""

BEGIN_LEVELS: Final = 20_000
"""Once this many levels a side have been made in a slot, further symbols wait for the next."""


class Market:
    """A source of invented events. The same symbols and seed give the same bytes.

    A symbol is a name (see `listing`) or your own listing. `levels` replaces each symbol's own number of
    levels a side (small books make fast tests); after `slots` slots the market stays quiet.
    The market is not `patient`: it cuts a slow client off instead of waiting for it.
    """

    patient = False

    def __init__(
        self,
        symbols: Sequence[str | Listing] = DEFAULT_SYMBOLS,
        seed: int = 0,
        *,
        levels: int | None = None,
        slots: int | None = None,
    ) -> None:
        listings = (listing(one) if isinstance(one, str) else one for one in symbols)
        self._listings = {one.symbol: one for one in listings}
        self._infos = [one.info() for one in self._listings.values()]
        self._seed = seed
        self._levels = levels
        self._slots = slots
        self._markets: dict[str, SymbolMarket] = {}
        self._first_tops: dict[str, BookTicker] = {}
        self._wanted: Collection[str] | None = None
        self._streams: Collection[str] = ()
        self._faults = MarketFaults()
        self._start_us = 0
        self.slot = 0

    def symbols(self) -> list[SymbolInfo]:
        """What `exchangeInfo` lists now, apart from faults; the names stay the same."""
        return self._infos

    def start(self, time_us: int) -> None:
        """The exchange's clock shows `time_us` at second 0. Called once, before `advance`.

        Slot k ends at `time_us` + k x 100 ms, with `time_us` rounded down to 100 ms.
        """
        self._start_us = time_us - time_us % (SLOT_MS * 1_000)

    def apply_faults(self, faults: MarketFaults) -> None:
        """Let these faults happen. Called once, before `start`.

        Raises UsageError for a fault of a symbol that is not listed.
        """
        for symbol in faults.listed_later():
            self._listings.setdefault(symbol, listing(symbol))
        self._infos = [one.info() for one in self._listings.values()]
        faults.check(self._listings)
        self._faults = faults

    def want(self, streams: Collection[str]) -> None:
        """From now on send the witnesses and trades among these streams.

        A symbol stands still until one of its streams is subscribed to or its book is requested. Until this is called,
        all symbols trade, and no witness is sent.
        """
        self._streams, self._wanted = streams, {one.partition("@")[0] for one in streams}
        for market in self._markets.values():
            market.watched = streams

    def due_s(self) -> float | None:
        """Seconds from the start until the next `advance`: the end of the slot. None if nothing more will come."""
        if self._slots is not None and self.slot >= self._slots:
            return None
        return self._end_s()

    def _end_s(self) -> float:
        return (self.slot + 1) * SLOT_MS / 1_000

    def advance(self) -> list[MarketMessage]:
        """Do what is due, and return the messages to send: the slot's, of all symbols that trade."""
        self._begin_wanted()
        now_s = self._end_s()
        self.slot += 1
        time_us = self._start_us + self.slot * SLOT_MS * 1_000 + self._faults.clock_step_us(now_s)
        messages: list[MarketMessage] = []
        for symbol in self._listings:
            market = self._markets.get(symbol)
            if market and self._can_change(symbol, now_s):
                messages += self._close(market, now_s, time_us)
                self._push(market)
        return messages

    def _begin_wanted(self) -> None:
        """Make some of the books that are wanted and do not exist yet."""
        made = 0
        for symbol in self._listings:
            is_wanted = self._wanted is None or symbol.lower() in self._wanted
            if is_wanted and symbol not in self._markets and made < BEGIN_LEVELS:
                made += len(self._market(symbol).bids.lots)

    def _close(self, market: SymbolMarket, now_s: float, time_us: int) -> list[MarketMessage]:
        """The slot's messages; none while the symbol's status allows no market data."""
        messages = market.close_slot(time_us)
        shows_none = self._faults.status(market.listing.symbol, now_s) in NO_MARKET_DATA
        return [] if shows_none else messages

    def _push(self, market: SymbolMarket) -> None:
        """Apply the faults of the slot just opened."""
        if self._faults.faults:
            symbol, begin_s = market.listing.symbol, self.slot * SLOT_MS / 1_000
            dice = chance(self._seed, "cancels", symbol, self.slot)
            market.push(self._faults.push(symbol, begin_s, self._end_s(), dice))

    def _market(self, symbol: str) -> SymbolMarket:
        """The symbol's market; it begins now if it has not begun yet."""
        if symbol not in self._markets:
            market = self._markets[symbol] = self._new_symbol_market(symbol)
            market.watched = self._streams
            if not self._faults.has_not_opened(symbol, 0):
                self._push(market)
        return self._markets[symbol]

    def _new_symbol_market(self, symbol: str) -> SymbolMarket:
        return SymbolMarket(self._listings[symbol], self._seed, self._levels, self._faults)

    def _can_change(self, symbol: str, now_s: float) -> bool:
        """Whether anything can happen in the symbol's book: orders can be cancelled even while it is halted."""
        gone = self._faults.status(symbol, now_s) == DELISTED
        return not gone and not self._faults.has_not_opened(symbol, now_s)

    def depth(self, symbol: str, limit: int, fraction: float, old: Old | None = None, /) -> bytes:
        """The body of a `/depth` answer: the book as of `fraction` (0 to 1) of the current slot, or an old one.

        An old book is at most as old as the faults given to `apply_faults` need.
        """
        if self._faults.has_not_opened(symbol, self._end_s()):
            return encode_depth(DepthSnapshot(symbol, limit, NOT_OPENED, [], []))
        market = self._market(symbol)
        if old:
            return encode_depth(market.old_book(limit, old.events, old.seconds * 1_000 / SLOT_MS))
        self._run_part(market, fraction)
        bids, asks = market.levels(limit)
        return encode_depth(DepthSnapshot(symbol, limit, market.update_id, bids, asks))

    def _run_part(self, market: SymbolMarket, fraction: float) -> None:
        due_s = self.due_s()
        if due_s is not None and self._can_change(market.listing.symbol, due_s):
            market.run_part(fraction)

    def top(self, symbol: str, fraction: float, /) -> BookTicker:
        """The best levels of that book. Requesting them does not make a symbol trade."""
        if self._faults.has_not_opened(symbol, self._end_s()):
            return BookTicker(symbol, NOT_OPENED, None, None)
        if market := self._markets.get(symbol):
            self._run_part(market, fraction)
            return market.top()
        if symbol not in self._first_tops:
            self._first_tops[symbol] = self._new_symbol_market(symbol).top()
        return self._first_tops[symbol]

    def trades(self, symbol: str, /) -> list[Trade]:
        """The trades that are kept, oldest first, each once."""
        market = self._markets.get(symbol)
        return list(market.trades) if market else []

    def holds(self, _symbol: str, /) -> bool:
        """Whether a request that found no book should wait for one: never, because there always is one."""
        return False
