"""Faults of messages: lost, repeated, late, garbled, or the last one of their connection."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from msgspec.structs import replace

from booktape.sim.faults.conditions import (
    Count,
    Delivery,
    Messages,
    OfConnections,
    Seconds,
    StreamCondition,
)
from booktape.sim.faults.fault import Fault
from booktape.sim.faults.outcomes import HTML_PAGE
from booktape.sim.faults.steps import GOING_AWAY, CloseCode, Cut, Later, Reason, Send, Step


class Drop(Fault, frozen=True):
    """Lose a message on its way to one client."""

    when: StreamCondition

    def apply(self, delivery: Delivery, steps: list[Step]) -> list[Step]:
        return [] if self.when(delivery) else steps


class LostMessages(Fault, frozen=True):
    """Lose `count` consecutive messages of a stream, starting at one for which the condition holds."""

    when: StreamCondition
    count: Count = 10

    def apply(self, delivery: Delivery, steps: list[Step]) -> list[Step]:
        newest = delivery.number_in_stream
        starts = range(max(1, newest - self.count + 1), newest + 1)
        is_lost = any(self.when(delivery._replace(number_in_stream=start)) for start in starts)
        return [] if is_lost else steps


class Deaf(Fault, frozen=True):
    """Subscriptions die: their messages are lost, while the connection and its pings continue.

    Only connections that were opened by `opened_by_s` have dead subscriptions (without it: those
    opened by `start_s`, or before the market began); later ones receive everything. So a late
    `opened_by_s` makes new connections deaf too, and with a `start_s` of 0 they are deaf from the start.
    """

    when: Messages
    opened_by_s: Seconds | None = None

    def apply(self, delivery: Delivery, steps: list[Step]) -> list[Step]:
        by_s = self.when.start_s if self.opened_by_s is None else self.opened_by_s
        return [] if delivery.opened_s <= by_s and self.when(delivery) else steps


class Repeat(Fault, frozen=True):
    """Send a message again: at once, or `after_s` later, when newer ones have been sent."""

    when: StreamCondition
    times: Count = 1
    after_s: Seconds = 0.0

    def apply(self, delivery: Delivery, steps: list[Step]) -> list[Step]:
        if not self.when(delivery):
            return steps
        copies = [step for step in steps if isinstance(step, Send)] * self.times
        late = [Later(self.after_s, step) for step in copies]
        return [*steps, *(late if self.after_s else copies)]


class Delay(Fault, frozen=True):
    """Send a message, and so all behind it on its connection, `seconds` late, plus up to `jitter_s`.

    Within a connection the order is kept, as TCP does; between connections it is not.
    """

    when: StreamCondition
    seconds: Seconds
    jitter_s: Seconds = 0.0
    seed: int = 0

    def apply(self, delivery: Delivery, steps: list[Step]) -> list[Step]:
        if not self.when(delivery):
            return steps
        late_s = self.seconds + self.jitter_s * delivery.chance(self.seed, "delay")
        return _not_before(delivery.now_s + late_s, steps)


class Stall(Fault, OfConnections, frozen=True):
    """Send no message from `start_s` to `end_s`, then all that were held back at once. Pings continue.

    For a stall whose messages are lost, use a `Drop` over the same time.
    """

    start_s: Seconds
    end_s: Seconds

    def apply(self, delivery: Delivery, steps: list[Step]) -> list[Step]:
        if self.start_s <= delivery.now_s < self.end_s and self.selects(delivery.connection):
            return _not_before(self.end_s, steps)
        return steps


def _not_before(at_s: float, steps: list[Step]) -> list[Step]:
    return [
        replace(step, not_before_s=max(step.not_before_s, at_s)) if isinstance(step, Send) else step
        for step in steps
    ]


class Close(Fault, frozen=True):
    """End the connection right after a message."""

    when: StreamCondition
    abrupt: bool = False
    code: CloseCode = GOING_AWAY
    reason: Reason = ""

    def apply(self, delivery: Delivery, steps: list[Step]) -> list[Step]:
        cut = Cut(self.abrupt, self.code, self.reason)
        return [*steps, cut] if self.when(delivery) else steps


Form: TypeAlias = Literal["any", "text", "half", "html", "wrong", "binary", "utf8"]
_FORMS: Final[tuple[Form, ...]] = ("text", "half", "html", "wrong", "binary", "utf8")


class Garbage(Fault, frozen=True):
    """Send something that is not an event, before an event or `instead` of it.

    `form`: text that is not JSON, half an event, an HTML page, JSON that claims to be a depth event and is not, a
    binary frame, a binary frame of almost-UTF-8; "any" picks one of them by chance.
    """

    when: StreamCondition
    form: Form = "any"
    instead: bool = False
    seed: int = 0

    def apply(self, delivery: Delivery, steps: list[Step]) -> list[Step]:
        if not self.when(delivery):
            return steps
        form = self.form
        if form == "any":
            form = _FORMS[int(delivery.chance(self.seed, "garbage") * len(_FORMS))]
        garbage = {
            "text": Send(b"no JSON"),
            "half": Send(delivery.payload[: len(delivery.payload) // 2]),
            "html": Send(HTML_PAGE),
            "wrong": Send(b'{"e":"depthUpdate","s":"BTCUSDT","U":"many","u":[]}'),
            "binary": Send(bytes(range(256)), binary=True),
            "utf8": Send(b'{"stream":"\xff\xfe","data":{}}', binary=True),
        }[form]
        return [garbage] if self.instead else [garbage, *steps]
