"""A progress bar where reading is long: on stderr, and only for a person at a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

from rich.console import Console
from rich.errors import LiveError
from rich.progress import Progress

from booktape import terminal

T = TypeVar("T")

LONG: Final = 8
"""So many files are worth a bar; fewer are read before one could be looked at."""


def tracked(items: Sequence[T], what: str, console: Console | None = None) -> Iterator[T]:
    """The items, with a bar that says how many are done and goes away at the end."""
    console = console or terminal.console(stderr=True)
    if len(items) < LONG or not console.is_terminal:
        yield from items
        return
    progress = Progress(console=console, transient=True)
    try:
        progress.start()
    except LiveError:
        # Another bar is on the screen already; some versions of rich draw one at a time.
        yield from items
        return
    try:
        yield from progress.track(items, description=what)
    finally:
        progress.stop()
