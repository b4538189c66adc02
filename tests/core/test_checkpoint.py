"""A machine restored from a checkpoint is the same machine."""

from __future__ import annotations

from typing import Final

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from booktape.core.arbitration import SymbolFeed
from booktape.core.checkpoint import restore, save
from booktape.core.events import (
    BookSynced,
    FetchSnapshot,
    StreamSilent,
    UnreadableAnswer,
    WaitingEvent,
)
from booktape.core.sync import SymbolSync, SyncInput, SyncOutput
from booktape.core.tape_records import Checkpoint
from support.oracle import SECOND, connected, event, frozen, lost, snapshot

B: Final = "BTCUSDT"

ITEMS: Final = st.one_of(
    st.just(connected(1)),
    st.just(lost(1)),
    st.just(UnreadableAnswer()),
    st.builds(snapshot, st.integers(0, 30), st.just({"100": "1", "99": "2"}), limit=st.just(2)),
    st.builds(
        lambda first, more, size: event(first, first + more, {"100": size}, {"101": "1"}),
        st.integers(0, 30),
        st.integers(0, 3),
        st.sampled_from(["0", "1", "2"]),
    ),
)


def say(machine: SymbolSync, items: list[SyncInput]) -> list[object]:
    """All outputs, with the book after each input."""
    history: list[object] = []
    for at, item in enumerate(items):
        outputs: tuple[SyncOutput, ...] = machine.handle(item, at)
        history += [outputs, machine.state, frozen(machine.row(at))]
    return history


@given(before=st.lists(ITEMS, max_size=12), after=st.lists(ITEMS, max_size=12))
def test_a_restored_machine_continues_identically(
    before: list[SyncInput], after: list[SyncInput]
) -> None:
    """This holds at any moment, after any inputs, and through JSON; no input raises."""
    machine = SymbolSync(B)
    machine.handle(connected(0), 0)
    say(machine, before)
    restored, _ = through_text(save(machine, SymbolFeed(), 5))
    assert save(restored, SymbolFeed(), 5) == save(machine, SymbolFeed(), 5)
    assert say(restored, after) == say(machine, after)


def test_a_restored_live_book_has_the_time_of_its_last_event() -> None:
    """If no event came since, the next row's `event_time` is that of the last event before the segment."""
    machine = SymbolSync(B)
    machine.handle(connected(0), 0)
    machine.handle(event(5, 7), 1 * SECOND)
    machine.handle(snapshot(6), 2 * SECOND)
    machine.handle(event(5, 7), 3 * SECOND)
    restored, _ = through_text(save(machine, SymbolFeed(), 5))
    assert machine.event_time_us is not None
    assert restored.event_time_us == machine.event_time_us


def test_a_restored_book_keeps_both_of_its_times() -> None:
    """One is when it became known, which the next row shows; the other is its last, later proof."""
    machine = SymbolSync(B)
    machine.handle(connected(0), 0)
    machine.handle(snapshot(6), 2 * SECOND)
    machine.note_proof(5 * SECOND)
    restored, _ = through_text(save(machine, SymbolFeed(), 5))
    assert (restored.stamp_ns, restored.known_ns) == (2 * SECOND, 5 * SECOND)
    assert restored.row(6 * SECOND).received_ns == 2 * SECOND


def test_a_restored_machine_has_counted_no_stale_answer() -> None:
    """Two more must come after the checkpoint before an answer with lower ids is believed."""
    machine = SymbolSync(B)
    machine.handle(connected(0), 0)
    machine.handle(snapshot(6), 2 * SECOND)
    machine.handle(StreamSilent(), 3 * SECOND)
    restored, _ = through_text(save(machine, SymbolFeed(), 5))
    answers = [restored.handle(snapshot(4), n * SECOND) for n in (4, 5, 6)]
    assert [type(answer) for (answer,) in answers] == [FetchSnapshot, FetchSnapshot, BookSynced]


def through_text(saved: Checkpoint) -> tuple[SymbolSync, SymbolFeed]:
    return restore(msgspec.json.decode(msgspec.json.encode(saved), type=Checkpoint))


def test_a_restored_feed_continues_identically() -> None:
    """It keeps each connection's progress and the waiting events: the hole is filled afterwards."""
    feed = SymbolFeed(10, {1: 10, 2: None, 3: 9})
    feed.accept(1, event(12, 12), 2 * SECOND)
    _, restored = through_text(save(SymbolSync(B), feed, 5))
    assert restored == feed
    assert restored.accept(3, event(10, 11), 3 * SECOND) == [
        (3 * SECOND, event(10, 11)),
        (2 * SECOND, event(12, 12)),
    ]


def test_a_checkpoint_is_a_copy() -> None:
    """Later inputs do not change a checkpoint taken earlier."""
    machine, feed = SymbolSync(B), SymbolFeed(7, {1: 7, 2: None})
    machine.handle(connected(1), 1 * SECOND)
    machine.handle(event(5, 7), 2 * SECOND)
    feed.accept(1, event(9, 9), 3 * SECOND)
    saved = save(machine, feed, 5)
    _, other = restore(saved)
    for later in (feed, other):
        later.accept(1, event(10, 10), 9 * SECOND)
    machine.handle(event(8, 9), 9 * SECOND)
    assert saved.held == [WaitingEvent(2 * SECOND, event(5, 7))]
    assert (saved.reached, saved.ahead) == (
        {1: 9, 2: None},
        [WaitingEvent(3 * SECOND, event(9, 9))],
    )
