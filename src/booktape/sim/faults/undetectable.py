"""Undetectable faults: messages that are well-formed, whose ids chain, and that are wrong.

The market's books stay true, so a test can compare them with the books that a client makes of such messages: audits
and witnesses have to find the difference. All connections get the same messages, however many there are; `first` and
`last` count the messages that the exchange made, hidden events included.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Final, Literal, TypeAlias

from booktape.core.checks import BookTicker, TopLevels
from booktape.core.events import DepthEvent, DepthSnapshot, Level
from booktape.sim.faults.conditions import (
    Count,
    Delivery,
    Messages,
    Number,
    RequestCondition,
    StreamCondition,
    chance,
)
from booktape.sim.faults.fault import AnswerFault, Fault
from booktape.sim.faults.outcomes import Altered
from booktape.sim.messages import MarketMessage, Message, event_message

Wrong: TypeAlias = Literal["size", "missing"]
_EVEN: Final = 0.5
_SIZE_ERROR: Final = 1.0
"""Added to a size: a multiple of every symbol's step, and never cancelled out by another error."""


class UndetectableFault(Fault, frozen=True):
    """Changes messages for all connections alike, where `when` holds."""

    when: StreamCondition

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.when, Messages) and self.when.connection is not None:
            raise ValueError("it strikes all connections alike, and takes no `connection`")


class Hide(UndetectableFault, frozen=True):
    """An event is never sent, and the next one's ids reach back over it: the ids still chain."""


class WrongEvent(UndetectableFault, frozen=True):
    """One level of an event has a wrong size, or is missing from it; the seed decides which one.

    A deletion with a wrong size shows a level that does not exist. An event whose only level is missing is sent empty.
    """

    wrong: Wrong = "size"
    seed: int = 0

    def changed(self, event: DepthEvent, number: int) -> DepthEvent:
        """The event with one level wrong."""
        dice = chance(self.seed, "forge", event.symbol, number)
        place = int(dice * (len(event.bids) + len(event.asks)))
        if place < len(event.bids):
            return replace(event, bids=_with_error(event.bids, place, self.wrong))
        return replace(event, asks=_with_error(event.asks, place - len(event.bids), self.wrong))


class StaleWitness(UndetectableFault, frozen=True):
    """A witness, or a stream of trades, repeats its content of `messages` messages ago, once it has sent that many.

    By the id that it names, such content is true but late; with `relabelled`, it names the current id.
    """

    messages: Count = 1
    relabelled: bool = False

    def changed(self, now: MarketMessage, past: Sequence[MarketMessage]) -> MarketMessage:
        """The old message, perhaps with the current id."""
        if len(past) < self.messages:
            return now
        old = past[-self.messages]
        then, present = old.content, now.content
        if self.relabelled and isinstance(then, TopLevels) and isinstance(present, TopLevels):
            return MarketMessage(now.stream, replace(then, last_id=present.last_id))
        if self.relabelled and isinstance(then, BookTicker) and isinstance(present, BookTicker):
            return MarketMessage(now.stream, replace(then, update_id=present.update_id))
        return old


def wrong_snapshot(
    when: RequestCondition,
    wrong: Wrong = "size",
    side: Literal["bid", "ask"] | None = None,
    place: Number | None = None,
    seed: int = 0,
) -> AnswerFault:
    """One level of a snapshot has a wrong size, or is missing from it.

    `place` counts from the best level, 0. The seed decides `side` and `place` if they are not given.
    """

    def alter(true: DepthSnapshot) -> DepthSnapshot:
        dice = chance(seed, "forge", true.symbol, true.last_id)
        is_bid = side == "bid" if side else dice < _EVEN
        levels = true.bids if is_bid else true.asks
        altered = _with_error(levels, int(dice * len(levels)) if place is None else place, wrong)
        return replace(true, bids=altered) if is_bid else replace(true, asks=altered)

    return AnswerFault(when, (Altered(alter),), "snapshots")


def _with_error(levels: list[Level], place: int, wrong: Wrong) -> list[Level]:
    """The same levels with one of them wrong; unchanged if there is none at that place."""
    if place >= len(levels):
        return levels
    price, size = levels[place]
    kept = [] if wrong == "missing" else [(price, size + _SIZE_ERROR)]
    return [*levels[:place], *kept, *levels[place + 1 :]]


class MessageChanger:
    """Applies the undetectable faults of one host; it remembers hidden ids and old witnesses."""

    def __init__(self, faults: Collection[Fault]) -> None:
        self._faults = [fault for fault in faults if isinstance(fault, UndetectableFault)]
        stale = (fault.messages for fault in self._faults if isinstance(fault, StaleWitness))
        most = max(stale, default=0)
        self._past: dict[str, deque[MarketMessage]] = defaultdict(lambda: deque(maxlen=most))
        self._hidden_from: dict[str, int] = {}
        self._counts: Counter[str] = Counter()

    def changed(self, messages: Sequence[Message], now_s: float) -> Sequence[Message]:
        """What is sent instead of these messages."""
        if not self._faults:
            return messages
        sent: list[Message] = []
        for message in messages:
            self._counts[message.stream] += 1
            number = self._counts[message.stream]
            delivery = Delivery(0, number, number, message.stream, message.event, b"", now_s)
            faults = [fault for fault in self._faults if fault.when(delivery)]
            if message.event and any(isinstance(fault, Hide) for fault in faults):
                self._hidden_from.setdefault(message.event.symbol, message.event.first_id)
            elif message.event:
                sent.append(self._changed_event(message, message.event, faults, number))
            elif isinstance(message, MarketMessage):
                sent.append(self._changed_witness(message, faults))
            else:
                sent.append(message)
        return sent

    def _changed_witness(
        self, message: MarketMessage, faults: list[UndetectableFault]
    ) -> MarketMessage:
        past, changed = self._past[message.stream], message
        for fault in faults:
            if isinstance(fault, StaleWitness):
                changed = fault.changed(message, past)
        past.append(message)
        return changed

    def _changed_event(
        self, message: Message, event: DepthEvent, faults: list[UndetectableFault], number: int
    ) -> Message:
        """The event with all its errors; the message itself if it gets none."""
        first_id = self._hidden_from.pop(event.symbol, event.first_id)
        changed = event if first_id == event.first_id else replace(event, first_id=first_id)
        for fault in faults:
            if isinstance(fault, WrongEvent):
                changed = fault.changed(changed, number)
        return message if changed is event else event_message(changed)
