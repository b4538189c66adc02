"""Other programs ask a recorder whether it is healthy; `booktape health` is one of them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from aiohttp import web

from booktape.recorder.status import BookStatus, RecorderStatus
from booktape.web.operations import operation_routes
from e2e.commands import run
from web.asking import get, served

LOST = RecorderStatus(
    2, 1, (BookStatus("BTCUSDT", "cold", 1, 1, 1, 1),), 0, 0, 0.0, 0, 0, 0, "first"
)


def test_a_recorder_answers_for_itself(tmp_path: Path) -> None:
    """Alive is not ready; metrics are in the form that was requested."""

    async def ask() -> None:
        async with served(operation_routes(lambda: LOST, tmp_path, 30.0, 900.0)) as server:
            assert (await get(server.url + "healthz"))[0] == 200
            status, _, body = await get(server.url + "readyz")
            answer = json.loads(body)
            assert (status, answer["ready"]) == (503, False)
            assert ["BTCUSDT"] in [reason["symbols"] for reason in answer["reasons"]]
            status, headers, body = await get(server.url + "metrics")
            assert (status, headers["content-type"].split(";")[0]) == (200, "text/plain")
            assert b'booktape_book_known{symbol="BTCUSDT"} 0.0' in body
            accept = "application/openmetrics-text; version=1.0.0"
            _, headers, body = await get(server.url + "metrics", Accept=accept)
            assert headers["content-type"].split(";")[0] == "application/openmetrics-text"
            assert body.endswith(b"# EOF\n")

    asyncio.run(ask())


def test_health_reports_whether_the_recorder_is_healthy(tmp_path: Path) -> None:
    """Exit code 0 or 1, with one reason on each line."""

    async def ask() -> None:
        async with served(operation_routes(lambda: LOST, tmp_path, 30.0, 900.0)) as server:
            assert (await run("health", server.url))[0] == 0
            code, _, err = await run("health", server.url, "--ready")
            assert (code, "These books are not known. BTCUSDT" in err) == (1, True), err
        code, _, err = await run("health", server.url)
        assert (code, "does not answer" in err, "Traceback" in err) == (1, True, False)

    asyncio.run(ask())


def test_health_follows_no_redirect() -> None:
    """Only the given address receives a request, whatever it answers."""

    async def elsewhere(_: web.Request) -> web.Response:
        raise web.HTTPFound("http://127.0.0.1:1/healthz")

    async def ask() -> None:
        app = web.Application()
        app.add_routes([web.get("/healthz", elsewhere)])
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        code, _, err = await run("health", f"http://127.0.0.1:{port}")
        await runner.cleanup()
        assert (code, "does not answer" in err, "Traceback" in err) == (1, False, False), err

    asyncio.run(ask())
