"""Faults that happen to the market itself, so its books stay true: halts, falls, the clock.

Times are market time. Whether a fault applies to a slot of 100 ms depends on the slot's end, the time of its events.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from decimal import Decimal
from math import ceil, prod
from typing import Annotated, Final, Literal, NamedTuple, Self, TypeVar

from msgspec import Meta

from booktape.core.tape_records import DELISTED, TRADING
from booktape.errors import UsageError
from booktape.sim.faults.conditions import Count, Rate, Seconds
from booktape.sim.faults.fault import AnswerFault, Fault, MarketFault
from booktape.sim.faults.outcomes import Old
from booktape.wire.exchange_info import SymbolInfo

_EVENTS_PER_S: Final = 10

SeenSeconds = Annotated[float, Meta(gt=0.1)]
"""A time after the first slot, whose beginning cannot be changed."""


class SymbolFault(MarketFault, frozen=True):
    """Happens to one symbol."""

    symbol: str


class Halt(SymbolFault, frozen=True):
    """A symbol does not trade for a while, and `exchangeInfo` says so. Orders can only be cancelled.

    While `exchangeInfo` shows BREAK or END_OF_DAY, no stream shows the cancellations, though snapshots do and ids
    count them. While it shows anything else, events continue.
    """

    start_s: Seconds
    end_s: Seconds
    shown: Literal["HALT", "BREAK", "END_OF_DAY", "CANCEL_ONLY"] = "HALT"
    cancels_per_s: Rate = 2.0


class Delist(SymbolFault, frozen=True):
    """A symbol vanishes: `exchangeInfo` no longer lists it, its snapshots get -1121, and no event ever follows."""

    at_s: Seconds


class NewListing(SymbolFault, frozen=True):
    """A symbol does not exist at first; from `at_s` on, it is listed and traded.

    The market need not have been made with it. With `opens_s`, it is listed at `at_s` and opens at `opens_s`: until
    then its book is empty and has no id, then it fills within one event.
    """

    at_s: Seconds
    opens_s: Seconds | None = None

    def __post_init__(self) -> None:
        if self.opens_s is not None and self.opens_s <= self.at_s:
            raise ValueError(f"it opens at {self.opens_s:g} s, which is not after {self.at_s:g} s")


class Fall(SymbolFault, frozen=True):
    """The price falls by the share `by` until halfway between two times, and is back by the end.

    The orders in its way are traded away; those farther off stay, however old, so the price comes near them. With
    `by` below 0, the price rises first. While this lasts, the symbol has no huge event.
    """

    start_s: Seconds
    end_s: Seconds
    by: Annotated[float, Meta(gt=-2, lt=1)] = 0.1

    def price(self, end_s: float) -> float:
        """The price at the end of a slot, as a multiple of the start price: straight down, then straight up."""
        share = (min(end_s, self.end_s) - self.start_s) / (self.end_s - self.start_s)
        return 1 - self.by * (1 - abs(2 * share - 1))


class Huge(SymbolFault, frozen=True):
    """In one slot of 100 ms, `levels_count` levels change, in one event.

    The largest event seen on the real exchange had 1,076. A symbol that is halted at that time has no such event.
    """

    at_s: SeenSeconds
    levels_count: Count = 20_000


class IdsReset(MarketFault, frozen=True):
    """The ids of one symbol, or of all, start over at `first_id`, and no connection ends.

    With `blank` (as when a test exchange is reset), the book starts over too; without it, only the ids change. No
    event reports either.
    """

    at_s: SeenSeconds
    symbol: str | None = None
    first_id: Count = 1
    blank: bool = True


class TickSize(SymbolFault, frozen=True):
    """The tick size becomes `factor` times as large; with `finer`, it starts that large and becomes the usual one.

    Orders placed before keep their prices.
    """

    at_s: Seconds
    factor: Annotated[int, Meta(ge=2, le=1_000)] = 10
    finer: bool = False


class Cap(SymbolFault, frozen=True):
    """Two sizes grow beyond what the exchange can show: 92233720368.54775807, which means "or more".

    With `listed`, the list of symbols allows orders beyond what doubles can distinguish.
    """

    at_s: SeenSeconds
    listed: bool = False


class Cross(SymbolFault, frozen=True):
    """A bid is placed above the best ask, and nothing else happens in that slot. Later orders end the crossing."""

    at_s: SeenSeconds


class ClockStep(MarketFault, frozen=True):
    """From `at_s` on, the exchange's clock is `by_s` ahead (below 0: behind), in events and in `/time`."""

    at_s: Seconds
    by_s: float


class Push(NamedTuple):
    """What happens to a symbol at the beginning of a slot, beyond the usual.

    `levels` levels change; or, if `price` is not None, the price moves to that multiple of the start price; or, if
    `cancels` is not None, nothing happens but that many cancellations. Before that, if `first_id` is not None, ids
    start over there; with `blank`, the book starts over too. From then on, new prices are multiples of `grid` ticks.
    With `caps`, two sizes grow beyond all bounds; with `crosses`, the best bid is above the best ask.
    """

    levels: int = 0
    price: float | None = None
    cancels: int | None = None
    first_id: int | None = None
    blank: bool = False
    grid: int = 1
    caps: bool = False
    crosses: bool = False


