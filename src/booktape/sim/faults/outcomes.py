"""What a request or handshake can get instead of its answer."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Final, TypeAlias

import msgspec
from msgspec import Struct

from booktape.core.events import DepthSnapshot

JSON: Final = "application/json"
HTML: Final = "text/html"
HTML_PAGE: Final = b"<!DOCTYPE html><html><body><h1>We are under maintenance</h1></body></html>\n"

UNAVAILABLE: Final = -1001
TOO_FAST: Final = -1003
BAD_PARAMETER: Final = -1100
UNREAD_PARAMETER: Final = -1104
BAD_SYMBOL: Final = -1121


class Reply(Struct, frozen=True):
    """An answer, true or not.

    Whatever the answer says about waiting, no request or handshake is allowed for `silence_s` after it; with
    `prolongs`, each one restarts that time.
    """

    status: int
    body: bytes
    retry_after_s: int | None = None
    content_type: str = JSON
    silence_s: float = 0.0
    prolongs: bool = False


class Banned(Struct, frozen=True):
    """A ban (418) whose end is given only in its body, by the exchange's clock."""

    seconds: float

    def reply(self, now_us: int) -> Reply:
        """The answer, in the exchange's words."""
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

    With `cut`, Content-Length is that of the whole body, and the connection ends after the half; without `cut`, it is
    that of the half.
    """

    cut: bool


class Old(Struct, frozen=True):
    """The true snapshot of `seconds` of exchange time ago, or of `events` events ago, whichever is older."""

    seconds: float = 0.0
    events: int = 0


class Altered(Struct, frozen=True):
    """The true snapshot, changed in a way that does not show."""

    alter: Callable[[DepthSnapshot], DepthSnapshot]


Outcome: TypeAlias = Reply | Banned | Reset | Hang | Late | Cropped | Old | Altered


def error(status: int, code: int, message: str, retry_after_s: int | None = None) -> Reply:
    """An error in the exchange's own form."""
    body = msgspec.json.encode({"code": code, "msg": message})
    return Reply(status, body, retry_after_s, silence_s=retry_after_s or 0)


def html_page(status: int, silence_s: float = 0.0) -> Reply:
    """The answer of a proxy in front of the exchange: a page, which does not say how long to wait."""
    return Reply(status, HTML_PAGE, content_type=HTML, silence_s=silence_s, prolongs=silence_s > 0)
