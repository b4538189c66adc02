"""One event can be followed from the session to its row by searchable names: these are the steps."""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType

from booktape.store.layout import Layout, Segment
from booktape.store.session import RecordingSession
from store.fragile import SameThread
from support.oracle import connected, event, rest, snapshot, start, stream

BTC = "BTCUSDT"

HOPS = (
    "RecordingSession.handle",
    "SegmentWriter.write",
    "Reconstruction.apply",
    "Reconstruction._on_message",
    "decode_event",
    "Reconstruction._on_symbol_message",
    "SymbolFeed.accept",
    "Reconstruction._apply_ready",
    "SymbolPipeline.handle",
    "SymbolSync.handle",
    "SymbolSync._apply",
    "OrderBook.apply",
    "SymbolPipeline._on_applied",
    "BookChecks.on_applied",
    "SymbolSync.row",
    "Reconstruction._emit",
    "RecordingSession._store",
    "SegmentWriter.add_row",
)


def test_an_event_becomes_a_row_by_these_steps(tmp_path: Path) -> None:
    """In this order, each at least once; docs/architecture.md names most of their files."""
    session = RecordingSession(Layout(tmp_path), Segment(0, "a"), SameThread(), start(BTC))
    session.handle(connected(1))
    session.handle(rest(snapshot(10), 2))
    called: list[str] = []

    def remember(frame: FrameType, what: str, _: object) -> None:
        if what == "call":
            called.append(frame.f_code.co_qualname)

    sys.setprofile(remember)
    try:
        session.handle(stream(event(11, 11), 3))
    finally:
        sys.setprofile(None)
    hops = iter(called)
    assert all(hop in hops for hop in HOPS), called
