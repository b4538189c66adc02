"""What a segment of format 2 passes on to the next one, and how a segment begins after one of format 1."""

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
from verify.replayed_in_seconds import SECOND, TimedTape, live

# Live at id 10 since 2 s; its last event was stamped at 8 s, and a witness agreed at 9 s.
SAVED = Checkpoint(
    received_ns=0,
    symbol=B,
    state="live",
    epoch=3,
    update_id=10,
    updates=4,
    event_time_us=7_900_000,
    known_ns=9 * SECOND,
    attempt=0,
    gap=None,
    bid_horizon=None,
    ask_horizon=None,
    bids=[(100.0, 1.0)],
    asks=[(101.0, 1.0)],
    held=[],
    passed=10,
    reached={1: 10},
    ahead=[],
    status="TRADING",
    tick_size="0.01",
    lot_size="0.001",
    synced_ns=2 * SECOND,
    stamp_ns=8 * SECOND,
    evidence_age_ns=140 * SECOND,
    newest_us=7_900_000,
    newest_id=10,
)
CHANGES: dict[str, Any] = {
    "state": "break",
    "known_ns": 8 * SECOND,
    "status": "HALT",
    "tick_size": "0.1",
    "lot_size": "",
    "synced_ns": 3 * SECOND,
    "stamp_ns": 9 * SECOND,
    "evidence_age_ns": 0,
    "newest_us": 0,
    "newest_id": 9,
}


def restored(saved: Checkpoint = SAVED, **other: Any) -> TimedTape:
    replayed = TimedTape()
    fields = json.loads(msgspec.json.encode(saved)) | other
    del fields["received_ns"]
    replayed.say("checkpoint", 0, **fields)
    return replayed.up(0)


@pytest.mark.parametrize("part", CHANGES)
def test_each_part_counts(part: str) -> None:
    """Two checkpoints that differ in one part are found to differ in that part."""
    one = restored().reading.begin.books[B]
    other = restored(**{part: CHANGES[part]}).reading.begin.books[B]
    # A book that is not known has no evidence, so no age of it.
    more = {"evidence_age_ns"} if part == "state" else set()
    assert {key for key in one if one[key] != other[key]} == {part} | more


def test_a_restored_state_equals_the_saved_one() -> None:
    """It continues from there."""
    replayed = restored()
    assert checkpoint_of(replayed.sync) == replayed.reading.begin.books[B]
    assert replayed.came(10, 11, 12).since() == [("row", 3, 5, 12, 10)]


@pytest.mark.parametrize("part", ["synced_ns", "stamp_ns", "newest_us", "newest_id", "tick_size"])
def test_a_checkpoint_of_format_2_must_be_complete(part: str) -> None:
    """One that lacks a part is damage."""
    replayed = TimedTape()
    fields = json.loads(msgspec.json.encode(SAVED))
    del fields["received_ns"], fields[part]
    with pytest.raises(DamagedTape, match=part):
        replayed.say("checkpoint", 0, **fields)


def test_a_break_is_allowed_on_tapes_of_format_2_only() -> None:
    """On format 1 it is damage."""
    fields = json.loads(msgspec.json.encode(replace(SAVED, state="break")))
    del fields["received_ns"]
    with pytest.raises(DamagedTape, match="cannot be restored"):
        ReplayedTape().say("checkpoint", 0, **fields)


def test_evidence_survives_the_segment_boundary() -> None:
    """The last witness before it counts until other evidence comes."""
    assert restored().down(20).lost == (9, "disconnected")
    replayed = restored(known_ns=8 * SECOND)
    assert replayed.down(20).lost == (8, "disconnected"), "an event, and no sample in this segment"
    replayed = restored(synced_ns=8 * SECOND, known_ns=8 * SECOND)
    assert replayed.down(20).lost == (8, "disconnected")


def test_the_age_of_evidence_continues() -> None:
    """140 s of a limit of 150."""
    replayed = restored().ticks(10, 19)
    assert replayed.lost is None
    assert replayed.tick(20).lost == (9, "silent")


def test_an_age_of_0_begins_at_the_first_tick() -> None:
    """It says that nothing has been counted yet."""
    replayed = restored(evidence_age_ns=0).ticks(10, 160)
    assert replayed.lost is None
    assert replayed.tick(161).lost == (9, "silent")


