"""Every output is counted; those that a user should know are logged once, in one line."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from booktape.core.checks import Check, Difference
from booktape.core.events import (
    BookLost,
    BookSynced,
    FetchSnapshot,
    GapInterval,
    MalformedMessage,
    Note,
    ReplaceConnection,
    ServerShutdown,
    UnknownEvent,
)
from booktape.core.sync import SymbolSync
from booktape.core.tape_records import SegmentStart
from booktape.reconstruct import Output, Reconstruction
from booktape.recorder.status import SHOWN, BookStatus, BookTop
from booktape.recorder.telemetry import Telemetry
from support.oracle import connected, event, lost, snapshot

B = "BTCUSDT"
GAP = GapInterval(B, 1, 2, 10, "id_gap", 4, 15)


def known(symbol: str = B) -> SymbolSync:
    """A book with one bid and two asks, after one update."""
    sync = SymbolSync(symbol)
    sync.handle(connected(1), 1)
    sync.handle(snapshot(10, {"100": "1"}, {"101": "1"}), 2)
    sync.handle(event(11, 11, asks={"102": "1"}), 3)
    return sync


@pytest.mark.parametrize(
    ("output", "line"),
    [
        (BookSynced(B, 2, 15), {"event": "book synced", "symbol": B, "epoch": 2, "update_id": 15}),
        (BookLost(GAP), {"event": "book out of sync", "symbol": B, "epoch": 1, "reason": "id_gap"}),
        (GAP, {"event": "gap", "symbol": B, "reason": "id_gap", "missed_updates": 4}),
        (
            MalformedMessage(3, "why"),
            {"event": "malformed message", "connection": 3, "detail": "why"},
        ),
        (ServerShutdown(), {"event": "the exchange announces a shutdown of its server"}),
        (
            Note(B, 1, "status", "HALT"),
            {"event": "symbol status", "symbol": B, "detail": "HALT"},
        ),
        (
            Note(None, 1, "clock_step", "-5.000000"),
            {"event": "clock step", "symbol": "all", "detail": "-5.000000"},
        ),
        (UnknownEvent("trade"), {"event": "unknown event, kept on the tape", "name": "trade"}),
    ],
)
def test_an_output_that_concerns_data_is_one_log_line(output: Output, line: dict[str, Any]) -> None:
    """The line has the output's details."""
    with capture_logs() as lines:
        Telemetry().record(output)
    (logged,) = lines
    del logged["log_level"]
    assert logged == line


@pytest.mark.parametrize(
    "output",
    [
        ReplaceConnection(3, "why"),
        FetchSnapshot(B, 2),
        Note(B, 1, "status", "TRADING"),
        Note(None, 1, "clock_offset", "0.001"),
    ],
)
def test_requests_and_routine_notes_are_not_logged(output: Output) -> None:
    """Each start notes the status of every symbol, and every quarter of an hour the clock offset is noted."""
    with capture_logs() as lines:
        Telemetry().record(output)
    assert lines == []


def test_a_status_that_changes_is_logged() -> None:
    """Whatever the new status is: trading again is news too."""
    telemetry = Telemetry()
    with capture_logs() as lines:
        for status in ("TRADING", "HALT", "TRADING"):
            telemetry.record(Note(B, 1, "status", status))
    assert [line["detail"] for line in lines] == ["HALT", "TRADING"]


def test_rows_are_counted_and_not_logged() -> None:
    """There are thousands of them."""
    telemetry = Telemetry()
    with capture_logs() as lines:
        for _ in range(3):
            telemetry.record(known().row(5))
    assert lines == []
    assert telemetry.rows == {B: 3}


def test_checks_that_agree_are_counted_and_not_logged() -> None:
    """They come ten times a second."""
    telemetry = Telemetry()
    with capture_logs() as lines:
        telemetry.record(Check(B, 1, 10, "rest", 2_000))
        telemetry.record(Check(B, 2, 11, "depth20", 400, (), 10))
    assert lines == []
    assert telemetry.checks == {B: 11}
    assert telemetry.mismatches == {}


