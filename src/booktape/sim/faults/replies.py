"""What a request or handshake gets instead of the true answer, as values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Final, TypeAlias

import msgspec

from booktape.core.events import DepthSnapshot

JSON: Final = "application/json"
HTML: Final = "text/html"
HTML_PAGE: Final = b"<!DOCTYPE html><html><body><h1>We are under maintenance</h1></body></html>\n"

UNAVAILABLE: Final = -1001
TOO_FAST: Final = -1003
BAD_PARAMETER: Final = -1100
UNREAD_PARAMETER: Final = -1104
BAD_SYMBOL: Final = -1121


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, true or not."""

    status: int
    body: bytes
    retry_after_s: int | None = None
    content_type: str = JSON
    silence: Silence | None = None


@dataclass(frozen=True, slots=True)
class Silence:
    """What an answer asks of its client's address, whatever the answer says of it.

    No request and no handshake for `seconds`; with `prolongs` each one starts them again.
    """

    seconds: float
    prolongs: bool = False


@dataclass(frozen=True, slots=True)
class Banned:
    """A ban (418) whose end stands in its body alone, by the exchange's clock."""

    seconds: float

    def reply(self, now_us: int) -> Reply:
        """In the exchange's words."""
        until_ms = (now_us + round(self.seconds * 1_000_000)) // 1_000
        sentence = f"Way too much request weight used; IP banned until {until_ms}. "
        reply = error(HTTPStatus.IM_A_TEAPOT, TOO_FAST, sentence + "Please use the websocket.")
        return replace(reply, silence=Silence(self.seconds))


@dataclass(frozen=True, slots=True)
class Reset:
    """The TCP connection is reset; no answer."""


@dataclass(frozen=True, slots=True)
class Hang:
    """The request, or the WebSocket handshake, is never answered; the connection stays open."""


@dataclass(frozen=True, slots=True)
class Late:
    """The true answer, `seconds` of exchange time later."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Cropped:
    """The first half of the true body.

    With `cut` the length announced is the whole one's, and then the connection ends; without it
    the length fits.
    """

    cut: bool


@dataclass(frozen=True, slots=True)
class Old:
    """The true snapshot of `seconds` of exchange time, or `events` events, ago."""

    seconds: float = 0.0
    events: int = 0


@dataclass(frozen=True, slots=True)
class Altered:
    """The true snapshot, changed; it does not look as if it were."""

    alter: Callable[[DepthSnapshot], DepthSnapshot]


Outcome: TypeAlias = Reply | Banned | Reset | Hang | Late | Cropped | Old | Altered


def error(status: int, code: int, message: str, retry_after_s: int | None = None) -> Reply:
    """An error in the exchange's own form."""
    body = msgspec.json.encode({"code": code, "msg": message})
    silence = Silence(retry_after_s) if retry_after_s else None
    return Reply(status, body, retry_after_s, silence=silence)


def firewall_page(silence: Silence | None = None) -> Reply:
    """What stands before the exchange answers with a page, and says nothing of time."""
    return Reply(HTTPStatus.FORBIDDEN, HTML_PAGE, content_type=HTML, silence=silence)
