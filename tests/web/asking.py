"""Requests to a page's server: with aiohttp's client, or as raw bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from booktape.web.guard import Address
from booktape.web.server import PageServer

ANYWHERE = Address("127.0.0.1", 0)


@asynccontextmanager
async def served(routes: Any = ()) -> AsyncIterator[PageServer]:
    """A server on a free port of loopback."""
    async with PageServer(ANYWHERE, routes) as server:
        yield server


async def get(url: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers in lower case, body."""
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
        found = {name.lower(): value for name, value in answer.headers.items()}
        return answer.status, found, await answer.read()


async def send(port: int, request: bytes) -> bytes:
    """Sends the bytes as they are; returns everything until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    await writer.drain()
    found = b""
    try:
        async with asyncio.timeout(60):
            while not _whole(found):
                piece = await reader.read(1 << 16)
                if not piece:
                    break
                found += piece
    except ConnectionError:
        pass
    finally:
        writer.close()
    return found


def _whole(answer: bytes) -> bool:
    """Whether an answer with a length has arrived."""
    head, end, body = answer.partition(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return bool(end) and len(body) >= int(line.split(b":")[1])
    return False
