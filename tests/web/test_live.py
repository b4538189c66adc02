"""The page of a running recorder shows the recorder's own state, and no browser makes the recorder wait or grow."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import aiohttp
import pytest
from aiohttp import web

import booktape
from booktape.core.book import OrderBook
from booktape.reader.book_view import BookView, view_book
from booktape.recorder.status import BookStatus, RecorderStatus
from booktape.sim.market.market import Market
from booktape.sim.server.server import SimServer
from booktape.web import live
from booktape.web.live import BROWSERS_MAX, COLUMNS, MANY, LiveAnswers
from booktape.web.server import PageServer
from e2e.commands import log_until, start
from e2e.inside import recording
from support import virtual_time
from web.asking import get, served

pytestmark = pytest.mark.real_time

B = "BTCUSDT"


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames are made ten times as often as a browser gets them."""
    monkeypatch.setattr(live, "OVERVIEW_EVERY_S", 0.1)
    monkeypatch.setattr(live, "MANY_EVERY_S", 0.2)


OVERVIEW = '{"symbol":null,"reach":25}'
LOOK = '{"symbol":"BTCUSDT","reach":25}'


@dataclass
class Still:
    """A recorder that counts how often its state is read."""

    books: tuple[BookStatus, ...] = (
        BookStatus(B, "live", 2, 7, 3, 1, "", 9_000, 8_000, 0, None, 5, 4, 6_000),
        BookStatus("<b>X</b>", "cold", 1, 0, 0, 1, "id_gap"),
    )
    looks: int = 0
    views: int = 0
    begun: bool = True
    delay_s: float = 0.0
    seen: list[tuple[str, int]] = field(default_factory=list)

    def status(self, shown: int) -> RecorderStatus | None:
        assert shown == 0
        self.looks += 1
        return (
            RecorderStatus(10_000, 1_000, self.books, 1, 0, 0.5, 1, 2, 3, "first")
            if self.begun
            else None
        )

    async def view(self, symbol: str, reach_bps: int) -> BookView | None:
        self.views += 1
        self.seen.append((symbol, reach_bps))
        await asyncio.sleep(self.delay_s)
        book = OrderBook([(1.0, 5.0)], [(2.0, 6.0)])
        return view_book((1, 2), 3, 4, book.columns(), reach_bps)


@asynccontextmanager
async def watched(
    still: Still,
) -> AsyncIterator[tuple[PageServer, aiohttp.ClientWebSocketResponse]]:
    """A page's server and one browser."""
    async with served(LiveAnswers(still, "a name").routes()) as server, browser(server) as socket:
        yield server, socket


@asynccontextmanager
async def browser(
    server: PageServer, **headers: str
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.ws_connect(f"{server.url}live", max_msg_size=0) as socket,
    ):
        yield socket


async def frame(socket: aiohttp.ClientWebSocketResponse, wish: str) -> Any:
    await socket.send_str(wish)
    async with asyncio.timeout(60):
        return json.loads(await socket.receive_bytes())


async def test_a_frame_shows_the_state_of_the_recorder() -> None:
    """All symbols in its order, or one of them with its book."""
    still = Still()
    async with watched(still) as (server, socket):
        about = json.loads((await get(server.url + "about"))[2])
        assert (about["mode"], about["name"]) == ("live", "a name")
        found = await frame(socket, OVERVIEW)
        assert (found["kind"], found["books_known"], found["books_all"]) == ("overview", 1, 2)
        assert [
            dict(zip(found["columns"], row, strict=True))["symbol"] for row in found["books"]
        ] == [
            B,
            "<b>X</b>",
        ]
        own = dict(zip(found["columns"], found["books"][0], strict=True))
        assert own == {
            "symbol": B,
            "state": "live",
            "reason": "",
            "evidence_us": 9,
            "lag_ms": 0.006,
            "updates": 7,
            "epoch": 2,
            "rows": 3,
            "gaps": 1,
            "lost_s": 4e-9,
            "checks": 5,
            "failed": 0,
        }
        assert tuple(found["columns"]) == COLUMNS
        found = await frame(socket, LOOK)
        assert (found["kind"], found["own"][0]) == ("book", B)
        assert (found["book"]["bids"], found["book"]["update_id"]) == ([[1.0, 5.0]], 3)
        assert still.seen == [(B, 25)]


async def test_a_sentence_is_shown_before_a_recording_and_for_other_symbols() -> None:
    """The page keeps asking."""
    still = Still(begun=False)
    async with watched(still) as (_, socket):
        assert await frame(socket, OVERVIEW) == {"kind": "waiting"}
        still.begun = True
        assert await frame(socket, '{"symbol":"NOSUCH","reach":25}') == {"kind": "unknown"}
        assert (await frame(socket, OVERVIEW))["kind"] == "overview"
    assert not still.seen


