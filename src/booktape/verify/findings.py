"""The findings of a verification: differences, unproven rows, and what cannot be verified."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Final

from booktape.processes.descriptors import refuse_used_up

SHOWN_MAX: Final = 20
"""Findings of each kind in one segment that are kept in full; all are counted."""


class Kind(StrEnum):
    """The kinds of findings. An archive with any of them is not clean. Values are those of `--json`."""

    DIFFERENT = (
        "different"  # stored data does not follow from the tape, or a file is not what was sealed
    )
    TRUST = "on trust"  # it follows from a checkpoint whose own tape is not there
    UNVERIFIABLE = "unverifiable"  # there is no tape, or none that can be read so far


def damage(error: Exception) -> str:
    """The text of a finding about a file that cannot be read. Raises TooFewDescriptors, which is no fault of the file."""
    refuse_used_up(error)
    return f"cannot be read: {error}"


@dataclass(frozen=True)
class Finding:
    """One finding. `row` counts from 0; `symbol` is None for whole files."""

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
    """The rows of one symbol (None: of no symbol) that were compared, by table and outcome.

    `inherited` rows are equal if the checkpoint at the beginning of the tape is right. `capped` rows are equal and
    have a size at which the exchange caps: it means this size or more. `verified_before` rows were verified before
    their tape was removed.
    """

    segments: int = 0
    equal: Counter[str] = field(default_factory=Counter)
    different: Counter[str] = field(default_factory=Counter)
    inherited: int = 0
    capped: int = 0
    trusted: int = 0
    unverifiable: int = 0
    verified_before: int = 0

    def add(self, other: Counts) -> None:
        """Add the other's counts."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))


class Findings:
    """All findings of one segment, or of the archive. Each is counted, and the first ones are kept."""

    def __init__(self) -> None:
        self.kept: list[Finding] = []
        self.count: Counter[Kind] = Counter()
        self.symbols: dict[str | None, Counts] = {}

    def add(self, finding: Finding) -> None:
        """Count one more finding, and keep it if there is room."""
        self.count[finding.kind] += 1
        if sum(kept.kind == finding.kind for kept in self.kept) < SHOWN_MAX:
            self.kept.append(finding)

    def different(self, file: str, what: str, **where: str | int | None) -> None:
        """Add a difference."""
        self.add(Finding(Kind.DIFFERENT, file, what, **where))  # type: ignore[arg-type]

    def counts_of(self, symbol: str | None) -> Counts:
        """The counts of one symbol."""
        return self.symbols.setdefault(symbol, Counts())

    def merge(self, others: Iterable[Findings]) -> None:
        """Add the findings of all segments, in order."""
        for other in others:
            self.kept += other.kept
            self.count += other.count
            for symbol, counts in other.symbols.items():
                self.counts_of(symbol).add(counts)
