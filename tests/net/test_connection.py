"""One connection: stamped messages, a truthful ending, and signs of life."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from aiohttp import ClientWebSocketResponse, WSMsgType, web

from booktape.core.tape_records import Connected, Disconnected, StreamMessage, Tick
from booktape.net.clock import Clock
from booktape.net.connection import HANDSHAKE_S, SIGN_OF_LIFE_S, Connection
from booktape.net.context import NetContext
from net.hand_clock import HandClock
from net.loopback import Handler, accept, linked, next_frame, until_closed
from support import virtual_time

SYMBOLS = ("BTCUSDT",)


@asynccontextmanager
async def carrying(
    handler: Handler, clock: Clock, symbols: tuple[str, ...] = SYMBOLS, frames: int = 1_000
) -> AsyncIterator[tuple[Connection, NetContext]]:
    """A connection at work, number 1."""
    async with linked(handler, clock, frames) as context:
        connection = Connection(context, symbols, 1, context.venue.ws_url)
        task = asyncio.create_task(connection.run())
        try:
            yield connection, context
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def test_frames_come_in_order_byte_for_byte() -> None:
    """The tape gets exactly what the exchange sent, text and binary alike."""
    sent = [b'{"a":1}', b"\xff\x00", '{"s":"币"}'.encode()]

    async def exchange(request: web.Request) -> web.WebSocketResponse:
        socket = await accept(request)
        await socket.send_str(sent[0].decode())
        await socket.send_bytes(sent[1])
        await socket.send_str(sent[2].decode())
        return await until_closed(socket)

    async with carrying(exchange, HandClock()) as (_, context):
        first = await next_frame(context.queue)
        assert first == Connected(1_000 * 10**9, 1, SYMBOLS)
        got = [await next_frame(context.queue) for _ in sent]
        assert got == [StreamMessage(1_000 * 10**9, 1, payload) for payload in sent]


async def test_a_message_is_stamped_at_the_socket_not_when_it_is_handled() -> None:
    """Frames that wait in the queue while time passes keep the time at which they arrived."""

    async def exchange(request: web.Request) -> web.WebSocketResponse:
        socket = await accept(request)
        for _ in range(50):
            await socket.send_str("{}")
        await socket.close()
        return socket

    clock = HandClock()
    async with carrying(exchange, clock) as (_, context):
        while len(context.queue) < 52:
            await asyncio.sleep(0)
        clock.now_s += 100
        frames = [await next_frame(context.queue) for _ in range(52)]
        assert {frame.received_ns // 10**9 for frame in frames} == {1_000}


async def test_a_pong_echoes_the_payload_of_the_ping() -> None:
    """ "A pong with a copy of ping's payload", or the exchange cuts the connection."""
    pongs: list[bytes] = []

    async def exchange(request: web.Request) -> web.WebSocketResponse:
        socket = await accept(request)
        await socket.ping(b"1780861676491")
        message = await socket.receive()
        assert message.type is WSMsgType.PONG
        pongs.append(bytes(message.data))
        await socket.send_str("{}")
        return await until_closed(socket)

    async with carrying(exchange, HandClock()) as (_, context):
        await next_frame(context.queue)
        await next_frame(context.queue)
    assert pongs == [b"1780861676491"]


@pytest.mark.parametrize("clean", [True, False])
async def test_the_end_of_a_connection_says_until_when_it_was_alive(clean: bool) -> None:
    """A close frame is a sign of life, a cut is not: the gap begins at the last sign of life."""
    clock = HandClock()
    cut = asyncio.Event()

    async def exchange(request: web.Request) -> web.WebSocketResponse:
        socket = await accept(request)
        await socket.send_str("{}")
        await cut.wait()
        if clean:
            await socket.close(code=1001)
        elif request.transport:
            request.transport.abort()
        return socket

    async with carrying(exchange, clock) as (_, context):
        await next_frame(context.queue)
        frame = await next_frame(context.queue)
        clock.now_s += 7
        cut.set()
        gone = await next_frame(context.queue)
        assert isinstance(gone, Disconnected)
        assert gone.received_ns == frame.received_ns + 7 * 10**9
        assert gone.alive_ns == (gone.received_ns if clean else frame.received_ns)
        assert (gone.connection, gone.reason) == (1, "disconnected")


async def test_a_silent_connection_is_pinged_and_then_given_up() -> None:
    """Half-open sockets look alive for ever, so a minute without frame, ping or pong ends them."""
    clock = HandClock()
    asked = asyncio.Event()

    async def exchange(request: web.Request) -> web.WebSocketResponse:
        socket = await accept(request)
        message = await socket.receive()
        assert message.type is WSMsgType.PING
        asked.set()  # and never answered
        return await until_closed(socket)

    async with carrying(exchange, clock) as (_, context):
        connected = await next_frame(context.queue)
        (await clock.asleep()).advance(SIGN_OF_LIFE_S)
        await asked.wait()
        (await clock.asleep()).advance(SIGN_OF_LIFE_S)
        gone = await next_frame(context.queue)
        assert isinstance(gone, Disconnected)
        # The handshake was the last sign of life.
        assert gone.alive_ns == connected.received_ns


async def test_a_quiet_connection_that_answers_pings_stays() -> None:
    """A quiet market is no reason for alarm."""
    clock = HandClock()
    pinged = asyncio.Queue[None]()

    async def exchange(request: web.Request) -> web.WebSocketResponse:
        socket = await accept(request)
        async for message in socket:
            assert message.type is WSMsgType.PING
            await socket.pong(message.data)
            pinged.put_nowait(None)
        return socket

    async with carrying(exchange, clock) as (carried, context):
        await next_frame(context.queue)
        for _ in range(3):
            seen_ns = carried._alive_ns
            (await clock.asleep()).advance(SIGN_OF_LIFE_S)
            await pinged.get()
            while carried._alive_ns == seen_ns:  # the pong is still on its way
                await asyncio.sleep(0)
            (await clock.asleep()).advance(SIGN_OF_LIFE_S)
        assert all(isinstance(frame, Tick) for frame in context.queue.drain())


async def test_a_full_queue_stops_reading_and_drops_nothing() -> None:
    """A recorder that cannot keep up makes the exchange wait: every frame still arrives, in order."""
    count = 500

    async def exchange(request: web.Request) -> web.WebSocketResponse:
        socket = await accept(request)
        for number in range(count):
            await socket.send_str(str(number))
        return await until_closed(socket)

    async with carrying(exchange, HandClock(), frames=2) as (_, context):
        await next_frame(context.queue)
        got = [await next_frame(context.queue) for _ in range(count)]
        assert [f.payload for f in got if isinstance(f, StreamMessage)] == [
            str(number).encode() for number in range(count)
        ]


async def test_streams_of_non_ascii_symbols_are_requested_url_encoded() -> None:
    """The exchange gets the symbol as percent-encoded UTF-8; microseconds are requested."""
    asked: list[tuple[str, str]] = []

    async def exchange(request: web.Request) -> web.WebSocketResponse:
        asked.append((request.raw_path, request.query["streams"]))
        return await until_closed(await accept(request))

    async with carrying(exchange, HandClock(), ("BTCUSDT", "币安人生USDT")) as (_, context):
        await next_frame(context.queue)
    raw, streams = asked[0]
    assert streams == "btcusdt@depth@100ms/币安人生usdt@depth@100ms"
    assert raw.isascii()
    assert raw.startswith("/stream?streams=btcusdt@depth@100ms/%E5%B8%81")
    assert raw.endswith("&timeUnit=MICROSECOND")


async def closing(_: ClientWebSocketResponse, __: bytes = b"") -> None:
    """Replaces sending a ping or a pong: the sending side is closed."""
    raise ConnectionResetError("Cannot write to closing transport")


async def test_a_ping_that_cannot_be_sent_is_left_to_the_reader(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The watch survives a connection that is just closing."""

    async def exchange(request: web.Request) -> web.WebSocketResponse:
        return await until_closed(await accept(request))

    monkeypatch.setattr(ClientWebSocketResponse, "ping", closing)
    clock = HandClock()
    async with carrying(exchange, clock) as (_, context):
        await next_frame(context.queue)
        (await clock.asleep()).advance(SIGN_OF_LIFE_S)
        (await clock.asleep()).advance(SIGN_OF_LIFE_S)
        assert isinstance(await next_frame(context.queue), Disconnected)


