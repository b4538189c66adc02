"""When a fault strikes: deliveries and attempts, conditions on them, and chance.

Conditions are plain values without state: the same question always gets the same answer, whatever the order of the
questions. So a seed gives the same faults however many connections there are.
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
StreamKind: TypeAlias = Literal["depth", "depth5", "depth10", "depth20", "bookTicker", "trade"]


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
        """A number in [0, 1) that depends on the seed, `about`, the connection and the message."""
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
