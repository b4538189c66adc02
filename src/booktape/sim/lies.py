"""Lies that the built-in exchange can tell. Each is an action, and a condition for it.

A new lie is a new subclass of `Lie`, which answers the server's four questions; the server need not
know it. Lies hold no state: the same question has the same answer, in whatever order it is asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeAlias

from booktape.sim.conditions import Attempt, Delivery, DoorCondition, StreamCondition


@dataclass(frozen=True, slots=True)
class Send:
    """Send these bytes as one text message."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Cut:
    """End the connection: with a close frame, or abruptly (TCP reset, no goodbye)."""

    abrupt: bool


Step: TypeAlias = Send | Cut


@dataclass(frozen=True, slots=True)
class RestLie:
    """An answer other than the true one: a status, or (200) the first half of the true body."""

    status: int
    retry_after_s: int | None = None

    @property
    def truncated(self) -> bool:
        """Whether the true body is sent, but only half of it."""
        return self.status == HTTPStatus.OK


class Lie:
    """Answers the server's four questions honestly; a subclass lies in one of them."""

    def refuses(self, attempt: Attempt) -> bool:  # noqa: ARG002 - the honest answer needs no look
        """Whether to reset this connection or request without an answer."""
        return False

    def lifetime(self, connection: int) -> tuple[float, Cut] | None:  # noqa: ARG002 - likewise
        """After how many seconds to end this connection, and how."""
        return None

    def sends(self, delivery: Delivery, steps: list[Step]) -> list[Step]:  # noqa: ARG002 - likewise
        """What to do in the place of `steps`, which the lies before this one have left."""
        return steps

    def answers(self, attempt: Attempt) -> RestLie | None:  # noqa: ARG002 - likewise
        """What to answer instead of the truth."""
        return None


@dataclass(frozen=True)
class Drop(Lie):
    """Lose a message on its way to one client."""

    when: StreamCondition

    def sends(self, delivery: Delivery, steps: list[Step]) -> list[Step]:
        """Nothing, where the condition holds."""
        return [] if self.when(delivery) else steps


@dataclass(frozen=True)
class Close(Lie):
    """End the connection right after a message."""

    when: StreamCondition
    abrupt: bool = False

    def sends(self, delivery: Delivery, steps: list[Step]) -> list[Step]:
        """The message, then the end."""
        return [*steps, Cut(self.abrupt)] if self.when(delivery) else steps


@dataclass(frozen=True)
class Lifetime(Lie):
    """End every connection after some seconds of real time, busy or not."""

    seconds: float
    abrupt: bool = False

    def lifetime(self, connection: int) -> tuple[float, Cut] | None:  # noqa: ARG002 - all alike
        """The same for every connection."""
        return self.seconds, Cut(self.abrupt)


@dataclass(frozen=True)
class Refuse(Lie):
    """Reset a WebSocket connection or a REST request at the door."""

    when: DoorCondition

    def refuses(self, attempt: Attempt) -> bool:
        """Where the condition holds."""
        return self.when(attempt)


@dataclass(frozen=True)
class RestError(Lie):
    """Answer a REST request with something else."""

    when: DoorCondition
    lies: tuple[RestLie, ...] = (
        RestLie(HTTPStatus.INTERNAL_SERVER_ERROR),
        RestLie(HTTPStatus.SERVICE_UNAVAILABLE),
        RestLie(HTTPStatus.TOO_MANY_REQUESTS, retry_after_s=1),
        RestLie(HTTPStatus.OK),
        RestLie(HTTPStatus.IM_A_TEAPOT, retry_after_s=2),
    )

    def answers(self, attempt: Attempt) -> RestLie | None:
        """One of the lies in turn, where the condition holds."""
        return self.lies[attempt.number % len(self.lies)] if self.when(attempt) else None
