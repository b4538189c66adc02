"""The order in which segments were recorded, whatever their names say."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Final

import pytest

from booktape.store.layout import Segment
from booktape.store.lineage import Beginning, Lineage

BTC, ETH = frozenset({"BTCUSDT"}), frozenset({"ETHUSDT"})
AHEAD: Final = 400 * 86_400 * 10**6


def begin(
    start_us: int, tag: str, *before: Segment, symbols: frozenset[str] = BTC, old: bool = False
) -> Beginning:
    segment = Segment(start_us, tag)
    names = None if old else tuple(one.name for one in before)
    return Beginning(segment, start_us, symbols, names)


def lineage(
    *beginnings: Beginning, carried_over: Mapping[Segment, frozenset[str]] | None = None
) -> Lineage:
    """The order in which they are listed does not matter."""
    listed = list(beginnings)
    Random(len(listed)).shuffle(listed)
    return Lineage(listed, lambda segment: (carried_over or {}).get(segment, frozenset()))


def test_a_clock_that_was_ahead_changes_no_order() -> None:
    """A tape names its predecessor; a segment stamped by the fast clock has no known end."""
    first = begin(10, "a")
    ahead = begin(AHEAD, "b", first.segment)
    back = begin(20, "c", ahead.segment)
    later = begin(30, "c", back.segment)
    found = lineage(first, ahead, back, later)
    assert found.order == [each.segment for each in (first, ahead, back, later)]
    assert found.last() == [later.segment]
    assert found.reaching_into(25, 26) == {back.segment} | {first.segment}
    assert found.reaching_into(35, 36) == {later.segment, first.segment}
    assert found.reaching_into(AHEAD + 5, None) == {ahead.segment, later.segment}
    assert found.end_us(ahead.segment) is None


def test_two_archives_in_one_folder_stay_apart() -> None:
    """Each segment ends where its own recorder's next one begins."""
    a1 = begin(10, "a")
    a2 = begin(20, "a", a1.segment)
    b1 = begin(12, "b", symbols=ETH)
    b2 = begin(22, "b", b1.segment, symbols=ETH)
    found = lineage(a1, a2, b1, b2)
    assert found.order == [each.segment for each in (a1, b1, a2, b2)]
    assert found.last() == [a2.segment, b2.segment]
    assert found.reaching_into(15, 16) == {a1.segment, b1.segment}
    assert found.reaching_into(20, 21) == {a2.segment, b1.segment}
    both = begin(40, "c", a2.segment, b2.segment, symbols=BTC | ETH)
    found = lineage(a1, a2, b1, b2, both)
    assert found.last() == [both.segment]
    assert found.reaching_into(40, None) == {both.segment}


def test_workers_and_their_successors() -> None:
    """Each continues from all segments of earlier runs; none of its own run had begun."""
    alone = begin(10, "a", symbols=BTC | ETH)
    w0 = begin(20, "bw0", alone.segment)
    w1 = begin(21, "bw1", alone.segment, symbols=ETH)
    w0_next = begin(30, "bw0", w0.segment)
    found = lineage(alone, w0, w1, w0_next)
    assert found.last() == [w1.segment, w0_next.segment]
    assert found.last(but_of_run="b") == [alone.segment]
    assert found.reaching_into(25, 26) == {w0.segment, w1.segment}


def test_a_missing_predecessor_is_named() -> None:
    """A segment continues from one that does not exist."""
    gone, here = Segment(10, "a"), begin(20, "a", Segment(10, "a"))
    found = lineage(here)
    assert found.missing[here.segment] == (gone.name,)
    assert found.before[here.segment] == ()
    assert found.order == [here.segment]


def test_older_tapes_continue_by_name() -> None:
    """Within a recorder the name decides; between two, the symbols that the later one took over."""
    a1, a2 = begin(10, "a", old=True), begin(20, "a", old=True)
    b1 = begin(12, "b", symbols=ETH, old=True)
    c1 = begin(40, "c", symbols=BTC | ETH, old=True)
    found = lineage(a1, a2, b1, c1, carried_over={c1.segment: BTC | ETH})
    assert found.before == {
        a1.segment: (),
        a2.segment: (a1.segment,),
        b1.segment: (),
        c1.segment: (b1.segment, a2.segment),
    }
    # Symbols that the recorder in between only passed on count too.
    d1 = begin(50, "d", old=True)
    taken = {c1.segment: BTC | ETH, d1.segment: ETH}
    assert lineage(a1, a2, b1, c1, d1, carried_over=taken).before[d1.segment] == (c1.segment,)


def test_a_tape_without_a_predecessor_is_placed_by_its_name() -> None:
    """It is placed between those of its own recorder; tapes that name it find it."""
    first = begin(10, "a")
    damaged = Beginning.unknown(Segment(20, "a"))
    last = begin(30, "a", damaged.segment)
    found = lineage(first, damaged, last)
    assert found.order == [first.segment, damaged.segment, last.segment]
    assert found.last() == [last.segment]


@pytest.mark.parametrize("length", [1, 2, 3])
def test_tapes_that_continue_from_each_other_cause_no_endless_loop(length: int) -> None:
    """Only a forger writes such tapes; each is visited once."""
    ring = [Segment(number, "a") for number in range(length)]
    begun = [begin(s.start_us, "a", ring[number - 1]) for number, s in enumerate(ring)]
    assert sorted(lineage(*begun).order) == ring


def test_a_range_without_ends_includes_every_segment() -> None:
    """An empty range includes none."""
    first, second = begin(10, "a"), begin(20, "a", Segment(10, "a"))
    both = {first.segment, second.segment}
    assert lineage(first, second).reaching_into(None, None) == both
    assert lineage(first, second).reaching_into(None, 10) == set()
    assert lineage(first, second).reaching_into(10**18, None) == {second.segment}
    assert lineage().reaching_into(1, 2) == set()
