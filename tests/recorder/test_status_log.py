"""The status line, once a minute, where there is no terminal."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final

import pytest
from structlog.testing import capture_logs

from booktape.recorder import status_log
from booktape.recorder.status import Blocked, BookStatus, RecorderStatus, RetentionStatus
from booktape.ship.backlog import Backlog

BOOKS: Final = (
    BookStatus("A", "live", 1, 0, 80, 1),
    BookStatus("B", "cold", 1, 0, 0, 0, failed_checks=2),
)
NOW: Final = RecorderStatus(
    *(3_600 * 10**9, 0, BOOKS, 5_000, 7, 1.25, 2, 31, 20_000_000, "first"), lost_lines=3
)


@pytest.mark.real_time
async def test_one_line_sums_up_the_whole_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has only totals, however many books are shown; there is none before the recording has begun."""
    monkeypatch.setattr(status_log, "STATUS_LINE_S", 0.0)
    statuses = iter([None, NOW])
    seen = asyncio.Event()

    def status() -> RecorderStatus | None:
        if (now := next(statuses, None)) is None:
            seen.set()
        return now

    with capture_logs() as logged:
        reporting = asyncio.create_task(status_log.report(status))
        async with asyncio.timeout(60):
            while not seen.is_set() or len(logged) < 1:
                await asyncio.sleep(0)
        reporting.cancel()
        await asyncio.wait({reporting})
    assert logged == [
        {
            "event": "status",
            "log_level": "info",
            "books": 2,
            "known": 1,
            "records": 5_000,
            "snapshots": 80,
            "gaps": 1,
            "failed_checks": 2,
            "mb_an_hour": 20.0,
            "lag_ms": 1.2,
            "waiting": 7,
            "segment": "first",
            "lost_lines": 3,
        }
    ]


def test_the_line_contains_the_backlog_if_segments_are_shipped() -> None:
    """Segments, bytes, and how long the oldest has been waiting; otherwise none of these."""
    shipping = replace(NOW, backlog=Backlog(2, 34, NOW.at_ns / 1e9 - 60))
    more = status_log.summary(shipping).items() - status_log.summary(NOW).items()
    assert dict(more) == {"unshipped": 2, "unshipped_bytes": 34, "oldest_unshipped_s": 60}


def test_the_line_says_what_blocks_retention_while_it_does() -> None:
    """It gives the reason."""
    blocked = replace(NOW, retention=RetentionStatus(1, {Blocked.FAILED: "no space left"}))
    more = status_log.summary(blocked).items() - status_log.summary(NOW).items()
    assert dict(more) == {"retention_blocked": "no space left"}
    assert status_log.summary(replace(NOW, retention=RetentionStatus(1))) == status_log.summary(NOW)
