"""The status view on a terminal: a table."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from booktape.recorder.status import BookStatus, RecorderStatus

REFRESH_S: Final = 1.0
RATE_S: Final = 5.0
"""Updates are counted over this time: workers report at other moments than those of a redraw."""

_COLOURS: Final = {"live": "green", "syncing": "yellow", "cold": "red", "ended": "dim"}


async def show(status: Callable[[], RecorderStatus | None], console: Console) -> None:
    """Redraw until cancelled. Known weakness: each redraw sorts the shown books' pending changes."""
    time_s = asyncio.get_running_loop().time
    history: deque[tuple[float, RecorderStatus]] = deque(maxlen=round(RATE_S / REFRESH_S))
    with Live(console=console, auto_refresh=False) as live:
        while True:
            now = status()
            if now:
                history.append((time_s(), now))
                (since_s, before), (now_s, _) = history[0], history[-1]
                picture = render(now, before, now_s - since_s)
                # In a thread: to draw takes longer than the recorder's loop should be held.
                await asyncio.to_thread(live.update, picture, refresh=True)
            await asyncio.sleep(REFRESH_S)


def render(now: RecorderStatus, before: RecorderStatus, seconds: float) -> Group:
    """A row for each symbol, and a line about the recorder. `before` was `seconds` ago."""
    table = Table(title=f"booktape · segment {now.segment}", title_justify="left")
    table.add_column("symbol")
    table.add_column("state")
    for name in ("updates/s", "levels", "spread", "snapshots", "gaps"):
        table.add_column(name, justify="right")
    earlier = {book.symbol: book for book in before.books}
    for book in now.books:
        table.add_row(*_cells(book, earlier.get(book.symbol), seconds))
    return Group(table, Text(_footer(now)))


def _cells(book: BookStatus, earlier: BookStatus | None, seconds: float) -> list[Text]:
    rate = ""
    if earlier is not None and seconds:
        since = earlier.updates if earlier.epoch == book.epoch else 0
        rate = f"{(book.updates - since) / seconds:.0f}"
    return [
        Text(book.symbol),
        Text(book.state, style=_COLOURS[book.state]),
        Text(rate),
        Text(f"{book.levels:,}"),
        Text("" if book.spread is None else f"{book.spread:.8f}".rstrip("0").rstrip(".")),
        Text(f"{book.rows:,}"),
        Text(f"{book.gaps:,}", style="red" if book.gaps else ""),
    ]


def _footer(now: RecorderStatus) -> str:
    lost = f"{now.lost_lines:,} lines of the log lost · " if now.lost_lines else ""
    return (
        f"{now.known} of {now.recorded} books known · {now.records:,} records · "
        f"lag {now.lag_ms:.1f} ms · {now.waiting} waiting · "
        f"{now.snapshot_requests} REST requests · {lost}Ctrl-C seals the files"
    )
