"""A progress bar for long reads: on stderr, and only at a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, TypeVar

from rich.console import Console
from rich.errors import LiveError
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from booktape.processes import terminal

T = TypeVar("T")

LONG: Final = 8
"""A bar is shown for at least this many files. Fewer are read before a user could see it."""


def tracked(items: Sequence[T], what: str, console: Console | None = None) -> Iterator[T]:
    """The items, with a bar that shows how many are done and disappears at the end."""
    if len(items) < LONG:
        yield from items
        return
    with progress_bar(what, len(items), console) as advance:
        for item in items:
            yield item
            advance(1)


@contextmanager
def progress_bar(
    what: str, total: int, console: Console | None = None
) -> Iterator[Callable[[int], None]]:
    """Yields a function to call with each further part of `total`, for work that is not done item by item."""
    console = console or terminal.console(stderr=True)
    # No markup and no format: a symbol may hold brackets and braces.
    text = TextColumn("{task.description}", markup=False)
    columns = (text, BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    task = bar.add_task(what, total=total or None)
    try:
        bar.start()
    except LiveError:
        # Another bar is already shown; some versions of rich can show only one.
        bar.disable = True
    try:
        yield lambda count: bar.advance(task, count)
    finally:
        bar.stop()
