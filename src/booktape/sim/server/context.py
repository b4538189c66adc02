"""How the exchange treats its clients, and how it catches those that break its rules.

Violations are counted by rule: weight, retry-after, firewall (all in `weight`), messages, pong,
streams, connections, slow. All of them run by the clients' clock, which `client_speed` may make faster than
life, but not by the exchange's.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from aiohttp import web

from booktape.sim.faults.base import Faults
from booktape.sim.faults.market import MarketFaults
from booktape.sim.faults.replies import TOO_FAST, Banned, Reply, error, firewall_page
from booktape.sim.server.clock import ExchangeClock
from booktape.sim.server.half_open import HalfOpenSockets
from booktape.sim.server.limits import RequestLimits, Tariff

INCOMING_PER_SECOND: Final = 5
""" "WebSocket connections have a limit of 5 incoming messages per second."."""

JITTER_S: Final = 0.1
"""Two messages a second apart may be read so much closer together by a busy machine."""

CONNECTIONS_PER_5_MINUTES: Final = 300
_FIVE_MINUTES_S: Final = 300


class Rate:
    """Whether more than `most` things happen within `window_s`."""

    def __init__(self, most: int, window_s: float) -> None:
        self._recent: deque[float] = deque(maxlen=most)
        self._window_s = window_s

    def exceeded(self, now_s: float) -> bool:
        """One more happens now; whether it is one too many."""
        full = len(self._recent) == self._recent.maxlen
        too_many = full and now_s - self._recent[0] < self._window_s
        self._recent.append(now_s)
        return too_many


def message_rate() -> Rate:
    """Of one connection: PING, PONG and SUBSCRIBE all count."""
    return Rate(INCOMING_PER_SECOND, 1 - JITTER_S)


def connection_rate() -> Rate:
    """Of all attempts from one address: refused ones count too."""
    return Rate(CONNECTIONS_PER_5_MINUTES, _FIVE_MINUTES_S)


@dataclass(frozen=True, slots=True)
class ServerContext:
    """What all doors of one host share; but for `faults` and `void`, both hosts of an exchange.

    `clock` is the exchange's, `client_clock` the one by which clients keep the limits; `time_us` is
    what the exchange would say is the time of day, `steady_time_us` the same without the steps that
    faults make in it: bans are told by that. A `patient` exchange waits for slow clients.
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
    patient: bool
    weights: RequestLimits
    violations: Counter[str]
    attempts: Rate = field(default_factory=connection_rate)
    void: HalfOpenSockets = field(default_factory=HalfOpenSockets)

    def refusal(self, request: web.Request, *, weight: int = 0) -> Reply | None:
        """What a client gets who comes too soon, or too often; a handshake has no weight."""
        now_s, line = self.client_clock.now_s(), request.transport
        charge = self.weights.charge
        owed = charge(weight, now_s, line) if weight else self.weights.knock(now_s, line)
        if owed is None:
            return None
        if owed.status == HTTPStatus.FORBIDDEN:
            return firewall_page()
        return error(owed.status, TOO_FAST, "Too much request weight used.", owed.retry_after_s)

    def told(self, lie: Reply | Banned, request: web.Request) -> Reply:
        """What a lie at the door says now; from then on the silence that it asks for is owed."""
        reply = lie.reply(self.steady_time_us()) if isinstance(lie, Banned) else lie
        if silence := reply.silence:
            now_s, line = self.client_clock.now_s(), request.transport
            seconds, prolongs = silence.seconds, silence.prolongs
            self.weights.silence(reply.status, seconds, now_s, line, prolongs=prolongs)
        return reply


class Pings:
    """The pings of one connection, and which of them wait for their pong."""

    def __init__(self, connection: int) -> None:
        self._connection = connection
        self._sent = 0
        self._waiting: dict[int, float] = {}

    def next(self, now_s: float) -> bytes:
        """The payload of a new ping: unlike any other's."""
        self._sent += 1
        self._waiting[self._sent] = now_s
        return self._payload(self._sent)

    def overdue(self, now_s: float, within_s: float) -> bool:
        """Whether any has waited too long."""
        return any(now_s - sent_s > within_s for sent_s in self._waiting.values())

    def answered(self, payload: bytes) -> bool:
        """Whether a pong is right; then it answers that ping and all before it.

        A pong without a payload may always be sent, and answers nothing. A ping that a later one's
        pong has answered may still get its own.
        """
        if not payload:
            return True
        _, _, digits = payload.rpartition(b"-")
        number = int(digits) if digits.isdigit() else 0
        if not 1 <= number <= self._sent or payload != self._payload(number):
            return False
        self._waiting = {n: sent_s for n, sent_s in self._waiting.items() if n > number}
        return True

    def _payload(self, number: int) -> bytes:
        return b"%d-%d" % (self._connection, number)
