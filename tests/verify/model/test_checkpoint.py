"""From one segment to the next: the checkpoint and the model's state are equal, part by part."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from booktape.core.events import GapInterval, WaitingEvent
from booktape.core.tape_records import Checkpoint
from booktape.errors import DamagedTape
from booktape.verify.model.checkpoint import checkpoint_of, cold
from support.oracle import event
from verify.replayed import B, ReplayedTape, known

SAVED = Checkpoint(
    received_ns=9,
    symbol=B,
    state="live",
    epoch=3,
    update_id=10,
    updates=4,
    event_time_us=5,
    known_ns=8,
    attempt=0,
    gap=None,
    bid_horizon=99.0,
    ask_horizon=None,
    bids=[(100.0, 1.0), (1e-7, 2.0)],
    asks=[],
    held=[],
    passed=10,
    reached={1: 10, 2: None},
    ahead=[WaitingEvent(7, event(13, 13, {"100": "2"}, symbol=B))],
)
CHANGES: dict[str, Any] = {
    "state": "syncing",
    "epoch": 4,
    "update_id": 11,
    "updates": 5,
    "event_time_us": None,
    "known_ns": 9,
    "gap": GapInterval(B, 3, 1, 10, "id_gap"),
    "bid_horizon": 98.0,
    "ask_horizon": 101.0,
    "bids": [(100.0, 1.0)],
    "asks": [(101.0, 1.0)],
    "held": [WaitingEvent(7, event(13, 13, {"100": "2"}, symbol=B))],
    "passed": None,
    "reached": {1: 10},
    "ahead": [WaitingEvent(7, event(13, 13, {"100": "3"}, symbol=B))],
    "status": "HALT",
}


def fields_of(saved: Checkpoint) -> dict[str, Any]:
    fields = json.loads(msgspec.json.encode(saved))
    del fields["received_ns"]
    return dict(fields)


def restored(saved: Checkpoint) -> ReplayedTape:
    replayed = ReplayedTape()
    replayed.say("checkpoint", 0, **fields_of(saved))
    return replayed


@pytest.mark.parametrize("part", CHANGES)
def test_each_part_counts(part: str) -> None:
    """Two checkpoints that differ in one part are found to differ in that part."""
    one = restored(SAVED).reading.begin.books[B]
    other = restored(replace(SAVED, **{part: CHANGES[part]})).reading.begin.books[B]
    name = {"bid_horizon": "bids", "ask_horizon": "asks"}.get(part, part)
    assert [key for key in one if one[key] != other[key]] == [name]


def test_a_restored_state_equals_the_saved_one() -> None:
    """It continues from there, and rests on the recorder's word."""
    replayed = restored(SAVED)
    assert checkpoint_of(replayed.sync) == replayed.reading.begin.books[B]
    assert replayed.sync.rests_on_start()
    replayed.event(10, 11, 12, connection=2)
    assert replayed.since() == [("row", 3, 5, 12, 10), ("row", 3, 6, 13, 7)]


def test_a_snapshot_ends_what_rests_on_the_beginning() -> None:
    """Except for a gap that began earlier, and events that were held earlier."""
    replayed = restored(SAVED).connected(0, 1).connected(0, 2).gone(10).gone(10, 2).connected(11)
    assert replayed.sync.rests_on_start(), "its gap began where an inherited book was known"
    replayed.answer(12, 20, {"100": "1"})
    assert not replayed.sync.rests_on_start()


def test_the_next_recording_begins_without_connections() -> None:
    """Its state is otherwise the same."""
    replayed = known().connected(3, 2).event(4, 12, 12)
    stored = cold(checkpoint_of(replayed.sync), 1, 10**18)
    assert stored["reached"] == "[]"
    assert stored["ahead"] == stored["held"] == "0"
    assert stored["epoch"] == "1"


def test_a_symbol_that_has_ended_may_be_recorded_again() -> None:
    """The next recording begins with it as with any other unknown symbol."""
    replayed = known()
    replayed.say("status", 4, symbol=B, status="DELISTED")
    stored = checkpoint_of(replayed.sync)
    assert stored["state"] == "ended"
    assert cold(stored, 1, None)["state"] == "cold"


def test_a_book_was_known_no_later_than_now() -> None:
    """A clock that was ahead at the end does not leave the time ahead of everything later; on old tapes it did."""
    stored = checkpoint_of(known().sync)
    known_ns = int(stored["known_ns"])
    assert cold(stored, 1, known_ns - 1)["known_ns"] == str(known_ns - 1)
    assert (
        cold(stored, 1, known_ns + 1)["known_ns"]
        == cold(stored, 1, None)["known_ns"]
        == str(known_ns)
    )


@pytest.mark.parametrize(
    "wrong", [{"bids": [[-1, 2]]}, {"bids": 7}, {"state": "asleep"}, {"held": [7]}, {"gap": 5}]
)
def test_an_invalid_checkpoint_is_damage(wrong: dict[str, Any]) -> None:
    """It is reported as such."""
    fields = fields_of(SAVED) | wrong
    with pytest.raises(DamagedTape, match=r"cannot be restored|is not"):
        ReplayedTape().say("checkpoint", 0, **fields)


def test_events_held_from_before_rest_on_the_beginning() -> None:
    """A snapshot on this tape starts the book, but the events applied to it are not from this tape."""
    held = [WaitingEvent(7, event(21, 21, {"100": "2"}, symbol=B))]
    replayed = restored(replace(SAVED, state="syncing", held=held, ahead=[]))
    replayed.answer(12, 20, {"100": "1"})
    assert replayed.since() == [("row", 4, 0, 20, 12), ("row", 4, 1, 21, 7)]
    assert replayed.sync.inherited


def test_a_gap_between_recordings_is_stored_by_the_one_that_ends_it() -> None:
    """A recording that begins and ends within it stores nothing; one with another reason stores its own gap."""
    for reason, told_again in (("stopped", 0), ("killed", 0), ("no_tape", 0), ("id_gap", 1)):
        gap = GapInterval(B, 3, 1, 10, reason)
        replayed = restored(replace(SAVED, state="cold", gap=gap, ahead=[], reached={}))
        assert len(replayed.end(20).since()) == told_again