def test_the_age_passed_on_is_that_of_the_last_tick() -> None:
    """0 if something has proved the book since."""
    replayed = live().ticks(3, 7)
    assert checkpoint_of(replayed.sync)["evidence_age_ns"] == str(4 * SECOND)
    replayed.best(7.5, 10)
    assert checkpoint_of(replayed.sync)["evidence_age_ns"] == "0"
    assert checkpoint_of(replayed.tick(8).sync)["evidence_age_ns"] == "0"
    assert checkpoint_of(replayed.tick(9).sync)["evidence_age_ns"] == str(SECOND)
    assert checkpoint_of(replayed.down(9.5).sync)["evidence_age_ns"] == "0"


def test_timers_start_over_with_a_segment() -> None:
    """Those of a hold and of data that is ahead; also the usual lag and the habits of a connection."""
    ahead = [WaitingEvent(9 * SECOND, event(12, 12, symbol=B))]
    replayed = restored(replace(SAVED, reached={1: 10, 2: 10}, ahead=ahead))
    replayed.up(0, 2)
    assert replayed.ticks(10, 12).lost is None
    assert replayed.tick(13).lost == (9, "id_gap")


def test_a_book_that_did_not_move_in_this_segment_is_no_sample() -> None:
    """Its event was seen in the previous one."""
    replayed = restored(known_ns=8 * SECOND).tick(10).came(20, 11, 11, E=12).down(21)
    assert replayed.lost == (20, "disconnected")


def test_ids_that_fall_back_after_the_segment_boundary() -> None:
    """The newest id and time are passed on; an event that waits for the next one is not."""
    replayed = restored().came(20, 1, 2).came(21, 3, 3)
    assert replayed.lost == (9, "ids_reset")
    assert restored(newest_id=0, newest_us=0).came(20, 1, 2).came(21, 3, 3).lost is None


def test_known_facts_about_a_symbol_are_not_noted_again() -> None:
    """In the next segment."""
    replayed = restored().listed(10, "TRADING", "0.01", "0.001").listed(11, "HALT", "0.01", "0.001")
    assert replayed.since() == [("note", 11, B, "status", "HALT")]


def test_the_next_recording_begins_without_connections() -> None:
    """Known facts about the list and the last evidence are passed on."""
    replayed = live().came(3, 11, 11).listed(4, "BREAK", "0.01", "1").listed(5, "BREAK", "0.1")
    replayed.say("end", 6, reason="stopped")
    stored = cold(replayed.reading.end.books[B], 2, None)
    assert stored == replayed.reading.end.books[B]
    assert {part: stored[part] for part in ("state", "status", "tick_size", "lot_size")} == {
        "state": "cold",
        "status": "BREAK",
        "tick_size": "0.1",
        "lot_size": "1",
    }
    assert (stored["stamp_ns"], stored["newest_id"]) == (str(3 * SECOND), "0")


def test_an_archive_of_format_1_is_continued() -> None:
    """Parts that it did not store are unknown; the rest is unchanged."""
    old = known().gone(5)
    stored = cold(checkpoint_of(old.sync), 2, None)
    gap = GapInterval(B, 1, 5, 10, "disconnected")
    new = restored(
        replace(SAVED, state="cold", epoch=1, updates=0, event_time_us=None, known_ns=2, gap=gap),
        newest_id=0,
        bids=[],
        asks=[],
        status="",
        tick_size="",
        lot_size="",
        synced_ns=0,
        stamp_ns=0,
        evidence_age_ns=0,
        newest_us=0,
        passed=None,
        reached={},
    )
    assert new.reading.begin.books[B] == stored


def test_a_gap_that_format_1_began_ends_on_format_2() -> None:
    """At its snapshot."""
    gap = GapInterval(B, 3, 5 * SECOND, 10, "disconnected")
    replayed = restored(replace(SAVED, state="cold", gap=gap), reached={}, stamp_ns=0, synced_ns=0)
    assert replayed.snapshot(12, 20).since() == [
        ("gap", 3, 5, 12, 10, 20, 9, "disconnected"),
        ("row", 4, 0, 20, 12),
    ]
