"""An exchange without its ports: what REST and WebSocket share, and what both do before they answer or accept.

Violations are counted by rule: weight, retry-after, firewall (all in `limits`), messages, pong,
streams, connections, slow. All of these rules use real time, whatever the speed of the exchange.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from dataclasses import KW_ONLY, dataclass, field
from http import HTTPStatus

from aiohttp import web

from booktape.core.tape_records import DELISTED
from booktape.sim.faults.conditions import Attempt
from booktape.sim.faults.fault import Faults, MarketFault
from booktape.sim.faults.market import MarketFaults
from booktape.sim.faults.outcomes import (
    TOO_FAST,
    Banned,
    Hang,
    Outcome,
    Reply,
    Reset,
    error,
    html_page,
)
from booktape.sim.server.limits import (
    CONNECTIONS_PER_5_MINUTES,
    FIVE_MINUTES_S,
    Rate,
    RequestLimits,
)
from booktape.sim.server.pacing import ExchangeClock, Pacer, Source
from booktape.sim.server.tcp import reset
from booktape.wire.endpoints import VENUES, Venue
from booktape.wire.exchange_info import SymbolInfo
from booktape.wire.limits import PONG_WITHIN_S, USED_WEIGHT_HEADER


@dataclass(eq=False)
class Exchange:
    """The options of a `SimServer`, and the state that all of its connections share.

    `speed` 1 is real time, `math.inf` as fast as clients read (see `pacing`). The source starts at the first
    subscription, or at once with `start_at_once`; the exchange's clock then shows `start_us` (default: now).
    `venue` has an exchange's numbers. `violations` counts, by rule, what clients did wrong. With `second`, the same
    market has a second host, on its own port, with these faults; faults of the market itself come from `faults` only.
    A client's limits and silences span both hosts. A client has `pong_within_s` to answer a ping. With infinite
    speed, the source waits for snapshot requests that it expects (see `pacing`), for at most `patience_s` of real
    time. Market faults that the source cannot have raise UsageError.
    """

    source: Source
    _: KW_ONLY
    faults: Faults = field(default_factory=Faults)
    second: Faults | None = None
    port: int = 0
    second_port: int = 0
    speed: float = 1.0
    start_us: int | None = None
    start_at_once: bool = False
    venue: Venue = VENUES["binance"]
    pong_within_s: float = PONG_WITHIN_S
    patience_s: float = 5.0

    def __post_init__(self) -> None:
        """Make everything that needs no event loop."""
        others = self.second.faults if self.second else ()
        answers = (fault for fault in others if not isinstance(fault, MarketFault))
        self.market = MarketFaults.of(*self.faults.faults, *answers)
        # Before anything else, because faults may list symbols.
        self.source.apply_faults(self.market)
        self.waits_for_clients = self.source.patient or math.isinf(self.speed)
        self.clock = ExchangeClock(self.speed)
        self.pacer = Pacer(self.source, self.clock, self.speed, self.patience_s, self.start_us)
        # The clock of limits and pings.
        self.real_clock = ExchangeClock(1)
        self.violations: Counter[str] = Counter()
        self.limits = RequestLimits(self.venue.weights.per_minute, self.violations)
        # All attempts from one address count, refused ones too.
        self.attempts = Rate(CONNECTIONS_PER_5_MINUTES, FIVE_MINUTES_S)
        # On all hosts: how many WebSocket connections have been accepted, and what the open ones are subscribed to.
        self.connections = 0
        self.subscribed: dict[int, set[str]] = {}
        self.closing = asyncio.Event()

    def time_us(self) -> int:
        """The time of day that the exchange shows."""
        return self.pacer.time_us() + self.market.clock_step_us(self.pacer.now_s)

    def listed(self) -> dict[str, SymbolInfo]:
        """The symbols that are listed now, each with its status."""
        infos = self.source.symbols()
        if self.market.faults:
            infos = [self.market.described(info, self.pacer.slot_end_s) for info in infos]
        return {info.symbol: info for info in infos if info.status != DELISTED}

    def outcome(self, faults: Faults, attempt: Attempt) -> Outcome | None:
        """What this request or handshake gets from a host's faults, if anything. The first outcome starts the clock."""
        outcome = faults.outcome(attempt)
        if outcome:
            # Otherwise an exchange that is out of order at its beginning would stay so for ever.
            self.clock.start()
        return outcome

    async def refusal(
        self, request: web.Request, outcome: Outcome | None, weight: int = 0
    ) -> web.StreamResponse | None:
        """The response by which faults or limits refuse a request or handshake; None if they do not refuse it.

        A handshake has no weight.
        """
        if isinstance(outcome, Reset):
            return reset(request)
        if isinstance(outcome, Hang):
            # Even if the client leaves: a few such handlers are cheap, and all of them end with the exchange.
            await self.closing.wait()
            return reset(request)
        now_s, line = self.real_clock.now_s(), request.transport
        if owed := self.limits.charge(weight, now_s, line):
            if owed.status == HTTPStatus.FORBIDDEN:
                return self.respond(html_page(owed.status))
            message = "Too much request weight used."
            return self.respond(error(owed.status, TOO_FAST, message, owed.retry_after_s))
        if isinstance(outcome, Banned):
            # The end of the ban is computed without the steps that faults make in the time of day.
            outcome = outcome.reply(self.pacer.time_us())
        if not isinstance(outcome, Reply):
            return None
        if outcome.silence_s:
            self.limits.silence(
                outcome.status, outcome.silence_s, now_s, line, prolongs=outcome.prolongs
            )
        return self.respond(outcome)

    def respond(self, reply: Reply) -> web.Response:
        """The reply as an HTTP response, with the weight used so far."""
        headers = self.headers()
        if reply.retry_after_s is not None:
            headers["Retry-After"] = str(reply.retry_after_s)
        return web.Response(
            status=reply.status,
            body=reply.body,
            headers=headers,
            content_type=reply.content_type,
            charset="utf-8",
        )

    def headers(self) -> dict[str, str]:
        """The headers of every answer."""
        return {USED_WEIGHT_HEADER: str(self.limits.used)}
