"""The page's server sends files of the page and sentences, and nothing else, whatever is requested."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from contextlib import suppress
from importlib import resources

import aiohttp
import pytest
from aiohttp import web

from booktape.errors import UsageError
from booktape.web.guard import Address
from booktape.web.server import CONNECTIONS_MAX, PageServer
from web.asking import get, send, served

pytestmark = pytest.mark.real_time

PAGE = resources.files("booktape.web").joinpath("page")
FILES = {
    "/": "index.html",
    "/page.js": "page.js",
    "/page.css": "page.css",
    "/icon.svg": "icon.svg",
    "/uplot.js": "uplot/uPlot.iife.min.js",
    "/uplot.css": "uplot/uPlot.min.css",
    "/uplot-licence.txt": "uplot/LICENSE",
}
HOST = b"Host: 127.0.0.1\r\nConnection: close\r\n"


async def test_every_file_of_the_page_is_served_as_it_is() -> None:
    """So is the licence of other people's code."""
    async with served() as server:
        for path, name in FILES.items():
            status, headers, body = await get(server.url + path[1:])
            assert status == 200
            assert body == PAGE.joinpath(name).read_bytes()
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["cache-control"] == "no-store"
            assert headers["server"] == "booktape"
            assert "unsafe" not in headers["content-security-policy"]
            assert "default-src 'none'" in headers["content-security-policy"]
            assert "frame-ancestors 'none'" in headers["content-security-policy"]


def test_the_page_contacts_no_other_host() -> None:
    """Our files contain no address, and the markup no style or script."""
    html = PAGE.joinpath("index.html").read_text()
    own = html + PAGE.joinpath("page.js").read_text() + PAGE.joinpath("page.css").read_text()
    assert not re.findall(r"https?://|//[a-z]+\.", own)
    assert not re.findall(r"<style|style=|\son\w+=|javascript:|<script(?! src=)", html)
    words = r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|new Function|localStorage"
    assert not re.findall(words, own)


@pytest.mark.parametrize(
    "method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "FOO"]
)
async def test_only_get_is_answered(method: str) -> None:
    """Nothing can be changed from a page."""
    async with served() as server:
        found = await send(server.port, method.encode() + b" / HTTP/1.1\r\n" + HOST + b"\r\n")
        assert re.match(rb"HTTP/1\.[01] 40[05] ", found)


async def test_a_foreign_name_and_a_foreign_page_are_refused() -> None:
    """With a sentence and the same headers."""
    async with served() as server:
        for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
            status, answered, body = await get(server.url, **headers)
            assert status in {403, 421}
            assert "error" in json.loads(body)
            assert "content-security-policy" in answered


async def test_a_bug_becomes_a_sentence_for_the_browser() -> None:
    """Its traceback is only in the log."""

    async def broken(_: web.Request) -> web.Response:
        raise ZeroDivisionError("secret")

    async with served([web.get("/broken", broken)]) as server:
        status, _, body = await get(server.url + "broken")
    assert status == 500
    assert json.loads(body) == {"error": "booktape could not answer this. Its log says why."}


async def test_a_port_in_use_is_refused_in_a_sentence() -> None:
    """The first server continues."""
    async with served() as server:
        with pytest.raises(UsageError, match="cannot be served"):
            async with PageServer(Address("127.0.0.1", server.port), ()):
                pass
        assert (await get(server.url))[0] == 200


async def test_connections_without_a_request_are_bounded() -> None:
    """One more is closed at once: a recorder needs its descriptors."""
    async with served() as server:
        held = [
            await asyncio.open_connection("127.0.0.1", server.port) for _ in range(CONNECTIONS_MAX)
        ]
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        assert await asyncio.wait_for(reader.read(), 60) == b""
        writer.close()
        for _, each in held:
            each.close()
            await each.wait_closed()
        status = 0
        async with asyncio.timeout(60):
            while status != 200:
                with suppress(
                    aiohttp.ClientError
                ):  # the server has not yet seen that the others left
                    status = (await get(server.url))[0]


async def test_a_page_for_others_is_named_in_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    """It has no password."""
    async with PageServer(Address("0.0.0.0", 0), ()) as server:  # noqa: S104
        assert (await get(f"http://127.0.0.1:{server.port}/"))[0] == 200
        with socket.create_connection(("127.0.0.1", server.port)):
            pass
    out = capsys.readouterr()
    assert "has no password" in out.out + out.err
