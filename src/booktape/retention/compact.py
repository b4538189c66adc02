"""Copies an archive into one that has a file for each day, instead of one for each segment. Tapes are not copied.

A row is compressed only against earlier rows of its file. So a symbol with few rows in each segment takes several times
the bytes that it needs, and a reader opens a file for each hour. The copy has the same rows, gaps, checks, notes and
trades.

**Verified first.** Each segment of a day is verified from its tape, as before the removal of a tape. If the tape has
been removed, each file must be what its manifest says. Each written file is read back, and its values are compared with
those of the sources. Then the day gets a receipt like that of a segment whose tape was removed (store/removals.py). So
`verify`, `info` and the readers treat the rows of the copy as rows that had been verified.

**Each file is whole; a day counts once its receipt is there.** A day is written once it is over, under `compacting/`, and
its files are published one by one. The receipt is written last. A day without a receipt is written again. Until that
happens, after a kill, other tools see a part of the day.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa
from msgspec.structs import replace
from pyarrow.fs import LocalFileSystem

from booktape.errors import Damaged, UsageError, WriteFailed
from booktape.reader.archive_files import ArchiveFiles
from booktape.reader.rows import RowQuery, batches
from booktape.retention.proof import Proof, Proved, changed_since, verified_receipt
from booktape.retention.stored import StoredSegment, files_of, irregular_file, stored_segments
from booktape.store.catalog import sealed_tapes, unsealed_segments
from booktape.store.clearing import clear_segment, remove_empty_folder, remove_sealed
from booktape.store.durable_files import disk_errors_named, publish
from booktape.store.layout import Layout, Segment
from booktape.store.lock import lock_directory
from booktape.store.manifest import Contents, manifest_of, seal_manifest
from booktape.store.parquet_file import (
    GROUP_BYTES,
    GROUP_ROWS,
    TRADE_GROUP_ROWS,
    ParquetFile,
    rows_file,
    table_file,
    trades_file,
)
from booktape.store.parquet_reader import check_schema, open_parquet, parquet_errors
from booktape.store.removals import Removal, read_removal, removed_segments, write_removal
from booktape.store.schema import SNAPSHOTS, TABLES, TRADES
from booktape.store.small_table import read_table
from booktape.store.target import check_not_source
from booktape.store.unsealed_file import FileSeal
from booktape.verify.files import SegmentFiles, find_segments
from booktape.verify.findings import Findings, damage
from booktape.verify.stored_files import FolderFiles


@dataclass(frozen=True, slots=True)
class CompactLayout(Layout):
    """The layout of the copy. Files that are not published yet are in another folder than a recorder's."""

    @property
    def unsealed(self) -> Path:
        """Days that are being written."""
        return self.root / "compacting"


@dataclass
class CompactOutcome:
    """The result of a run. Days have the names of their first segments.

    `days` were written now, `there` counts those that had been copied before, and `young` are not over yet. `left_out`
    has the reason for each day that was not copied, or not completely, and for each other file, folder or link of the
    source that a reader may take for a part of the archive.
    """

    days: list[str] = field(default_factory=list)
    there: int = 0
    young: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


def compact(
    source: Path, out: Path, done: Callable[[str], None] = lambda _: None
) -> CompactOutcome:
    """Copy each day that is over and not in `out` yet. `done` is called with the name of each.

    A day belongs to one recording: a restart begins another day. May run beside a recorder of `source`. Raises
    UsageError if `out` holds a recording or is `source`, DirectoryInUse, WriteFailed, OSError, and Damaged for what cannot
    be read.
    """
    check_not_source(str(source), out)
    layout = CompactLayout(out)
    with lock_directory(layout.lock, folder=True):
        if sealed_tapes(layout) or unsealed_segments(Layout(out)):
            raise UsageError(f"{out} holds a recording. Choose another --out.")
        return _Compaction(Layout(source), layout, done).run()


Day: TypeAlias = list[StoredSegment]
"""The segments of one recording on one day, each continuing the one before it. It is named after the first one."""


class _LeftOut(Exception):
    """Why a day is left out."""


def _check(why: str) -> None:
    """Raises _LeftOut if there is a reason."""
    if why:
        raise _LeftOut(why)


def _check_has_tape(one: StoredSegment) -> None:
    """Raises _LeftOut if the tape of a segment is lost: it is gone, and no receipt says that it may be."""
    if not one.has_tape and not one.is_verified:
        raise _LeftOut(
            f"{one.segment.name} has no tape, and no receipt says that it had been verified"
        )


