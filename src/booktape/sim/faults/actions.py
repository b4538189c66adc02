"""What can happen to a connection, as values: lies are made of these, `client` carries them out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from booktape.sim.faults.conditions import among

GOING_AWAY: Final = 1_001
POLICY_VIOLATION: Final = 1_008


@dataclass(frozen=True, slots=True)
class Send:
    """Send these bytes as one message, when it is its turn and `not_before_s` has come."""

    payload: bytes
    binary: bool = False
    not_before_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Announce:
    """Send `serverShutdown`, in the form that this connection gets messages in."""


@dataclass(frozen=True, slots=True)
class Cut:
    """End the connection: with a close frame, or abruptly (TCP reset, no goodbye).

    A reset also destroys what the client has received and not yet read.
    """

    abrupt: bool
    code: int = GOING_AWAY
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Mute:
    """Half-open: from now on not a byte leaves and nothing that comes is looked at; no FIN."""


@dataclass(frozen=True, slots=True)
class Later:
    """Do this after so many seconds of exchange time."""

    after_s: float
    step: Send | Announce | Cut | Mute


Step: TypeAlias = Send | Announce | Cut | Mute | Later


@dataclass(frozen=True, slots=True)
class Standing:
    """An open connection, and how long (in exchange time) its present subscription stands."""

    number: int
    streams: frozenset[str]
    settled_s: float


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happens at a time, to those open connections that `whom` chooses."""

    at_s: float
    whom: Callable[[Sequence[Standing]], Collection[int]]
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Those:
    """Chooses by number; see `among`."""

    connection: int | None = None
    of: int | None = None

    def __call__(self, standing: Sequence[Standing]) -> set[int]:
        """The numbers that are meant."""
        numbers = (one.number for one in standing)
        return {number for number in numbers if among(number, self.connection, self.of)}
