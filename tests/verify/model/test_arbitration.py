"""Several connections, one order: the first copy counts; holes are waited for, and then given up."""

from __future__ import annotations

import pytest

from booktape.verify.model import arbitration as arbitration_module
from booktape.verify.model.arbitration import ArrivedEvent, ModelArbiter
from booktape.verify.model.decode import Event


def came(first: int, last: int) -> ArrivedEvent:
    return ArrivedEvent(first, Event("B", 0, first, last, [], []))


def ids(due: list[ArrivedEvent]) -> list[int]:
    return [arrived.event.last for arrived in due]


@pytest.fixture
def two() -> ModelArbiter:
    """Two connections, and every event up to 10 has been released."""
    found = ModelArbiter()
    found.add_connection(1)
    found.add_connection(2)
    found.advance_to(10)
    return found


def test_the_first_event_may_begin_anywhere() -> None:
    """While nothing is known yet."""
    one = ModelArbiter()
    one.add_connection(1)
    assert ids(one.accept(1, came(500, 501))) == [501]
    assert ids(one.accept(1, came(900, 901))) == [901], "a single connection brings all there is"


def test_copies_are_dropped(two: ModelArbiter) -> None:
    """Whichever connection brings them; so are the parts of an event that were already released."""
    assert ids(two.accept(1, came(11, 12))) == [12]
    assert not two.accept(2, came(11, 12))
    assert not two.accept(2, came(12, 12))


def test_a_hole_is_waited_for(two: ModelArbiter) -> None:
    """Until the other connection fills it."""
    assert not two.accept(1, came(13, 13))
    assert ids(two.accept(2, came(11, 12))) == [12, 13]


def test_a_hole_that_no_connection_fills_is_given_up(two: ModelArbiter) -> None:
    """All connections have gone past it."""
    assert not two.accept(1, came(13, 13))
    assert ids(two.accept(2, came(13, 13))) == [13]


def test_giving_up_releases_events_only_up_to_the_next_hole(two: ModelArbiter) -> None:
    """The next hole is waited for in its turn."""
    two.accept(1, came(13, 13))
    two.accept(1, came(15, 15))
    assert ids(two.release_next()) == [13]
    assert ids(two.release_next()) == [15]
    assert not two.release_next()


def test_a_hole_is_given_up_when_the_connections_that_could_fill_it_are_gone(
    two: ModelArbiter,
) -> None:
    """If no connection is left, the next event may begin anywhere."""
    two.accept(1, came(13, 13))
    assert ids(two.drop_connection(2)) == [13]
    assert not two.drop_connection(1)
    assert two.last_released is None


def test_events_contained_in_a_snapshot_are_not_waited_for(two: ModelArbiter) -> None:
    """No connection needs to bring them."""
    two.accept(1, came(13, 13))
    two.accept(1, came(14, 14))
    assert ids(two.advance_to(13)) == [14]
    assert two.advance_to(5) == []
    assert two.last_released == 14


def test_a_hole_is_given_up_when_too_many_events_wait(
    two: ModelArbiter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The buffered events are then released."""
    monkeypatch.setattr(arbitration_module, "_BUFFERED_MAX", 2)
    assert not two.accept(1, came(13, 13))
    assert not two.accept(1, came(14, 14))
    assert ids(two.accept(1, came(15, 15))) == [13, 14, 15]
