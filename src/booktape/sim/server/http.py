"""Replies as HTTP, and connections that end without one."""

from __future__ import annotations

import socket
import struct
from http import HTTPStatus

from aiohttp import web

from booktape.sim.faults.replies import Reply


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


async def cut_short(
    request: web.Request, reply: Reply, headers: dict[str, str]
) -> web.StreamResponse:
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
