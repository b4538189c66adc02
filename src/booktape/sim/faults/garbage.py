"""Lies in the form of what is no event at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from booktape.sim.faults.actions import Send, Step
from booktape.sim.faults.conditions import Delivery, StreamCondition, chance
from booktape.sim.faults.messages import Fault
from booktape.sim.faults.replies import HTML_PAGE

_BINARY: Final = bytes(range(256))
_NOT_UTF8: Final = b'{"stream":"\xff\xfe","data":{}}'
Form: TypeAlias = Literal["any", "text", "half", "html", "wrong", "binary", "utf8"]
_FORMS: Final[tuple[Form, ...]] = ("text", "half", "html", "wrong", "binary", "utf8")


@dataclass(frozen=True)
class Garbage(Fault):
    """Send what is no event, before an event or `instead` of it.

    `form`: text that is no JSON, half an event, a page of HTML, JSON that calls itself a depth
    event and is none, a binary frame, a binary frame of almost-UTF-8; "any" of them by chance.
    """

    when: StreamCondition
    form: Form = "any"
    instead: bool = False
    seed: int = 0

    def sends(self, delivery: Delivery, steps: list[Step]) -> list[Step]:
        """Garbage, where the condition holds."""
        if not self.when(delivery):
            return steps
        garbage = self._garbage(delivery)
        return [garbage] if self.instead else [garbage, *steps]

    def _garbage(self, delivery: Delivery) -> Send:
        form = self.form
        if form == "any":
            about = delivery.connection, delivery.stream, delivery.event_number
            form = _FORMS[int(chance(self.seed, "garbage", *about) * len(_FORMS))]
        half = delivery.payload[: len(delivery.payload) // 2]
        return {
            "text": Send(b"no JSON"),
            "half": Send(half),
            "html": Send(HTML_PAGE),
            "wrong": Send(b'{"e":"depthUpdate","s":"BTCUSDT","U":"many","u":[]}'),
            "binary": Send(_BINARY, binary=True),
            "utf8": Send(_NOT_UTF8, binary=True),
        }[form]
