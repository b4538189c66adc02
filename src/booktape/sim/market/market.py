"""The seeded market: several symbols in step, 100 ms of exchange time a slot, and its own truth.

Pure: no clock and no I/O. A slot's updates carry consecutive ids, one level change each; the
slot's event coalesces them. A snapshot taken within a slot shows the updates made so far, so its
`lastUpdateId` usually falls inside the next event, as on the real exchange.

A symbol begins to trade once somebody wants it (see `want`); of many that are wanted at once, some
begin in each slot, since making books takes time, and a market of 1,400 would be late for seconds.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from booktape.core.checks import BookTicker
from booktape.core.events import DepthSnapshot
from booktape.core.tape_records import NO_MARKET_DATA
from booktape.sim.faults.conditions import chance
from booktape.sim.faults.market import DELISTED, TRADING, MarketFaults, Push
from booktape.sim.faults.replies import Old
from booktape.sim.market.history import BookHistory
from booktape.sim.market.listing import DEFAULT_SYMBOLS, Listing, listing
from booktape.sim.market.side_streams import SideStreams
from booktape.sim.market.symbol_market import Start, SymbolMarket
from booktape.sim.messages import Message, event_message
from booktape.wire.encode import encode_depth
from booktape.wire.exchange_info import SymbolInfo

SLOT_MS: Final = 100

NOT_OPENED: Final = -1
"""The id of the empty book of a symbol that is listed and has not opened."""

BEGIN_LEVELS: Final = 20_000
"""Once so many levels a side have been made in a slot, further symbols wait for the next."""


class Market:
    """A source of events that never happened. The same symbols and seed give the same bytes.

    A symbol is a name (see `listing`) or a listing of one's own. `levels` a side replaces each
    symbol's own number (small books make fast tests); after `slots` slots the market stays quiet.
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
        self._seed = seed
        self._levels = levels
        self._opening: set[str] = set()
        self._grids: dict[str, int] = {}
        self._pairs: dict[str, SymbolMarket] = {}
        self._first_tops: dict[str, BookTicker] = {}
        self._wanted: Collection[str] | None = None
        self._witnesses: dict[str, SideStreams] = {}
        self._slots = slots
        self._incidents = MarketFaults()
        self._past: BookHistory | None = None
        self._start_us = 0
        self.slot = 0

    def symbols(self) -> list[SymbolInfo]:
        """What `exchangeInfo` lists."""
        return [one.info() for one in self._listings.values()]

    def start(self, time_us: int) -> None:
        """Slot k ends at `time_us` + k x 100 ms; `time_us` is moved back to the 100 ms grid."""
        self._start_us = time_us - time_us % (SLOT_MS * 1_000)

    def apply_faults(self, incidents: MarketFaults) -> None:
        """Let these happen. Raises UsageError for an incident of a symbol that is not listed."""
        for symbol in incidents.new_symbols():
            self._listings.setdefault(symbol, listing(symbol))
        incidents.check(self._listings)
        self._opening.update(incidents.opening())
        self._grids = {symbol: incidents.grid(symbol, 0) for symbol in self._listings}
        self._incidents = incidents
        self._past = BookHistory(incidents.memory_events) if incidents.memory_events else None

    def want(self, streams: Collection[str]) -> None:
        """From now on tell the witness streams among these.

        A symbol of which no stream was ever wanted and no book asked for stands still; until this
        is called, all symbols trade, and no witness is told.
        """
        self._wanted = {stream.partition("@")[0] for stream in streams}
        self._witnesses = {
            symbol: SideStreams(symbol, streams)
            for symbol in self._listings
            if symbol.lower() in self._wanted
        }
        for symbol, pair in self._pairs.items():
            pair.watched = False
            if symbol in self._witnesses:
                self._witnesses[symbol].watch(pair)

    def due_s(self) -> float | None:
        """When the current slot ends."""
        if self._slots is not None and self.slot >= self._slots:
            return None
        return self._end_s()

    def _end_s(self, slots_ahead: int = 0) -> float:
        return (self.slot + 1 + slots_ahead) * SLOT_MS / 1_000

    def advance(self) -> Sequence[Message]:
        """End the slot: the events of all symbols that trade and changed in it."""
        self._begin_some()
        now_s, next_s = self._end_s(), self._end_s(1)
        self.slot += 1
        time_us = self._start_us + self.slot * SLOT_MS * 1_000
        time_us += self._incidents.clock_step_us(now_s)
        messages: list[Message] = []
        for symbol in self._listings:
            pair = self._pairs.get(symbol)
            if pair and self._lives(symbol, now_s):
                messages += self._close(pair, now_s, time_us)
                self._push(pair, now_s, next_s)
        return messages

    def _begin_some(self) -> None:
        """Make some of the books that are wanted and not there."""
        made = 0
        for symbol in self._listings:
            wanted = self._wanted is None or symbol.lower() in self._wanted
            if wanted and symbol not in self._pairs and made < BEGIN_LEVELS:
                made += len(self._pair(symbol).bids.lots)

    def _close(self, pair: SymbolMarket, now_s: float, time_us: int) -> list[Message]:
        """The slot's messages: witnesses come right before their event."""
        pair.run_part(1)
        if self._past:
            self._past.keep(pair, now_s)
        symbol = pair.listing.symbol
        is_sent = self._incidents.status(symbol, now_s) not in NO_MARKET_DATA
        messages: list[Message] = []
        if is_sent and pair.before and (witnesses := self._witnesses.get(symbol)):
            messages += witnesses.messages(pair)
        event = pair.close_slot(time_us)
        if event and is_sent:
            messages.append(event_message(event))
        return messages

    def _push(self, pair: SymbolMarket, now_s: float, next_s: float) -> None:
        """What incidents have in mind for the slot just opened."""
        if not self._incidents.faults:
            return
        symbol = pair.listing.symbol
        push = self._incidents.push(symbol, now_s, next_s)
        if push.first_id is not None and self._past:
            self._past.forget(symbol)
        grid = self._incidents.grid(symbol, next_s)
        if grid != pair.grid:
            push = push._replace(grid=grid)
        if self._incidents.status(symbol, next_s) not in {TRADING, DELISTED}:
            per_slot = self._incidents.cancel_rate(symbol, next_s) * SLOT_MS / 1_000
            # So many on average, whole ones each time.
            dice = chance(self._seed, "cancels", symbol, self.slot)
            push = push._replace(cancels=int(per_slot + dice))
        else:
            price = self._incidents.price(symbol, now_s, next_s)
            if price is not None:
                push = push._replace(price_ticks=round(pair.listing.start_ticks * price))
            else:
                push = push._replace(levels=self._incidents.levels(symbol, now_s, next_s))
        if push != Push():
            pair.push(push)

    def _pair(self, symbol: str) -> SymbolMarket:
        """The symbol's market, which begins now unless it has begun."""
        if symbol not in self._pairs:
            pair = self._pairs[symbol] = self._new_symbol_market(symbol)
            if symbol in self._witnesses:
                self._witnesses[symbol].watch(pair)
            if symbol not in self._opening:
                self._push(pair, self._end_s(-1), self._end_s())
        return self._pairs[symbol]

    def _new_symbol_market(self, symbol: str) -> SymbolMarket:
        return SymbolMarket(self._start(symbol))

    def _start(self, symbol: str) -> Start:
        is_empty, grid = symbol in self._opening, self._grids.get(symbol, 1)
        return Start(self._listings[symbol], self._seed, self._levels, is_empty, grid)

    def _lives(self, symbol: str, now_s: float) -> bool:
        """Whether anything can happen in its book: orders can be cancelled while it is halted."""
        gone = self._incidents.status(symbol, now_s) == DELISTED
        return not gone and not self._incidents.has_not_opened(symbol, now_s)

    def depth(self, symbol: str, limit: int, fraction: float) -> bytes:
        """A `/depth` answer as of `fraction` of the current slot."""
        if self._incidents.has_not_opened(symbol, self._end_s()):
            return encode_depth(DepthSnapshot(symbol, limit, NOT_OPENED, [], []))
        pair = self._pair(symbol)
        self._run_part(pair, fraction)
        bids, asks = pair.levels(pair.bids, limit), pair.levels(pair.asks, limit)
        return encode_depth(DepthSnapshot(symbol, limit, pair.update_id, bids, asks))

    def _run_part(self, pair: SymbolMarket, fraction: float) -> None:
        due_s = self.due_s()
        if due_s is not None and self._lives(pair.listing.symbol, due_s):
            pair.run_part(fraction)

    def old_depth(self, symbol: str, limit: int, old: Old) -> bytes:
        """A `/depth` answer of some time, or events, ago; what `obey` let it remember."""
        if not self._past or self._incidents.has_not_opened(symbol, self._end_s()):
            return self.depth(symbol, limit, 0)
        until_s = self._end_s(-1) - old.seconds
        return encode_depth(self._past.book(self._pair(symbol), limit, old.events, until_s))

    def top(self, symbol: str, fraction: float) -> BookTicker:
        """The best levels of `depth`. Asking for them does not make a symbol trade."""
        if self._incidents.has_not_opened(symbol, self._end_s()):
            return BookTicker(symbol, NOT_OPENED, None, None)
        if symbol not in self._pairs:
            if symbol not in self._first_tops:
                self._first_tops[symbol] = _top(SymbolMarket(self._start(symbol)))
            return self._first_tops[symbol]
        pair = self._pair(symbol)
        self._run_part(pair, fraction)
        return _top(pair)

    def holds(self, _symbol: str, /) -> bool:
        """Never: every book is always known."""
        return False


def _top(pair: SymbolMarket) -> BookTicker:
    bid, ask = (next(iter(pair.levels(side, 1)), None) for side in (pair.bids, pair.asks))
    return BookTicker(pair.listing.symbol, pair.update_id, bid, ask)
