"""The exchange's limits, each with the sentence that it comes from (as of 2026-07-21)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from booktape.core.events import WHOLE_DEPTH

DEPTH_MAX: Final = WHOLE_DEPTH
"""REST `/depth`: "Default 100; max 5000. If limit > 5000 only 5000 entries will be returned."."""


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights of requests at one exchange, and the weight that it allows an address per minute.

    `per_minute` holds until `exchangeInfo.rateLimits` names another. `depth` has the largest number of
    levels for each weight; `best_prices` is for several symbols or for all; `trades` is for old trades, whatever
    their number (Binance.US may charge less).
    """

    per_minute: int
    depth: tuple[tuple[int, int], ...]
    exchange_info: int
    best_prices: int = 4
    trades: int = 25
    time: int = 1

    def depth_weight(self, limit: int) -> int:
        """Weight of a snapshot of `limit` levels a side."""
        return next(weight for most, weight in self.depth if limit <= most)


BINANCE: Final = Weights(
    per_minute=6_000,
    # 1-100 levels: 5, 101-500: 25, 501-1000: 50, 1001-5000: 250.
    depth=((100, 5), (500, 25), (1_000, 50), (DEPTH_MAX, 250)),
    exchange_info=20,
)
BINANCE_US: Final = Weights(
    per_minute=1_200,
    # 1-100 levels: 1, 101-500: 5, 501-1000: 10, 1001-5000: 50.
    depth=((100, 1), (500, 5), (1_000, 10), (DEPTH_MAX, 50)),
    exchange_info=10,
)

WEIGHT_PER_MINUTE: Final = BINANCE.per_minute

USED_WEIGHT_HEADER: Final = "X-MBX-USED-WEIGHT-1M"
"""Each answer carries the weight of all requests together that the IP has made in the current minute."""

RETRY_AFTER_MAX_S: Final = 3 * 86_400
""" "IP bans are tracked and scale in duration for repeat offenders, from 2 minutes to 3 days." An
answer that asks for a longer pause is not the exchange's, or is wrong."""

STREAMS_PER_CONNECTION: Final = 1_024
""" "A single connection can listen to a maximum of 1024 streams."."""

CONNECTION_LIFE_S: Final = 24 * 3_600.0
""" "A single connection … is only valid for 24 hours; expect to be disconnected"."""

ATTEMPTS_PER_WINDOW: Final = 300
ATTEMPTS_WINDOW_S: Final = 301.0
""" "There is a limit of 300 connections per attempt every 5 minutes per IP"; plus a second to spare."""

CLIENT_MESSAGES_PER_S: Final = 4
""" "WebSocket connections have a limit of 5 incoming messages per second", including PING and PONG; one
less here, because messages that are sent evenly may arrive together."""

BODY_BYTES_MAX: Final = 64 << 20
"""For an answer, decompressed. The limit is ours, not the exchange's: its longest answer, the list of all
symbols, is some 20 MB long."""

DEPTH_BYTES_MAX: Final = 8 << 20
"""For a `/depth` answer. Several are under way at once; 5,000 levels a side take 0.4 MB."""

TRADES_MAX: Final = 1_000
"""REST `/historicalTrades`: "Default: 500; Maximum: 1000."."""

TRADES_BYTES_MAX: Final = 1 << 20
"""For a `/historicalTrades` answer: 1,000 trades take 0.2 MB."""

ERROR_BYTES_MAX: Final = 64 << 10
"""For an answer that is an error: no more than this is read, because it holds a sentence at most."""

MESSAGE_BYTES_MAX: Final = 32 << 20
"""For a WebSocket message, all its fragments together. An event with every level of a deep book takes 1 MB."""

URL_BYTES_MAX: Final = 7_500
"""This limit is not the exchange's: common servers and proxies refuse a request line of more than 8 kB."""

PING_EVERY_S: Final = 20.0
PONG_WITHIN_S: Final = 60
"""The server pings every 20 s, and "if it does not receive a pong within a minute" it disconnects."""


def fitting_limit(levels: int, depth: int) -> int:
    """The cheapest limit that shows a whole side of `levels` levels, or else `depth`.

    It is larger than `levels`, because a side that fills the limit may have more.
    """
    return next((min(most, depth) for most, _ in BINANCE.depth if most > levels), depth)


DENSE_BPS: Final = 0.4
"""A side is dense, and assumed to be long, if its levels are at most this many basis points apart on average.

Real books of 2021 to 2026 whose best 100 levels spanned at most 40 bps always had more than 1,000 levels.
Those of the simulated exchange have 1,000 from about 45 bps on.
"""


def deeper_limit(levels: int, span_bps: float, depth: int) -> int:
    """The next limit, when the best `levels` of a side span `span_bps` and are not the whole side.

    For a dense side it is `depth` at once, because going there in steps costs a third more. For any other side
    it is the next step, because requesting all of `depth` to get a few more levels costs ten times as much.
    """
    return depth if span_bps <= DENSE_BPS * levels else fitting_limit(levels, depth)


def first_limit(symbols: int, depth: int) -> int:
    """The limit of the first snapshot of a book.

    It is `depth` if all books can be fetched at that depth within a minute. Otherwise it is the cheapest
    limit: then the best levels of all books are known soon, and deeper levels follow where there are any. The
    weights are Binance's. At Binance.US each weight and the limit per minute are a fifth as large, so the result
    holds there as well.
    """
    at_once = symbols * BINANCE.depth_weight(depth) <= WEIGHT_PER_MINUTE
    return depth if at_once else fitting_limit(0, depth)