WISHES = [
    "",
    "{}",
    "null",
    "[]",
    '{"symbol":"BTCUSDT"}',
    '{"symbol":"BTCUSDT","reach":26}',
    '{"symbol":"BTCUSDT","reach":1e400}',
    '{"symbol":1,"reach":25}',
    '{"symbol":null,"reach":25,"more":1}',
    '{"symbol":"' + "a" * 5_000 + '","reach":25}',
    "[" * 1_000,
    "\x00",
]


@pytest.mark.parametrize("wish", WISHES)
async def test_an_invalid_wish_ends_only_its_own_browser(wish: str) -> None:
    """The next one is answered."""
    still = Still()
    async with watched(still) as (server, socket):
        with suppress(ConnectionError):
            await socket.send_str(wish)
        message = await asyncio.wait_for(socket.receive(), 60)
        assert message.type in {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED}
        async with browser(server) as other:
            assert (await frame(other, OVERVIEW))["kind"] == "overview"


@pytest.mark.parametrize("wish", [b"", b"\xff\xfe", OVERVIEW.encode()])
async def test_a_binary_wish_is_refused(wish: bytes) -> None:
    """A wish is a text."""
    async with watched(Still()) as (_, socket):
        await socket.send_bytes(wish)
        message = await asyncio.wait_for(socket.receive(), 60)
        assert message.type is aiohttp.WSMsgType.CLOSE


@pytest.mark.parametrize(
    "headers", [{"Origin": "http://evil.example"}, {"Host": "evil.example"}, {"Origin": "null"}]
)
async def test_another_page_gets_no_socket(headers: dict[str, str]) -> None:
    """Browsers send the Origin with every WebSocket."""
    async with watched(Still()) as (server, _):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with browser(server, **headers):
                pass
    assert refused.value.status in {403, 421}


async def test_the_address_of_the_socket_is_not_a_page() -> None:
    """A plain GET gets a sentence."""
    async with watched(Still()) as (server, _):
        assert (await get(server.url + "live"))[0] == 426


async def test_all_browsers_share_one_reading_of_the_recorder() -> None:
    """However many there are."""
    still = Still()
    async with served(LiveAnswers(still, "").routes()) as server:

        async def watch() -> None:
            async with browser(server) as socket:
                for wish in (OVERVIEW, LOOK, LOOK):
                    await frame(socket, wish)

        began_s = monotonic()
        await asyncio.gather(*(watch() for _ in range(30)))
        lasted_s = monotonic() - began_s
    assert still.looks <= 1 + lasted_s / live.OVERVIEW_EVERY_S
    assert still.views <= 1 + lasted_s / (live.BOOK_EVERY_S / 2)


async def test_browsers_that_waited_for_the_same_book_are_answered_in_different_turns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Between two frames the loop serves the sockets of the exchange, however many browsers there are."""
    turns: list[int] = []
    turn = 0
    send = web.WebSocketResponse.send_bytes

    async def send_noted(self: web.WebSocketResponse, data: bytes) -> None:
        turns.append(turn)
        await send(self, data)

    async def count_turns() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    monkeypatch.setattr(web.WebSocketResponse, "send_bytes", send_noted)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(
            served(LiveAnswers(Still(delay_s=0.2), "").routes())
        )
        sockets = [await stack.enter_async_context(browser(server)) for _ in range(20)]
        counting = asyncio.create_task(count_turns())
        await asyncio.gather(*(frame(socket, LOOK) for socket in sockets))
        counting.cancel()
    assert len(turns) == len(set(turns)) == len(sockets)


async def test_too_many_browsers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that leaves makes room for another."""
    # These browsers do not read, so they answer no ping, and opening them all may take longer than two heartbeats.
    monkeypatch.setattr(live, "HEARTBEAT_S", 3_600.0)
    connector = aiohttp.TCPConnector(limit=0)
    async with (
        watched(Still()) as (server, first),
        aiohttp.ClientSession(connector=connector) as session,
    ):
        others = [await session.ws_connect(f"{server.url}live") for _ in range(BROWSERS_MAX - 1)]
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(f"{server.url}live")
        assert refused.value.status == 503
        await first.close()
        async with asyncio.timeout(60):
            while not await _has_room(session, server):
                await asyncio.sleep(0.05)
        assert not any(other.closed for other in others)


async def _has_room(session: aiohttp.ClientSession, server: PageServer) -> bool:
    with suppress(aiohttp.WSServerHandshakeError):
        await session.ws_connect(f"{server.url}live")
        return True
    return False


