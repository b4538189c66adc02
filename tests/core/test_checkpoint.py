"""A machine that was written down and set up again is the same machine."""

from __future__ import annotations

from typing import Final

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from booktape.core.checkpoint import restore, save
from booktape.core.events import Held, Unreadable
from booktape.core.frames import Checkpoint
from booktape.core.sync import Input, Output, SymbolSync
from oracle import SECOND, connected, event, frozen, lost, snapshot

B: Final = "BTCUSDT"

ITEMS: Final = st.one_of(
    st.just(connected(1)),
    st.just(lost(1)),
    st.just(Unreadable()),
    st.builds(snapshot, st.integers(0, 30), st.just({"100": "1", "99": "2"}), limit=st.just(2)),
    st.builds(
        lambda first, more, size: event(first, first + more, {"100": size}, {"101": "1"}),
        st.integers(0, 30),
        st.integers(0, 3),
        st.sampled_from(["0", "1", "2"]),
    ),
)


def say(machine: SymbolSync, items: list[Input]) -> list[object]:
    """All outputs, and the book after each input."""
    said: list[object] = []
    for at, item in enumerate(items):
        outputs: tuple[Output, ...] = machine.take(item, at)
        said += [outputs, machine.state, frozen(machine.row(at))]
    return said


@given(before=st.lists(ITEMS, max_size=12), after=st.lists(ITEMS, max_size=12))
def test_a_restored_machine_goes_on_identically(before: list[Input], after: list[Input]) -> None:
    """At any moment, after any inputs, also through JSON; and none of them raises."""
    machine = SymbolSync(B)
    machine.take(connected(0), 0)
    say(machine, before)
    text = msgspec.json.encode(save(machine, 5))
    restored = restore(msgspec.json.decode(text, type=Checkpoint))
    assert save(restored, 5) == save(machine, 5)
    assert say(restored, after) == say(machine, after)


def test_a_checkpoint_is_a_copy() -> None:
    """What happens later does not reach a checkpoint that was taken before."""
    machine = SymbolSync(B)
    machine.take(connected(1), 1 * SECOND)
    machine.take(event(5, 7), 2 * SECOND)
    saved = save(machine, 5)
    machine.take(event(8, 9), 9 * SECOND)
    assert saved.held == [Held(2 * SECOND, event(5, 7))]
