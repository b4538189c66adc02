"""What verification found: differences, what rests on trust, what nobody can verify any more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

SHOWN_MAX: Final = 20
"""Differences of one segment that are kept word for word; all are counted."""


class Kind(StrEnum):
    """How bad it is; none of them is clean."""

    DIFFERENT = "different"  # stored is not what the tape says, or a file is not what was sealed
    TRUST = "on trust"  # it follows from a checkpoint whose own tape is not there
    UNVERIFIABLE = "unverifiable"  # there is no tape, or none that can be read so far


@dataclass(frozen=True)
class Finding:
    """One of them, to be shown. `row` counts from 0; `symbol` is None for whole files."""

    kind: Kind
    file: str
    what: str
    symbol: str | None = None
    row: int | None = None
    column: str | None = None
    level: int | None = None
    expected: str | None = None
    stored: str | None = None


@dataclass
class Counts:
    """How many rows of one symbol (None: of all) were compared, by table, and with what outcome.

    `inherited` rows are equal to what the tape says, if the checkpoint it begins with is right.
    `capped` rows are equal, and hold a size that the exchange caps: so much, or more.
    """

    segments: int = 0
    equal: Counter[str] = field(default_factory=Counter)
    different: Counter[str] = field(default_factory=Counter)
    inherited: int = 0
    capped: int = 0
    trusted: int = 0
    unverifiable: int = 0

    def add(self, other: Counts) -> None:
        """Sum up."""
        self.segments += other.segments
        self.equal += other.equal
        self.different += other.different
        self.inherited += other.inherited
        self.capped += other.capped
        self.trusted += other.trusted
        self.unverifiable += other.unverifiable


class Findings:
    """All of one segment, or of the archive: each is counted, the first ones are kept."""

    def __init__(self) -> None:
        self.kept: list[Finding] = []
        self.count: Counter[Kind] = Counter()
        self.symbols: dict[str | None, Counts] = {}

    def add(self, finding: Finding) -> None:
        """One more."""
        self.count[finding.kind] += 1
        if sum(kept.kind == finding.kind for kept in self.kept) < SHOWN_MAX:
            self.kept.append(finding)

    def different(self, file: str, what: str, **where: str | int | None) -> None:
        """One more of the worst kind."""
        self.add(Finding(Kind.DIFFERENT, file, what, **where))  # type: ignore[arg-type]

    def counts_of(self, symbol: str | None) -> Counts:
        """The counts of one symbol."""
        return self.symbols.setdefault(symbol, Counts())

    def merge(self, others: Iterable[Findings]) -> None:
        """Sum up, in order."""
        for other in others:
            self.kept += other.kept
            self.count += other.count
            for symbol, counts in other.symbols.items():
                self.counts_of(symbol).add(counts)
