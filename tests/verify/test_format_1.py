"""A tape of format 1 gives the rows, gaps and checks that its recorder stored, by both implementations."""

from __future__ import annotations

from pathlib import Path

import pytest

import booktape
from store.small_recording import Scene, record
from support.oracle import asked, connected, event, rest, snapshot, start, stream, top
from verify.small import verified

BOOK = {"99": "1"}, {"101": "1"}
AGREED: dict[str, tuple[Scene, ...]] = {
    "an audit": (asked(6), rest(snapshot(10, *BOOK), 7)),
    "depth20": (stream(top(10, *BOOK), 7, 1),),
}


@pytest.mark.parametrize("what", AGREED)
def test_a_gap_begins_at_the_last_event_whatever_agreed_later(tmp_path: Path, what: str) -> None:
    """Evidence counts from format 2 on: otherwise a rebuilt archive would have other gaps than the original."""
    scenes = (connected(1, 1), rest(snapshot(10, *BOOK), 2), *AGREED[what])
    opening = start(every=2, audit_s=900.0, format=1, witness="depth20")
    record(tmp_path, (*scenes, stream(event(15, 15), 9, 1)), opening=opening, tag="old")
    (gap,) = booktape.open(tmp_path).gaps().to_pylist()
    assert (gap["reason"], gap["start_time"].timestamp()) == ("id_gap", 2)
    assert verified(tmp_path).found.kept == []
