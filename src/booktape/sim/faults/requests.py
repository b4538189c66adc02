"""Faults of requests: what a REST request, or a WebSocket handshake, gets instead of its answer.

Each kind makes an `AnswerFault`; its parameters are the keys of a script's entry.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Final, Literal, TypeAlias

from msgspec import Meta

from booktape.sim.faults.conditions import Count, Number, Positive, RequestCondition, Seconds
from booktape.sim.faults.fault import AnswerFault, Scope
from booktape.sim.faults.outcomes import (
    TOO_FAST,
    UNAVAILABLE,
    Banned,
    Cropped,
    Hang,
    Late,
    Old,
    Outcome,
    Reset,
    error,
    html_page,
)

_BY_PROXIES: Final = frozenset(
    {HTTPStatus.FORBIDDEN, HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT}
)
"""A proxy in front of the exchange sends these, with a page; the exchange itself answers with JSON."""

_Constant: TypeAlias = Callable[[RequestCondition], AnswerFault]


def _always(*outcomes: Outcome, scope: Scope = "rest") -> _Constant:
    """A kind whose outcomes no parameter changes."""

    def fault(when: RequestCondition) -> AnswerFault:
        return AnswerFault(when, outcomes, scope)

    return fault


refuse: Final = _always(Reset(), scope="all")
"""Reset a WebSocket connection or a REST request."""

hang: Final = _always(Hang(), scope="all")
"""Never answer a REST request; never complete a WebSocket handshake."""

html: Final = _always(html_page(HTTPStatus.OK))
"""An HTML page with status 200, as during maintenance."""

half: Final = _always(Cropped(cut=False))
"""Half of the true JSON, with a Content-Length that matches the half."""

cut_off: Final = _always(Cropped(cut=True))
"""Half of the true body with a Content-Length for all of it; then the connection ends."""

rest_error: Final = _always(
    error(HTTPStatus.INTERNAL_SERVER_ERROR, UNAVAILABLE, "Simulated failure."),
    error(HTTPStatus.SERVICE_UNAVAILABLE, UNAVAILABLE, "Simulated failure."),
    error(HTTPStatus.TOO_MANY_REQUESTS, TOO_FAST, "Simulated limit.", 1),
    Cropped(cut=False),
    error(HTTPStatus.IM_A_TEAPOT, TOO_FAST, "Simulated limit.", 2),
)
"""Instead of a REST answer: 500, 503, 429, half a body and 418, in turn."""


def status(
    when: RequestCondition,
    status: Annotated[int, Meta(ge=400, le=599)] = HTTPStatus.SERVICE_UNAVAILABLE,
) -> AnswerFault:
    """Answer with a status: 403 (firewall), 451 (not from your country), 5xx (theirs)."""
    is_page = status in _BY_PROXIES
    reply = html_page(status) if is_page else error(status, UNAVAILABLE, "Simulated failure.")
    return AnswerFault(when, (reply,), "all")


def too_fast(
    when: RequestCondition,
    retry_after_s: Count = 1,
    status: Literal[429, 418] = 429,
    told: Literal["header", "body"] = "header",
) -> AnswerFault:
    """429 or 418, although the budget was kept; a request before the time is up breaks a rule.

    `told` says where that time is given: in Retry-After, or only in the body, as with a ban whose header got lost.
    Raises ValueError for a 429 with the time in its body, which the exchange never sends.
    """
    if told == "header":
        reply = error(status, TOO_FAST, "Simulated limit.", retry_after_s)
        return AnswerFault(when, (reply,), "all")
    if status == HTTPStatus.TOO_MANY_REQUESTS.value:
        raise ValueError("only the body of a 418 says until when")
    return AnswerFault(when, (Banned(retry_after_s),), "all")


def firewall(when: RequestCondition, seconds: Positive = 300.0) -> AnswerFault:
    """403 and a page for `seconds`: the address is shut out, and each attempt in that time restarts it.

    The real exchange shuts an address out for five minutes. This holds for requests and handshakes alike.
    """
    return AnswerFault(when, (html_page(HTTPStatus.FORBIDDEN, seconds),), "all")


def slow(when: RequestCondition, seconds: Positive) -> AnswerFault:
    """The true answer, some seconds late."""
    return AnswerFault(when, (Late(seconds),))


def stale(when: RequestCondition, seconds: Seconds = 0.0, events: Number = 0) -> AnswerFault:
    """A snapshot from `seconds` ago, or from `events` events ago, whichever is older.

    Nothing from before the exchange began is remembered. Raises ValueError if both are 0.
    """
    if not seconds and not events:
        raise ValueError("it needs `seconds` or `events`")
    return AnswerFault(when, (Old(seconds, events),), "snapshots")
