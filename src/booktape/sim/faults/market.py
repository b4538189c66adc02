"""Lies that the market itself tells, so that its truth still holds: halts, falls, the clock.

Times are market time; a slot of 100 ms is judged by its end, which is its events' time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from math import prod
from typing import Annotated, Any, Final, Literal

from msgspec import Meta

from booktape.errors import UsageError
from booktape.sim.faults.conditions import Count, Rate, Seconds, check_span
from booktape.sim.faults.messages import Fault
from booktape.sim.market.symbol_market import Push
from booktape.wire.exchange_info import SymbolInfo

TRADING: Final = "TRADING"
DELISTED: Final = "DELISTED"
"""Never shown: such a symbol is not listed any more, or not yet."""


class MarketFault(Fault):
    """Answers the market's questions honestly; a subclass lies in one of them."""

    def status(self, symbol: str, now_s: float) -> str | None:  # noqa: ARG002 - the honest answer needs no look
        """Another status than TRADING."""
        return None

    def levels(self, symbol: str, start_s: float, end_s: float) -> int:  # noqa: ARG002 - likewise
        """How many levels are to change, beyond the usual, in the slot between these times."""
        return 0

    def course(self, symbol: str, start_s: float, end_s: float) -> float | None:  # noqa: ARG002 - likewise
        """Where the price goes in the slot between these times, as a multiple of its start."""
        return None

    def cancel_rate(self, symbol: str, now_s: float) -> float:  # noqa: ARG002 - likewise
        """How many orders a second are cancelled while a symbol does not trade."""
        return 0.0

    def not_opened(self, symbol: str, now_s: float) -> bool:  # noqa: ARG002 - likewise
        """Whether a symbol is listed, and has not opened yet."""
        return False

    def push(self, symbol: str, start_s: float, end_s: float) -> Push | None:  # noqa: ARG002 - likewise
        """What else happens at the beginning of the slot between these times."""
        return None

    def grid(self, symbol: str, now_s: float) -> int:  # noqa: ARG002 - likewise
        """What new prices are multiples of, in the symbol's own ticks."""
        return 1

    def described(self, info: SymbolInfo, now_s: float) -> SymbolInfo:  # noqa: ARG002 - likewise
        """What the list of symbols says of one."""
        return info

    def clock_step_s(self, now_s: float) -> float:  # noqa: ARG002 - likewise
        """How far the exchange's clock is off."""
        return 0.0


@dataclass(frozen=True)
class SymbolFault(MarketFault):
    """A lie about one symbol."""

    symbol: str


@dataclass(frozen=True)
class Halt(SymbolFault):
    """A symbol does not trade for a while, and `exchangeInfo` says so. Orders are only cancelled.

    While it shows BREAK or END_OF_DAY no market data tells of that, though snapshots show it and
    ids count it. While it shows anything else events go on.
    """

    start_s: Seconds
    end_s: Seconds
    shown: Literal["HALT", "BREAK", "END_OF_DAY", "CANCEL_ONLY"] = "HALT"
    cancels_per_s: Rate = 2.0

    def __post_init__(self) -> None:
        """Raises ValueError for what can never hold."""
        check_span(self.start_s, self.end_s)

    def status(self, symbol: str, now_s: float) -> str | None:
        """What is shown, while it lasts."""
        return self.shown if symbol == self.symbol and self.start_s <= now_s < self.end_s else None

    def cancel_rate(self, symbol: str, now_s: float) -> float:
        """So many, while it lasts."""
        return self.cancels_per_s if self.status(symbol, now_s) else 0.0


@dataclass(frozen=True)
class Delist(SymbolFault):
    """A symbol vanishes: not in `exchangeInfo`, -1121 for its snapshots, no event ever again."""

    at_s: Seconds

    def status(self, symbol: str, now_s: float) -> str | None:
        """Gone, from then on."""
        return DELISTED if symbol == self.symbol and now_s >= self.at_s else None


