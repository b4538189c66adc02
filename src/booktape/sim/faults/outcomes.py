"""What a fault can make happen, as values: to a connection (steps), or instead of an answer (outcomes)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from http import HTTPStatus
from typing import Final, NamedTuple, TypeAlias

import msgspec
from msgspec import Struct

from booktape.core.events import DepthSnapshot

GOING_AWAY: Final = 1_001
POLICY_VIOLATION: Final = 1_008

JSON: Final = "application/json"
HTML: Final = "text/html"
HTML_PAGE: Final = b"<!DOCTYPE html><html><body><h1>We are under maintenance</h1></body></html>\n"

UNAVAILABLE: Final = -1001
TOO_FAST: Final = -1003
BAD_PARAMETER: Final = -1100
UNREAD_PARAMETER: Final = -1104
BAD_SYMBOL: Final = -1121


# ── connections ─────────────────────────────────────────────────────────────────────────────────


class Send(Struct, frozen=True):
    """Send these bytes as one message, when it is its turn and `not_before_s` has come."""

    payload: bytes
    binary: bool = False
    not_before_s: float = 0.0


class Announce(Struct, frozen=True):
    """Send `serverShutdown`, in the form that this connection gets messages in."""


class Cut(Struct, frozen=True):
    """End the connection: with a close frame, or abruptly (TCP reset, no close frame).

    A reset also destroys what the client has received and not yet read.
    """

    abrupt: bool
    code: int = GOING_AWAY
    reason: str = ""


class Mute(Struct, frozen=True):
    """Half-open: from now on no byte is sent and nothing that comes is read; no FIN."""


class Later(Struct, frozen=True):
    """Do this `after_s` seconds of exchange time later."""

    after_s: float
    step: Send | Announce | Cut | Mute


Step: TypeAlias = Send | Announce | Cut | Mute | Later


class OpenConnection(NamedTuple):
    """An open connection, and the age (in exchange time) of its present subscription."""

    number: int
    streams: frozenset[str]
    settled_s: float


class Moment(NamedTuple):
    """Something that happens at a time, to those open connections whose numbers `choose` returns."""

    at_s: float
    choose: Callable[[Sequence[OpenConnection]], Collection[int]]
    steps: tuple[Step, ...]


# ── answers to requests and handshakes ──────────────────────────────────────────────────────────


class Reply(Struct, frozen=True):
    """An answer, true or not.

    Whatever it says of time, no request or handshake is allowed for `silence_s` after it; with
    `prolongs` each one starts that time again.
    """

    status: int
    body: bytes
    retry_after_s: int | None = None
    content_type: str = JSON
    silence_s: float = 0.0
    prolongs: bool = False


class Banned(Struct, frozen=True):
    """A ban (418) whose end stands in its body alone, by the exchange's clock."""

    seconds: float

    def reply(self, now_us: int) -> Reply:
        """In the exchange's words."""
        until_ms = (now_us + round(self.seconds * 1_000_000)) // 1_000
        sentence = f"Way too much request weight used; IP banned until {until_ms}. "
        body = {"code": TOO_FAST, "msg": sentence + "Please use the websocket."}
        encoded = msgspec.json.encode(body)
        return Reply(HTTPStatus.IM_A_TEAPOT, encoded, silence_s=self.seconds)


class Reset(Struct, frozen=True):
    """The TCP connection is reset; no answer."""


class Hang(Struct, frozen=True):
    """The request, or the WebSocket handshake, is never answered; the connection stays open."""


class Late(Struct, frozen=True):
    """The true answer, `seconds` of exchange time later."""

    seconds: float


class Cropped(Struct, frozen=True):
    """The first half of the true body.

    With `cut` the length announced is the whole one's, and then the connection ends; without it
    the length fits.
    """

    cut: bool


class Old(Struct, frozen=True):
    """The true snapshot of `seconds` of exchange time, or `events` events, ago."""

    seconds: float = 0.0
    events: int = 0


class Altered(Struct, frozen=True):
    """The true snapshot, changed; it does not look as if it were."""

    alter: Callable[[DepthSnapshot], DepthSnapshot]


Outcome: TypeAlias = Reply | Banned | Reset | Hang | Late | Cropped | Old | Altered


def error(status: int, code: int, message: str, retry_after_s: int | None = None) -> Reply:
    """An error in the exchange's own form."""
    body = msgspec.json.encode({"code": code, "msg": message})
    return Reply(status, body, retry_after_s, silence_s=retry_after_s or 0)


def html_page(status: int, silence_s: float = 0.0) -> Reply:
    """What a proxy before the exchange answers: a page, which says nothing of time."""
    return Reply(status, HTML_PAGE, content_type=HTML, silence_s=silence_s, prolongs=silence_s > 0)
