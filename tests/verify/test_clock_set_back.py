"""A clock that is set back moves back what waits, and symbols that are not recorded: for the recorder, and for
`verify`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from booktape.core.tape_records import Checkpoint, ClockStep, SegmentEnd, SegmentStart, Tick
from booktape.store.tape_reader import read_tape
from store.small_recording import record
from support.oracle import SECOND, connected, event, lost, rest, snapshot, stream
from verify.small import BTC, ETH, opening, sealed, top, verified

BACK_S = 10
ASK = {"101": "1"}


def begins(at: int, *symbols: str) -> SegmentStart:
    return replace(opening(at, *symbols, every=1), format=2, pulse_s=30.0)


def last_checkpoints(tape: Path) -> dict[str, Checkpoint]:
    """The state of each symbol after the end of a tape."""
    words, ended = {}, False
    for frame in read_tape(tape):
        ended = ended or isinstance(frame, SegmentEnd)
        if ended and isinstance(frame, Checkpoint):
            words[frame.symbol] = frame
    return words


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Two symbols, then one of them alone, then both. In the second recording the clock is set back."""
    eth = snapshot(5, {"3": "8"}, {"4": "1"}, symbol=ETH, limit=3)
    btc = snapshot(10, {"100": "1"}, ASK, limit=3)
    both = (connected(1, 1, (BTC, ETH)), rest(btc, 2), rest(eth, 3))
    alone = (
        connected(101, 1, (BTC,)),
        rest(snapshot(40, {"100": "1"}, ASK, limit=3), 102),
        Tick(103 * SECOND, SECOND),
        # A witness is ahead of the book, and waits for the event that leads to its id.
        top(42, {"100": "2"}, ASK, 103),
        Tick(104 * SECOND, SECOND),
        ClockStep(94 * SECOND, -BACK_S * SECOND),
        stream(event(41, 42, {"100": "2"}), 95, 1),
        lost(96, 1, alive=96),
    )
    again = (
        connected(201, 1, (BTC, ETH)),
        rest(snapshot(50, {"100": "1"}, ASK, limit=3), 202),
        rest(replace(eth, last_id=9), 203),
    )
    recordings = ((0, (BTC, ETH), both), (100, (BTC,), alone), (200, (BTC, ETH), again))
    for at, symbols, scenes in recordings:
        record(tmp_path, scenes, opening=begins(at, *symbols), tag=f"r{at}")
    return tmp_path


def test_a_waiting_witness_proves_nothing_about_the_future(archive: Path) -> None:
    """Its stamp from before the step is later than the event that it agrees with: the gap begins at that event."""
    gaps = [row for path in sealed(archive, "gaps") for row in pq.read_table(path).to_pylist()]
    (gap,) = (
        g for g in gaps if (g["symbol"], g["reason"]) == (BTC, "disconnected") and g["end_time"]
    )
    assert gap["start_time"].timestamp() == 95
    assert verified(archive).found.kept == []


def test_a_symbol_that_is_not_recorded_moves_along(archive: Path) -> None:
    """Its checkpoint is carried on with all its times moved; otherwise its next gap would begin in the future."""
    first, second, _ = (last_checkpoints(tape)[ETH] for tape in sealed(archive, "tape"))
    for name in ("known_ns", "stamp_ns", "synced_ns"):
        assert getattr(second, name) == getattr(first, name) - BACK_S * SECOND, name
    assert first.gap
    assert second.gap
    assert second.gap.start_ns == first.gap.start_ns - BACK_S * SECOND
    assert verified(archive).found.kept == []