def test_a_check_that_differs_is_logged_as_an_error() -> None:
    """The line has the first level that differs, and the check is counted."""
    telemetry, wrong = Telemetry(), Difference("bid", 99.0, 1.0, 2.0)
    with capture_logs() as lines:
        telemetry.record(Check(B, 1, 10, "depth20", 40, (wrong, wrong)))
    assert lines == [
        {
            "event": "book differs from a witness",
            "log_level": "error",
            "symbol": B,
            "witness": "depth20",
            "update_id": 10,
            "levels": 2,
            "first": wrong,
        }
    ]
    assert (telemetry.checks, telemetry.mismatches) == ({B: 1}, {B: 1})


def test_an_unknown_event_is_logged_once_and_counted_always() -> None:
    """A stream of them would fill the log."""
    telemetry = Telemetry()
    with capture_logs() as lines:
        for name in ("trade", "trade", "kline"):
            telemetry.record(UnknownEvent(name))
    assert [line["name"] for line in lines] == ["trade", "kline"]
    assert telemetry.unknown == {"trade": 2, "kline": 1}


def test_a_gap_is_counted_when_it_is_stored() -> None:
    """If it also counted when it opens, it would count twice."""
    telemetry = Telemetry()
    with capture_logs():
        telemetry.record(BookLost(GAP))
        telemetry.record(GAP)
    assert telemetry.gaps == {B: 1}


def test_the_status_of_a_book() -> None:
    """State, epoch, updates, what was stored of it, and its last evidence; no levels are read."""
    telemetry, sync = Telemetry(), known()
    with capture_logs():
        telemetry.record(sync.row(5))
        telemetry.record(GAP)
    status = telemetry.book_status(sync, 9)
    expected = BookStatus(B, "live", 1, 1, 1, 1, "", sync.known_ns, lost_ns=4 - 2)
    assert status == replace(expected, lag_ns=sync.lag_ns)


def test_time_in_gaps_counts_from_the_start() -> None:
    """A gap that began before it, between two recordings, counts from the start; an open gap counts too."""
    telemetry, sync = Telemetry(), known()
    telemetry.started_ns = 100
    with capture_logs():
        telemetry.record(GapInterval(B, 1, 2, 10, "stopped", 130, 15))
        telemetry.record(GapInterval(B, 1, 140, 10, "id_gap", 150, 15))
    assert telemetry.book_status(sync, 200).lost_ns == 40
    sync.handle(lost(160), 160)
    assert sync.gap
    started_ns = max(sync.gap.start_ns, 100)
    assert telemetry.book_status(sync, 200).lost_ns == 40 + 200 - started_ns


def test_an_unknown_book_has_a_reason_and_no_prices() -> None:
    """An empty side has no best price either."""
    telemetry, books = Telemetry(), Reconstruction()
    books.apply(SegmentStart(1, "0", "sim", 1, 5_000, (B,)))
    sync = books.syncs[B] = known()
    sync.handle(event(12, 12, {"100": "0"}), 4)
    (book,) = telemetry.books(books, 9)
    assert book.top == BookTop(2, None, 101.0)
    sync.handle(lost(5), 5)
    (book,) = telemetry.books(books, 9)
    expected = BookStatus(B, "cold", 1, 2, 0, 0, "disconnected", 4, lost_ns=9 - 4)
    assert book == replace(expected, lag_ns=sync.lag_ns)


def test_the_status_of_a_recorder() -> None:
    """Every book, the number of records, and the latest queue length and lag."""
    telemetry, books = Telemetry(), Reconstruction()
    books.apply(SegmentStart(1, "0", "sim", 1, 5_000, ("ETHUSDT", B)))
    telemetry.count_records(50, 7, 2_500_000)
    telemetry.count_records(3, 0, 1_500_000)
    assert [book.symbol for book in telemetry.books(books, 9)] == [B, "ETHUSDT"]
    assert (telemetry.records, telemetry.waiting, telemetry.lag_ns) == (53, 0, 1_500_000)


def test_levels_are_read_only_for_the_books_that_are_shown() -> None:
    """Reading levels costs the event loop time; for the other books only counters are read."""
    telemetry, books = Telemetry(), Reconstruction()
    symbols = tuple(f"S{n:02}USDT" for n in range(SHOWN + 1))
    books.apply(SegmentStart(1, "0", "sim", 1, 5_000, symbols))
    for symbol in symbols:
        books.syncs[symbol] = known(symbol)
    found = telemetry.books(books, 9)
    assert [book.symbol for book in found] == list(symbols)
    assert [book.top is not None for book in found] == [True] * SHOWN + [False]