_OfSymbol = TypeVar("_OfSymbol", bound=SymbolFault | IdsReset)
_AtATime = TypeVar("_AtATime", Cap, Cross, Huge, IdsReset)


@dataclass(frozen=True)
class MarketFaults:
    """All faults of one market. `memory_events` is how many events back a book may be requested."""

    faults: tuple[MarketFault, ...] = ()
    memory_events: int = 0

    @classmethod
    def of(cls, *faults: Fault) -> Self:
        """Keeps those faults that happen to the market; the others only decide how much it must remember."""
        answers = (fault for fault in faults if isinstance(fault, AnswerFault))
        old = (one for fault in answers for one in fault.outcomes if isinstance(one, Old))
        memory = (max(one.events, ceil(one.seconds * _EVENTS_PER_S) + 1) for one in old)
        own = tuple(fault for fault in faults if isinstance(fault, MarketFault))
        return cls(own, max(memory, default=0))

    def check(self, symbols: Collection[str]) -> None:
        """Raises UsageError for a fault of a symbol that is not listed."""
        for fault in self.faults:
            symbol = fault.symbol if isinstance(fault, SymbolFault | IdsReset) else None
            if symbol is not None and symbol not in symbols:
                raise UsageError(
                    f"A fault names {symbol}, which this exchange does not list. "
                    f"It lists: {', '.join(sorted(symbols))}."
                )

    def status(self, symbol: str, now_s: float) -> str:
        """A symbol's status; DELISTED if it is gone, or not listed yet."""
        gone = any(fault.at_s <= now_s for fault in self._of(Delist, symbol))
        if gone or any(now_s < fault.at_s for fault in self._of(NewListing, symbol)):
            return DELISTED
        return min((halt.shown for halt in self._halts(symbol, now_s)), default=TRADING)

    def push(self, symbol: str, start_s: float, end_s: float, dice: float = 0.0) -> Push:
        """What happens at the beginning of the slot between these times.

        `dice`, in [0, 1), rounds the number of cancellations up or down, so that the rate is right on average.
        """
        slot = symbol, start_s, end_s
        resets = self._within(IdsReset, *slot)
        push = Push(
            first_id=resets[-1].first_id if resets else None,
            blank=any(reset.blank for reset in resets),
            grid=self.grid(symbol, end_s),
            caps=bool(self._within(Cap, *slot)),
            crosses=bool(self._within(Cross, *slot)),
        )
        if self.status(symbol, end_s) not in {TRADING, DELISTED}:
            per_s = sum(halt.cancels_per_s for halt in self._halts(symbol, end_s))
            return push._replace(cancels=int(per_s * (end_s - start_s) + dice))
        for fall in self._of(Fall, symbol):
            if start_s < fall.end_s and fall.start_s < end_s:
                return push._replace(price=fall.price(end_s))
        return push._replace(levels=sum(one.levels_count for one in self._within(Huge, *slot)))

    def grid(self, symbol: str, now_s: float) -> int:
        """New prices are multiples of this, in the symbol's own ticks."""
        sizes = self._of(TickSize, symbol)
        return prod(size.factor for size in sizes if (now_s >= size.at_s) != size.finer)

    def described(self, info: SymbolInfo, now_s: float) -> SymbolInfo:
        """A symbol as the list of symbols shows it at this time."""
        if (grid := self.grid(info.symbol, now_s)) > 1:
            info = replace(info, tick_size=f"{Decimal(info.tick_size) * grid:.8f}")
        if any(fault.listed for fault in self._of(Cap, info.symbol)):
            # The largest order size that has been seen on the real exchange.
            info = replace(info, max_quantity="46116860414.00000000")
        return replace(info, status=self.status(info.symbol, now_s))

    def listed_later(self) -> list[str]:
        """The symbols that are not listed at first."""
        return [fault.symbol for fault in self.faults if isinstance(fault, NewListing)]

    def has_not_opened(self, symbol: str, now_s: float) -> bool:
        """Whether a symbol's book is still empty because the symbol has not opened yet."""
        opens_s = (listing.opens_s for listing in self._of(NewListing, symbol))
        return any(at_s is not None and now_s < at_s for at_s in opens_s)

    def clock_step_us(self, now_s: float) -> int:
        """How far the exchange's clock is off, in microseconds."""
        steps = (fault for fault in self.faults if isinstance(fault, ClockStep))
        return round(sum(step.by_s for step in steps if now_s >= step.at_s) * 1_000_000)

    def _of(self, kind: type[_OfSymbol], symbol: str) -> list[_OfSymbol]:
        """The faults of this kind that happen to this symbol, or to all."""
        found = (fault for fault in self.faults if isinstance(fault, kind))
        return [fault for fault in found if fault.symbol in {None, symbol}]

    def _halts(self, symbol: str, now_s: float) -> list[Halt]:
        return [one for one in self._of(Halt, symbol) if one.start_s <= now_s < one.end_s]

    def _within(
        self, kind: type[_AtATime], symbol: str, start_s: float, end_s: float
    ) -> list[_AtATime]:
        """The faults of this kind in a slot: after its start, up to and including its end."""
        return [one for one in self._of(kind, symbol) if start_s < one.at_s <= end_s]