@dataclass(frozen=True)
class NewListing(SymbolFault):
    """A symbol is not there at first, and from a time on it is: listed, and traded.

    It need not be among those that the market was made with. With `opens_s` it is listed first and
    opens then: until then its book is empty, without an id, and then it fills within one event.
    """

    at_s: Seconds
    opens_s: Seconds | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for what can never hold."""
        if self.opens_s is not None:
            check_span(self.at_s, self.opens_s)

    def not_opened(self, symbol: str, now_s: float) -> bool:
        """Until `opens_s`."""
        return symbol == self.symbol and self.opens_s is not None and now_s < self.opens_s

    def status(self, symbol: str, now_s: float) -> str | None:
        """Not there, until then."""
        return DELISTED if symbol == self.symbol and now_s < self.at_s else None


@dataclass(frozen=True)
class Fall(SymbolFault):
    """The price falls by a share until halfway between two times, and is back at the end.

    Whatever stands in its way is traded away; what lies farther off stays as old as it is, and so
    comes near. `by` below 0: it rises first. While it lasts the symbol has no huge event.
    """

    start_s: Seconds
    end_s: Seconds
    by: Annotated[float, Meta(gt=-2, lt=1)] = 0.1

    def __post_init__(self) -> None:
        """Raises ValueError for what can never hold."""
        check_span(self.start_s, self.end_s)

    def course(self, symbol: str, start_s: float, end_s: float) -> float | None:
        """Straight down and straight up again."""
        if symbol != self.symbol or end_s <= self.start_s or start_s >= self.end_s:
            return None
        share = (min(end_s, self.end_s) - self.start_s) / (self.end_s - self.start_s)
        return 1 - self.by * (1 - abs(2 * share - 1))


@dataclass(frozen=True)
class Huge(SymbolFault):
    """In one slot of 100 ms that many levels change, in one event.

    The largest seen on the real exchange had 1,076. A symbol that is halted then has none.
    """

    at_s: Annotated[float, Meta(gt=0.1)]
    levels_count: Count = 20_000

    def levels(self, symbol: str, start_s: float, end_s: float) -> int:
        """All of them, in the slot in which its time comes."""
        due = symbol == self.symbol and start_s < self.at_s <= end_s
        return self.levels_count if due else 0


@dataclass(frozen=True)
class IdsReset(MarketFault):
    """Ids count anew from `first_id`, of one symbol or of all, and no connection ends.

    With `blank` (as when a test exchange is set back) the book begins anew as well; without it
    only its ids change. No event tells of either.
    """

    at_s: Annotated[float, Meta(gt=0.1)]
    symbol: str | None = None
    first_id: Count = 1
    blank: bool = True

    def push(self, symbol: str, start_s: float, end_s: float) -> Push | None:
        """In the slot in which its time comes."""
        due = self.symbol in {None, symbol} and start_s < self.at_s <= end_s
        return Push(first_id=self.first_id, blank=self.blank) if due else None


@dataclass(frozen=True)
class TickSize(SymbolFault):
    """The tick size becomes `factor` times as large; or, `finer`, it was so and becomes the usual one.

    Orders that were placed before keep their prices.
    """

    at_s: Seconds
    factor: Annotated[int, Meta(ge=2, le=1_000)] = 10
    finer: bool = False

    def grid(self, symbol: str, now_s: float) -> int:
        """The larger one, after its time; or before it."""
        coarse = symbol == self.symbol and (now_s >= self.at_s) != self.finer
        return self.factor if coarse else 1

    def described(self, info: SymbolInfo, now_s: float) -> SymbolInfo:
        """The tick size of that time."""
        tick = Decimal(info.tick_size) * self.grid(info.symbol, now_s)
        return replace(info, tick_size=f"{tick:.8f}")


@dataclass(frozen=True)
class Cap(SymbolFault):
    """Two sizes grow beyond what the exchange can tell: it says 92233720368.54775807, or more.

    With `listed` the list of symbols allows orders beyond what doubles tell apart.
    """

    at_s: Annotated[float, Meta(gt=0.1)]
    listed: bool = False

    def push(self, symbol: str, start_s: float, end_s: float) -> Push | None:
        """In the slot in which its time comes."""
        due = symbol == self.symbol and start_s < self.at_s <= end_s
        return Push(caps=True) if due else None

    def described(self, info: SymbolInfo, now_s: float) -> SymbolInfo:  # noqa: ARG002 - from the beginning
        """The largest order that has been seen on the real exchange."""
        allowed = self.listed and info.symbol == self.symbol
        return replace(info, max_quantity="46116860414.00000000") if allowed else info


@dataclass(frozen=True)
class ClockStep(MarketFault):
    """From a time on the exchange's clock shows `by_s` more, or less; for events and `/time`."""

    at_s: Seconds
    by_s: float

    def clock_step_s(self, now_s: float) -> float:
        """Off, from then on."""
        return self.by_s if now_s >= self.at_s else 0.0


