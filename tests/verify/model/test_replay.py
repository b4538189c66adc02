"""A tape has a beginning, a middle and an end; a line in the wrong place is damage."""

from __future__ import annotations

from typing import Any

import pytest

from booktape.errors import DamagedTape
from booktape.store.tape_codec import decode_record
from booktape.verify.model.tape import Line
from verify.replayed import B, ReplayedTape, known


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("gossip", {}),
        ("start", {"every": 1, "symbols": [B]}),
        ("connected", {"connection": "1", "symbols": [B]}),
        ("connected", {"connection": 1, "symbols": B}),
        ("asked", {"symbol": "other"}),
        ("hold-expired", {"symbol": 7}),
        ("end", {"reason": "tired"}),
        ("checkpoint", {"symbol": B}),
        ("ws", {"base64": "*", "connection": 1}),
        ("ws", {"connection": 1}),
        ("rest", {"symbol": B, "limit": 5}),
    ],
)
def test_a_line_in_the_wrong_place_is_damage(kind: str, fields: dict[str, Any]) -> None:
    """Each case is reported as damage."""
    with pytest.raises(DamagedTape):
        known().say(kind, 9, **fields)


def test_a_tape_begins_with_a_start() -> None:
    """It says how often a row is due."""
    with pytest.raises(DamagedTape, match="every is 0"):
        ReplayedTape(every=0)


def test_nothing_may_follow_the_end() -> None:
    """Except the last checkpoints of a recording that stopped."""
    for reason in ("rotated", "stopped"):
        with pytest.raises(DamagedTape, match="after the end"):
            known().end(5, reason).event(6, 11, 11)


def test_a_symbol_listed_later_is_recorded_too() -> None:
    """From the first connection that carries it; the next segment begins with it."""
    replayed = known()
    replayed.say("connected", 3, connection=2, symbols=["NEWUSDT"])
    replayed.say("asked", 4, symbol="NEWUSDT", limit=100)
    replayed.end(5, "rotated")
    assert replayed.reading.end.symbols == (B, "NEWUSDT")
    assert replayed.reading.end.books["NEWUSDT"]["state"] == "syncing"


def test_a_tape_without_an_end_is_truncated() -> None:
    """It is reported as such."""
    replayed = known()
    with pytest.raises(DamagedTape, match="end record is missing"):
        replayed.reading.finish()
    replayed.end(9).reading.finish()


def test_events_of_other_symbols_and_connections_are_ignored() -> None:
    """So are events on connections that do not carry the symbol."""
    replayed = known().event(3, 11, 11, connection=7)
    replayed.say("ws", 4, connection=1, m={"e": "depthUpdate", "E": 1, "s": "X", "U": 11, "u": 11})
    replayed.say("ws", 4, connection=1, base64="/w==")
    assert replayed.since() == []


def test_connections_that_were_taken_over_belong_to_the_beginning() -> None:
    """Those with the time of the start do; later ones do not."""
    replayed = ReplayedTape().connected(0, 1).connected(5, 2).connected(0, 3)
    assert replayed.reading.begin.connections == {1: (B,)}


def test_a_hold_that_ran_out_releases_buffered_events() -> None:
    """These are the events that ran ahead."""
    replayed = known().connected(3, 2).event(4, 12, 12)
    replayed.say("hold-expired", 5, symbol=B)
    assert replayed.answer(6, 12, {}).since()[0][0] == "gap"


def test_notes_are_stored() -> None:
    """A status and a clock step."""
    replayed = known().status(3, "HALT")
    replayed.say("clock-step", 4, step_ns=1_500_000)
    assert replayed.since() == [
        ("note", B, "status", "HALT"),
        ("note", None, "clock_step", "0.001500"),
    ]
    assert replayed.sync.status == "HALT"


@pytest.mark.parametrize("fields", ['"k":"ws","connection":1', '"k":"rest","symbol":"B","limit":5'])
def test_a_message_without_its_payload_is_damage_for_both_readers(fields: str) -> None:
    """No recorder writes such a line: it is not merely a message that could not be decoded."""
    line = f'{{{fields},"received_ns":1}}\n'.encode()
    with pytest.raises(DamagedTape):
        Line.read(line).payload()
    with pytest.raises(DamagedTape):
        decode_record(line)
