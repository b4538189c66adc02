"""Frames written past aiohttp's writer are the protocol's: any client reads them."""

from __future__ import annotations

import aiohttp
import pytest
from aiohttp import web

from booktape.sim.server.websocket import frame, write
from sim.visitor import run

LENGTHS = (0, 1, 125, 126, 127, 65_535, 65_536, 1_000_000)


@pytest.mark.parametrize("binary", [False, True])
def test_messages_of_every_length_arrive_whole(binary: bool) -> None:
    """Also many in one write, and among those that aiohttp wrote."""

    async def handler(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        write(request, b"".join(frame(b"x" * length, binary=binary) for length in LENGTHS))
        await socket.send_str("the end")
        await socket.receive()
        write(request, frame(b"to nobody"))
        return socket

    async def work() -> None:
        app = web.Application()
        app.router.add_get("/", handler)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        url = f"ws://{host}:{port}/"
        async with aiohttp.ClientSession() as http, http.ws_connect(url, max_msg_size=0) as socket:
            got = [await socket.receive() for _ in LENGTHS]
            kind = aiohttp.WSMsgType.BINARY if binary else aiohttp.WSMsgType.TEXT
            assert [(message.type, len(message.data)) for message in got] == [
                (kind, length) for length in LENGTHS
            ]
            assert await socket.receive_str() == "the end"
        await runner.cleanup()

    run(work())
