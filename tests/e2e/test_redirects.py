"""A server that redirects the recorder, and one that wants its passwords: neither succeeds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from e2e.commands import log_until, start
from e2e.plain_exchange import PlainExchange

SYMBOL = "BTCUSDT"


class Gate:
    """Takes the place of the exchange, and redirects a client that requests one of its pages."""

    def __init__(self, redirected: str, to: str) -> None:
        self.address = ""
        self.headers: list[dict[str, str]] = []
        self._redirected = redirected
        self._to = to

    async def answer(self, request: web.Request) -> web.Response:
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        if request.path.endswith(self._redirected):
            return web.Response(status=307, headers={"Location": f"{self._to}{request.path_qs}"})
        answer = web.json_response({"symbols": [{"symbol": SYMBOL, "status": "TRADING"}]})
        answer.set_cookie("session", "1")
        return answer


@asynccontextmanager
async def gate(redirected: str, to: str) -> AsyncIterator[Gate]:
    there = Gate(redirected, to)
    app = web.Application()
    app.router.add_get("/{path:.*}", there.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "localhost", 0).start()
        there.address = f"localhost:{runner.addresses[0][1]}"
        yield there
    finally:
        await runner.cleanup()


@pytest.mark.real_time
@pytest.mark.parametrize("redirected", ["/exchangeInfo", "/depth", "/stream"])
async def test_a_recorder_connects_only_where_its_options_say(
    tmp_path: Path, redirected: str
) -> None:
    """The log says which server wanted what; the real exchange behind it never receives a request."""
    netrc = tmp_path / ".netrc"
    netrc.write_text("default login me password secret\n")
    netrc.chmod(0o600)

    async with (
        PlainExchange(SYMBOL, seed=1) as exchange,
        gate(redirected, f"http://{exchange.address}") as there,
    ):
        ws_address = there.address if redirected == "/stream" else exchange.address
        process = await start(
            *("record", SYMBOL, "--out", tmp_path / "out"),
            *("--rest-url", f"http://{there.address}", "--ws-url", f"ws://{ws_address}"),
            HOME=str(tmp_path),
        )
        heard = await log_until(process, "redirects are not followed")
        assert f"http://{exchange.address}" in heard
        process.kill()
        await process.communicate()
        assert exchange.snapshots == 0
        assert there.headers
        names = {name for headers in there.headers for name in headers}
        assert not names & {"authorization", "cookie", "proxy-authorization"}
