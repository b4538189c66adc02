"""What the simulated exchange lists: a symbol's steps, its price, and how busy it is.

The profiles were fitted to recordings of the real exchange: ids per event, events per second, share
of prices touched again within one event. A whole exchange of 1,400 symbols (`spot`) has a few liquid
symbols and a long tail of quiet ones. A symbol's profile follows from its rank. How fast activity falls off with rank
is an assumption: it was chosen so that the whole exchange makes about 2,500 events a second, as in a quiet minute of
the real one, and so that books have from a few dozen to 8,000 levels a side.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from types import MappingProxyType
from typing import Final, TypeAlias
from zlib import crc32

from booktape.core.events import Level
from booktape.wire.exchange_info import SymbolInfo

Whole: TypeAlias = tuple[int, int]
"""A level in whole ticks and lots."""

E8: Final = 10**8
"""The exchange prints 8 decimals, so every value is a whole number of 1e-8."""

CAP_E8: Final = 2**63 - 1
"""The largest size that the exchange shows, 92,233,720,368.54775807: "or more"."""

CAPPED_LOTS: Final = 10**19
"""More lots than that size has, whatever the step."""


@dataclass(frozen=True, slots=True)
class Profile:
    """How busy a symbol is.

    ln(ids per event) is AR(1) with mean `ids_mu`, standard deviation `ids_sd` and memory
    `ids_phi`; `activity` is the share of the 100 ms slots in which anything happens; `again` is
    the share of updates that touch a price a second time within a slot. Half of the `levels` a
    side lie within `depth_bps` of the touch at the start.
    """

    ids_mu: float
    ids_sd: float
    ids_phi: float
    activity: float
    again: float
    levels: int
    depth_bps: float


LIQUID: Final = Profile(3.5, 1.2, 0.6, 0.999, 0.35, 8_000, 120)
MID: Final = Profile(1.15, 0.87, 0.3, 0.65, 0.15, 600, 250)
ILLIQUID: Final = Profile(0.16, 0.3, 0.0, 0.15, 0.0, 200, 400)


@dataclass(frozen=True, slots=True)
class Listing:
    """One symbol of the simulated exchange. Steps are whole numbers of 1e-8."""

    symbol: str
    profile: Profile
    tick_e8: int
    step_e8: int
    start_ticks: int

    def info(self) -> SymbolInfo:
        """The symbol as `exchangeInfo` shows it."""
        return SymbolInfo(
            self.symbol,
            tick_size=text(self.tick_e8),
            max_price=text(self.tick_e8 * 10**8),
            step_size=text(self.step_e8),
            max_quantity=text(self.step_e8 * 9 * 10**8),
        )

    def doubles(self, levels: Iterable[Whole]) -> list[Level]:
        """Levels as the doubles nearest to their decimals: dividing whole numbers rounds once."""
        tick, step = self.tick_e8, self.step_e8
        return [(ticks * tick / E8, min(lots * step, CAP_E8) / E8) for ticks, lots in levels]


_KNOWN: Final[Mapping[str, Listing]] = MappingProxyType(
    {
        "BTCUSDT": Listing("BTCUSDT", LIQUID, E8 // 100, E8 // 10**5, 6_122_200),
        "ETHUSDT": Listing(
            "ETHUSDT", replace(LIQUID, levels=4_000), E8 // 100, E8 // 10**4, 254_000
        ),
    }
)

DEFAULT_SYMBOLS: Final = ("BTCUSDT", "ETHUSDT", "XMRBTC")
NON_ASCII_SYMBOL: Final = "币安人生USDT"

LISTED: Final = (
    *DEFAULT_SYMBOLS,
    *("ADAUSDT", "AVAXUSDT", "BNBUSDT", "DOGEUSDT", "LINKUSDT", "LTCUSDT", "SOLUSDT", "XRPUSDT"),
    *("ADABTC", "BNBBTC", "ETHBTC", "LTCBTC", "SOLBTC", "XRPBTC"),
    NON_ASCII_SYMBOL,
)
"""The symbols of `record --exchange sim`: like any exchange, it does not list every name."""


def listing(symbol: str) -> Listing:
    """Any name has a listing. BTCUSDT and ETHUSDT are liquid, other …USDT mid, the rest illiquid.

    For all but those two, steps and price follow from the name's checksum: always the same, and plausible.
    """
    if symbol in _KNOWN:
        return _KNOWN[symbol]
    chance = crc32(symbol.encode())
    ticks = 10_000 + chance % 40_000
    if symbol.endswith("USDT"):
        return Listing(symbol, MID, 10 ** (3 + chance % 3), E8 // 10, ticks)
    return Listing(symbol, ILLIQUID, 10 ** (1 + chance % 2), E8 // 1_000, ticks)


def text(value_e8: int) -> str:
    """A whole number of 1e-8 with the exchange's 8 decimals, exactly."""
    return f"{value_e8 // E8}.{value_e8 % E8:08d}"


