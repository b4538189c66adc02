"""The state of a recording at one moment: what the table, the page and the metrics show.

**By trouble.** With a thousand symbols, the one that matters is not the first by name. So books are ordered: those that
are not known come first, then those whose last evidence is old, then those that have failed a check, then
those that have gaps, then all others; within each kind by name. Symbols that have ended come last.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Final

from booktape.core.sync import State
from booktape.ship.backlog import Backlog

SHOWN: Final = 30
"""Books whose levels are read. That sorts a book's pending changes, so for the others only counters are read."""

OLD_EVIDENCE_NS: Final = 90 * 10**9
"""Three periods of the pulse. Older evidence may still be within its bound (docs/proofs.md), but is unusual."""


class Trouble(IntEnum):
    """What is wrong with a book, worst first."""

    NOT_KNOWN = 0
    OLD_EVIDENCE = 1
    FAILED_CHECKS = 2
    GAPS = 3
    NONE = 4
    ENDED = 5


@dataclass(frozen=True, slots=True)
class BookTop:
    """What is read from the levels of a known book. A side without levels has no best price."""

    levels: int
    bid: float | None
    ask: float | None


# Not frozen: a thousand are made every second, and making a frozen one takes ten times as long.
@dataclass(slots=True)
class BookStatus:
    """One symbol.

    `reason`: why the book is not known; "" while it is known, and before its first snapshot. `evidence_ns`: the last
    evidence that it was current; `checked_ns`: the last comparison that was stored; both 0 before the first.
    `top` is None if the book is not known or its levels were not read. `comparisons`: with other sources. `lost_ns`:
    how long gaps have lasted since the start, including one that is still open. `lag_ns`: how late the last event was,
    by our clock and the exchange's; None before the first event of this epoch.
    """

    symbol: str
    state: str
    epoch: int
    updates: int
    rows: int
    gaps: int
    reason: str = ""
    evidence_ns: int = 0
    checked_ns: int = 0
    failed_checks: int = 0
    top: BookTop | None = None
    comparisons: int = 0
    lost_ns: int = 0
    lag_ns: int | None = None

    @property
    def is_known(self) -> bool:
        """Whether the book is known now."""
        return self.state == State.LIVE

    def trouble(self, now_ns: int) -> Trouble:
        """The worst problem that this book has now."""
        if self.state == State.ENDED:
            return Trouble.ENDED
        if not self.is_known:
            return Trouble.NOT_KNOWN
        if now_ns - self.evidence_ns > OLD_EVIDENCE_NS:
            return Trouble.OLD_EVIDENCE
        if self.failed_checks:
            return Trouble.FAILED_CHECKS
        return Trouble.GAPS if self.gaps else Trouble.NONE


class Blocked(StrEnum):
    """What keeps segments that are past their limit from being removed.

    They are not verified; they are not yet in their bucket; or the pass failed, for example on a disk error.
    """

    UNVERIFIED = "unverified"
    UNSHIPPED = "unshipped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class RetentionStatus:
    """The removal of old segments. A pass is complete if nothing stays that is past its limit and not needed.

    `complete_ns`: when the last complete pass ended; before the first, the start of the recorder. `blocked`: why the
    last pass was not complete, a sentence for each kind; empty if it was complete.
    """

    complete_ns: int
    blocked: Mapping[Blocked, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """What blocked the last pass; "" if nothing did."""
        return "; ".join(self.blocked.values())


@dataclass(frozen=True, slots=True)
class RecorderStatus:
    """A whole recorder, at the moment `at_ns`. `books` are ordered by trouble; each symbol has one.

    `lag_ms`: how long ago the last handled record left its socket. `written_bytes`: written to the disk since
    `started_ns`. `lost_lines`: log lines that were not read in time, or could not be written.
    `backlog`: what is waiting for the bucket; None if nothing is shipped. `retention`: None if everything is kept.
    """

    at_ns: int
    started_ns: int
    books: tuple[BookStatus, ...]
    records: int
    waiting: int
    lag_ms: float
    connections: int
    requests: int
    written_bytes: int
    segment: str
    lost_lines: int = 0
    backlog: Backlog | None = None
    retention: RetentionStatus | None = None

    @property
    def known(self) -> int:
        """How many books are known."""
        return sum(book.is_known for book in self.books)

    @property
    def rows(self) -> int:
        """Snapshots of all symbols since the start."""
        return sum(book.rows for book in self.books)

    @property
    def gaps(self) -> int:
        """Gaps of all symbols that were stored since the start."""
        return sum(book.gaps for book in self.books)

    @property
    def failed_checks(self) -> int:
        """Comparisons since the start that found a book wrong."""
        return sum(book.failed_checks for book in self.books)

    @property
    def oldest_evidence_ns(self) -> int | None:
        """The oldest time of last evidence among the known books; None if no book is known."""
        return min((book.evidence_ns for book in self.books if book.is_known), default=None)

    @property
    def bytes_an_hour(self) -> float:
        """What this recording has written per hour, on average."""
        return self.written_bytes * 3_600e9 / max(self.at_ns - self.started_ns, 1)


def by_trouble(books: Iterable[BookStatus], now_ns: int) -> list[BookStatus]:
    """The worst first, equal ones by name, so that several workers and their parent agree."""
    return sorted(books, key=lambda book: (book.trouble(now_ns), book.symbol))
