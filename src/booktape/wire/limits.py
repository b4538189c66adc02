"""The exchange's numbers, each with the sentence it comes from (state of 2026-07-21)."""

from __future__ import annotations

from typing import Final

from booktape.core.events import WHOLE_DEPTH

DEPTH_MAX: Final = WHOLE_DEPTH
"""REST `/depth`: "Default 100; max 5000. If limit > 5000 only 5000 entries will be returned."."""

WEIGHT_PER_MINUTE: Final = 6_000
"""Request weight per IP and minute, until `exchangeInfo.rateLimits` says otherwise."""

EXCHANGE_INFO_WEIGHT: Final = 20
"""Weight of `/exchangeInfo`, whatever is asked of it."""

BEST_PRICES_WEIGHT: Final = 4
"""Weight of `/ticker/bookTicker` of several symbols or of all; of one, 2."""

USED_WEIGHT_HEADER: Final = "X-MBX-USED-WEIGHT-1M"
"""Every answer says how much the IP has used in the current minute, by anyone."""

RETRY_AFTER_MAX_S: Final = 3 * 86_400
""" "IP bans are tracked and scale in duration for repeat offenders, from 2 minutes to 3 days." An
answer that asks for more is not the exchange's, or is mistaken."""

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


def fitting_limit(levels: int, depth: int) -> int:
    """The cheapest limit that shows a whole side of so many levels, or else `depth`.

    More than the side has, since a side that fills the limit may go on.
    """
    return next((min(most, depth) for most, _ in _DEPTH_WEIGHTS if most > levels), depth)


DENSE_BPS: Final = 0.4
"""A side with a level in every so many basis points, or more, is taken for a long one.

In real books of 2021 to 2026 whose best 100 levels spanned at most 40 bps there were always more
than 1,000; the built-in exchange's have 1,000 from about 45 bps on.
"""


def deeper_limit(levels: int, span_bps: float, depth: int) -> int:
    """What to ask for when the best `levels`, over `span_bps`, were not all of a side.

    Of a dense side all of `depth` at once: asking in steps costs a third more. Of any other the next
    step, since all of `depth` for a few levels more costs ten times as much.
    """
    return depth if span_bps <= DENSE_BPS * levels else fitting_limit(levels, depth)


def first_limit(symbols: int, depth: int) -> int:
    """What to ask of a book that nothing is known of.

    `depth`, if all books can be had so within a minute. Else as many levels as cost least: then all
    tops are known soon, and depth follows where there is more.
    """
    at_once = symbols * depth_weight(depth) <= WEIGHT_PER_MINUTE
    return depth if at_once else fitting_limit(0, depth)
