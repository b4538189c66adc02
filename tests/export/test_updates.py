"""A replay becomes changes of levels that rebuild every book, under clocks that never fall."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import numpy as np

import booktape
from booktape.core.events import Level
from booktape.export.updates import Break, Update, changed, updates
from booktape.reader import Book, Gap, Step
from booktape.reader.times import moment_us
from support.oracle import SYMBOL


def followed(items: list[Update | Break]) -> list[tuple[dict[float, float], dict[float, float]]]:
    """The book after each update, built only from the changes."""
    books: list[tuple[dict[float, float], dict[float, float]]] = []
    for item in items:
        if isinstance(item, Update):
            bids, asks = ({}, {}) if item.opens else books[-1]
            books.append((applied(bids, item.bids), applied(asks, item.asks)))
    return books


def applied(side: dict[float, float], levels: list[Level]) -> dict[float, float]:
    return {price: size for price, size in (side | dict(levels)).items() if size}


def sides(book: Book) -> tuple[dict[float, float], dict[float, float]]:
    bids = zip(book.bid_price.tolist(), book.bid_size.tolist(), strict=True)
    return dict(bids), dict(zip(book.ask_price.tolist(), book.ask_size.tolist(), strict=True))


def steps(rec: booktape.Recording) -> list[Step]:
    return [item for item in rec.replay(SYMBOL) if isinstance(item, Step)]


def test_the_changes_rebuild_every_book(rec: booktape.Recording) -> None:
    """Every book, across an audit that adds levels, a gap and a new segment."""
    books = [sides(step.book) for step in steps(rec)]
    assert len(books) > 250
    assert len({(b.epoch, b.bid_horizon) for b in (step.book for step in steps(rec))}) == 3
    assert followed(list(updates(rec.replay(SYMBOL)))) == books


def test_neither_clock_falls(rec: booktape.Recording) -> None:
    """Although held events are stamped before their snapshot, and the exchange's times jump."""
    received = [step.book.receive_time for step in steps(rec)]
    assert received != sorted(received)
    sent = [s.book.event_time for s in steps(rec) if s.book.event_time and s.book.epoch == 1]
    assert sent != sorted(sent)
    for before, after in pairwise(updates(rec.replay(SYMBOL))):
        assert before.exchange_us <= after.exchange_us
        assert before.local_us <= after.local_us


def test_a_stamp_is_the_recorded_one_unless_a_clock_would_fall(rec: booktape.Recording) -> None:
    """No time is invented: each is an event's own, or that of an earlier one."""
    local = [moment_us(step.book.receive_time) for step in steps(rec)]
    found = [item for item in updates(rec.replay(SYMBOL)) if isinstance(item, Update)]
    assert [item.local_us for item in found] == np.maximum.accumulate(local).tolist()


def test_a_snapshot_has_the_exchange_time_of_the_next_event(rec: booktape.Recording) -> None:
    """It has none of its own."""
    opening, following = list(updates(rec.replay(SYMBOL)))[:2]
    assert isinstance(opening, Update)
    assert opening.opens
    assert opening.book.event_time is None
    assert opening.exchange_us <= following.exchange_us < opening.local_us


def test_a_snapshot_before_a_long_silence_has_our_time(rec: booktape.Recording) -> None:
    """The next event may be far away: the exchange's time is then at most ours."""
    opening, following = steps(rec)[:2]
    assert following.book.event_time is not None
    late = replace(following.book, event_time=following.book.event_time + timedelta(seconds=60))
    first, _ = updates([opening, replace(following, book=late)])
    assert first.exchange_us == first.local_us == moment_us(opening.book.receive_time)
    (alone,) = updates([opening])
    assert alone.exchange_us == alone.local_us


def test_a_gap_is_a_break_at_the_moment_it_begins(rec: booktape.Recording) -> None:
    """Also one after everything else; the updates after it open with the whole book."""
    items = list(updates(rec.replay(SYMBOL)))
    breaks = [item for item in items if isinstance(item, Break)]
    gaps = [item for item in rec.replay(SYMBOL) if isinstance(item, Gap)]
    assert [item.gap for item in breaks] == gaps
    assert [item.local_us for item in breaks] == [moment_us(gap.start_time) for gap in gaps]
    behind = items[items.index(breaks[0]) + 1]
    assert isinstance(behind, Update)
    assert behind.opens
    assert [item.epoch for item in items] == sorted(item.epoch for item in items)


def test_a_gap_before_everything_is_left_out(rec: booktape.Recording) -> None:
    """There is no book yet that could end."""
    items = list(rec.replay(SYMBOL))
    begins = next(n for n, item in enumerate(items) if isinstance(item, Gap))
    first = next(iter(updates(items[begins:])))
    assert isinstance(first, Update)
    assert first.opens


def test_two_consecutive_gaps_make_one_break(rec: booktape.Recording) -> None:
    """The second has no book that could end."""
    (opening, *_), (gap, *_) = steps(rec), [g for g in rec.replay(SYMBOL) if isinstance(g, Gap)]
    kinds = [type(item) for item in updates([opening, gap, gap])]
    assert kinds == [Update, Break]


def test_a_replay_that_begins_between_two_snapshots_opens_with_the_whole_book(
    rec: booktape.Recording,
) -> None:
    """As with `--from`; the event of its first step shows only the changes."""
    found = steps(rec)[20:30]
    assert found[0].event is not None
    items = list(updates(found))
    assert [item.opens for item in items if isinstance(item, Update)] == [True] + [False] * 9
    assert followed(items) == [sides(step.book) for step in found]


def test_steps_left_out_within_an_epoch_are_followed_by_the_whole_book(
    rec: booktape.Recording,
) -> None:
    """A replay between two times leaves some out where our clock went back: no event shows what changed in them."""
    found = [*steps(rec)[20:30], *steps(rec)[35:40]]
    items = [item for item in updates(found) if isinstance(item, Update)]
    assert [n for n, item in enumerate(items) if item.opens] == [0, 10]
    assert followed([*items]) == [sides(step.book) for step in found]


def test_changes_follow_from_the_two_books() -> None:
    """A removed level, one with another size, a new one; nothing for an equal one."""
    old, new = np.array([[4.0, 3.0, 2.0], [1, 1, 1]]), np.array([[5.0, 3.0, 2.0], [7, 1, 9]])
    assert changed(*old, *new) == [(4.0, 0.0), (5.0, 7.0), (2.0, 9.0)]
