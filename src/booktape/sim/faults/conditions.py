"""When a lie is told: what the built-in exchange looks at, and predicates over it.

Conditions are plain values without state: the same question has the same answer, in whatever order
it is asked, so the same seed tells the same lies however many connections there are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from math import inf
from typing import Annotated, Literal, TypeAlias

from msgspec import Meta

from booktape.core.events import DepthEvent

Seconds: TypeAlias = Annotated[float, Meta(ge=0)]
Rate: TypeAlias = Annotated[float, Meta(ge=0)]
Positive: TypeAlias = Annotated[float, Meta(gt=0)]
Probability: TypeAlias = Annotated[float, Meta(ge=0, le=1)]
Count: TypeAlias = Annotated[int, Meta(ge=1)]
Number: TypeAlias = Annotated[int, Meta(ge=0)]
CloseCode: TypeAlias = Annotated[int, Meta(ge=1_000, le=4_999)]
Reason: TypeAlias = Annotated[str, Meta(max_length=40)]
"""Of a close frame, which has room for 123 bytes of UTF-8."""
StreamKind: TypeAlias = Literal["depth", "depth5", "depth10", "depth20", "bookTicker"]


@dataclass(slots=True)
class Delivery:
    """One message about to be sent to one client, `now_s` after the market began.

    `connection` counts connections from 0; `message_number` counts this connection's messages and
    `event_number` this stream's messages since the exchange began, both from 1. `event` is None
    for whatever is no depth event. `opened_s` is when the connection was opened; 0 before the
    market began.
    """

    connection: int
    message_number: int
    event_number: int
    stream: str
    event: DepthEvent | None
    payload: bytes
    now_s: float = 0.0
    opened_s: float = 0.0

    @property
    def symbol_lower(self) -> str:
        """As the stream's name has it."""
        return self.stream.partition("@")[0]

    @property
    def stream_kind(self) -> str:
        """Such as depth, depth20, bookTicker."""
        return self.stream.partition("@")[2].partition("@")[0]


@dataclass(frozen=True, slots=True)
class Attempt:
    """A client at the door: the `number`-th (from 0) of its kind, at `now_s` of exchange time.

    `kind` is "ws" or "rest"; `symbol` is None where a REST request names none.
    """

    kind: str
    number: int
    now_s: float
    path: str = ""
    symbol: str | None = None


StreamCondition: TypeAlias = Callable[[Delivery], bool]
DoorCondition: TypeAlias = Callable[[Attempt], bool]


def chance(seed: int, *about: object) -> float:
    """A number from 0 up to 1 that depends on nothing but its arguments."""
    digest = blake2b(repr((seed, *about)).encode(), digest_size=7).digest()
    return int.from_bytes(digest) / 2**56


def among(number: int, connection: int | None, of: int | None) -> bool:
    """Whether a connection's number is meant.

    By `connection` alone exactly that one; with `of` also every `of`-th one from there, so that
    "one of two" stays one of two after reconnecting; all when neither is given.
    """
    if connection is None:
        return True
    return number == connection if of is None else number % of == connection % of


def check_selection(connection: int | None, of: int | None) -> None:
    """Raises ValueError where `of` stands alone."""
    if of is not None and connection is None:
        raise ValueError("`of` says every how many connections, and needs `connection`")


def check_span(start_s: float, end_s: float) -> None:
    """Raises ValueError for a time that ends before it starts."""
    if not start_s < end_s:
        raise ValueError(f"it ends at {end_s:g} s, which is not after its start at {start_s:g} s")


@dataclass(frozen=True, slots=True)
class Messages:
    """Messages on their way: those for which all that is given holds.

    `start_s` and `end_s` are market time; `stream` is the kind of stream, any when not given;
    `first` and `last` count the stream's messages from 1 since the exchange began. Chance is thrown for each connection on its own, or (`everywhere`)
    once for all: then a second connection does not help.
    """

    start_s: Seconds = 0.0
    end_s: Seconds = inf
    connection: Number | None = None
    of: Count | None = None
    symbol: str | None = None
    stream: StreamKind | None = None
    first: Count = 1
    last: Count | None = None
    probability: Probability = 1.0
    everywhere: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises ValueError for what can never hold."""
        check_span(self.start_s, self.end_s)
        check_selection(self.connection, self.of)

    def __call__(self, sent: Delivery) -> bool:
        """Whether this message is meant."""
        return (
            self.start_s <= sent.now_s < self.end_s
            and self.first <= sent.event_number <= (self.last or inf)
            and among(sent.connection, self.connection, self.of)
            and (self.symbol is None or sent.symbol_lower == self.symbol.lower())
            and self.stream in {None, sent.stream_kind}
            and (self.probability >= 1 or self._chance(sent) < self.probability)
        )

    def _chance(self, sent: Delivery) -> float:
        whose = "all" if self.everywhere else sent.connection
        return chance(self.seed, "message", whose, sent.stream, sent.event_number)


@dataclass(frozen=True, slots=True)
class Attempts:
    """Clients at the door: those for whom all that is given holds.

    `start_s` and `end_s` are exchange time; `door` is "rest" or "ws", `path` the end of what is
    asked for, such as "depth"; `first` and `last` count attempts at that door from 1.
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

    def __post_init__(self) -> None:
        """Raises ValueError for what can never hold."""
        check_span(self.start_s, self.end_s)

    def __call__(self, attempt: Attempt) -> bool:
        """Whether this client is meant."""
        return (
            self.start_s <= attempt.now_s < self.end_s
            and self.first <= attempt.number + 1 <= (self.last or inf)
            and self.door in {None, attempt.kind}
            and self.symbol in {None, attempt.symbol}
            and attempt.path.endswith(self.path)
            and chance(self.seed, attempt.kind, attempt.number) < self.probability
        )


def contains_id(symbol: str, update_id: int) -> StreamCondition:
    """The event of this symbol that contains this update id, on every connection."""
    return lambda sent: (
        sent.event is not None
        and sent.event.symbol == symbol
        and sent.event.first_id <= update_id <= sent.event.last_id
    )


def event_number(symbol: str, *numbers: int) -> StreamCondition:
    """These events of this symbol, counted from 1 since the exchange began, on every connection."""
    return lambda sent: (
        sent.event is not None and sent.event.symbol == symbol and sent.event_number in numbers
    )


def message_number(number: int, *, connection: int | None = None) -> StreamCondition:
    """The `number`-th message (from 1) of one connection (counted from 0), or of each."""
    return lambda sent: sent.message_number == number and connection in {None, sent.connection}
