"""What a person sees on a terminal: the table, its rates, and the line below it."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import pytest
from rich.console import Console

from booktape.recorder import status_table as live_table
from booktape.recorder.status import BookStatus, RecorderStatus
from booktape.recorder.status_table import render

BTC: Final = BookStatus("BTCUSDT", "live", 2, 1_000, 12_345, 0.01, 80, 1)
COLD: Final = BookStatus("ETHUSDT", "cold", 0, 0, 0, None, 0, 0)
NOW: Final = RecorderStatus(
    (BTC, COLD), 1_400, 1_399, 80, 1, 5_000, 7, 1.25, 31, "2026-11-22T10-00-00Z"
)


def drawn(now: RecorderStatus, before: RecorderStatus = NOW, seconds: float = 0.0) -> list[str]:
    """The picture as lines of text."""
    console = Console(file=io.StringIO(), width=120)
    with console.capture() as captured:
        console.print(render(now, before, seconds))
    return captured.get().splitlines()


def line_of(symbol: str, lines: list[str]) -> list[str]:
    return next(line.replace("│", " ").split() for line in lines if symbol in line)


def test_each_book_has_a_line() -> None:
    """Levels, spread, snapshots and gaps; no rate at the first look, and no spread of no book."""
    lines = drawn(NOW)
    assert line_of("BTCUSDT", lines) == ["BTCUSDT", "live", "12,345", "0.01", "80", "1"]
    assert line_of("ETHUSDT", lines) == ["ETHUSDT", "cold", "0", "0", "0"]


def test_the_last_line_is_about_all_books() -> None:
    """Those that are not shown are counted."""
    last = drawn(NOW)[-1]
    assert last.startswith("1399 of 1400 books known · 5,000 records · lag 1.2 ms · 7 waiting")


def test_lines_of_the_log_that_were_lost_are_counted_below_the_table() -> None:
    """In the table, where they are seen; nothing is shown while there are none."""
    assert "lost" not in " ".join(drawn(NOW))
    assert "1,200 lines of the log lost" in " ".join(drawn(replace(NOW, lost_lines=1_200)))


def test_a_rate_is_counted_since_a_look_before() -> None:
    """Over seconds, so that a worker without a new report does not seem to stand still."""
    before = replace(NOW, books=(replace(BTC, updates=940),))
    assert line_of("BTCUSDT", drawn(NOW, before, 5.0))[2] == "12"


def test_a_new_epoch_is_counted_from_its_beginning() -> None:
    """Its updates begin at zero again; the rate is never negative."""
    before = replace(NOW, books=(replace(BTC, epoch=1, updates=9_000),))
    assert line_of("BTCUSDT", drawn(NOW, before, 10.0))[2] == "100"


def test_a_book_that_was_not_there_has_no_rate() -> None:
    """One listed since."""
    lines = drawn(NOW, replace(NOW, books=(COLD,)), 5.0)
    assert line_of("BTCUSDT", lines)[2] == "12,345"
    assert line_of("ETHUSDT", lines)[2] == "0"


def test_the_window_is_redrawn_until_it_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing before the recording has begun; then how it stands, at each look anew."""
    monkeypatch.setattr(live_table, "REFRESH_S", 0.001)
    statuses: Iterator[RecorderStatus | None] = iter([None, NOW, replace(NOW, records=5_001)])
    screen = io.StringIO()
    seen = asyncio.Event()

    def status() -> RecorderStatus | None:
        now = next(statuses, None)
        if now is None and screen.getvalue().count("5,001 records"):
            seen.set()
        return now

    async def story() -> None:
        console = Console(file=screen, width=120, force_terminal=True)
        showing = asyncio.create_task(live_table.show(status, console))
        async with asyncio.timeout(20):
            await seen.wait()
        showing.cancel()
        await asyncio.wait({showing})

    asyncio.run(story())
    assert "5,000 records" in screen.getvalue()
