"""Would we notice? Each rule by which connections are merged is loosened, and scripts must find it.

As in test_loosened_rules.py: numbered scripts are played until one shows a broken promise. Some rules show in scripts
of any trouble, some in those where every event is delivered.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Final, TypeAlias

import pytest

from booktape.core.arbitration import FeedArbiter, ReleasedEvents, SymbolFeed
from booktape.core.events import DepthEvent, WaitingEvent
from properties.any_script import play
from properties.covered_script import play_covered
from properties.ledger import Violation

pytestmark = pytest.mark.long

SCRIPTS: Final = 500
"""The number tried for each loosened rule, in both kinds of script."""

Loosened: TypeAlias = tuple[type[SymbolFeed | FeedArbiter], str, Callable[..., Any]]


def never(*_: object) -> bool:
    return False


def nothing(*_: object) -> ReleasedEvents:
    return []


def anything_may_be_missing(feed: SymbolFeed, first_id: int) -> bool:
    return feed.last_released is not None and first_id > feed.last_released + 1


def newcomers_are_not_waited_for(feed: SymbolFeed, first_id: int) -> bool:
    if feed.last_released is None or first_id <= feed.last_released + 1:
        return False
    return any(at is not None and at < first_id - 1 for at in feed.last_by_connection.values())


def without_bound(feed: SymbolFeed, first_id: int) -> bool:
    if feed.last_released is None or first_id <= feed.last_released + 1:
        return False
    return any(at is None or at < first_id - 1 for at in feed.last_by_connection.values())


def all_must_be_behind(feed: SymbolFeed, first_id: int) -> bool:
    if feed.last_released is None or first_id <= feed.last_released + 1:
        return False
    return all(at is None or at < first_id - 1 for at in feed.last_by_connection.values())


def a_hole_of_one_is_none(feed: SymbolFeed, first_id: int) -> bool:
    return waits(feed, first_id) and waits(feed, first_id - 1)


def take_without_what_runs_ahead(
    feed: SymbolFeed, connection: int, event: DepthEvent, at: int
) -> ReleasedEvents:
    if feed.last_released is not None and event.first_id > feed.last_released + 1:
        feed.last_by_connection[connection] = event.last_id
        return []
    return take(feed, connection, event, at)


def take_out_of_order(
    feed: SymbolFeed, connection: int, event: DepthEvent, at: int
) -> ReleasedEvents:
    """Events wait in order of arrival, whatever their ids."""
    earlier, feed.buffered = feed.buffered, []
    ready = take(feed, connection, event, at)
    feed.buffered = earlier + feed.buffered
    return ready + feed._release()


def take_forgetting_how_far(
    feed: SymbolFeed, connection: int, event: DepthEvent, at: int
) -> ReleasedEvents:
    before = feed.last_by_connection[connection]
    ready = take(feed, connection, event, at)
    feed.last_by_connection[connection] = before
    return ready


def release_copies_too(feed: SymbolFeed) -> ReleasedEvents:
    ready: ReleasedEvents = []
    while feed.buffered and not feed._is_waited_for(feed.buffered[0].event.first_id):
        first = feed.buffered.pop(0)
        feed.last_released = max(feed.last_released or 0, first.event.last_id)
        ready.append((first.received_ns, first.event))
    return ready


def release_the_first_only(feed: SymbolFeed) -> ReleasedEvents:
    ready = release(feed)
    later = (WaitingEvent(at, item) for at, item in ready[1:] if isinstance(item, DepthEvent))
    feed.buffered = [*later, *feed.buffered]
    for _, first in ready[:1]:
        assert isinstance(first, DepthEvent)
        feed.last_released = first.last_id
    return ready[:1]


def leave_without_releasing(feed: SymbolFeed, connection: int) -> ReleasedEvents:
    feed.last_by_connection.pop(connection, None)
    if not feed.last_by_connection:
        feed.last_released, feed.buffered = None, []
    return []


def leave_beginning_anew(feed: SymbolFeed, connection: int) -> ReleasedEvents:
    ready = leave(feed, connection)
    feed.last_released = None
    return ready


def leave_and_remain(feed: SymbolFeed, connection: int) -> ReleasedEvents:
    at = feed.last_by_connection.get(connection)
    ready = leave(feed, connection)
    if feed.last_by_connection:
        feed.last_by_connection[connection] = at
    return ready


def know_without_releasing(feed: SymbolFeed, update_id: int) -> ReleasedEvents:
    feed.last_released = max(feed.last_released or 0, update_id)
    return []


def always(*_: object) -> bool:
    return True


def delivers_though_something_waits(merge: FeedArbiter, connection: int, symbol: str) -> bool:
    return merge.feeds[symbol].last_by_connection.get(connection) is not None


take, release, leave, waits = (
    SymbolFeed.accept,
    SymbolFeed._release,
    SymbolFeed.drop_connection,
    SymbolFeed._is_waited_for,
)

LOOSENED: Final[dict[str, Loosened]] = {
    "waits: never": (SymbolFeed, "_is_waited_for", never),
    "waits: for ever": (SymbolFeed, "_is_waited_for", anything_may_be_missing),
    "waits: not for who has just come": (
        SymbolFeed,
        "_is_waited_for",
        newcomers_are_not_waited_for,
    ),
    "waits: only for all": (SymbolFeed, "_is_waited_for", all_must_be_behind),
    "waits: without bound": (SymbolFeed, "_is_waited_for", without_bound),
    "waits: not for a single id": (SymbolFeed, "_is_waited_for", a_hole_of_one_is_none),
    "take: what runs ahead is dropped": (SymbolFeed, "accept", take_without_what_runs_ahead),
    "take: what waits is not in order": (SymbolFeed, "accept", take_out_of_order),
    "accept: how far it came is not noted": (SymbolFeed, "accept", take_forgetting_how_far),
    "copies: all are new": (SymbolFeed, "_is_new", always),
    "release: copies too": (SymbolFeed, "_release", release_copies_too),
    "release: one at a time": (SymbolFeed, "_release", release_the_first_only),
    "leave: nothing is released": (SymbolFeed, "drop_connection", leave_without_releasing),
    "leave: what is next may begin anywhere": (SymbolFeed, "drop_connection", leave_beginning_anew),
    "leave: it is waited for": (SymbolFeed, "drop_connection", leave_and_remain),
    "expire: nothing happens": (SymbolFeed, "release_next", nothing),
    "know: not told": (SymbolFeed, "advance_to", nothing),
    "know: nothing is released": (SymbolFeed, "advance_to", know_without_releasing),
    "relief: at once": (FeedArbiter, "covers", always),
    "relief: something waits": (FeedArbiter, "_delivers", delivers_though_something_waits),
    "relief: silence needs no proof": (FeedArbiter, "_has_caught_up", always),
}

PLAYS: Final = (play, play_covered)


def first_violation(change: Loosened) -> tuple[int, str, Violation] | None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(*change)
        for seed in range(SCRIPTS):
            for act in PLAYS:
                try:
                    act(Random(seed))
                except Violation as found:
                    return seed, act.__name__, found
    return None


@pytest.mark.parametrize("name", LOOSENED)
def test_loosened_merge_is_found(name: str) -> None:
    """Merging with this rule loosened breaks a promise in some script."""
    found = first_violation(LOOSENED[name])
    assert found, f"{SCRIPTS} scripts do not notice: {name}"
    print(f"{name}: script {found[0]} of {found[1]}: {found[2]}")  # noqa: T201
