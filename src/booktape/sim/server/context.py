"""What REST and WebSocket of one host share, and how both refuse a client that comes too soon.

Violations are counted by rule: weight, retry-after, firewall (all in `limits`), messages, pong,
streams, connections, slow. All of them run by the clients' clock, which `client_speed` may make faster
than real time, but not by the exchange's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus

from aiohttp import web

from booktape.sim.faults.base import Faults
from booktape.sim.faults.conditions import Attempt
from booktape.sim.faults.market import MarketFaults
from booktape.sim.faults.outcomes import TOO_FAST, Banned, Outcome, Reply, ban, error, html_page
from booktape.sim.server.limits import (
    CONNECTIONS_PER_5_MINUTES,
    FIVE_MINUTES_S,
    Rate,
    RequestLimits,
    Tariff,
)
from booktape.sim.server.pacing import ExchangeClock
from booktape.sim.server.sockets import HalfOpenSockets


@dataclass(frozen=True, slots=True)
class ServerContext:
    """Shared by one host; but for `faults` and `half_open`, by both hosts of an exchange.

    `clock` is the exchange's, `client_clock` the one by which clients keep the limits; `time_us` is
    the exchange's time of day, `steady_time_us` the same without the steps that faults make in it:
    bans are stamped with that. An exchange that `waits_for_clients` does not cut slow ones.
    """

    faults: Faults
    market: MarketFaults
    clock: ExchangeClock
    client_clock: ExchangeClock
    time_us: Callable[[], int]
    steady_time_us: Callable[[], int]
    tariff: Tariff
    ping_s: float
    pong_within_s: float
    waits_for_clients: bool
    limits: RequestLimits
    violations: Counter[str]
    attempts: Rate = field(
        # Of all attempts from one address: refused ones count too.
        default_factory=lambda: Rate(CONNECTIONS_PER_5_MINUTES, FIVE_MINUTES_S)
    )
    half_open: HalfOpenSockets = field(default_factory=HalfOpenSockets)

    def outcome(self, attempt: Attempt) -> Outcome | None:
        """What faults have for this request or handshake. The first outcome starts the clock."""
        outcome = self.faults.outcome(attempt)
        if outcome:
            # Else an exchange that is out of order at its beginning would be so for ever.
            self.clock.start()
        return outcome

    def refusal(self, request: web.Request, *, weight: int = 0) -> Reply | None:
        """What a client gets that comes too soon, or too often; a handshake has no weight."""
        owed = self.limits.charge(weight, self.client_clock.now_s(), request.transport)
        if owed is None:
            return None
        if owed.status == HTTPStatus.FORBIDDEN:
            return html_page(owed.status)
        return error(owed.status, TOO_FAST, "Too much request weight used.", owed.retry_after_s)

    def begin_silence(self, outcome: Reply | Banned, request: web.Request) -> Reply:
        """The reply of a fault; from then on the silence that it asks for is owed."""
        reply = (
            ban(outcome.seconds, self.steady_time_us()) if isinstance(outcome, Banned) else outcome
        )
        if reply.silence_s:
            self.limits.silence(
                *(reply.status, reply.silence_s, self.client_clock.now_s(), request.transport),
                prolongs=reply.prolongs,
            )
        return reply
