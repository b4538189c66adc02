"""What other programs ask a recorder for: `/metrics`, `/healthz` and `/readyz`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

from aiohttp import web

from booktape.recorder.status import RecorderStatus
from booktape.store.durable_files import free_bytes
from booktape.web.health import why_not_ready
from booktape.web.metrics import encode_metrics
from booktape.web.server import answer_json


def operation_routes(
    status: Callable[[], RecorderStatus | None], out: Path, pulse_s: float, audit_s: float
) -> list[web.RouteDef]:
    """The routes of a recorder that writes to `out`, with these periods of the pulse and of audits."""

    async def metrics(request: web.Request) -> web.Response:
        accept = request.headers.get("Accept", "")
        body, content_type = encode_metrics(status(), await _free_bytes(out), accept)
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def healthz(_: web.Request) -> web.Response:
        return answer_json({"alive": True})

    async def readyz(_: web.Request) -> web.Response:
        reasons = why_not_ready(status(), await _free_bytes(out), pulse_s, audit_s)
        code = HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK
        return answer_json({"ready": not reasons, "reasons": reasons}, code)

    return [
        web.get("/metrics", metrics, allow_head=False),
        web.get("/healthz", healthz, allow_head=False),
        web.get("/readyz", readyz, allow_head=False),
    ]


async def _free_bytes(folder: Path) -> int | None:
    """The free space, read in a thread because a network share may not answer; None if it cannot be read."""
    try:
        return await asyncio.to_thread(free_bytes, folder)
    except OSError:
        return None