@dataclass(frozen=True)
class Incidents:
    """All lies of one market. `memory_events` is how far back its books may be asked for."""

    lies: tuple[MarketFault, ...] = ()
    memory_events: int = 0

    def status(self, symbol: str, now_s: float) -> str:
        """A symbol's status; DELISTED when it is gone."""
        told = {status for lie in self.lies if (status := lie.status(symbol, now_s))}
        return DELISTED if DELISTED in told else next(iter(sorted(told)), TRADING)

    def levels(self, symbol: str, start_s: float, end_s: float) -> int:
        """How many levels are to change beyond the usual."""
        return sum(lie.levels(symbol, start_s, end_s) for lie in self.lies)

    def course(self, symbol: str, start_s: float, end_s: float) -> float | None:
        """Where the price goes, as a multiple of its start; None where nobody says. The first counts."""
        told = (lie.course(symbol, start_s, end_s) for lie in self.lies)
        return next((course for course in told if course is not None), None)

    def cancel_rate(self, symbol: str, now_s: float) -> float:
        """How many orders a second are cancelled while a symbol does not trade."""
        return sum(lie.cancel_rate(symbol, now_s) for lie in self.lies)

    def not_opened(self, symbol: str, now_s: float) -> bool:
        """Whether a symbol is listed, and has not opened yet."""
        return any(lie.not_opened(symbol, now_s) for lie in self.lies)

    def opening(self) -> set[str]:
        """The symbols that begin with an empty book."""
        late = (lie for lie in self.lies if isinstance(lie, NewListing))
        return {lie.symbol for lie in late if lie.opens_s is not None}

    def grids(self, now_s: float) -> dict[str, int]:
        """What new prices are multiples of, for each symbol of which it ever changes."""
        symbols = (lie.symbol for lie in self.lies if isinstance(lie, TickSize))
        return {symbol: self.grid(symbol, now_s) for symbol in symbols}

    def grid(self, symbol: str, now_s: float) -> int:
        """What new prices are multiples of, in the symbol's own ticks."""
        return prod(lie.grid(symbol, now_s) for lie in self.lies)

    def described(self, info: SymbolInfo, now_s: float) -> SymbolInfo:
        """What the list of symbols says of one."""
        for lie in self.lies:
            info = lie.described(info, now_s)
        return info

    def push(self, symbol: str, start_s: float, end_s: float) -> Push:
        """What else happens at the beginning of a slot, all of it in one."""
        told = (lie.push(symbol, start_s, end_s) for lie in self.lies)
        merged: dict[str, Any] = {}
        for push in told:
            if push:
                merged |= {name: value for name, value in push._asdict().items() if value}
        return Push(**merged)

    def newcomers(self) -> list[str]:
        """The symbols that will be listed only later."""
        return [lie.symbol for lie in self.lies if isinstance(lie, NewListing)]

    def clock_step_us(self, now_s: float) -> int:
        """How far the exchange's clock is off, in microseconds."""
        return round(sum(lie.clock_step_s(now_s) for lie in self.lies) * 1_000_000)

    def check(self, symbols: Iterable[str]) -> None:
        """Raises UsageError for an incident of a symbol that is not listed."""
        known = set(symbols)
        for lie in self.lies:
            symbol = lie.symbol if isinstance(lie, SymbolFault | IdsReset) else None
            if symbol is not None and symbol not in known:
                raise UsageError(
                    f"A fault names {symbol}, which this exchange does not list. "
                    f"It lists: {', '.join(sorted(known))}."
                )