# ── a whole exchange ────────────────────────────────────────────────────────────────────────────

SYMBOLS_MAX: Final = 1_400

_BASES: Final = (
    *("BTC", "ETH", "SOL", "XRP", "BNB", "DOGE", "ADA", "TRX", "LINK", "AVAX", "LTC", "DOT"),
    *("UNI", "NEAR", "APT", "ATOM", "FIL", "ARB", "OP", "ALGO"),
)
_QUOTES: Final = {
    "USDT": (430, 0),
    "USDC": (280, 60),
    "TRY": (230, 120),
    "BTC": (190, 150),
    "FDUSD": (120, 60),
    "ETH": (60, 250),
    "BNB": (50, 250),
    "EUR": (40, 200),
}
"""How many symbols trade against each quote asset, and how many ranks they are behind the same base's USDT symbol."""

_LEVELS_LEAST: Final = 40
_TICKS_PER_LEVEL: Final = 100
"""The minimum number of prices for each level that a side starts with; with fewer, hardly a price would be empty."""


def spot(count: int = SYMBOLS_MAX) -> tuple[Listing, ...]:
    """`count` symbols, the busiest first; a small number has the same mix as all of them."""
    if not 1 <= count <= SYMBOLS_MAX:
        raise ValueError(f"an exchange has 1 to {SYMBOLS_MAX} symbols, not {count}")
    names = _names()
    ranks = (number * SYMBOLS_MAX // count for number in range(count))
    return tuple(_listing(names[rank], rank) for rank in ranks)


def _names() -> list[str]:
    """All symbols, the busiest first. The busiest coins trade against each quote asset, but none against itself."""
    ranked = []
    for quote, (count, behind) in _QUOTES.items():
        invented = (f"C{number:03d}" for number in range(count))
        bases = [base for base in chain(_BASES, invented) if base != quote][:count]
        ranked += [(number + behind, f"{base}{quote}") for number, base in enumerate(bases)]
    return [name for _, name in sorted(ranked)]


def _listing(symbol: str, rank: int) -> Listing:
    """Steps, price and levels follow from the name's checksum, within what the rank allows."""
    dice = crc32(symbol.encode())
    luck = dice % 1_000 / 1_000
    profile = _profile(rank, 0.4 + 1.2 * luck if rank else 1.0)
    ticks = (_TICKS_PER_LEVEL + dice % 300) * max(profile.levels, 200)
    return Listing(symbol, profile, 10 ** (1 + dice % 5), 10 ** (4 + dice % 4), ticks)


def _profile(rank: int, size: float) -> Profile:
    """Between LIQUID at rank 0 and ILLIQUID; each property is halfway between them at a rank of its own."""
    busy, deep = 1 / (1 + rank / 15), 1 / (1 + rank / 12)

    def between(low: float, high: float) -> float:
        return low + (high - low) * busy

    return Profile(
        ids_mu=between(ILLIQUID.ids_mu, LIQUID.ids_mu),
        ids_sd=between(ILLIQUID.ids_sd, LIQUID.ids_sd),
        ids_phi=between(ILLIQUID.ids_phi, LIQUID.ids_phi),
        activity=min(LIQUID.activity, 1 / (1 + (rank / 120) ** 1.3)),
        again=between(ILLIQUID.again, LIQUID.again),
        levels=round((_LEVELS_LEAST + (LIQUID.levels - _LEVELS_LEAST) * deep) * size),
        depth_bps=between(ILLIQUID.depth_bps, LIQUID.depth_bps),
    )
