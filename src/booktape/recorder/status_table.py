"""The status view on a terminal: a table.

A line for each book, those with trouble first, as many as fit on the terminal; then a line about the books
that are not shown, and one about the recorder.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from booktape.processes.terminal import counted
from booktape.recorder.status import SHOWN, BookStatus, RecorderStatus, Trouble

REFRESH_S: Final = 1.0
RATE_S: Final = 5.0
"""Updates are counted over this time, because workers do not report at the moments of a redraw."""

_OTHER_LINES: Final = 9
"""Lines that show no book: the title, the frame and its head, the three lines below, and the cursor's line."""

_COLUMNS: Final = (
    *("bid", "ask", "levels", "updates/s", "evidence", "checked", "failed", "snapshots", "gaps"),
)
_COLOURS: Final = {
    Trouble.NOT_KNOWN: "red",
    Trouble.OLD_EVIDENCE: "yellow",
    Trouble.ENDED: "dim",
}
_KINDS: Final = {
    Trouble.NOT_KNOWN: "not known",
    Trouble.OLD_EVIDENCE: "with old evidence",
    Trouble.FAILED_CHECKS: "with failed checks",
    Trouble.GAPS: "with gaps",
    Trouble.NONE: "without trouble",
    Trouble.ENDED: "ended",
}
_AGES: Final = ((1, "ms"), (1_000, "s"), (60_000, "min"), (3_600_000, "h"))


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
                lines = max(1, console.size.height - _OTHER_LINES)
                picture = render(now, before, now_s - since_s, lines)
                # In a thread: drawing takes longer than the recorder's loop should be held up.
                await asyncio.to_thread(live.update, picture, refresh=True)
            await asyncio.sleep(REFRESH_S)


def render(
    now: RecorderStatus, before: RecorderStatus, seconds: float, lines: int = SHOWN
) -> Group:
    """The table with at most `lines` books. `before` was `seconds` ago."""
    title = f"booktape · segment {now.segment}"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    table.add_column("symbol")
    table.add_column("state")
    for name in _COLUMNS:
        table.add_column(name, justify="right")
    shown, others = now.books[: min(lines, SHOWN)], now.books[min(lines, SHOWN) :]
    earlier = {book.symbol: book for book in before.books}
    for book in shown:
        table.add_row(*_cells(book, earlier.get(book.symbol), seconds, now.at_ns))
    below = [Text(_others(others, now.at_ns))] if others else []
    if now.retention is not None and now.retention.blocked:
        since = age(now.retention.complete_ns, now.at_ns)
        line = f"retention blocked, complete {since} ago: {now.retention.text}"
        below.append(Text(line, style="red", no_wrap=True, overflow="ellipsis"))
    return Group(table, *below, Text(_footer(now)))


def age(since_ns: int, now_ns: int) -> str:
    """How long ago, in about two figures; "" for never. If the clock was set back, it shows 0."""
    if not since_ns:
        return ""
    age_ms = max(0, now_ns - since_ns) / 1e6
    length_ms, unit = max(each for each in _AGES if each[0] <= max(age_ms, 1))
    return f"{age_ms / length_ms:.0f} {unit}"


def price(value: float | None) -> str:
    """All digits of a price, as the exchange writes it, without trailing zeros; "" for none."""
    if value is None:
        return ""
    text = f"{value:.8f}"
    return text.rstrip("0").rstrip(".")


def _cells(book: BookStatus, earlier: BookStatus | None, seconds: float, now_ns: int) -> list[Text]:
    rate = ""
    if earlier is not None and seconds:
        since = earlier.updates if earlier.epoch == book.epoch else 0
        rate = f"{(book.updates - since) / seconds:.0f}"
    state = f"{book.state}: {book.reason}" if book.reason else book.state
    top, colour = book.top, _COLOURS.get(book.trouble(now_ns), "green")
    return [
        Text(book.symbol),
        Text(state, style=colour),
        Text(price(top.bid if top else None)),
        Text(price(top.ask if top else None)),
        Text(f"{top.levels:,}" if top else ""),
        Text(rate),
        Text(age(book.evidence_ns, now_ns), style=colour),
        Text(age(book.checked_ns, now_ns)),
        Text(f"{book.failed_checks:,}", style="red" if book.failed_checks else ""),
        Text(f"{book.rows:,}"),
        Text(f"{book.gaps:,}", style="red" if book.gaps else ""),
    ]


def _others(books: Sequence[BookStatus], now_ns: int) -> str:
    kinds = Counter(book.trouble(now_ns) for book in books)
    return f"and {len(books):,} more: " + ", ".join(
        f"{kinds[kind]:,} {_KINDS[kind]}" for kind in sorted(kinds)
    )


def _footer(now: RecorderStatus) -> str:
    lost = f"{counted(now.lost_lines, 'line')} of the log lost · " if now.lost_lines else ""
    waits = now.backlog
    shipping = f"{waits.text(now.at_ns / 1e9)} not shipped · " if waits and waits.segments else ""
    return (
        f"{now.known:,} of {counted(len(now.books), 'book')} known · {counted(now.records, 'record')} · "
        f"lag {now.lag_ms:.1f} ms · {now.waiting} waiting · {counted(now.requests, 'REST request')} · "
        f"{now.bytes_an_hour / 1e6:,.0f} MB an hour · {lost}{shipping}Ctrl-C seals the files"
    )
