"""Third-party clients follow a book from `simulate` and from `replay`, and it equals ours, by update id.

`make clients` installs them into .venv-peers, where each runs unmodified in a separate process. Its script shows how it
is pointed at this machine: ccxt by its `urls`, python-binance by its constants,
cryptofeed by its endpoints. cryptofeed accepts no address but wss://, so TLS is put in front for it, and
SSL_CERT_FILE, which OpenSSL itself reads, names the certificate.
"""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import shutil
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, TypeAlias

import pytest

import booktape
from booktape.sim.market.market import Market
from booktape.sim.server.server import SimServer
from clients.tls import tls_in_front_of
from e2e.commands import log_until, start
from e2e.inside import recording
from support import virtual_time

TESTS: Final = Path(__file__).parents[1]
PYTHON: Final = TESTS.parent / ".venv-peers" / "bin" / "python"
CLIENTS: Final = ("ccxt", "cryptofeed", "python_binance")
BASE, QUOTE = "LTC", "USDT"
SYMBOL: Final = BASE + QUOTE
SAMPLES: Final = 20
WITHIN_S: Final = 240
TAPE_S: Final = 150
LINE_BYTES_MAX: Final = 2**22

Levels: TypeAlias = list[tuple[float, float]]
Books: TypeAlias = dict[int, tuple[Levels, Levels]]

pytestmark = [
    pytest.mark.real_time,
    pytest.mark.skipif(
        "BOOKTAPE_CLIENTS" not in os.environ or not PYTHON.exists(),
        reason="`make clients` installs the other clients, and runs this",
    ),
    pytest.mark.skipif(not shutil.which("openssl"), reason="a certificate is made by openssl"),
]


@asynccontextmanager
async def serving(*command: str | Path) -> AsyncIterator[tuple[str, str]]:
    """The REST and WebSocket addresses of a running `booktape simulate` or `replay`."""
    process = await start(*command, "--port", "0")
    assert process.stdout is not None
    words = shlex.split((await process.stdout.readline()).decode())
    yield words[words.index("--rest-url") + 1], words[words.index("--ws-url") + 1]
    process.terminate()
    await process.communicate()


async def followed(client: str, rest_url: str, ws_url: str, **environment: str) -> Books:
    """A client's book at random moments, by update id."""
    process = await asyncio.create_subprocess_exec(
        *(PYTHON, "-m", f"clients.with_{client}", rest_url, ws_url, BASE, QUOTE),
        stdout=PIPE,
        env=os.environ | {"PYTHONPATH": str(TESTS)} | environment,
        limit=LINE_BYTES_MAX,
    )
    assert process.stdout is not None
    books: Books = {}
    try:
        while len(books) < SAMPLES:
            line = await process.stdout.readline()
            assert line, f"{client} has ended"
            update_id, *sides = json.loads(line)
            bids, asks = ([(price, size) for price, size in side] for side in sides)
            books[update_id] = bids, asks
    finally:
        process.kill()
        await process.wait()
    return books


async def compare(out: Path, *server: str | Path) -> None:
    """Record from this server while all clients follow it."""
    certificate = out.with_suffix(".pem")
    async with asyncio.timeout(WITHIN_S), serving(*server) as (rest_url, ws_url):
        addresses = ("--rest-url", rest_url, "--ws-url", ws_url)
        recorder = await start("record", SYMBOL, *addresses, "--every", "1", "--out", out)
        await log_until(recorder, "book synced")
        async with tls_in_front_of(int(ws_url.rpartition(":")[2]), certificate) as port:
            books = await asyncio.gather(
                followed("ccxt", rest_url, ws_url),
                followed(
                    *("cryptofeed", rest_url, f"wss://127.0.0.1:{port}"),
                    SSL_CERT_FILE=str(certificate),
                ),
                followed("python_binance", rest_url, ws_url),
            )
        # Each reads the stream at its own pace, and ours may be the slowest.
        newest = max(update_id for theirs in books for update_id in theirs)
        while newest not in recorded(out):
            await asyncio.sleep(0.5)
        recorder.terminate()
        assert recorder.stderr is not None
        await recorder.communicate()
        assert recorder.returncode == 0
    rows = recorded(out)
    for client, theirs in zip(CLIENTS, books, strict=True):
        assert len(theirs) >= SAMPLES
        for update_id, sides in theirs.items():
            row = rows[update_id]
            ours = (
                list(zip(row.bid_price.tolist(), row.bid_size.tolist(), strict=True)),
                list(zip(row.ask_price.tolist(), row.ask_size.tolist(), strict=True)),
            )
            assert sides == ours, f"{client} at {update_id}"


def recorded(out: Path) -> dict[int, booktape.Book]:
    """Each row by its update id, including rows that are still being written."""
    entries = booktape.open(out).snapshots(SYMBOL)
    return {row.update_id: row for row in entries if isinstance(row, booktape.Book)}


@pytest.fixture
def tape(tmp_path: Path) -> Path:
    """An archive of some minutes, recorded in virtual time."""
    archive = tmp_path / "tape"

    async def record() -> None:
        server = SimServer(Market((SYMBOL,), 3), start_at_once=True)
        async with server, recording(server, (SYMBOL,), archive, every=100):
            await asyncio.sleep(TAPE_S)

    virtual_time.run(record(), 2 * TAPE_S)
    return archive


async def test_their_books_of_a_simulated_exchange_equal_ours(tmp_path: Path) -> None:
    """Three clients and our recorder at the same time."""
    await compare(tmp_path / "ours", "simulate", "--symbols", SYMBOL, "--seed", "3")


async def test_their_books_of_a_replayed_tape_equal_ours(tape: Path, tmp_path: Path) -> None:
    """Each joins when it is ready: its snapshot fits the stream at that moment."""
    await compare(tmp_path / "ours", "replay", tape)
