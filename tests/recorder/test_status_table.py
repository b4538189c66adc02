"""The status on a terminal: the table, its rates, and the line below it."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import pytest
from rich.console import Console

from booktape.recorder import status_table as live_table
from booktape.recorder.status import (
    SHOWN,
    Blocked,
    BookStatus,
    BookTop,
    RecorderStatus,
    RetentionStatus,
)
from booktape.recorder.status_table import age, price, render
from booktape.ship.backlog import Backlog

NOW_NS: Final = 10**18
BTC: Final = BookStatus(
    *("BTCUSDT", "live", 2, 1_000, 80, 1, "", NOW_NS - 400_000_000, NOW_NS - 12 * 10**9),
    top=BookTop(12_345, 61_222.5, 61_222.51),
)
COLD: Final = BookStatus("ETHUSDT", "cold", 0, 0, 0, 0)
LOST: Final = BookStatus("XRPUSDT", "syncing", 1, 7, 3, 1, "id_gap", NOW_NS - 90 * 10**9)
NOW: Final = RecorderStatus(
    *(NOW_NS, NOW_NS - 1_800 * 10**9, (BTC, COLD, LOST), 5_000, 7, 1.25, 2, 31, 170_000_000),
    segment="2026-11-22T10-00-00Z",
)


def drawn(
    now: RecorderStatus, before: RecorderStatus = NOW, seconds: float = 0.0, lines: int = SHOWN
) -> list[str]:
    """The table as lines of text."""
    console = Console(file=io.StringIO(), width=160)
    with console.capture() as captured:
        console.print(render(now, before, seconds, lines))
    return captured.get().splitlines()


def line_of(symbol: str, lines: list[str]) -> list[str]:
    return next(line.replace("│", " ").split() for line in lines if symbol in line)


def test_each_book_has_a_line() -> None:
    """With prices and ages; no rate in the first status; for an unknown book the reason instead of prices."""
    lines = drawn(NOW)
    book = "BTCUSDT live 61222.5 61222.51 12,345 400 ms 12 s 0 80 1"
    assert line_of("BTCUSDT", lines) == book.split()
    assert line_of("ETHUSDT", lines) == ["ETHUSDT", "cold", "0", "0", "0"]
    assert line_of("XRPUSDT", lines) == ["XRPUSDT", "syncing:", "id_gap", "2", "min", "0", "3", "1"]


def test_no_more_books_are_shown_than_fit() -> None:
    """The others are counted by their trouble."""
    lines = drawn(NOW, lines=1)
    assert line_of("BTCUSDT", lines)
    assert not any("ETHUSDT" in line for line in lines)
    assert "and 2 more: 2 not known" in lines
    assert "more" not in " ".join(drawn(NOW))


@pytest.mark.parametrize(
    ("age_ms", "text"),
    [
        (0, "0 ms"),
        (999, "999 ms"),
        (1_000, "1 s"),
        (59_000, "59 s"),
        (120_000, "2 min"),
        (10**8, "28 h"),
    ],
)
def test_an_age_is_one_number_and_its_unit(age_ms: int, text: str) -> None:
    """From milliseconds to hours; empty for never, and never below zero."""
    assert age(NOW_NS - age_ms * 10**6, NOW_NS) == text
    assert age(0, NOW_NS) == ""
    assert age(NOW_NS + 1, NOW_NS) == "0 ms"


@pytest.mark.parametrize(
    ("value", "text"),
    [(61_222.5, "61222.5"), (0.00000001, "0.00000001"), (100.0, "100"), (None, "")],
)
def test_a_price_has_all_its_digits(value: float | None, text: str) -> None:
    """As the exchange writes it, without trailing zeros."""
    assert price(value) == text


def test_the_last_line_counts_all_books() -> None:
    """It includes those that are not shown."""
    last = drawn(NOW)[-1]
    assert last.startswith("1 of 3 books known · 5,000 records · lag 1.2 ms · 7 waiting")
    assert "31 REST requests · 340 MB an hour" in last


def test_lost_log_lines_are_counted_below_the_table() -> None:
    """They are shown with the table, where they are noticed, and only if there are any."""
    assert "lost" not in " ".join(drawn(NOW))
    assert "1,200 lines of the log lost" in " ".join(drawn(replace(NOW, lost_lines=1_200)))


def test_segments_that_wait_for_a_bucket_are_shown_below_the_table() -> None:
    """This applies if segments are shipped and some are not in the bucket yet."""
    waits = Backlog(2, 34_100_000, NOW_NS / 1e9 - 3_720)
    shown = " ".join(line.strip() for line in drawn(replace(NOW, backlog=waits)))
    assert "2 segments (34.1 MB, the oldest for 1:02:00) not shipped" in shown
    assert "not shipped" not in " ".join(drawn(replace(NOW, backlog=Backlog(0, 0, None))))


def test_a_block_of_retention_is_shown_above_the_last_line() -> None:
    """It takes one line, however long the reason is, and none while nothing blocks retention."""
    why = {Blocked.UNVERIFIED: "first: it is not verified", Blocked.FAILED: "x" * 500}
    lines = drawn(replace(NOW, retention=RetentionStatus(NOW_NS - 7_200 * 10**9, why)))
    text = "retention blocked, complete 2 h ago: first: it is not verified; xxx"
    assert lines[-2].startswith(text)
    assert drawn(replace(NOW, retention=RetentionStatus(NOW_NS))) == drawn(NOW)


def test_a_rate_is_counted_since_an_earlier_status() -> None:
    """It spans seconds, so that a worker without a new report does not seem to have stopped."""
    before = replace(NOW, books=(replace(BTC, updates=940),))
    assert line_of("BTCUSDT", drawn(NOW, before, 5.0))[5] == "12"


def test_the_rate_of_a_new_epoch_counts_from_its_beginning() -> None:
    """Its update count starts at zero again; the rate is never negative."""
    before = replace(NOW, books=(replace(BTC, epoch=1, updates=9_000),))
    assert line_of("BTCUSDT", drawn(NOW, before, 10.0))[5] == "100"


def test_a_new_book_has_no_rate() -> None:
    """Its symbol was listed after the earlier status."""
    lines = drawn(NOW, replace(NOW, books=(COLD,)), 5.0)
    assert line_of("BTCUSDT", lines)[5:7] == ["400", "ms"]
    assert line_of("ETHUSDT", lines)[2] == "0"


@pytest.mark.real_time
async def test_the_table_is_redrawn_until_it_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is drawn before the recording has begun; then each look shows the current status."""
    monkeypatch.setattr(live_table, "REFRESH_S", 0.001)
    statuses: Iterator[RecorderStatus | None] = iter([None, NOW, replace(NOW, records=5_001)])
    screen = io.StringIO()
    seen = asyncio.Event()

    def status() -> RecorderStatus | None:
        now = next(statuses, None)
        if now is None and screen.getvalue().count("5,001 records"):
            seen.set()
        return now

    console = Console(file=screen, width=160, force_terminal=True)
    showing = asyncio.create_task(live_table.show(status, console))
    async with asyncio.timeout(60):
        await seen.wait()
    showing.cancel()
    await asyncio.wait({showing})
    assert "5,000 records" in screen.getvalue()