async def test_frames_that_arrived_are_read_even_if_a_pong_cannot_be_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The sending side is closed first, while the frames behind the ping have already arrived."""

    async def exchange(request: web.Request) -> web.WebSocketResponse:
        socket = await accept(request)
        await socket.ping(b"1")
        for number in range(3):
            await socket.send_str(str(number))
        await socket.close()
        return socket

    monkeypatch.setattr(ClientWebSocketResponse, "pong", closing)
    async with carrying(exchange, HandClock()) as (_, context):
        await next_frame(context.queue)
        got = [await next_frame(context.queue) for _ in range(4)]
        assert [f.payload for f in got if isinstance(f, StreamMessage)] == [b"0", b"1", b"2"]
        assert isinstance(got[-1], Disconnected)


async def test_no_more_than_a_few_messages_a_second_are_sent() -> None:
    """Even a hundred pings at once do not make us break the exchange's limit of five."""
    pongs: list[bytes] = []

    async def exchange(request: web.Request) -> web.WebSocketResponse:
        socket = await accept(request)
        for number in range(100):
            await socket.ping(str(number).encode())
        await socket.send_str("{}")
        pongs.extend([message.data async for message in socket])
        return socket

    async with carrying(exchange, HandClock()) as (carried, context):
        await next_frame(context.queue)
        await next_frame(context.queue)
        await carried.close()
    assert pongs == [b"0", b"1", b"2", b"3"]


async def test_a_refused_handshake_says_why() -> None:
    """No frame reaches the queue: nothing was ever connected."""

    async def exchange(_: web.Request) -> web.StreamResponse:
        return web.Response(status=403)

    async with carrying(exchange, HandClock()) as (carried, context):
        await carried.ended.wait()
        assert "403" in carried.why
        assert not context.queue


async def test_a_connection_can_be_closed_before_its_handshake() -> None:
    """It then ends as soon as it is open, and no record says that it carried anything."""
    assert HANDSHAKE_S <= 30

    async def exchange(request: web.Request) -> web.WebSocketResponse:
        return await until_closed(await accept(request))

    async with carrying(exchange, HandClock()) as (carried, context):
        await carried.close()
        await carried.ended.wait()
        assert not context.queue


async def test_a_peer_that_keeps_sending_does_not_delay_a_close() -> None:
    """It has two seconds after our close, and sending more in that time does not extend them."""

    async def exchange(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(autoclose=False)
        await socket.prepare(request)
        with suppress(ConnectionError):
            while True:
                await socket.send_str("{}")
                await asyncio.sleep(1)
        return socket

    async with carrying(exchange, virtual_time.WallClock()) as (connection, context):
        for _ in range(3):
            await next_frame(context.queue)
        began_s = asyncio.get_running_loop().time()
        await connection.close()
        await connection.ended.wait()
        assert asyncio.get_running_loop().time() - began_s <= 4
