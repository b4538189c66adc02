"""Lies at the door: what a request, or a WebSocket handshake, gets instead of its answer."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, ClassVar, Final, Literal

from msgspec import Meta

from booktape.sim.faults.conditions import (
    Attempt,
    Attempts,
    Count,
    DoorCondition,
    Messages,
    Number,
    Positive,
    Seconds,
)
from booktape.sim.faults.messages import Fault
from booktape.sim.faults.replies import (
    HTML,
    HTML_PAGE,
    TOO_FAST,
    UNAVAILABLE,
    Banned,
    Cropped,
    DoorStep,
    Hang,
    Late,
    Old,
    Reply,
    Reset,
    Silence,
    error,
    firewall,
)

_BY_PROXIES: Final = frozenset(
    {HTTPStatus.FORBIDDEN, HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT}
)
"""What stands before the exchange answers with a page, the exchange itself with JSON."""


@dataclass(frozen=True)
class RequestFault(Fault):
    """A lie for the clients for whom `when` holds."""

    condition: ClassVar[type[Messages | Attempts]] = Attempts

    when: DoorCondition

    def answers(self, attempt: Attempt) -> DoorStep | None:
        """The lie, where the condition holds."""
        return self.lie(attempt) if self.when(attempt) else None

    def lie(self, attempt: Attempt) -> DoorStep | None:
        """What this client gets; None for the truth."""
        raise NotImplementedError


@dataclass(frozen=True)
class Refuse(RequestFault):
    """Reset a WebSocket connection or a REST request at the door."""

    def lie(self, attempt: Attempt) -> DoorStep:  # noqa: ARG002 - all alike
        """No answer."""
        return Reset()


@dataclass(frozen=True)
class HangUp(RequestFault):
    """Never answer a REST request; never complete a WebSocket handshake."""

    def lie(self, attempt: Attempt) -> DoorStep:  # noqa: ARG002 - all alike
        """No answer, and no end."""
        return Hang()


@dataclass(frozen=True)
class Status(RequestFault):
    """Answer with a status: 403 (firewall), 451 (not from your country), 5xx (theirs)."""

    status: Annotated[int, Meta(ge=400, le=599)] = HTTPStatus.SERVICE_UNAVAILABLE

    def lie(self, attempt: Attempt) -> DoorStep:  # noqa: ARG002 - all alike
        """A page from a proxy, or the exchange's own error."""
        if self.status in _BY_PROXIES:
            return Reply(self.status, HTML_PAGE, content_type=HTML)
        return error(self.status, UNAVAILABLE, "Told to fail.")


@dataclass(frozen=True)
class TooFast(RequestFault):
    """429, or 418, though the budget was kept; whoever comes before the time is over breaks a rule.

    `told` says where that time stands: in Retry-After, or in the body alone, as of a ban whose
    header got lost.
    """

    retry_after_s: Count = 1
    status: Literal[429, 418] = 429
    told: Literal["header", "body"] = "header"

    def __post_init__(self) -> None:
        """Raises ValueError for what the exchange never says."""
        if self.told == "body" and self.status == HTTPStatus.TOO_MANY_REQUESTS.value:
            raise ValueError("only the body of a 418 says until when")

    def lie(self, attempt: Attempt) -> DoorStep:  # noqa: ARG002 - all alike
        """The exchange's own error."""
        if self.told == "body":
            return Banned(self.retry_after_s)
        return error(self.status, TOO_FAST, "Told to be too fast.", self.retry_after_s)


@dataclass(frozen=True)
class Firewall(RequestFault):
    """403 and a page, for `seconds`: the address is shut out, and whoever comes meanwhile prolongs it.

    Five minutes on the real exchange. It is for requests and handshakes alike.
    """

    seconds: Positive = 300.0

    def lie(self, attempt: Attempt) -> DoorStep:  # noqa: ARG002 - all alike
        """The page, which says nothing of time."""
        return firewall(Silence(self.seconds, prolongs=True))


class RestFault(RequestFault):
    """One that a WebSocket handshake cannot be told."""

    def answers(self, attempt: Attempt) -> DoorStep | None:
        """The lie, for REST requests."""
        return super().answers(attempt) if attempt.kind == "rest" else None


@dataclass(frozen=True)
class Html(RestFault):
    """A page of HTML with status 200, as in a maintenance."""

    def lie(self, attempt: Attempt) -> DoorStep:  # noqa: ARG002 - all alike
        """The page."""
        return Reply(HTTPStatus.OK, HTML_PAGE, content_type=HTML)


@dataclass(frozen=True)
class Slow(RestFault):
    """The answer is on its way for some seconds, as from far away."""

    seconds: Positive

    def lie(self, attempt: Attempt) -> DoorStep:  # noqa: ARG002 - all alike
        """The true answer, later."""
        return Late(self.seconds)


@dataclass(frozen=True)
class Half(RestFault):
    """Half of the true JSON, with a Content-Length that fits it."""

    def lie(self, attempt: Attempt) -> DoorStep:  # noqa: ARG002 - all alike
        """Half a body."""
        return Cropped(cut=False)


@dataclass(frozen=True)
class Truncate(RestFault):
    """Half of the true body under a Content-Length for all of it; then the connection ends."""

    def lie(self, attempt: Attempt) -> DoorStep:  # noqa: ARG002 - all alike
        """Half a body."""
        return Cropped(cut=True)


@dataclass(frozen=True)
class Stale(RestFault):
    """A snapshot from so many seconds, or so many events, ago; the older of the two.

    No more is remembered than since the exchange began.
    """

    seconds: Seconds = 0.0
    events: Number = 0

    def __post_init__(self) -> None:
        """Raises ValueError for a lie that would be the truth."""
        if not self.seconds and not self.events:
            raise ValueError("it needs `seconds` or `events`")

    def lie(self, attempt: Attempt) -> DoorStep | None:
        """An old snapshot; everything else has no age."""
        return Old(self.seconds, self.events) if attempt.symbol else None


@dataclass(frozen=True)
class RestError(RestFault):
    """Something else instead of a REST answer: 500, 503, 429, half a body and 418, in turn."""

    lies: ClassVar[tuple[DoorStep, ...]] = (
        error(HTTPStatus.INTERNAL_SERVER_ERROR, UNAVAILABLE, "Told to fail."),
        error(HTTPStatus.SERVICE_UNAVAILABLE, UNAVAILABLE, "Told to fail."),
        error(HTTPStatus.TOO_MANY_REQUESTS, TOO_FAST, "Told to be too fast.", 1),
        Cropped(cut=False),
        error(HTTPStatus.IM_A_TEAPOT, TOO_FAST, "Told to be too fast.", 2),
    )

    def lie(self, attempt: Attempt) -> DoorStep:
        """The one whose turn it is."""
        return self.lies[attempt.number % len(self.lies)]
