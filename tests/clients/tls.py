"""TLS in front of a local port, for a client that refuses to connect without it."""

from __future__ import annotations

import asyncio
import ssl
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

_HOST: Final = "127.0.0.1"


@asynccontextmanager
async def tls_in_front_of(port: int, certificate: Path) -> AsyncIterator[int]:
    """The port of a server that decrypts and forwards; `certificate` is created for clients to trust."""
    key = certificate.with_suffix(".key")
    subject = f"-subj /CN={_HOST} -addext subjectAltName=IP:{_HOST}"
    command = f"openssl req -x509 -newkey rsa:2048 -nodes -days 1 {subject}".split()
    made = await asyncio.create_subprocess_exec(
        *command, "-keyout", key, "-out", certificate, stderr=DEVNULL
    )
    assert await made.wait() == 0
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        plain_reader, plain_writer = await asyncio.open_connection(_HOST, port)
        await asyncio.gather(_pass_on(reader, plain_writer), _pass_on(plain_reader, writer))

    async with await asyncio.start_server(serve, _HOST, 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1]


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(2**16):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        # The client was killed.
        return
    finally:
        writer.close()
