"""An exchange with other limits than Binance's, where these would take a test too long."""

from __future__ import annotations

from dataclasses import replace

from booktape.wire.endpoints import VENUES, Venue
from booktape.wire.limits import BINANCE, PING_EVERY_S


def venue_with(weight_per_minute: int = BINANCE.per_minute, ping_s: float = PING_EVERY_S) -> Venue:
    weights = replace(BINANCE, per_minute=weight_per_minute)
    return replace(VENUES["binance"], weights=weights, ping_every_s=ping_s)
