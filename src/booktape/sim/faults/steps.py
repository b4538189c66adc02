"""What a fault can make happen to a connection: steps, at once, later, or at a moment."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Annotated, Final, NamedTuple, TypeAlias

from msgspec import Meta, Struct

GOING_AWAY: Final = 1_001
POLICY_VIOLATION: Final = 1_008

CloseCode: TypeAlias = Annotated[int, Meta(ge=1_000, le=4_999)]
Reason: TypeAlias = Annotated[str, Meta(max_length=40)]
"""The reason in a close frame, which has room for 123 bytes of UTF-8."""


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
