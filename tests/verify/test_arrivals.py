"""Several connections, one order: the first copy counts, holes are waited for, then not."""

from __future__ import annotations

import pytest

from booktape.verify import arrivals as arrivals_module
from booktape.verify.arrivals import Arrivals, Arrived
from booktape.verify.payload import Event


def came(first: int, last: int) -> Arrived:
    return Arrived(first, Event("B", 0, first, last, [], []))


def ids(due: list[Arrived]) -> list[int]:
    return [arrived.event.last for arrived in due]


@pytest.fixture
def two() -> Arrivals:
    """Two connections, and everything up to 10 has counted."""
    found = Arrivals()
    found.open(1)
    found.open(2)
    found.show(10)
    return found


def test_the_first_event_may_begin_anywhere() -> None:
    """As long as nothing is known."""
    one = Arrivals()
    one.open(1)
    assert ids(one.bring(1, came(500, 501))) == [501]
    assert ids(one.bring(1, came(900, 901))) == [901], "a single connection brings all there is"


def test_copies_fall_away(two: Arrivals) -> None:
    """Whichever connection brings them, and parts of what counted too."""
    assert ids(two.bring(1, came(11, 12))) == [12]
    assert not two.bring(2, came(11, 12))
    assert not two.bring(2, came(12, 12))


def test_a_hole_is_waited_for(two: Arrivals) -> None:
    """Until the other connection fills it."""
    assert not two.bring(1, came(13, 13))
    assert ids(two.bring(2, came(11, 12))) == [12, 13]


def test_a_hole_that_nobody_fills(two: Arrivals) -> None:
    """All connections have come past it."""
    assert not two.bring(1, came(13, 13))
    assert ids(two.bring(2, came(13, 13))) == [13]


def test_giving_up(two: Arrivals) -> None:
    """Only up to the next hole."""
    two.bring(1, came(13, 13))
    two.bring(1, came(15, 15))
    assert ids(two.give_up()) == [13]
    assert ids(two.give_up()) == [15]
    assert not two.give_up()


def test_who_could_have_filled_it_is_gone(two: Arrivals) -> None:
    """Then it is waited for no more; and with nobody left the next may begin anywhere."""
    two.bring(1, came(13, 13))
    assert ids(two.close(2)) == [13]
    assert not two.close(1)
    assert two.counted is None


def test_what_a_snapshot_showed(two: Arrivals) -> None:
    """Nobody needs to bring."""
    two.bring(1, came(13, 13))
    two.bring(1, came(14, 14))
    assert ids(two.show(13)) == [14]
    assert two.show(5) == []
    assert two.counted == 14


def test_too_much_waits(two: Arrivals, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the hole is given up."""
    monkeypatch.setattr(arrivals_module, "_WAITING_MAX", 2)
    assert not two.bring(1, came(13, 13))
    assert not two.bring(1, came(14, 14))
    assert ids(two.bring(1, came(15, 15))) == [13, 14, 15]
