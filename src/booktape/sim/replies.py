"""What a client at the door gets, as values; and how they become HTTP."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, TypeAlias

import msgspec
from aiohttp import web
from aiohttp.web_response import StreamResponse

from booktape.core.events import DepthSnapshot

JSON: Final = "application/json"
HTML: Final = "text/html"
HTML_PAGE: Final = b"<!DOCTYPE html><html><body><h1>We are under maintenance</h1></body></html>\n"

UNAVAILABLE: Final = -1001
TOO_FAST: Final = -1003
BAD_PARAMETER: Final = -1100
BAD_SYMBOL: Final = -1121


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, true or not."""

    status: int
    body: bytes
    retry_after_s: int | None = None
    content_type: str = JSON


@dataclass(frozen=True, slots=True)
class Reset:
    """The TCP connection is reset; no answer."""


@dataclass(frozen=True, slots=True)
class Hang:
    """The request, or the WebSocket handshake, is never answered; the connection stays open."""


@dataclass(frozen=True, slots=True)
class Late:
    """The true answer, so many seconds of exchange time later."""

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
    """The true snapshot of so many seconds of exchange time, or so many events, ago."""

    seconds: float = 0.0
    events: int = 0


@dataclass(frozen=True, slots=True)
class Altered:
    """The true snapshot, changed; it does not look as if it were."""

    alter: Callable[[DepthSnapshot], DepthSnapshot]


DoorStep: TypeAlias = Reply | Reset | Hang | Late | Cropped | Old | Altered


def error(status: int, code: int, message: str, retry_after_s: int | None = None) -> Reply:
    """An error in the exchange's own form."""
    body = msgspec.json.encode({"code": code, "msg": message})
    return Reply(status, body, retry_after_s)


def response(reply: Reply, headers: dict[str, str] | None = None) -> web.Response:
    """As HTTP."""
    headers = dict(headers or {})
    if reply.retry_after_s is not None:
        headers["Retry-After"] = str(reply.retry_after_s)
    return web.Response(
        status=reply.status,
        body=reply.body,
        headers=headers,
        content_type=reply.content_type,
        charset="utf-8",
    )


async def cut_short(request: web.Request, reply: Reply, headers: dict[str, str]) -> StreamResponse:
    """Half the body under a Content-Length for all of it, then the end of the connection."""
    length = {"Content-Length": str(len(reply.body)), "Content-Type": reply.content_type}
    half = web.StreamResponse(status=reply.status, headers=headers | length)
    await half.prepare(request)
    await half.write(reply.body[: len(reply.body) // 2])
    if request.transport:
        request.transport.close()
    return half


def reset(request: web.Request) -> web.Response:
    """Reset the connection. The response is for aiohttp's handler; it never leaves."""
    abort(request)
    return web.Response(status=HTTPStatus.SERVICE_UNAVAILABLE)


def abort(request: web.Request) -> None:
    """End the connection with a TCP reset rather than a FIN: no time is left for unsent data."""
    transport = request.transport
    if transport is None:
        return
    if not transport.is_closing():
        plain: socket.socket = transport.get_extra_info("socket")
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
