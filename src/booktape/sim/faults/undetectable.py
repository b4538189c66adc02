"""Lies that nothing betrays: what is sent reads well, chains, and is not the truth.

The market's own truth still holds, so what a client makes of such messages can be told from it:
that is what audits and witnesses have to find. All connections hear the same, whatever their
number; `first` and `last` count what the exchange made, what it hid included.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

from booktape.core.checks import BookTicker, TopLevels
from booktape.core.events import DepthEvent, DepthSnapshot, Level
from booktape.sim.faults.conditions import (
    Attempt,
    Count,
    Delivery,
    Messages,
    Number,
    StreamCondition,
    chance,
)
from booktape.sim.faults.messages import Fault
from booktape.sim.faults.replies import Altered
from booktape.sim.faults.requests import RestFault
from booktape.sim.market.side_streams import SideStreamMessage
from booktape.sim.source import EventMessage, Message

Wrong: TypeAlias = Literal["size", "missing"]
_EVEN: Final = 0.5
_TOO_MUCH: Final = 1.0
"""Added to a size: a multiple of every symbol's step, and never hidden by another error."""


@dataclass(frozen=True)
class Forgery(Fault):
    """A lie about messages, for all connections alike, where `when` holds."""

    when: StreamCondition

    def __post_init__(self) -> None:
        """Raises ValueError for one that not all connections would hear."""
        if isinstance(self.when, Messages) and self.when.connection is not None:
            raise ValueError("it is told to all connections alike, and takes no `connection`")


@dataclass(frozen=True)
class Hide(Forgery):
    """An event is never sent, and the next one's ids reach back over it: the ids still chain."""


@dataclass(frozen=True)
class WrongEvent(Forgery):
    """One level of an event has a wrong size, or is missing from it; which one, the seed decides.

    A deletion's wrong size is a level that is not there. An event of one level stays, empty.
    """

    wrong: Wrong = "size"
    seed: int = 0

    def forge(self, event: DepthEvent, number: int) -> DepthEvent:
        """The event, one level of it wrong."""
        dice = chance(self.seed, "forge", event.symbol, number)
        place = int(dice * (len(event.bids) + len(event.asks)))
        if place < len(event.bids):
            return replace(event, bids=_spoiled(event.bids, place, self.wrong))
        return replace(event, asks=_spoiled(event.asks, place - len(event.bids), self.wrong))


@dataclass(frozen=True)
class StaleWitness(Forgery):
    """A witness says what it said `messages` messages ago, if it has said so much.

    That is true and late, by the id it names; with `relabelled` it names the present one.
    """

    messages: Count = 1
    relabelled: bool = False

    def forge(self, now: SideStreamMessage, past: deque[SideStreamMessage]) -> SideStreamMessage:
        """What it said then."""
        if len(past) < self.messages:
            return now
        old = past[-self.messages]
        return _relabelled(old, now) if self.relabelled else old


def _relabelled(old: SideStreamMessage, now: SideStreamMessage) -> SideStreamMessage:
    """The old levels under the present id."""
    then, present = old.statement, now.statement
    if isinstance(then, TopLevels) and isinstance(present, TopLevels):
        return SideStreamMessage(now.stream, replace(then, last_id=present.last_id))
    if isinstance(then, BookTicker) and isinstance(present, BookTicker):
        return SideStreamMessage(now.stream, replace(then, update_id=present.update_id))
    raise TypeError(f"{now.stream} says {type(present).__name__}, and said {type(then).__name__}")


@dataclass(frozen=True)
class WrongSnapshot(RestFault):
    """One level of a snapshot has a wrong size, or is missing from it.

    `place` counts from the best level, 0; without it, and for the side, the seed decides.
    """

    wrong: Wrong = "size"
    side: Literal["bid", "ask"] | None = None
    place: Number | None = None
    seed: int = 0

    def lie(self, attempt: Attempt) -> Altered | None:
        """A snapshot, one level of it wrong; everything else has no levels."""
        if not attempt.symbol:
            return None
        dice = chance(self.seed, "forge", attempt.number)
        is_bid = self.side == "bid" if self.side else dice < _EVEN

        def alter(true: DepthSnapshot) -> DepthSnapshot:
            levels = true.bids if is_bid else true.asks
            place = int(dice * len(levels)) if self.place is None else self.place
            spoiled = _spoiled(levels, place, self.wrong)
            return replace(true, bids=spoiled) if is_bid else replace(true, asks=spoiled)

        return Altered(alter)


def _spoiled(levels: list[Level], place: int, wrong: Wrong) -> list[Level]:
    """The same, but for one level; as it was, where there is none at that place."""
    if place >= len(levels):
        return levels
    price, size = levels[place]
    spoiled = [] if wrong == "missing" else [(price, size + _TOO_MUCH)]
    return [*levels[:place], *spoiled, *levels[place + 1 :]]


class Forger:
    """Tells the forgeries of one exchange; it remembers what it hid, and what witnesses said."""

    def __init__(self, lies: Collection[Fault]) -> None:
        self._forgeries = [lie for lie in lies if isinstance(lie, Forgery)]
        stale = (lie.messages for lie in self._forgeries if isinstance(lie, StaleWitness))
        most = max(stale, default=0)
        self._said: dict[str, deque[SideStreamMessage]] = defaultdict(lambda: deque(maxlen=most))
        self._hidden_from: dict[str, int] = {}
        self._counts: Counter[str] = Counter()

    def forged(self, messages: Iterable[Message], now_s: float) -> Iterable[Message]:
        """What is sent in the place of these."""
        return self._forged(messages, now_s) if self._forgeries else messages

    def _forged(self, messages: Iterable[Message], now_s: float) -> Iterator[Message]:
        for message in messages:
            self._counts[message.stream] += 1
            number = self._counts[message.stream]
            sent = Delivery(0, number, number, message.stream, message.event, b"", now_s)
            told = [lie for lie in self._forgeries if lie.when(sent)]
            if isinstance(message, SideStreamMessage):
                yield self._witness(message, told)
            elif message.event:
                yield from self._event(message, message.event, told, number)
            else:
                yield message

    def _witness(self, message: SideStreamMessage, told: list[Forgery]) -> SideStreamMessage:
        past, said = self._said[message.stream], message
        for lie in told:
            if isinstance(lie, StaleWitness):
                said = lie.forge(message, past)
        past.append(message)
        return said

    def _event(
        self, message: Message, event: DepthEvent, told: list[Forgery], number: int
    ) -> Iterator[Message]:
        """Nothing, or the event with all that is wrong with it; the true message, if nothing is."""
        if any(isinstance(lie, Hide) for lie in told):
            self._hidden_from.setdefault(event.symbol, event.first_id)
            return
        first_id = self._hidden_from.pop(event.symbol, event.first_id)
        forged = event if first_id == event.first_id else replace(event, first_id=first_id)
        for lie in told:
            if isinstance(lie, WrongEvent):
                forged = lie.forge(forged, number)
        yield message if forged is event else EventMessage(forged)
