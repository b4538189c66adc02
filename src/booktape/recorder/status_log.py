"""The status view without a terminal: one log line per minute."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from booktape.recorder.status import RecorderStatus

STATUS_LINE_S: Final = 60.0

log = structlog.get_logger()


async def report(status: Callable[[], RecorderStatus | None]) -> None:
    """Write a line per minute until cancelled."""
    while True:
        await asyncio.sleep(STATUS_LINE_S)
        now = status()
        if now:
            log.info("status", **summary(now))


def summary(now: RecorderStatus) -> dict[str, object]:
    """The whole recorder in a few figures."""
    found: dict[str, object] = {
        "books": len(now.books),
        "known": now.known,
        "records": now.records,
        "snapshots": now.rows,
        "gaps": now.gaps,
        "failed_checks": now.failed_checks,
        "mb_an_hour": round(now.bytes_an_hour / 1e6, 1),
        "lag_ms": round(now.lag_ms, 1),
        "waiting": now.waiting,
        "segment": now.segment,
        "lost_lines": now.lost_lines,
    }
    if now.backlog is not None:
        found["unshipped"] = now.backlog.segments
        found["unshipped_bytes"] = now.backlog.bytes
        found["oldest_unshipped_s"] = round(now.backlog.age_s(now.at_ns / 1e9))
    if now.retention is not None and now.retention.blocked:
        found["retention_blocked"] = now.retention.text
    return found
