"""Verifies an archive: each segment by itself, on one core or several, then one after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Final

from booktape.errors import UsageError
from booktape.process_pool import SPAWN, process_pool
from booktape.store.catalog import unsealed_segments
from booktape.store.layout import Layout, symbol_folder
from booktape.verify.continuity import Continuity
from booktape.verify.files import SegmentFiles
from booktape.verify.findings import Findings, Kind
from booktape.verify.order import Scope, SegmentOrder
from booktape.verify.segment import SegmentResult, verify_segment

_PROGRESS_EVERY_S: Final = 0.2


@dataclass
class Report:
    """The segments that were verified, and the findings."""

    root: Path
    found: Findings
    segments: int
    unsealed: list[str] = field(default_factory=list)
    given: str | None = None
    left_out: bool = False

    @property
    def clean(self) -> bool:
        """Nothing differs, nothing is unproven, everything could be verified."""
        return not self.found.count.total()

    @property
    def exit_code(self) -> int:
        """0 when clean, else 1."""
        return 0 if self.clean else 1


Advance = Callable[[int], None]


def verify(root: Path, scope: Scope, jobs: int, advance: Advance = lambda _: None) -> Report:
    """Verify an archive. Raises UsageError where there is none, or nothing of the scope.

    `advance` is called with the number of further bytes of tape that were read.
    """
    found = Findings()
    order = SegmentOrder(root, scope, found)
    chosen = order.chosen
    unsealed = unsealed_segments(Layout(root))
    if not order.segments and not unsealed:
        raise UsageError(f"{root} holds no recording. Make one with: booktape record BTCUSDT")
    _check_scope(root, scope, order)
    chain = Continuity(found, order.lineage, {files.segment for files in chosen})
    results = []
    for result in _verify_all(root, chosen, scope.symbols, jobs, advance):
        chain.link(result)
        results.append(result.found)
    chain.finish(unsealed)
    found.merge(results)
    names = [segment.name for segment in unsealed]
    later = order.lineage.reaching_into(scope.to_us, None) if scope.to_us is not None else set()
    left_out = bool(later - {files.segment for files in chosen})
    return Report(root, found, len(chosen), names, chain.given, left_out)


def _check_scope(root: Path, scope: Scope, order: SegmentOrder) -> None:
    if order.segments and not order.chosen:
        raise UsageError(f"{root} holds no segment between --from and --to.")
    for symbol in sorted(scope.symbols or ()):
        # A symbol whose book was never known has no rows, and was most likely named by mistake.
        if not (root / "snapshots" / symbol_folder(symbol)).exists():
            raise UsageError(f"{root} holds no snapshots of {symbol}.")


def tape_bytes(root: Path, scope: Scope) -> int:
    """The bytes of tape to read."""
    chosen = SegmentOrder(root, scope, Findings()).chosen
    return sum((root / files.tape).stat().st_size for files in chosen if files.tape)


# ── one core or several ─────────────────────────────────────────────────────────────────────


def _verify_all(
    root: Path,
    chosen: Sequence[SegmentFiles],
    symbols: frozenset[str] | None,
    jobs: int,
    advance: Advance,
) -> Iterator[SegmentResult]:
    """The results in the order of the segments."""
    if jobs == 1 or len(chosen) < 2:  # noqa: PLR2004 - one segment is one job
        for files in chosen:
            yield verify_segment(root, files, symbols, advance)
        return
    read: Synchronized[int] = SPAWN.Value("q", 0)
    tasks = [(root, files, symbols) for files in chosen]
    with process_pool(jobs, _in_worker, tasks, _begin_worker, read) as futures:
        yield from _in_order(futures, read, advance)


def _in_order(
    futures: Sequence[Future[SegmentResult]], read: Synchronized[int], advance: Advance
) -> Iterator[SegmentResult]:
    known = 0
    for future in futures:
        while not future.done():
            wait([future], _PROGRESS_EVERY_S, FIRST_COMPLETED)
            advance(read.value - known)
            known = read.value
        yield future.result()


_read: Synchronized[int]


def _begin_worker(read: Synchronized[int]) -> None:
    global _read  # noqa: PLW0603 - a worker process has one, given when it begins
    _read = read


def _in_worker(root: Path, files: SegmentFiles, symbols: frozenset[str] | None) -> SegmentResult:
    return verify_segment(root, files, symbols, _step)


def _step(count: int) -> None:
    with _read.get_lock():
        _read.value += count


def verdict(report: Report) -> str:
    """The outcome in one sentence."""
    count = report.found.count
    if report.clean:
        segments = "1 segment" if report.segments == 1 else f"{report.segments} segments"
        return f"Verified: everything stored in {segments} follows from the tapes."
    parts = []
    if count[Kind.DIFFERENT]:
        parts.append(
            f"{count[Kind.DIFFERENT]} differences: this archive does not follow from its tapes"
        )
    if count[Kind.TRUST]:
        parts.append("some rows are equal but unproven (they rest on a checkpoint)")
    if count[Kind.UNVERIFIABLE]:
        parts.append("something cannot be verified")
    return f"Not verified: {'; '.join(parts)}."
