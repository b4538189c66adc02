"""When a fault strikes: what it is decided by, and predicates over that.

Conditions are plain values without state: the same question has the same answer, in whatever order
it is asked, so the same seed has the same faults however many connections there are.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from math import inf
from typing import Annotated, Literal, NamedTuple, TypeAlias

from msgspec import Meta, Struct

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
StreamKind: TypeAlias = Literal["depth", "depth5", "depth10", "depth20", "bookTicker", "trade"]


class Delivery(NamedTuple):
    """One message about to be sent to one client, `now_s` after the market began.

    `connection` counts connections from 0; `message_number` counts this connection's messages and
    `event_number` this stream's messages since the exchange began, both from 1. `event` is None
    for any other message. `opened_s` is when the connection was opened; 0 before the market began.
    """

    connection: int
    message_number: int
    event_number: int
    stream: str
    event: DepthEvent | None
    payload: bytes
    now_s: float = 0.0
    opened_s: float = 0.0

    def chance(self, seed: int, about: str) -> float:
        """A number from 0 up to 1 that depends on the seed, the connection and the message."""
        return chance(seed, about, self.connection, self.stream, self.event_number)


class Attempt(NamedTuple):
    """A request or handshake: the `number`-th (from 0) of its kind, at `now_s` of exchange time.

    `kind` is "ws" or "rest"; `symbol` is None where a REST request names none.
    """

    kind: str
    number: int
    now_s: float
    path: str = ""
    symbol: str | None = None

    @property
    def is_for_book(self) -> bool:
        """Whether it is a request for a symbol's book."""
        is_for_trades = self.path.endswith("/historicalTrades")
        return self.kind == "rest" and bool(self.symbol) and not is_for_trades


StreamCondition: TypeAlias = Callable[[Delivery], bool]
RequestCondition: TypeAlias = Callable[[Attempt], bool]


def chance(seed: int, *about: object) -> float:
    """A number from 0 up to 1 that depends on nothing but its arguments."""
    digest = blake2b(repr((seed, *about)).encode(), digest_size=7).digest()
    return int.from_bytes(digest) / 2**56


class Checked(Struct, frozen=True):
    """A value that can hold: its fields `start_s` and `end_s` agree, if it has them."""

    def __post_init__(self) -> None:
        start_s, end_s = getattr(self, "start_s", 0.0), getattr(self, "end_s", inf)
        if not start_s < end_s:
            raise ValueError(
                f"it ends at {end_s:g} s, which is not after its start at {start_s:g} s"
            )


class OfConnections(Checked, frozen=True, kw_only=True):
    """Something of some connections: all, when neither is given.

    By `connection` alone exactly that one; with `of` also every `of`-th one from there, so that
    "one of two" stays one of two after reconnecting.
    """

    connection: Number | None = None
    of: Count | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.of is not None and self.connection is None:
            raise ValueError("`of` says every how many connections, and needs `connection`")

    def selects(self, number: int) -> bool:
        """Whether the connection of this number is one of them."""
        if self.connection is None:
            return True
        of = self.of
        return number == self.connection if of is None else number % of == self.connection % of


class Messages(OfConnections, frozen=True):
    """Selects messages for which all that is given holds.

    `start_s` and `end_s` are market time; `stream` is the kind of stream, any when not given;
    `first` and `last` count the stream's messages from 1 since the exchange began. Chance decides
    for each connection on its own, or (`everywhere`) once for all: then a second connection does
    not help.
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
            and self.first <= delivery.event_number <= (self.last or inf)
            and self.selects(delivery.connection)
            and (self.symbol is None or symbol_lower == self.symbol.lower())
            and self.stream in {None, kind.partition("@")[0]}
            and (self.probability >= 1 or self._chance(delivery) < self.probability)
        )

    def _chance(self, delivery: Delivery) -> float:
        whose = "all" if self.everywhere else delivery.connection
        return chance(self.seed, "message", whose, delivery.stream, delivery.event_number)


class Attempts(Checked, frozen=True):
    """Selects requests and handshakes for which all that is given holds.

    `start_s` and `end_s` are exchange time; `door` is "rest" or "ws", `path` the end of the
    address, such as "depth"; `first` and `last` count the attempts of that kind from 1.
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
