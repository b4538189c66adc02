"""What happened is counted, and what a person should know is said once, in one line."""

from __future__ import annotations

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
from booktape.recorder.status import SHOWN, BookStatus, RecorderStatus
from booktape.recorder.telemetry import Telemetry
from support.oracle import connected, event, lost, snapshot

B = "BTCUSDT"
GAP = GapInterval(B, 1, 2, 10, "id_gap", 4, 15)


def known() -> SymbolSync:
    """A book of one bid and two asks, after one update."""
    sync = SymbolSync(B)
    sync.handle(connected(1), 1)
    sync.handle(snapshot(10, {"100": "1"}, {"101": "1"}), 2)
    sync.handle(event(11, 11, asks={"102": "1"}), 3)
    return sync


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (BookSynced(B, 2, 15), {"event": "book known", "symbol": B, "epoch": 2, "update_id": 15}),
        (BookLost(GAP), {"event": "book lost", "symbol": B, "epoch": 1, "reason": "id_gap"}),
        (GAP, {"event": "gap", "symbol": B, "reason": "id_gap", "missed_updates": 4}),
        (
            MalformedMessage(3, "why"),
            {"event": "malformed message", "connection": 3, "detail": "why"},
        ),
        (ServerShutdown(), {"event": "the exchange announces a shutdown of its server"}),
        (
            Note(B, 1, "status", "HALT"),
            {"event": "noted", "symbol": B, "kind": "status", "detail": "HALT"},
        ),
        (
            Note(None, 1, "clock_step", "-5.000000"),
            {"event": "noted", "symbol": "all", "kind": "clock_step", "detail": "-5.000000"},
        ),
        (UnknownEvent("trade"), {"event": "unknown event, kept on the tape", "name": "trade"}),
        (ReplaceConnection(3, "why"), {"event": "to be replaced", "connection": 3, "why": "why"}),
        (FetchSnapshot(B, 2), {"event": "asking for a snapshot", "symbol": B, "attempt": 2}),
    ],
)
def test_each_output_is_one_line(output: Output, said: dict[str, Any]) -> None:
    """With its particulars; what concerns data at least as a notice, mere requests below that."""
    with capture_logs() as lines:
        Telemetry().record(output)
    (line,) = lines
    quiet = isinstance(output, ReplaceConnection | FetchSnapshot)
    assert (line.pop("log_level") == "debug") is quiet
    assert line == said


def test_rows_are_counted_and_not_said() -> None:
    """There are thousands of them."""
    telemetry = Telemetry()
    with capture_logs() as lines:
        for _ in range(3):
            telemetry.record(known().row(5))
    assert lines == []
    assert telemetry.rows == {B: 3}


def test_what_witnesses_confirm_is_counted_and_not_said() -> None:
    """Ten times a second."""
    telemetry = Telemetry()
    with capture_logs() as lines:
        telemetry.record(Check(B, 1, 10, "rest", 2_000))
        telemetry.record(Check(B, 2, 11, "depth20", 400, (), 10))
    assert lines == []
    assert telemetry.checks == {B: 11}
    assert telemetry.mismatches == {}


def test_a_witness_that_differs_is_an_error() -> None:
    """Said with the first of its levels, and counted."""
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


def test_an_unknown_event_is_said_once_and_counted_always() -> None:
    """A stream of them would fill the log."""
    telemetry = Telemetry()
    with capture_logs() as lines:
        for name in ("trade", "trade", "kline"):
            telemetry.record(UnknownEvent(name))
    assert [line["name"] for line in lines] == ["trade", "kline"]
    assert telemetry.unknown == {"trade": 2, "kline": 1}


def test_a_gap_is_counted_when_it_is_stored() -> None:
    """Not when it opens: it would count twice."""
    telemetry = Telemetry()
    with capture_logs():
        telemetry.record(BookLost(GAP))
        telemetry.record(GAP)
    assert telemetry.gaps == {B: 1}


def test_how_a_book_stands() -> None:
    """State, epoch, updates, levels, spread, and what was stored of it."""
    telemetry, sync = Telemetry(), known()
    with capture_logs():
        telemetry.record(sync.row(5))
        telemetry.record(GAP)
    assert telemetry.book_status(sync) == BookStatus(B, "live", 1, 1, 3, 1.0, 1, 1)


def test_a_book_that_is_not_known_has_no_spread() -> None:
    """Nor has one of which a side is empty."""
    sync = known()
    sync.handle(event(12, 12, {"100": "0"}), 4)
    assert Telemetry().book_status(sync).spread is None
    sync.handle(lost(5), 5)
    assert Telemetry().book_status(sync) == BookStatus(B, "cold", 1, 2, 0, None, 0, 0)


def test_how_all_of_it_stands() -> None:
    """Every book, frames in all, and of the rest the latest: what waits, and how late we are."""
    telemetry, books = Telemetry(), Reconstruction()
    for _ in books.feed(SegmentStart(1, "0", "sim", 1, 5_000, ("ETHUSDT", B))):
        pass
    telemetry.count_records(50, 7, 2_500_000)
    telemetry.count_records(3, 0, 1_500_000)
    status = telemetry.status(books, 4, "first")
    assert [book.symbol for book in status.books] == ["ETHUSDT", B]
    assert status == RecorderStatus(status.books, 2, 0, 0, 0, 53, 0, 1.5, 4, "first")


def test_only_some_books_are_looked_at() -> None:
    """To look at one costs it some work, in the loop; of the others the state alone is counted."""
    telemetry, books = Telemetry(), Reconstruction()
    symbols = tuple(f"S{n}USDT" for n in range(SHOWN + 1))
    for _ in books.feed(SegmentStart(1, "0", "sim", 1, 5_000, symbols)):
        pass
    books.syncs[symbols[-1]] = known()
    with capture_logs():
        telemetry.record(books.syncs[symbols[-1]].row(5))
        telemetry.record(GAP)
    status = telemetry.status(books, 4, "first")
    assert [book.symbol for book in status.books] == list(symbols[:-1])
    assert (status.recorded, status.known, status.rows, status.gaps) == (SHOWN + 1, 1, 1, 1)
