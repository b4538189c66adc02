"""`exchangeInfo`: the list of symbols, their steps, and the limit on requests."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import msgspec
from msgspec import Struct

from booktape.core.tape_records import TRADING
from booktape.errors import InexactSymbol, MalformedFrame, MalformedNumber, UnknownSymbol
from booktape.wire.numbers import Id, decimal_number

_EXACT_DIGITS: Final = 15
"""Every decimal with up to 15 significant digits survives text → double → shortest text."""

_EXACT_8_DECIMALS_BELOW: Final = 67_108_864
"""2^26: below it neighbouring doubles differ by less than 1e-8, so no double stands for two values."""


@dataclass(frozen=True, slots=True)
class SymbolInfo:
    """One tradable pair. A step of "0", or no filter, means that there is no rule."""

    symbol: str
    status: str = TRADING
    tick_size: str = "0"
    max_price: str = "0"
    step_size: str = "0"
    max_quantity: str = "0"
    quote_asset: str = ""

    def prices_are_exact(self) -> bool:
        """Whether every price that the exchange allows survives as a double."""
        return _is_exact(self.max_price, self.tick_size)

    def sizes_are_exact(self) -> bool:
        """Whether every order size that the exchange allows survives as a double.

        A level's size is the sum of its orders and may be larger. So this is only a hint, and `verify` checks
        every stored value against its text.
        """
        return _is_exact(self.max_quantity, self.step_size)

    def steps(self) -> tuple[str, str]:
        """The steps of prices and of sizes, as the exchange writes them; "" where there is none."""
        return _step(self.tick_size), _step(self.step_size)


@dataclass(frozen=True, slots=True)
class ExchangeInfo:
    """The exchange's symbols, and its limit. `weight_per_minute` is None if the answer names none."""

    symbols: dict[str, SymbolInfo]
    weight_per_minute: int | None = None

    def check(self, symbols: Iterable[str], exchange: str) -> None:
        """Raises UnknownSymbol or InexactSymbol for the first one that cannot be recorded."""
        for symbol in symbols:
            listed = self.symbols.get(symbol)
            if listed is None:
                raise UnknownSymbol(symbol, exchange, self.suggest(symbol))
            if not listed.prices_are_exact():
                raise InexactSymbol(symbol)

    def trading(self, quote_asset: str | None) -> tuple[str, ...]:
        """Every symbol that can be recorded and is trading now, quoted in `quote_asset` or in any asset (None)."""
        return tuple(
            symbol
            for symbol, info in self.symbols.items()
            if info.status == TRADING
            and quote_asset in {None, info.quote_asset}
            and info.prices_are_exact()
        )

    def suggest(self, symbol: str) -> str | None:
        """The listed symbol that the user most likely meant."""
        close = difflib.get_close_matches(symbol, self.symbols, n=1)
        return next((s for s in (f"{symbol}T", *close) if s in self.symbols), None)


def _step(text: str) -> str:
    """The text of a step; "" if it is zero or cannot be read."""
    try:
        return text if decimal_number(text) else ""
    except MalformedNumber:
        return ""


def _is_exact(largest: str, step: str) -> bool:
    try:
        top, unit = decimal_number(largest), decimal_number(step).normalize()
    except MalformedNumber:
        return False
    if not unit:
        return True
    decimals = max(0, -int(unit.as_tuple().exponent))
    whole_digits = max(1, top.adjusted() + 1)
    few = whole_digits + decimals <= _EXACT_DIGITS
    return few or (decimals <= 8 and top < _EXACT_8_DECIMALS_BELOW)  # noqa: PLR2004


class _Filter(Struct, rename="camel"):
    filter_type: str = ""
    tick_size: str = "0"
    max_price: str = "0"
    step_size: str = "0"
    max_qty: str = "0"


class _Symbol(Struct, rename="camel"):
    symbol: str
    status: str = TRADING
    quote_asset: str = ""
    filters: list[_Filter] = []


class _RateLimit(Struct, rename="camel"):
    rate_limit_type: str = ""
    interval: str = ""
    interval_num: Id = 0
    limit: Id = 0


class _Info(Struct, rename="camel"):
    symbols: list[_Symbol]
    rate_limits: list[_RateLimit] = []


def decode_exchange_info(payload: bytes) -> ExchangeInfo:
    """Raises MalformedFrame for anything that is not an `exchangeInfo` answer."""
    try:
        info = msgspec.json.decode(payload, type=_Info)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedFrame(f"exchangeInfo: {error}: {payload[:80]!r}") from error
    budget = (
        rate.limit
        for rate in info.rate_limits
        if (rate.rate_limit_type, rate.interval, rate.interval_num)
        == ("REQUEST_WEIGHT", "MINUTE", 1)
    )
    return ExchangeInfo(
        {entry.symbol: _symbol_info(entry) for entry in info.symbols},
        next(budget, None),
    )


def _symbol_info(entry: _Symbol) -> SymbolInfo:
    filters = {f.filter_type: f for f in entry.filters}
    price, lot = filters.get("PRICE_FILTER", _Filter()), filters.get("LOT_SIZE", _Filter())
    return SymbolInfo(
        *(entry.symbol, entry.status, price.tick_size, price.max_price),
        *(lot.step_size, lot.max_qty, entry.quote_asset),
    )
