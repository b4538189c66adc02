"""The exchange's procedure, as lines: what must be stored, and nothing else."""

from __future__ import annotations

import pytest

from booktape.verify.model import sync as machine_module
from booktape.verify.model.sync import ModelState
from verify.replayed import B, ReplayedTape, known


def test_a_snapshot_is_a_book_at_once() -> None:
    """No event needs to have come; without a connection the snapshot is ignored."""
    replayed = ReplayedTape().answer(1, 5, {"100": "1"})
    assert replayed.since() == []
    assert replayed.connected(2).answer(3, 10, {"100": "1"}).since() == [("row", 1, 0, 10, 3)]


def test_held_events_follow_the_snapshot() -> None:
    """Those contained in the snapshot are dropped; each of the others keeps its own time."""
    replayed = ReplayedTape().connected(1).event(2, 9, 10).event(3, 10, 12).event(4, 13, 13)
    assert replayed.answer(5, 11, {"100": "1"}).since() == [
        ("row", 1, 0, 11, 5),
        ("row", 1, 1, 12, 3),
        ("row", 1, 2, 13, 4),
    ]


def test_every_second_event_makes_a_row() -> None:
    """Counted from the start of the epoch."""
    replayed = known(every=2).event(3, 11, 11).event(4, 12, 12).event(5, 13, 13)
    assert replayed.since() == [("row", 1, 2, 12, 4)]


@pytest.mark.parametrize(("first", "last"), [(5, 10), (10, 10), (1, 2)])
def test_old_events_change_nothing(first: int, last: int) -> None:
    """Those up to the book's own id."""
    assert known().event(3, first, last, {"100": "9"}).since() == []


def test_an_event_that_overlaps_is_applied() -> None:
    """Its sizes are absolute."""
    assert known().event(3, 8, 11).since() == [("row", 1, 1, 11, 3)]


def test_a_broken_chain_opens_a_gap() -> None:
    """It begins when the book was last known; a snapshot that is too old does not close it."""
    replayed = known().event(3, 11, 11).event(5, 13, 14)
    assert replayed.since() == [("row", 1, 1, 11, 3)]
    assert replayed.sync.state == ModelState.SYNCING
    assert replayed.answer(6, 11, {}).since() == []
    assert replayed.answer(7, 12, {"100": "1"}).since() == [
        ("gap", 1, 3, 7, 11, 12, 0, "id_gap"),
        ("row", 2, 0, 12, 7),
        ("row", 2, 1, 14, 5),
    ]


def test_no_snapshot_takes_the_book_back() -> None:
    """To an id before the last known one."""
    replayed = known().gone(5).connected(6)
    assert replayed.answer(7, 9, {}).since() == []
    assert replayed.answer(8, 10, {}).since()[0][0] == "gap"


def test_losing_the_last_connection_loses_the_book() -> None:
    """Everything until its last sign of life is known; held events are dropped."""
    replayed = known().connected(3, 2).gone(4)
    assert replayed.sync.live
    replayed.gone(9, 2, alive=8).connected(10).event(11, 12, 12).gone(12).connected(13)
    assert replayed.answer(14, 20, {}).since() == [
        ("gap", 1, 8, 14, 10, 20, 9, "disconnected"),
        ("row", 2, 0, 20, 14),
    ]


def test_too_many_held_events_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """It starts over with the newest."""
    monkeypatch.setattr(machine_module, "_HELD_MAX", 2)
    replayed = ReplayedTape().connected(1).event(2, 1, 1).event(3, 2, 2).event(4, 3, 3)
    assert [held.event.last for held in replayed.sync.held] == [3]


def test_a_delisted_symbol_has_no_gap() -> None:
    """Nothing that comes later counts, except an event."""
    replayed = known().status(5, "DELISTED").answer(6, 20, {}).gone(7).connected(8)
    assert replayed.since() == [("note", B, "status", "DELISTED")]
    assert replayed.sync.state == ModelState.ENDED
    replayed.event(9, 10, 10).status(9, "DELISTED").since()
    assert replayed.event(10, 12, 12).sync.state == ModelState.SYNCING
    assert replayed.answer(11, 12, {}).since()[0] == ("gap", 1, 5, 11, 10, 12, 1, "delisted")


def test_a_symbol_delisted_while_lost_ends_its_gap() -> None:
    """No state follows."""
    replayed = known().event(3, 12, 12).status(5, "DELISTED")
    assert replayed.since()[1] == ("gap", 1, 2, 5, 10, None, None, "id_gap")


def test_a_gap_never_ends_before_it_began() -> None:
    """Even if our clock was set back."""
    replayed = known().gone(50, alive=40).connected(3).answer(4, 20, {})
    assert replayed.since() == [
        ("gap", 1, 40, 40, 10, 20, 9, "disconnected"),
        ("row", 2, 0, 20, 4),
    ]


def test_stopping_reports_only_gaps_that_are_already_open() -> None:
    """Gaps that begin with the stop are not reported."""
    replayed = known().event(3, 12, 12).end(9)
    assert replayed.since() == [("gap", 1, 2, None, 10, None, None, "id_gap")]
    assert known().end(9).since() == []


def test_stopping_releases_buffered_events() -> None:
    """An event that ran ahead is due when no connection can bring the previous one."""
    replayed = known().connected(3, 2).event(4, 12, 12).end(9)
    assert replayed.sync.gap
    assert replayed.sync.gap.reason == "id_gap"
    assert replayed.sync.state == ModelState.COLD
