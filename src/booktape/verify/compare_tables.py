"""Compares the small tables (`gaps`, `checks`, `notes`) with the rows that follow from the tape.

Both sides are converted to the same plain form, in which two rows are either equal or not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa

from booktape.errors import Damaged, DamagedTape
from booktape.store.parquet_reader import check_schema, open_parquet, parquet_errors
from booktape.store.small_table import read_table, rows_max
from booktape.verify.compare_rows import plain
from booktape.verify.findings import Findings, damage
from booktape.verify.model.checks import Mismatch, ModelCheck
from booktape.verify.model.decimals import Malformed, as_double, number
from booktape.verify.model.decode import Object, parse_any
from booktape.verify.model.replay import NoteOnTape
from booktape.verify.model.sync import OpenGap
from booktape.verify.model.trades import Missing

Row: TypeAlias = tuple[Any, ...]

_SHOWN_MAX = 1_000


@dataclass
class TableComparison:
    """One of these tables in one segment. `expected` has each row, and whether it rests on a checkpoint."""

    name: str
    schema: pa.Schema
    expected: list[tuple[Row, bool]] = field(default_factory=list)

    def expect(self, row: Row, *, inherited: bool = False) -> None:
        """Add the next row that follows from the tape. Raises DamagedTape for more rows than a table may have."""
        if len(self.expected) >= rows_max(self.schema):
            raise DamagedTape(f"more rows of {self.name} follow from it than a table can have")
        self.expected.append((row, inherited))

    def compare(
        self,
        file: str,
        path: Path,
        found: Findings,
        is_wanted: Callable[[str | None], bool],
        *,
        complete: bool,
    ) -> None:
        """Compare row by row. Stored rows beyond the end of an incomplete tape are unverifiable."""
        try:
            stored = [row for row in _read(path, self.schema) if is_wanted(self._symbol(row))]
        except (OSError, Damaged) as error:
            found.different(file, damage(error))
            return
        wanted = [each for each in self.expected if is_wanted(self._symbol(each[0]))]
        expected = [row for row, _ in wanted]
        missing, extra = Counter(expected) - Counter(stored), Counter(stored) - Counter(expected)
        if not complete:
            for row in extra.elements():
                found.counts_of(self._symbol(row)).unverifiable += 1
            extra.clear()
        # Pair each missing row with an extra one while there are both.
        places = _first_places(expected), _first_places(stored)
        for due, held in zip_longest(missing.elements(), extra.elements()):
            at = places[0][due] if held is None else places[1][held]
            self._differ(file, due, held, at, found)
        if complete and not missing and not extra and expected != stored:
            at = next(n for n, (a, b) in enumerate(zip(expected, stored, strict=True)) if a != b)
            self._differ(file, expected[at], stored[at], at, found)
        for row, inherited in wanted:
            if not missing[row]:
                counts = found.counts_of(self._symbol(row))
                counts.equal[self.name] += 1
                counts.inherited += inherited

    def _symbol(self, row: Row) -> str | None:
        return row[self.schema.names.index("symbol")]  # type: ignore[no-any-return]

    def _differ(
        self, file: str, due: Row | None, held: Row | None, number: int, found: Findings
    ) -> None:
        symbol = self._symbol(due or held or ())
        found.counts_of(symbol).different[self.name] += 1
        what, column = "differs from the tape", None
        sides = _show(due), _show(held)
        if due and held:
            at = next(n for n, (a, b) in enumerate(zip(due, held, strict=True)) if a != b)
            column, sides = self.schema.names[at], (str(due[at]), str(held[at]))
        elif held:
            what = "this row does not follow from the tape"
        else:
            what = "this row is missing"
        found.different(
            file, what, symbol=symbol, row=number, column=column, expected=sides[0], stored=sides[1]
        )


def _first_places(rows: Sequence[Row]) -> dict[Row, int]:
    """The number of each row; equal rows have the number of the first one."""
    return {row: number for number, row in reversed(list(enumerate(rows)))}


def _show(row: Row | None) -> str | None:
    return None if row is None else ", ".join(str(value) for value in row)


def _read(path: Path, schema: pa.Schema) -> list[Row]:
    """The rows of a file, times in microseconds. Raises Damaged, OSError."""
    with parquet_errors():
        with open_parquet(path) as file:
            check_schema(file, schema)
        rows = list(zip(*map(plain, read_table(path, schema).columns), strict=True))
    if "detail" in schema.names:
        at = schema.names.index("detail")
        rows = [(*row[:at], _detail(row[at]), *row[at + 1 :]) for row in rows]
    return rows


# ── what the model found, as rows ───────────────────────────────────────────────────────────


def gap_row(symbol: str, gap: OpenGap, end_ns: int | None, next_id: int | None) -> Row:
    """As in `gaps`."""
    missed = None if next_id is None else next_id - gap.last_update_id - 1
    if missed == -1:
        missed = 0  # the same state before and after: nothing was missed
    end_us = None if end_ns is None else end_ns // 1_000
    start_us, last = gap.start_ns // 1_000, gap.last_update_id
    return symbol, gap.epoch, start_us, end_us, last, next_id, missed, gap.reason


def check_row(check: ModelCheck) -> Row:
    """As in `checks`."""
    wrong = check.mismatches
    many = f"{check.comparisons} comparisons" if check.witness != "rest" else ""
    detail = tuple(map(_mismatch, wrong[:_SHOWN_MAX])) if wrong else many
    time_us = check.stamp_ns // 1_000
    return check.symbol, time_us, check.update_id, check.witness, check.levels, len(wrong), detail


def note_row(note: NoteOnTape) -> Row:
    """As in `notes`."""
    return note.symbol, note.stamp_ns // 1_000, note.kind, note.detail


def trade_gap_row(symbol: str, missing: Missing, stamp_ns: int, reason: str) -> Row:
    """As in `trade_gaps`."""
    times_us = missing.after_us, missing.before_us, stamp_ns // 1_000
    return symbol, missing.first, missing.last, *times_us, reason


def _mismatch(wrong: Mismatch) -> Row:
    # Stored as doubles, which matters for a size that is capped.
    return wrong.side, *(as_double(value).normalize() for value in wrong[1:])


def _detail(text: object) -> object:
    """The levels that differ, as values, however they are written."""
    levels = parse_any(text.encode()) if isinstance(text, str) and text.startswith("[") else None
    try:
        return tuple(map(_level, levels)) if isinstance(levels, list) else text
    except Malformed:
        return text


def _level(found: object) -> Row:
    if not isinstance(found, Object) or not isinstance(found["side"], str):
        raise Malformed(repr(found))
    numbers = (number(found[name]) for name in ("price", "book", "witness"))
    return found["side"], *(each.value.normalize() for each in numbers)
