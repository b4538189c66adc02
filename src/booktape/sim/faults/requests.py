"""Faults of requests: what a REST request, or a WebSocket handshake, gets instead of its answer.

Each kind is a function whose parameters are the keys of a script's entry.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Final, Literal, TypeAlias

from msgspec import Meta

from booktape.sim.faults.conditions import (
    Attempt,
    Count,
    Number,
    Positive,
    RequestCondition,
    Seconds,
)
from booktape.sim.faults.kinds import RequestFault
from booktape.sim.faults.replies import (
    HTML,
    HTML_PAGE,
    TOO_FAST,
    UNAVAILABLE,
    Banned,
    Cropped,
    Hang,
    Late,
    Old,
    Outcome,
    Reply,
    Reset,
    Silence,
    error,
    firewall_page,
)

_BY_PROXIES: Final = frozenset(
    {HTTPStatus.FORBIDDEN, HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT}
)
"""A proxy before the exchange answers with a page, the exchange itself with JSON."""

Scope: TypeAlias = Literal["all", "rest", "snapshots"]
"""Handshakes and requests, requests alone, or requests that name a symbol."""


@dataclass(frozen=True)
class AnswerFault(RequestFault):
    """One of `outcomes`, in turn, instead of the answer, where `when` holds."""

    when: RequestCondition
    outcomes: tuple[Outcome, ...]
    scope: Scope = "rest"

    def outcome(self, attempt: Attempt) -> Outcome | None:
        is_rest = attempt.kind == "rest"
        in_scope = {"all": True, "rest": is_rest, "snapshots": is_rest and bool(attempt.symbol)}
        if not (in_scope[self.scope] and self.when(attempt)):
            return None
        return self.outcomes[attempt.number % len(self.outcomes)]


def refuse(when: RequestCondition) -> AnswerFault:
    """Reset a WebSocket connection or a REST request."""
    return AnswerFault(when, (Reset(),), "all")


def hang(when: RequestCondition) -> AnswerFault:
    """Never answer a REST request; never complete a WebSocket handshake."""
    return AnswerFault(when, (Hang(),), "all")


def status(
    when: RequestCondition,
    status: Annotated[int, Meta(ge=400, le=599)] = HTTPStatus.SERVICE_UNAVAILABLE,
) -> AnswerFault:
    """Answer with a status: 403 (firewall), 451 (not from your country), 5xx (theirs)."""
    if status in _BY_PROXIES:
        return AnswerFault(when, (Reply(status, HTML_PAGE, content_type=HTML),), "all")
    return AnswerFault(when, (error(status, UNAVAILABLE, "Simulated failure."),), "all")


def too_fast(
    when: RequestCondition,
    retry_after_s: Count = 1,
    status: Literal[429, 418] = 429,
    told: Literal["header", "body"] = "header",
) -> AnswerFault:
    """429, or 418, though the budget was kept; a request before the time is over breaks a rule.

    `told` says where that time stands: in Retry-After, or in the body alone, as of a ban whose
    header got lost. Raises ValueError for a 429 in the body, which the exchange never sends.
    """
    if told == "header":
        reply = error(status, TOO_FAST, "Simulated limit.", retry_after_s)
        return AnswerFault(when, (reply,), "all")
    if status == HTTPStatus.TOO_MANY_REQUESTS.value:
        raise ValueError("only the body of a 418 says until when")
    return AnswerFault(when, (Banned(retry_after_s),), "all")


def firewall(when: RequestCondition, seconds: Positive = 300.0) -> AnswerFault:
    """403 and a page, for `seconds`: the address is shut out, and each attempt meanwhile prolongs it.

    Five minutes on the real exchange. It is for requests and handshakes alike.
    """
    return AnswerFault(when, (firewall_page(Silence(seconds, prolongs=True)),), "all")


def html(when: RequestCondition) -> AnswerFault:
    """A page of HTML with status 200, as in a maintenance."""
    return AnswerFault(when, (Reply(HTTPStatus.OK, HTML_PAGE, content_type=HTML),))


def slow(when: RequestCondition, seconds: Positive) -> AnswerFault:
    """The true answer, some seconds late."""
    return AnswerFault(when, (Late(seconds),))


def half(when: RequestCondition) -> AnswerFault:
    """Half of the true JSON, with a Content-Length that fits it."""
    return AnswerFault(when, (Cropped(cut=False),))


def cut_off(when: RequestCondition) -> AnswerFault:
    """Half of the true body under a Content-Length for all of it; then the connection ends."""
    return AnswerFault(when, (Cropped(cut=True),))


def stale(when: RequestCondition, seconds: Seconds = 0.0, events: Number = 0) -> AnswerFault:
    """A snapshot from `seconds`, or `events`, ago; the older of the two.

    No more is remembered than since the exchange began. Raises ValueError for a present one.
    """
    if not seconds and not events:
        raise ValueError("it needs `seconds` or `events`")
    return AnswerFault(when, (Old(seconds, events),), "snapshots")


def rest_error(when: RequestCondition) -> AnswerFault:
    """Something else instead of a REST answer: 500, 503, 429, half a body and 418, in turn."""
    outcomes = (
        error(HTTPStatus.INTERNAL_SERVER_ERROR, UNAVAILABLE, "Simulated failure."),
        error(HTTPStatus.SERVICE_UNAVAILABLE, UNAVAILABLE, "Simulated failure."),
        error(HTTPStatus.TOO_MANY_REQUESTS, TOO_FAST, "Simulated limit.", 1),
        Cropped(cut=False),
        error(HTTPStatus.IM_A_TEAPOT, TOO_FAST, "Simulated limit.", 2),
    )
    return AnswerFault(when, outcomes)
