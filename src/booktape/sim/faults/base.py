"""What a fault is, when it strikes, what it can make happen, and all faults of one host.

Faults.of(Drop(Messages(probability=0.01)), Cuts(every_s=3, spare=1))

docs/faults.md lists every kind. A new kind is a subclass of `Fault` (or of `AnswerFault`) in the module where it
belongs, and a row in `parse.KINDS`; the server need not know about it. Without faults the exchange keeps its rules.

Faults and conditions are plain values without state: the same question always gets the same answer, whatever the
order of the questions. So a seed gives the same faults however many connections there are.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from heapq import merge
from http import HTTPStatus
from math import inf
from typing import Annotated, Final, Literal, NamedTuple, Self, TypeAlias

import msgspec
from msgspec import Meta, Struct

from booktape.core.events import DepthEvent, DepthSnapshot

GOING_AWAY: Final = 1_001
POLICY_VIOLATION: Final = 1_008

JSON: Final = "application/json"
HTML: Final = "text/html"
HTML_PAGE: Final = b"<!DOCTYPE html><html><body><h1>We are under maintenance</h1></body></html>\n"

UNAVAILABLE: Final = -1001
TOO_FAST: Final = -1003
BAD_PARAMETER: Final = -1100
UNREAD_PARAMETER: Final = -1104
BAD_SYMBOL: Final = -1121

Seconds: TypeAlias = Annotated[float, Meta(ge=0)]
Rate: TypeAlias = Annotated[float, Meta(ge=0)]
Positive: TypeAlias = Annotated[float, Meta(gt=0)]
Probability: TypeAlias = Annotated[float, Meta(ge=0, le=1)]
Count: TypeAlias = Annotated[int, Meta(ge=1)]
Number: TypeAlias = Annotated[int, Meta(ge=0)]
CloseCode: TypeAlias = Annotated[int, Meta(ge=1_000, le=4_999)]
Reason: TypeAlias = Annotated[str, Meta(max_length=40)]
"""The reason in a close frame, which has room for 123 bytes of UTF-8."""
StreamKind: TypeAlias = Literal["depth", "depth5", "depth10", "depth20", "bookTicker", "trade"]


# ── when a fault strikes: deliveries, attempts, and conditions on them ──────────────────────────────


class Delivery(NamedTuple):
    """One message about to be sent to one client, `now_s` after the market began.

    `connection` counts connections from 0; `number_on_connection` counts this connection's messages and
    `number_in_stream` this stream's since the exchange began, both from 1. `event` is None for a message that
    is not a depth event. `opened_s` is when the connection was opened, or 0 if that was before the market began.
    """

    connection: int
    number_on_connection: int
    number_in_stream: int
    stream: str
    event: DepthEvent | None
    payload: bytes
    now_s: float = 0.0
    opened_s: float = 0.0

    def chance(self, seed: int, about: str) -> float:
        """A number in [0, 1) that depends on the seed, the purpose, the connection and the message."""
        return chance(seed, about, self.connection, self.stream, self.number_in_stream)


class Attempt(NamedTuple):
    """A request or handshake, at `now_s` of exchange time.

    `kind` is "ws" or "rest". `number` counts the host's attempts of that kind from 0 (`first` and `last` of
    a condition count them from 1). `symbol` is the one that a REST request names, or None.
    """

    kind: str
    number: int
    now_s: float
    path: str = ""
    symbol: str | None = None

    @property
    def is_for_book(self) -> bool:
        """Whether it is a request for a symbol's book. Other paths, such as `exchangeInfo`, can name a symbol too."""
        return self.kind == "rest" and self.path.endswith("/depth") and bool(self.symbol)


StreamCondition: TypeAlias = Callable[[Delivery], bool]
RequestCondition: TypeAlias = Callable[[Attempt], bool]


def chance(seed: int, *about: object) -> float:
    """A number in [0, 1) that depends only on the arguments."""
    digest = blake2b(repr((seed, *about)).encode(), digest_size=7).digest()
    return int.from_bytes(digest) / 2**56


class Checked(Struct, frozen=True):
    """A value that is checked when it is made: its `start_s` must be before its `end_s`, if it has them."""

    def __post_init__(self) -> None:
        start_s, end_s = getattr(self, "start_s", 0.0), getattr(self, "end_s", inf)
        if not start_s < end_s:
            raise ValueError(
                f"it ends at {end_s:g} s, which is not after its start at {start_s:g} s"
            )


class OfConnections(Checked, frozen=True, kw_only=True):
    """Selects connections: all of them, unless `connection` is given.

    `connection` alone selects exactly that one; with `of` it selects every `of`-th connection, that one among
    them, so that "one of two" stays one of two after reconnecting.
    """

    connection: Number | None = None
    of: Count | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.of is not None and self.connection is None:
            raise ValueError("`of` selects every `of`-th connection, and needs `connection`")

    def selects(self, number: int) -> bool:
        """Whether the connection of this number is one of them."""
        if self.connection is None:
            return True
        of = self.of
        return number == self.connection if of is None else number % of == self.connection % of


