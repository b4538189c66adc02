"""A whole spot exchange of 1,400 symbols: a few liquid ones, and a long tail of quiet ones.

What a symbol is like follows from its rank. The ends are the profiles that `listing` has fitted to
recordings; how fast they fall off between them is an assumption, chosen so that the whole makes
about 2,500 events a second, as a quiet minute of the real exchange does, and that books have from
some dozens to 8,000 levels a side.
"""

from __future__ import annotations

from itertools import chain
from typing import Final
from zlib import crc32

from booktape.sim.market.listing import ILLIQUID, LIQUID, Listing, Profile

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
"""How many symbols are traded against each, and how many ranks behind the same base's USDT."""

_LEVELS_LEAST: Final = 40
_TICKS_PER_LEVEL: Final = 100
"""How many prices there are at least for each level that a side starts with: else books would be solid."""


def spot(count: int = SYMBOLS_MAX) -> tuple[Listing, ...]:
    """`count` symbols, the busiest first; a few of them are as mixed as all of them."""
    if not 1 <= count <= SYMBOLS_MAX:
        raise ValueError(f"an exchange has 1 to {SYMBOLS_MAX} symbols, and not {count}")
    names = _names()
    ranks = (number * SYMBOLS_MAX // count for number in range(count))
    return tuple(_listing(names[rank], rank) for rank in ranks)


def _names() -> list[str]:
    """All symbols, the busiest first."""
    ranked = chain.from_iterable(
        [(number + behind, f"{base}{quote}") for number, base in enumerate(_bases(quote, count))]
        for quote, (count, behind) in _QUOTES.items()
    )
    return [name for _, name in sorted(ranked)]


def _bases(quote: str, count: int) -> list[str]:
    """The `count` busiest coins that are traded against this one; nothing is against itself."""
    invented = (f"C{number:03d}" for number in range(count))
    return [base for base in chain(_BASES, invented) if base != quote][:count]


def _listing(symbol: str, rank: int) -> Listing:
    """Steps, price and levels follow from the name's checksum, within what the rank allows."""
    dice = crc32(symbol.encode())
    luck = dice % 1_000 / 1_000
    profile = _profile(rank, 0.4 + 1.2 * luck if rank else 1.0)
    ticks = (_TICKS_PER_LEVEL + dice % 300) * max(profile.levels, 200)
    return Listing(symbol, profile, 10 ** (1 + dice % 5), 10 ** (4 + dice % 4), ticks)


def _profile(rank: int, size: float) -> Profile:
    """Between LIQUID at rank 0 and ILLIQUID, which is half reached at different ranks."""
    busy, deep = 1 / (1 + rank / 15), 1 / (1 + rank / 12)
    levels = _LEVELS_LEAST + (LIQUID.levels - _LEVELS_LEAST) * deep
    return Profile(
        ids_mu=_between(ILLIQUID.ids_mu, LIQUID.ids_mu, busy),
        ids_sd=_between(ILLIQUID.ids_sd, LIQUID.ids_sd, busy),
        ids_phi=_between(ILLIQUID.ids_phi, LIQUID.ids_phi, busy),
        activity=min(LIQUID.activity, 1 / (1 + (rank / 120) ** 1.3)),
        again=_between(ILLIQUID.again, LIQUID.again, busy),
        levels=round(levels * size),
        depth_bps=_between(ILLIQUID.depth_bps, LIQUID.depth_bps, busy),
    )


def _between(low: float, high: float, share: float) -> float:
    return low + (high - low) * share