def _check_order(day: Day) -> None:
    """Raises _LeftOut unless each segment continues the one before it.

    Known weakness: if our clock was set back across midnight, they do not, although no segment is missing.
    """
    for before, one in pairwise(day):
        if before.segment not in one.continues:
            for each in day:
                _check_has_tape(each)
            raise _LeftOut(
                f"{one.segment.name} does not continue {before.segment.name}: a segment between them is missing, "
                "or has the name of another day because the clock was set back across midnight"
            )


class _Compaction:
    def __init__(self, source: Layout, out: CompactLayout, done: Callable[[str], None]) -> None:
        self._source = source
        self._out = out
        self._done = done
        # In this order: a segment that a recorder seals meanwhile is then in `_stored`, its files are not taken for
        # strays, and its day is not over yet.
        self._found = Findings()
        self._files = {
            one.segment: one for one in find_segments(FolderFiles(source.root), self._found)
        }
        unsealed = unsealed_segments(source)
        self._running = {one.tag for one in unsealed}
        self._stored = {one.segment: one for one in stored_segments(source)}
        self._strays = self._files.keys() - self._stored.keys() - {*unsealed}
        self._copied = {
            (one.tag, one.date): receipt
            for one in removed_segments(out)
            if (receipt := read_removal(out, one))
        }
        known = {s: one.unproven for s, one in self._stored.items() if one.unproven is not None}
        self._proof = Proof(source, known | _unproven_at_beginning(self._copied.values()))

    def run(self) -> CompactOutcome:
        outcome = CompactOutcome()
        days: dict[tuple[str, str], Day] = {}
        for one in self._stored.values():
            days.setdefault((one.segment.tag, one.segment.date), []).append(one)
        for key, day in days.items():
            name = day[0].segment.name
            try:
                _check_order(day)
                if receipt := self._copied.get(key):
                    outcome.there += 1
                    self._check_nothing_came(day)
                    self._prove_what_continues(day, receipt)
                elif not day[-1].continued_by and day[-1].segment.tag in self._running:
                    outcome.young.append(name)
                else:
                    self._write(day, self._prove(day))
                    outcome.days.append(name)
                    self._done(name)
            except _LeftOut as error:
                outcome.left_out[name] = str(error)
        remove_empty_folder(self._out.unsealed)
        outcome.left_out |= self._name_strays()
        return outcome

    def _name_strays(self) -> dict[str, str]:
        """The reason for each entry of the source that is in no day and from which some reader may show rows."""
        why = {finding.file: f"It {finding.what}" for finding in self._found.kept}
        if more := self._found.count.total() - len(self._found.kept):
            why[f"{more:,} more"] = "`booktape verify` names them"
        for segment in sorted(self._strays):
            if files := self._still_there(segment):
                more_of_it = f" and {len(files) - 1:,} more" if len(files) > 1 else ""
                why[segment.name] = f"{files[0]}{more_of_it} has neither a manifest nor a tape"
        return why

    def _still_there(self, segment: Segment) -> list[str]:
        """The files of a segment that were listed and are still there. A prune may have removed them since."""
        files = self._files.get(segment) or SegmentFiles(segment)
        return [name for name in files.sealed if (self._source.root / name).exists()]

    # ── proof: all of it raises _LeftOut ────────────────────────────────────────────────────

    def _check_nothing_came(self, day: Day) -> None:
        """Check that each file of a copied day is in a manifest. A file that was added since is not in the copy."""
        for one in day:
            try:
                sealed = manifest_of(self._source, one.segment).files
            except (OSError, Damaged) as error:
                # A prune removes the manifest last.
                if not isinstance(error, FileNotFoundError) or self._still_there(one.segment):
                    raise _LeftOut(f"The manifest of {one.segment.name} {damage(error)}") from error
                continue
            for name in self._still_there(one.segment):
                _check("" if name in sealed else f"{name} is not among the files that were sealed")

    def _prove(self, day: Day) -> list[Proved]:
        """Prove each segment of a day. Returns what is proved of each."""
        return [self._prove_segment(one) for one in day]

    def _prove_what_continues(self, day: Day, receipt: Removal) -> None:
        """For a day that was copied before a restart continued it: prove that the restart begins as the day ended.

        Then the receipt says so. Otherwise the rows of the restart would be unproven in the copy, and the day could never
        be removed from it.
        """
        last = day[-1]
        if last.continued_by and not receipt.continued_by:
            # The receipt says what was unproven at the end, not at the beginning. That is enough: the books unproven at
            # the end are those that were unproven at the beginning and still rest on it, and selecting them twice
            # changes nothing.
            self._proof.note_beginning(last.segment, frozenset(receipt.unproven))
            self._prove_segment(last)
            names = tuple(one.name for one in last.continued_by)
            write_removal(self._out, day[0].segment, replace(receipt, continued_by=names))

    def _prove_segment(self, one: StoredSegment) -> Proved:
        _check_has_tape(one)
        if not one.has_tape and one.removal is not None:
            _check(changed_since(self._source, one.segment, one.removal))
            return Proved(frozenset(one.removal.unproven), one.removal.unproven_rows)
        _check(self._proof.verify(one.segment))
        for later in one.continued_by:
            if later not in self._stored:
                raise _LeftOut(f"{later.name}, which continues {one.segment.name}, is missing")
            continues = self._stored[later].continues
            for other in continues:
                # A segment of which everything was removed is not in `_stored`.
                if other != one.segment and other in self._stored and self._stored[other].has_tape:
                    _check(self._proof.verify(other))
            _check(self._proof.compare_beginning(later, continues))
        proved = self._proof.of(one.segment)
        self._proof.forget(one.segment)
        return proved

    # ── writing ─────────────────────────────────────────────────────────────────────────────

    def _write(self, day: Day, proved: Sequence[Proved]) -> None:
        head, out = day[0].segment, self._out
        _check(irregular_file(out, head))
        files = [files_of(self._source, one.segment) for one in day]
        with disk_errors_named(out.unsealed_of(head)):
            clear_segment(out, head)
        seals: dict[Path, FileSeal] = {}
        contents: dict[Path, Contents] = {}
        for day_file in self._day_files(head, files):
            seals[day_file.final], contents[day_file.final] = _copy(day_file)
            with disk_errors_named(day_file.final):
                remove_sealed(day_file.final)  # of an attempt without a receipt
            publish(day_file.unsealed, day_file.final)
        seal_manifest(out, head, seals, contents)
        rows: dict[str, int] = {}
        for each in proved:
            for symbol, count in each.unproven_rows.items():
                rows[symbol] = rows.get(symbol, 0) + count
        whole = Proved(proved[-1].unproven, rows)
        write_removal(out, head, verified_receipt(out, head, day[-1].continued_by, whole))
        with disk_errors_named(out.unsealed_of(head)):
            clear_segment(out, head)

    def _day_files(self, head: Segment, files: Sequence[SegmentFiles]) -> Iterator[_DayFile]:
        """Each file of a day."""
        out, root = self._out, self._source.root
        for symbol in sorted({symbol for one in files for symbol in one.rows}):
            segments = [one.segment for one in files if symbol in one.rows]
            yield _DayFile(
                out.writing_rows(head, symbol),
                out.rows(head, symbol),
                SNAPSHOTS,
                GROUP_ROWS,
                lambda path, like: rows_file(path, like.nbytes // max(1, like.num_rows)),
                partial(_stored_rows, root, segments, symbol),
            )
        for symbol in sorted({symbol for one in files for symbol in one.trades}):
            paths = [root / one.trades[symbol] for one in files if symbol in one.trades]
            yield _DayFile(
                out.writing_trades(head, symbol),
                out.trades(head, symbol),
                TRADES,
                TRADE_GROUP_ROWS,
                lambda path, _: trades_file(path),
                partial(_stored_trades, paths),
            )
        for name in sorted({name for one in files for name in one.tables}):
            paths = [root / one.tables[name] for one in files if name in one.tables]
            schema = TABLES[name].schema
            yield _DayFile(
                out.writing_table(head, name),
                out.table(head, name),
                schema,
                TRADE_GROUP_ROWS,
                lambda path, like: table_file(path, like.schema),
                partial(_stored_table, paths, schema),
            )


@dataclass(frozen=True, slots=True)
class _DayFile:
    """One file of a day: its name before and after it is whole, how it is written, and what reads the rows of all segments."""

    unsealed: Path
    final: Path
    schema: pa.Schema
    group_rows: int
    new_file: Callable[[Path, pa.RecordBatch], ParquetFile]
    stored: Callable[[], Iterable[pa.RecordBatch]]

    def rows(self) -> Iterator[pa.RecordBatch]:
        """The rows of all segments, from their files."""
        for batch in self.stored():
            yield pa.RecordBatch.from_arrays(batch.columns, schema=self.schema)


def _stored_rows(root: Path, segments: Sequence[Segment], symbol: str) -> Iterator[pa.RecordBatch]:
    """The rows of these segments in the newest format. Raises Damaged for a file that cannot be read."""
    for segment in segments:
        archive = ArchiveFiles(str(root), LocalFileSystem(), segment)
        yield from batches(archive, RowQuery(symbol), SNAPSHOTS.names)
        for path, why in archive.damaged.items():
            raise Damaged(f"{path}: {why}")


def _stored_trades(paths: Sequence[Path]) -> Iterator[pa.RecordBatch]:
    for path in paths:
        with _named(path), parquet_errors(), open_parquet(path) as file:
            check_schema(file, TRADES)
            yield from file.iter_batches(TRADE_GROUP_ROWS, use_threads=False)


def _stored_table(paths: Sequence[Path], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for path in paths:
        with _named(path):
            yield from read_table(path, schema).to_batches()


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Put the file's name before the reason why it is damaged."""
    try:
        yield
    except Damaged as error:
        raise Damaged(f"{path}: {error}") from error


def _regrouped(found: Iterable[pa.RecordBatch], most: int) -> Iterator[list[pa.RecordBatch]]:
    """The same rows, in groups of at most `most` rows and about GROUP_BYTES."""
    group: list[pa.RecordBatch] = []
    for batch in found:
        size = max(1, batch.nbytes // max(1, batch.num_rows))
        step = max(1, min(most, GROUP_BYTES // size))
        for start in range(0, batch.num_rows, step):
            part = batch.slice(start, step)
            grown = [*group, part]
            if group and (
                sum(one.num_rows for one in grown) > most
                or sum(one.nbytes for one in grown) > GROUP_BYTES
            ):
                yield group
                grown = [part]
            group = grown
    if group:
        yield group


def _copy(day_file: _DayFile) -> tuple[FileSeal, Contents]:
    """Write a file, then read it and its sources again and compare them. Raises WriteFailed if they differ."""
    file, rows = None, 0
    first_id: int | None = None
    last_id: int | None = None
    for group in _regrouped(day_file.rows(), day_file.group_rows):
        (whole,) = pa.Table.from_batches(group).combine_chunks().to_batches()
        file = file or day_file.new_file(day_file.unsealed, whole)
        file.append(whole)
        file.write()
        rows += whole.num_rows
        if day_file.schema is SNAPSHOTS:
            ids = whole.column("update_id")
            first_id, last_id = ids[0].as_py() if first_id is None else first_id, ids[-1].as_py()
    if file is None:
        empty = pa.RecordBatch.from_pylist([], day_file.schema)
        file = day_file.new_file(day_file.unsealed, empty)
        file.append(empty)
    seal = file.seal(rows)
    with open_parquet(day_file.unsealed) as opened:
        numbers = range(opened.num_row_groups)
        found = (opened.read_row_group(number, use_threads=False) for number in numbers)
        if not _are_equal(day_file.rows(), (batch for one in found for batch in one.to_batches())):
            raise WriteFailed(day_file.unsealed, "the file does not hold the values of its sources")
    return seal, Contents(rows, first_id, last_id)


def _are_equal(wanted: Iterator[pa.RecordBatch], found: Iterator[pa.RecordBatch]) -> bool:
    """Whether both have the same rows in the same order, however they are divided into batches."""
    one, other = next(wanted, None), next(found, None)
    while one is not None and other is not None:
        size = min(one.num_rows, other.num_rows)
        if one.slice(0, size).columns != other.slice(0, size).columns:
            return False
        one = one.slice(size) if size < one.num_rows else next(wanted, None)
        other = other.slice(size) if size < other.num_rows else next(found, None)
    return one is other


def _unproven_at_beginning(copied: Iterable[Removal]) -> dict[Segment, frozenset[str]]:
    """For each segment that continues a day of the copy: the symbols whose books are unproven at its beginning."""
    found: dict[Segment, frozenset[str]] = {}
    for receipt in copied:
        for name in receipt.continued_by:
            if after := Segment.parse(name):
                found[after] = found.get(after, frozenset()).union(receipt.unproven)
    return found