class Messages(OfConnections, frozen=True):
    """Selects the messages that match every condition given.

    `start_s` and `end_s` are market time; `stream` is the kind of stream, any if not given; `first` and `last`
    count the stream's messages from 1 since the exchange began. Chance decides separately for each connection or,
    with `everywhere`, once for all of them: then a second connection does not help.
    """

    start_s: Seconds = 0.0
    end_s: Seconds = inf
    symbol: str | None = None
    stream: StreamKind | None = None
    first: Count = 1
    last: Count | None = None
    probability: Probability = 1.0
    everywhere: bool = False
    seed: int = 0

    def __call__(self, delivery: Delivery) -> bool:
        """Whether this message is selected."""
        symbol_lower, _, kind = delivery.stream.partition("@")
        return (
            self.start_s <= delivery.now_s < self.end_s
            and self.first <= delivery.number_in_stream <= (self.last or inf)
            and self.selects(delivery.connection)
            and (self.symbol is None or symbol_lower == self.symbol.lower())
            and self.stream in {None, kind.partition("@")[0]}
            and (self.probability >= 1 or self._chance(delivery) < self.probability)
        )

    def _chance(self, delivery: Delivery) -> float:
        whose = "all" if self.everywhere else delivery.connection
        return chance(self.seed, "message", whose, delivery.stream, delivery.number_in_stream)


class Attempts(Checked, frozen=True):
    """Selects the requests and handshakes that match every condition given.

    `start_s` and `end_s` are exchange time; `door` ("rest" or "ws") is the `kind` of an `Attempt`; `path` is the
    end of its path, such as "depth"; `first` and `last` count the attempts of each kind from 1.
    """

    start_s: Seconds = 0.0
    end_s: Seconds = inf
    door: Literal["rest", "ws"] | None = None
    path: str = ""
    symbol: str | None = None
    first: Count = 1
    last: Count | None = None
    probability: Probability = 1.0
    seed: int = 0

    def __call__(self, attempt: Attempt) -> bool:
        """Whether this attempt is selected."""
        return (
            self.start_s <= attempt.now_s < self.end_s
            and self.first <= attempt.number + 1 <= (self.last or inf)
            and self.door in {None, attempt.kind}
            and self.symbol in {None, attempt.symbol}
            and attempt.path.endswith(self.path)
            and chance(self.seed, attempt.kind, attempt.number) < self.probability
        )


# ── what happens to connections: steps ─────────────────────────────────────────────────────────────────────────────────


class Send(Struct, frozen=True):
    """Send these bytes as one message, in its turn and not before `not_before_s`."""

    payload: bytes
    binary: bool = False
    not_before_s: float = 0.0


class Announce(Struct, frozen=True):
    """Send `serverShutdown`, in the form in which this connection gets its messages."""


class Cut(Struct, frozen=True):
    """End the connection: with a close frame, or abruptly (TCP reset, no close frame).

    A reset also destroys what the client has received but not yet read.
    """

    abrupt: bool
    code: int = GOING_AWAY
    reason: str = ""


class MakeHalfOpen(Struct, frozen=True):
    """From now on send nothing, not even a FIN, and discard all that arrives, unanswered."""


SingleStep: TypeAlias = Send | Announce | Cut | MakeHalfOpen


class Later(Struct, frozen=True):
    """Do `step` after `after_s` seconds of exchange time."""

    after_s: float
    step: SingleStep


Step: TypeAlias = SingleStep | Later


class OpenConnection(NamedTuple):
    """An open connection, and the age (in exchange time) of its current subscription."""

    number: int
    streams: frozenset[str]
    settled_s: float


class Moment(NamedTuple):
    """Steps to perform at `at_s`, on those open connections whose numbers `choose` returns."""

    at_s: float
    choose: Callable[[Sequence[OpenConnection]], Collection[int]]
    steps: tuple[Step, ...]


# ── what happens instead of an answer: outcomes ──────────────────────────────────────────────────────────


class Reply(Struct, frozen=True):
    """An answer, true or not.

    Whatever the answer says about waiting, no request or handshake is allowed for `silence_s` after it; with
    `prolongs`, each one restarts that time.
    """

    status: int
    body: bytes
    retry_after_s: int | None = None
    content_type: str = JSON
    silence_s: float = 0.0
    prolongs: bool = False