async def test_a_browser_that_does_not_read_gets_one_frame_and_no_queue() -> None:
    """It may ask a thousand times: what waits for it is one frame, in the system's buffers at most."""
    books = tuple(BookStatus(f"S{n:05}", "cold", 1, 0, 0, 0) for n in range(20_000))
    still = Still(books)
    async with served(LiveAnswers(still, "").routes()) as server:
        narrow = socket.socket()
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        narrow.setblocking(False)
        await asyncio.get_running_loop().sock_connect(narrow, ("127.0.0.1", server.port))
        reader, writer = await asyncio.open_connection(sock=narrow, limit=1_024)
        writer.write(
            f"GET /live HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
        )
        assert b"101" in await reader.readline()
        wish = OVERVIEW.encode()
        masked = bytes([0x81, 0x80 | len(wish), 0, 0, 0, 0]) + wish
        with suppress(TimeoutError):
            for _ in range(1_000):
                writer.write(masked)
                await asyncio.wait_for(writer.drain(), 0.5)
        # Another browser, which does read, is served meanwhile, so frames are made.
        looked, began_s = still.looks, monotonic()
        async with browser(server) as other:
            for _ in range(4):
                found = await frame(other, OVERVIEW)
                assert len(found["books"]) == len(books)
        frame_bytes = len(json.dumps(found))
        assert still.looks - looked <= 1 + (monotonic() - began_s) / live.MANY_EVERY_S
        handlers = server._runner.server
        assert handlers is not None
        waiting = [
            each.transport.get_write_buffer_size()
            for each in handlers.connections
            if each.transport
        ]
        assert max(waiting) <= 2 * frame_bytes
        writer.close()


async def test_a_larger_number_of_books_is_read_less_often() -> None:
    """Each reading costs the recorder's loop some microseconds per book."""
    still = Still(tuple(BookStatus(f"S{n:05}", "cold", 1, 0, 0, 0) for n in range(MANY + 1)))
    async with watched(still) as (_, socket):
        began_s = monotonic()
        for _ in range(2):
            await frame(socket, OVERVIEW)
        assert monotonic() - began_s >= live.MANY_EVERY_S


def test_the_ladder_is_the_recorders_book(tmp_path: Path) -> None:
    """Level by level, as of the update that it names: read by the page, and afterwards from the archive."""
    symbols = (B, "ETHUSDT")

    async def look() -> dict[str, Any]:
        async with (
            SimServer(Market(symbols, levels=100)) as exchange,
            recording(exchange, symbols, tmp_path, every=1) as recorder,
            served(LiveAnswers(recorder, "").routes()) as server,
        ):
            return await _books(server.url)

    _compare(tmp_path, virtual_time.run(look()))


@pytest.mark.long
async def test_the_ladder_is_that_of_the_worker_that_records_the_book(tmp_path: Path) -> None:
    """The same with the real command and two processes."""
    async with SimServer(Market((B, "ETHUSDT"), levels=100)) as exchange:
        process = await start(
            *("record", B, "ETHUSDT", "--every", "1", "--workers", "2"),
            *("--web", "0", "--out", tmp_path),
            *("--rest-url", exchange.rest_url, "--ws-url", exchange.ws_url),
        )
        try:
            heard = await log_until(process, "url=")
            found = await _books(heard.rpartition("url=")[2].split()[0])
        finally:
            process.terminate()
            _, err = await process.communicate()
            assert process.returncode == 0, err.decode()
    _compare(tmp_path, found)


def _compare(root: Path, found: dict[str, Any]) -> None:
    """Compares each book that was seen with the row of its update."""
    for symbol, shown in found.items():
        rows = booktape.open(root).snapshots(symbol).to_arrow().to_pylist()
        (row,) = [
            row
            for row in rows
            if (row["epoch"], row["update_id"]) == (shown["epoch"], shown["update_id"])
        ]
        for side in ("bid", "ask"):
            levels = zip(row[f"{side}_price"], row[f"{side}_size"], strict=True)
            assert shown[f"{side}s"] == [[*level] for level in levels][:25]
            assert shown[f"{side}_levels"] == len(row[f"{side}_price"])


async def _books(url: str) -> dict[str, Any]:
    """The book of each symbol, as a page shows it."""
    found: dict[str, Any] = {}
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{url}live", max_msg_size=0) as socket,
        asyncio.timeout(60),
    ):
        while len(found) < 2:
            for symbol in {B, "ETHUSDT"} - set(found):
                shown = await frame(socket, json.dumps({"symbol": symbol, "reach": 50}))
                if shown.get("book"):
                    found[symbol] = shown["book"]
    return found
