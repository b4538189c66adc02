"""Each book has a limit: above it the book is declared lost, and its memory is freed.

`tests/e2e/test_floods.py` floods a recorder with real numbers; here the limit is small.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import booktape
from booktape.checks import book_checks
from booktape.checks.symbol_pipeline import SymbolPipeline
from booktape.core.events import BookLost, BookRow, FetchSnapshot, GapInterval, Urgency
from booktape.core.sync import State, SymbolSync
from booktape.verify.model import sync as model_sync
from store.small_recording import Scene, record
from support.oracle import (
    SECOND,
    Texts,
    asked,
    connected,
    event,
    rest,
    snapshot,
    start,
    stream,
    tick,
)
from verify.small import verified

B = "BTCUSDT"
LIMIT = 12


@pytest.fixture(autouse=True)
def small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives both implementations the same small limit; their real one is far above any real book."""
    assert book_checks.LEVELS_MAX == model_sync._LEVELS_MAX == 1_000_000
    monkeypatch.setattr(book_checks, "LEVELS_MAX", LIMIT)
    monkeypatch.setattr(model_sync, "_LEVELS_MAX", LIMIT)


def bids(first: int, count: int, size: str = "1") -> Texts:
    return {str(price): size for price in range(first, first + count)}


def known(levels: int = 4) -> SymbolPipeline:
    """LIVE at id 10, with one ask."""
    pipeline = SymbolPipeline(SymbolSync(B), 1, 1_000, 5_000)
    pipeline.handle(connected(1), SECOND)
    pipeline.on_snapshot(snapshot(10, bids(1, levels - 1), {"101": "1"}), 2 * SECOND)
    return pipeline


def test_a_book_at_its_limit_is_known() -> None:
    """Removed levels make room for others, however many events there were."""
    pipeline = known()
    for at in range(11, 30):
        first = 4 + 8 * (at % 2)
        change = {**bids(4 + 8 * ((at + 1) % 2), 8, "0"), **bids(first, 8)}
        (row,) = pipeline.handle(event(at, at, change), at * SECOND)
        assert isinstance(row, BookRow)
        assert len(row.bid_price) + len(row.ask_price) == LIMIT


def test_with_one_level_more_the_book_is_lost() -> None:
    """It is lost from that event on, without a row; a snapshot is requested with the usual urgency."""
    pipeline = known()
    pipeline.handle(event(11, 11, bids(4, 8)), 3 * SECOND)
    gone, request = pipeline.handle(event(12, 12, bids(12, 1)), 4 * SECOND)
    assert gone == BookLost(GapInterval(B, 1, 4 * SECOND, 12, "too_large"))
    assert request == FetchSnapshot(B, 1)
    assert isinstance(request, FetchSnapshot)
    assert request.urgency is Urgency.LOST
    assert pipeline.sync.state is State.SYNCING
    assert pipeline.sync.book.count() == 0


def test_levels_added_by_an_audit_count() -> None:
    """They count at the next event, as those of a snapshot do."""
    pipeline = SymbolPipeline(SymbolSync(B), 1, 1_000, 5_000)
    pipeline.sync.snapshot_limit = 2
    pipeline.handle(connected(1), SECOND)
    pipeline.on_snapshot(snapshot(10, bids(98, 2), {"101": "1"}, limit=2), 2 * SECOND)
    pipeline.handle(event(11, 11, bids(99, 1, "2")), 3 * SECOND)
    pipeline.on_request_sent(3 * SECOND)
    deep = {**bids(80, 19), "99": "2"}
    pipeline.on_snapshot(snapshot(11, deep, {"101": "1"}), 4 * SECOND)
    assert pipeline.sync.book.count() == 21
    gone, _ = pipeline.handle(event(12, 12, {"99": "3"}), 5 * SECOND)
    assert isinstance(gone, BookLost)
    assert gone.gap.reason == "too_large"


SCENES: tuple[Scene, ...] = (
    connected(1, 1),
    rest(snapshot(10, bids(1, 3), {"101": "1"}), 2),
    stream(event(11, 11, bids(4, 8)), 3, 1),
    tick(4),
    stream(event(12, 12, bids(12, 2)), 5, 1),
    stream(event(13, 13, bids(14, 2)), 6, 1),
    asked(6),
    rest(snapshot(13, bids(1, 3), {"101": "1"}), 7),
    stream(event(14, 14, bids(1, 1, "3")), 8, 1),
)


@pytest.mark.parametrize("tape_format", [1, 2])
def test_verify_derives_the_same_gap(tmp_path: Path, tape_format: int) -> None:
    """Even on old tapes, whose recorders had no limit: none of their books came near it."""
    opening = start(B, every=1, format=tape_format)
    scenes = [one for one in SCENES if tape_format == 2 or one != tick(4)]
    record(tmp_path, scenes, opening=opening, tag="only")
    (gap,) = booktape.open(tmp_path).gaps().to_pylist()
    assert (gap["reason"], gap["last_update_id"], gap["next_update_id"]) == ("too_large", 12, 13)
    assert verified(tmp_path).found.kept == []
