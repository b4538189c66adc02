"""The exchange's numbers, each with the sentence it comes from (state of 2026-07-21)."""

from __future__ import annotations

from typing import Final

DEPTH_MAX: Final = 5_000
"""REST `/depth`: "Default 100; max 5000. If limit > 5000 only 5000 entries will be returned."."""

WEIGHT_PER_MINUTE: Final = 6_000
"""Request weight per IP and minute, until `exchangeInfo.rateLimits` says otherwise."""

EXCHANGE_INFO_WEIGHT: Final = 20
"""Weight of `/exchangeInfo`, whatever is asked of it."""

USED_WEIGHT_HEADER: Final = "X-MBX-USED-WEIGHT-1M"
"""Every answer says how much the IP has used in the current minute, by anyone."""

STREAMS_PER_CONNECTION: Final = 1_024
""" "A single connection can listen to a maximum of 1024 streams."."""

CONNECTION_LIFE_S: Final = 24 * 3_600.0
""" "A single connection … is only valid for 24 hours; expect to be disconnected"."""

ATTEMPTS_PER_WINDOW: Final = 300
ATTEMPTS_WINDOW_S: Final = 301.0
""" "There is a limit of 300 connections per attempt every 5 minutes per IP"; and a second's grace."""

CLIENT_MESSAGES_PER_S: Final = 4
""" "WebSocket connections have a limit of 5 incoming messages per second", PING and PONG counted;
one less, since what we send evenly may arrive bunched."""

URL_BYTES_MAX: Final = 7_500
"""Not the exchange's: common servers and proxies refuse a request line of more than 8 kB."""

PONG_WITHIN_S: Final = 60
"""The server pings every 20 s, and "if it does not receive a pong within a minute" it cuts."""

_DEPTH_WEIGHTS: Final = ((100, 5), (500, 25), (1_000, 50), (DEPTH_MAX, 250))


def depth_weight(limit: int) -> int:
    """Weight of `/depth`: 1-100 levels 5, 101-500 25, 501-1000 50, 1001-5000 250."""
    return next(weight for most, weight in _DEPTH_WEIGHTS if limit <= most)
