"""A progress bar for a person who waits, and nothing for any other output."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.errors import LiveError
from rich.progress import Progress

from booktape.reader.progress import LONG, tracked


def console(*, terminal: bool = True) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=80)


def shown(screen: Console) -> str:
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue()


def test_a_long_reading_shows_its_bar() -> None:
    """With the name of what is read; every item comes through, in order."""
    screen = console()
    items = list(range(LONG))
    assert list(tracked(items, "reading BTCUSDT", screen)) == items
    assert "reading BTCUSDT" in shown(screen)


@pytest.mark.parametrize(("count", "terminal"), [(LONG - 1, True), (LONG, False)])
def test_no_bar_is_written_otherwise(count: int, *, terminal: bool) -> None:
    """For a short reading, or into a file or a pipe."""
    screen = console(terminal=terminal)
    assert len(list(tracked(range(count), "reading", screen))) == count
    assert shown(screen) == ""


def test_an_abandoned_reading_removes_its_bar() -> None:
    """The next one can show its own."""
    screen = console()
    for item in tracked(range(LONG), "left", screen):
        assert item == 0
        break
    assert list(tracked(range(LONG), "second", screen)) == list(range(LONG))
    assert "second" in shown(screen)


def test_a_screen_already_in_use_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two readings in parallel, or one inside another display: the items still come."""
    screen = console()
    monkeypatch.setattr(Progress, "start", _refuse)
    assert list(tracked(range(LONG), "reading", screen)) == list(range(LONG))
    assert shown(screen) == ""


def _refuse(_: object) -> None:
    raise LiveError("one at a time")
