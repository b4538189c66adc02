"""What REST and WebSocket of one host share, and what both do before they answer or accept a client.

Violations are counted by rule: weight, retry-after, firewall (all in `limits`), messages, pong,
streams, connections, slow. All of them run by real time, whatever the speed of the exchange.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from http import HTTPStatus

from aiohttp import web

from booktape.core.tape_records import DELISTED
from booktape.sim.faults.base import (
    TOO_FAST,
    Banned,
    Faults,
    Hang,
    Outcome,
    Reply,
    Reset,
    error,
    html_page,
)
from booktape.sim.faults.conditions import Attempt
from booktape.sim.faults.market import MarketFaults
from booktape.sim.server.limits import (
    CONNECTIONS_PER_5_MINUTES,
    FIVE_MINUTES_S,
    Rate,
    RequestLimits,
)
from booktape.sim.server.pacing import ExchangeClock, Pacer
from booktape.sim.server.sockets import reset, response
from booktape.sim.source import Source
from booktape.wire.endpoints import Venue
from booktape.wire.exchange_info import SymbolInfo
from booktape.wire.limits import USED_WEIGHT_HEADER


@dataclass(frozen=True)
class ServerContext:
    """Shared by one host; but for `faults`, by both hosts of an exchange.

    `clock` is the exchange's, `real_clock` the one of limits and pings. An exchange that `waits_for_clients`
    does not cut slow ones. `closing` is set at its end.
    """

    source: Source
    pacer: Pacer
    faults: Faults
    market: MarketFaults
    clock: ExchangeClock
    venue: Venue
    ping_s: float
    pong_within_s: float
    waits_for_clients: bool
    limits: RequestLimits
    violations: Counter[str]
    real_clock: ExchangeClock = field(default_factory=lambda: ExchangeClock(1))
    attempts: Rate = field(
        # Of all attempts from one address: refused ones count too.
        default_factory=lambda: Rate(CONNECTIONS_PER_5_MINUTES, FIVE_MINUTES_S)
    )
    closing: asyncio.Event = field(default_factory=asyncio.Event)

    def time_us(self) -> int:
        """The time of day that the exchange shows."""
        return self.pacer.time_us() + self.market.clock_step_us(self.pacer.now_s)

    def listed(self) -> dict[str, SymbolInfo]:
        """The symbols that are listed now, each with its status."""
        infos = self.source.symbols()
        if self.market.faults:
            infos = [self.market.described(info, self.pacer.slot_end_s) for info in infos]
        return {info.symbol: info for info in infos if info.status != DELISTED}

    def outcome(self, attempt: Attempt) -> Outcome | None:
        """What faults have for this request or handshake. The first outcome starts the clock."""
        outcome = self.faults.outcome(attempt)
        if outcome:
            # Else an exchange that is out of order at its beginning would be so for ever.
            self.clock.start()
        return outcome

    async def refusal(
        self, request: web.Request, outcome: Outcome | None, weight: int = 0
    ) -> web.StreamResponse | None:
        """What faults and limits have for a client instead of an answer or a connection; None for that.

        A handshake has no weight.
        """
        if isinstance(outcome, Reset):
            return reset(request)
        if isinstance(outcome, Hang):
            await self.closing.wait()
            return reset(request)
        now_s, line = self.real_clock.now_s(), request.transport
        if owed := self.limits.charge(weight, now_s, line):
            if owed.status == HTTPStatus.FORBIDDEN:
                return self.respond(html_page(owed.status))
            message = "Too much request weight used."
            return self.respond(error(owed.status, TOO_FAST, message, owed.retry_after_s))
        if isinstance(outcome, Banned):
            # Stamped without the steps that faults make in the time of day.
            outcome = outcome.reply(self.pacer.time_us())
        if not isinstance(outcome, Reply):
            return None
        if outcome.silence_s:
            self.limits.silence(
                outcome.status, outcome.silence_s, now_s, line, prolongs=outcome.prolongs
            )
        return self.respond(outcome)

    def respond(self, reply: Reply) -> web.Response:
        """As HTTP, with the weight that is used."""
        return response(reply, self.headers())

    def headers(self) -> dict[str, str]:
        """What each answer states beside itself."""
        return {USED_WEIGHT_HEADER: str(self.limits.used)}
