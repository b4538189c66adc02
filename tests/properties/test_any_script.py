"""The central promise: after any script, each row is the truth at its id, or a gap says so."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from booktape.core.events import BookLost, ReplaceConnection
from booktape.core.tape_records import (
    ROTATED,
    Checkpoint,
    Connected,
    Disconnected,
    SegmentEnd,
    SegmentStart,
    TapeRecord,
)
from booktape.reconstruct import Reconstruction
from properties.any_script import Script, play
from properties.covered_script import play_covered
from support.oracle import frozen


@given(st.randoms(use_true_random=False))
def test_any_script_keeps_every_promise(chance: Random) -> None:
    """Drops, repeats, swaps, cuts, rollovers, late and unreadable answers, on up to 4 connections."""
    play(chance)


@given(st.randoms(use_true_random=False))
def test_there_is_no_gap_while_each_event_comes_on_some_connection(chance: Random) -> None:
    """Connections drop, garble, lag, roll over and are cut: one epoch, no gap, no second request."""
    play_covered(chance)


@pytest.mark.long
@pytest.mark.parametrize("hundred", range(2))
def test_numbered_scripts_keep_every_promise(hundred: int) -> None:
    """The scripts that find every loosened rule find nothing in the real table."""
    for seed in range(hundred * 100, hundred * 100 + 100):
        play(Random(seed))
        play_covered(Random(seed))


@pytest.mark.long
def test_the_scripts_of_connections_are_eventful() -> None:
    """Where books must not be affected, connections still come and go, and events run ahead and wait."""
    notes: list[TapeRecord] = []
    waits = 0
    for seed in range(50):
        machine = Reconstruction()
        for note in play_covered(Random(seed)).tape:
            feeds = machine.arbiter.feeds.values()
            before = sum(bool(feed.buffered) for feed in feeds)
            assert all(not isinstance(output, BookLost) for output in machine.apply(note))
            waits += sum(bool(feed.buffered) for feed in feeds) > before
            notes.append(note)
    assert waits >= 50
    assert sum(isinstance(note, Connected) for note in notes) >= 200
    assert sum(isinstance(note, Disconnected) for note in notes) >= 100


@pytest.mark.long
def test_scripts_are_eventful() -> None:
    """They lose books and updates, resync several times, and produce many rows: none is trivial."""
    scripts = [play(Random(seed)) for seed in range(100)]
    pages = [page for script in scripts for page in script.ledger.pages.values()]
    assert max(page.epoch for page in pages) >= 4
    assert sum(page.epoch > 1 for page in pages) >= 50
    assert sum(len(page.missed) for page in pages) >= 200
    assert sum(len(page.reflected) for page in pages) >= 1_000


def continued(machine: Reconstruction, opening: SegmentStart, at: int) -> Reconstruction:
    """Another machine that knows only what the next segment of the tape begins with."""
    saved = msgspec.json.decode(
        msgspec.json.encode(list(machine.checkpoints(at))), type=list[Checkpoint]
    )
    standing = [Connected(at, number, held) for number, held in machine.arbiter.connections.items()]
    fresh = Reconstruction()
    beginning: list[TapeRecord] = [opening, *saved, *standing]
    for frame in beginning:
        assert list(fresh.apply(frame)) == []
    return fresh


def outputs_of(machine: Reconstruction, frames: list[TapeRecord]) -> list[object]:
    """All outputs but `ReplaceConnection`: that request concerns a connection, not a book."""
    outputs = [output for frame in frames for output in machine.apply(frame)]
    return [frozen(output) for output in outputs if not isinstance(output, ReplaceConnection)]


@pytest.mark.parametrize("act", [play, play_covered])
@pytest.mark.parametrize("seed", range(6))
def test_a_tape_cut_anywhere_gives_the_same_outputs(
    seed: int, act: Callable[[Random], Script]
) -> None:
    """Segment start, checkpoints and open connections replace everything before the cut."""
    tape = act(Random(seed)).tape
    opening = tape[0]
    assert isinstance(opening, SegmentStart)
    for cut in range(1 + seed % 2, len(tape) + 1, 2):
        first = Reconstruction()
        end = SegmentEnd(tape[cut - 1].received_ns, ROTATED)
        outputs_of(first, [*tape[:cut], end])
        after = outputs_of(continued(first, opening, end.received_ns), tape[cut:])
        assert after == outputs_of(first, tape[cut:]), f"cut after frame {cut}"


def test_the_same_tape_gives_the_same_bytes() -> None:
    """Reading a tape twice gives byte-equal rows: they depend on the tape alone."""
    tape = play(Random(7)).tape
    assert outputs_of(Reconstruction(), tape) == outputs_of(Reconstruction(), tape)