class Banned(Struct, frozen=True):
    """A ban (418) whose end is given only in its body, by the exchange's clock."""

    seconds: float

    def reply(self, now_us: int) -> Reply:
        """The answer, in the exchange's words."""
        until_ms = (now_us + round(self.seconds * 1_000_000)) // 1_000
        sentence = f"Way too much request weight used; IP banned until {until_ms}. "
        body = {"code": TOO_FAST, "msg": sentence + "Please use the websocket."}
        encoded = msgspec.json.encode(body)
        return Reply(HTTPStatus.IM_A_TEAPOT, encoded, silence_s=self.seconds)


class Reset(Struct, frozen=True):
    """The TCP connection is reset; no answer."""


class Hang(Struct, frozen=True):
    """The request, or the WebSocket handshake, is never answered; the connection stays open."""


class Late(Struct, frozen=True):
    """The true answer, `seconds` of exchange time later."""

    seconds: float


class Cropped(Struct, frozen=True):
    """The first half of the true body.

    With `cut`, Content-Length is that of the whole body, and the connection ends after the half; without `cut`, it is
    that of the half.
    """

    cut: bool


class Old(Struct, frozen=True):
    """The true snapshot of `seconds` of exchange time ago, or of `events` events ago, whichever is older."""

    seconds: float = 0.0
    events: int = 0


class Altered(Struct, frozen=True):
    """The true snapshot, changed in a way that does not show."""

    alter: Callable[[DepthSnapshot], DepthSnapshot]


Outcome: TypeAlias = Reply | Banned | Reset | Hang | Late | Cropped | Old | Altered


def error(status: int, code: int, message: str, retry_after_s: int | None = None) -> Reply:
    """An error in the exchange's own form."""
    body = msgspec.json.encode({"code": code, "msg": message})
    return Reply(status, body, retry_after_s, silence_s=retry_after_s or 0)


def html_page(status: int, silence_s: float = 0.0) -> Reply:
    """The answer of a proxy in front of the exchange: a page, which does not say how long to wait."""
    return Reply(status, HTML_PAGE, content_type=HTML, silence_s=silence_s, prolongs=silence_s > 0)


# ── faults ──────────────────────────────────────────────────────────────────────────────────────

Scope: TypeAlias = Literal["all", "rest", "snapshots"]
"""Handshakes and requests, requests only, or only requests for a symbol's book."""


class Fault(Checked, frozen=True):
    """Something that goes wrong at the exchange. Each kind overrides the methods that it needs."""

    def apply(self, _delivery: Delivery, steps: list[Step], /) -> list[Step]:
        """What to do instead of `steps`, which is what earlier faults left of a message."""
        return steps

    def steps(self, _connection: int, /) -> Sequence[Step]:
        """What will happen to a connection; delays count from its opening."""
        return ()

    def timetable(self) -> Iterator[Moment]:
        """What happens to open connections, in order of time; possibly without end."""
        return iter(())

    def outcome(self, _attempt: Attempt, /) -> Outcome | None:
        """What a request or handshake gets instead of the true answer; None if it gets the true one."""
        return None


class AnswerFault(Fault, frozen=True):
    """Replaces the answer with one of `outcomes`, in turn, where `when` holds."""

    when: RequestCondition
    outcomes: tuple[Outcome, ...]
    scope: Scope = "rest"

    def outcome(self, attempt: Attempt) -> Outcome | None:
        is_rest = attempt.kind == "rest"
        in_scope = {"all": True, "rest": is_rest, "snapshots": attempt.is_for_book}
        if not (in_scope[self.scope] and self.when(attempt)):
            return None
        return self.outcomes[attempt.number % len(self.outcomes)]


class MarketFault(Fault, frozen=True):
    """Happens to the market itself, so its books stay true. Plain data for `MarketFaults`."""


@dataclass(frozen=True)
class Faults:
    """All faults of one host, in order."""

    faults: tuple[Fault, ...] = ()

    @classmethod
    def of(cls, *faults: Fault) -> Self:
        """These faults."""
        return cls(faults)

    def outcome(self, attempt: Attempt) -> Outcome | None:
        """The first outcome that a fault has for this request or handshake."""
        return next((found for one in self.faults if (found := one.outcome(attempt))), None)

    def steps(self, connection: int) -> list[Step]:
        """What will happen to this connection; delays count from its opening."""
        return [step for fault in self.faults for step in fault.steps(connection)]

    def apply(self, delivery: Delivery) -> list[Step]:
        """What becomes of one message: each fault changes what the previous one left."""
        steps: list[Step] = [Send(delivery.payload)]
        for fault in self.faults:
            steps = fault.apply(delivery, steps)
        return steps

    def timetable(self) -> Iterator[Moment]:
        """All timetables as one, in order of time; possibly without end."""
        return merge(*(one.timetable() for one in self.faults), key=lambda moment: moment.at_s)

    @cached_property
    def change_messages(self) -> bool:
        """Whether any fault changes messages. Without one `apply` need not be called."""
        return any(type(fault).apply is not Fault.apply for fault in self.faults)
