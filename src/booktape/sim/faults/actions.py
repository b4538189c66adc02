"""What can happen to a connection, as values: faults are made of these, `client` carries them out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from booktape.sim.faults.conditions import is_selected

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
    """End the connection: with a close frame, or abruptly (TCP reset, no close frame).

    A reset also destroys what the client has received and not yet read.
    """

    abrupt: bool
    code: int = GOING_AWAY
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Mute:
    """Half-open: from now on no byte is sent and nothing that comes is read; no FIN."""


@dataclass(frozen=True, slots=True)
class Later:
    """Do this `after_s` seconds of exchange time later."""

    after_s: float
    step: Send | Announce | Cut | Mute


Step: TypeAlias = Send | Announce | Cut | Mute | Later


@dataclass(frozen=True, slots=True)
class OpenConnection:
    """An open connection, and the age (in exchange time) of its present subscription."""

    number: int
    streams: frozenset[str]
    settled_s: float


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happens at a time, to those open connections that `choose` returns."""

    at_s: float
    choose: Callable[[Sequence[OpenConnection]], Collection[int]]
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Selected:
    """Chooses by number; see `is_selected`."""

    connection: int | None = None
    of: int | None = None

    def __call__(self, connections: Sequence[OpenConnection]) -> set[int]:
        """The numbers of the chosen connections."""
        numbers = (one.number for one in connections)
        return {number for number in numbers if is_selected(number, self.connection, self.of)}
