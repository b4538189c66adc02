"""Would we notice? Each rule by which connections are merged is loosened, and scripts must find it.

As in test_loosened_rules.py: numbered scripts are played until one shows a broken promise. Some
rules show in scripts of any trouble, some in those where somebody brings every event.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Final, TypeAlias

import pytest

from booktape.core.events import DepthEvent, Held
from booktape.core.merge import Lane, Merge, Ordered
from properties.any_script import play
from properties.covered_script import play_covered
from properties.ledger import Violation

SCRIPTS: Final = 500
"""Tried for each loosened rule, in both kinds of script."""

Loosened: TypeAlias = tuple[type[Lane | Merge], str, Callable[..., Any]]


def never(*_: object) -> bool:
    return False


def nothing(*_: object) -> Ordered:
    return []


def anything_may_be_missing(lane: Lane, first_id: int) -> bool:
    return lane.passed is not None and first_id > lane.passed + 1


def newcomers_are_not_waited_for(lane: Lane, first_id: int) -> bool:
    if lane.passed is None or first_id <= lane.passed + 1:
        return False
    return any(at is not None and at < first_id - 1 for at in lane.reached.values())


def without_bound(lane: Lane, first_id: int) -> bool:
    if lane.passed is None or first_id <= lane.passed + 1:
        return False
    return any(at is None or at < first_id - 1 for at in lane.reached.values())


def all_must_be_behind(lane: Lane, first_id: int) -> bool:
    if lane.passed is None or first_id <= lane.passed + 1:
        return False
    return all(at is None or at < first_id - 1 for at in lane.reached.values())


def a_hole_of_one_is_none(lane: Lane, first_id: int) -> bool:
    return waits(lane, first_id) and waits(lane, first_id - 1)


def take_without_what_runs_ahead(
    lane: Lane, connection: int, event: DepthEvent, at: int
) -> Ordered:
    if lane.passed is not None and event.first_id > lane.passed + 1:
        lane.reached[connection] = event.last_id
        return []
    return take(lane, connection, event, at)


def take_out_of_order(lane: Lane, connection: int, event: DepthEvent, at: int) -> Ordered:
    """The last to come waits last, whatever its id."""
    earlier, lane.ahead = lane.ahead, []
    ready = take(lane, connection, event, at)
    lane.ahead = earlier + lane.ahead
    return ready + lane._release()


def take_forgetting_how_far(lane: Lane, connection: int, event: DepthEvent, at: int) -> Ordered:
    before = lane.reached[connection]
    ready = take(lane, connection, event, at)
    lane.reached[connection] = before
    return ready


def release_copies_too(lane: Lane) -> Ordered:
    ready: Ordered = []
    while lane.ahead and not lane._waits(lane.ahead[0].event.first_id):
        first = lane.ahead.pop(0)
        lane.passed = max(lane.passed or 0, first.event.last_id)
        ready.append(first)
    return ready


def release_the_first_only(lane: Lane) -> Ordered:
    ready = [held for held in release(lane) if isinstance(held, Held)]
    lane.ahead = ready[1:] + lane.ahead
    if ready:
        lane.passed = ready[0].event.last_id
    return [*ready[:1]]


def leave_without_releasing(lane: Lane, connection: int) -> Ordered:
    lane.reached.pop(connection, None)
    if not lane.reached:
        lane.passed, lane.ahead = None, []
    return []


def leave_beginning_anew(lane: Lane, connection: int) -> Ordered:
    ready = leave(lane, connection)
    lane.passed = None
    return ready


def leave_and_remain(lane: Lane, connection: int) -> Ordered:
    at = lane.reached.get(connection)
    ready = leave(lane, connection)
    if lane.reached:
        lane.reached[connection] = at
    return ready


def know_without_releasing(lane: Lane, update_id: int) -> Ordered:
    lane.passed = max(lane.passed or 0, update_id)
    return []


def always(*_: object) -> bool:
    return True


def delivers_though_something_waits(merge: Merge, connection: int, symbol: str) -> bool:
    return merge.lanes[symbol].reached.get(connection) is not None


take, release, leave, waits = Lane.take, Lane._release, Lane.leave, Lane._waits

LOOSENED: Final[dict[str, Loosened]] = {
    "waits: never": (Lane, "_waits", never),
    "waits: for ever": (Lane, "_waits", anything_may_be_missing),
    "waits: not for who has just come": (Lane, "_waits", newcomers_are_not_waited_for),
    "waits: only for all": (Lane, "_waits", all_must_be_behind),
    "waits: without bound": (Lane, "_waits", without_bound),
    "waits: not for a single id": (Lane, "_waits", a_hole_of_one_is_none),
    "take: what runs ahead is dropped": (Lane, "take", take_without_what_runs_ahead),
    "take: what waits is not in order": (Lane, "take", take_out_of_order),
    "take: nobody notes how far it came": (Lane, "take", take_forgetting_how_far),
    "copies: all are new": (Lane, "_is_new", always),
    "release: copies too": (Lane, "_release", release_copies_too),
    "release: one at a time": (Lane, "_release", release_the_first_only),
    "leave: nothing is released": (Lane, "leave", leave_without_releasing),
    "leave: what is next may begin anywhere": (Lane, "leave", leave_beginning_anew),
    "leave: it is waited for": (Lane, "leave", leave_and_remain),
    "expire: nothing happens": (Lane, "expire", nothing),
    "know: not told": (Lane, "know", nothing),
    "know: nothing is released": (Lane, "know", know_without_releasing),
    "relief: at once": (Merge, "can_relieve", always),
    "relief: something waits": (Merge, "_delivers", delivers_though_something_waits),
    "relief: silence needs no proof": (Merge, "_has_caught_up", always),
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
