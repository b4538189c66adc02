"""Verifies an archive: each segment by itself, wherever there is a worker, then one after another.

What a segment showed is small and does not depend on any other segment. So it can be kept (`KeptResults`), and a run
that was killed, or several runs that share the segments, are put together by a last one.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from booktape.errors import FolderNotShared, UsageError
from booktape.store.catalog import unsealed_segments
from booktape.store.layout import Layout, Segment, symbol_folder
from booktape.task_map import Workers, map_tasks
from booktape.terminal import counted
from booktape.verify.continuity import Continuity
from booktape.verify.files import SegmentFiles
from booktape.verify.findings import Findings, Kind
from booktape.verify.kept_results import KeptResults
from booktape.verify.order import Scope, SegmentOrder
from booktape.verify.segment import SegmentResult, Step, verify_segment


@dataclass
class Report:
    """The segments that were verified, and the findings.

    `removed_tapes` are those among them whose tape was removed on purpose, after they had been verified; `removed` are
    the segments of which all was removed on purpose.
    """

    root: Path
    found: Findings
    segments: int
    unsealed: list[str] = field(default_factory=list)
    given: str | None = None
    left_out: bool = False
    removed_tapes: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Nothing differs, nothing is unproven, everything could be verified."""
        return not self.found.count.total()

    @property
    def exit_code(self) -> int:
        """0 when clean, else 1."""
        return 0 if self.clean else 1


Advance = Callable[[int], None]


def no_advance(_: int) -> None:
    """For a caller that shows no progress."""


def verify(
    root: Path,
    scope: Scope,
    workers: Workers = 1,
    advance: Advance = no_advance,
    kept: KeptResults | None = None,
) -> Report:
    """Verify an archive. Raises UsageError where there is none, or nothing of the scope.

    `advance` is called with the number of further bytes of tape that were read. Results in `kept` are used again,
    and further ones are added. The segments of a shard are verified each by itself: whether each begins as the one
    before it ended is left to a run over all of them. Raises WorkerFailed, FolderNotShared.
    """
    found = Findings()
    order = SegmentOrder(root, scope, found)
    chosen = order.chosen
    unsealed = unsealed_segments(Layout(root))
    if not order.segments and not unsealed and not order.removed:
        raise UsageError(f"{root} holds no recording. Make one with: booktape record BTCUSDT")
    _check_scope(root, scope, order)
    if scope.shard.count > 1:
        parts: list[Findings] = []
        _verify_segments(
            root, scope, order, workers, lambda one: parts.append(one.found), advance, kept
        )
        found = Findings()
        found.merge(parts)
        return Report(root, found, len(chosen))
    chain = Continuity(found, order.lineage, {files.segment for files in chosen}, order.removed)
    ordered = _InOrder(chosen, chain)
    _verify_segments(root, scope, order, workers, ordered.add, advance, kept)
    chain.finish(unsealed)
    found.merge(ordered.found)
    names = [segment.name for segment in unsealed]
    later = order.lineage.reaching_into(scope.to_us, None) if scope.to_us is not None else set()
    left_out = bool(later - {files.segment for files in chosen})
    without = [files.segment.name for files in chosen if files.was_verified]
    gone = [segment.name for segment, one in order.removed.items() if one.is_whole]
    return Report(root, found, len(chosen), names, chain.given, left_out, without, gone)


class _InOrder:
    """Segments are finished in any order. Each is linked after those before it, and then forgotten."""

    def __init__(self, chosen: Sequence[SegmentFiles], chain: Continuity) -> None:
        self.found: list[Findings] = []
        self._due = deque(files.segment for files in chosen)
        self._early: dict[Segment, SegmentResult] = {}
        self._chain = chain

    def add(self, result: SegmentResult) -> None:
        self._early[result.segment] = result
        while self._due and self._due[0] in self._early:
            due = self._early.pop(self._due.popleft())
            self._chain.link(due)
            self.found.append(due.found)


def _verify_segments(  # noqa: PLR0913, PLR0917
    root: Path,
    scope: Scope,
    order: SegmentOrder,
    workers: Workers,
    done: Callable[[SegmentResult], None],
    advance: Advance,
    kept: KeptResults | None,
) -> None:
    """Call `done` with the result of each segment, in any order."""
    by_name = {files.segment.name: files for files in order.chosen}
    # In this process a long tape shows its progress line by line.
    step = (advance,) if workers == 1 else ()
    tasks = {}
    for name, files in by_name.items():
        known = kept.load(files) if kept else None
        if known:
            advance(_tape_size(root, files))
            done(known)
        else:
            tasks[name] = (root.absolute(), files, scope.symbols, *step)

    def finished(name: str, result: SegmentResult) -> None:
        if not step:
            advance(_tape_size(root, by_name[name]))
        if kept:
            kept.store(by_name[name], result)
        done(result)

    map_tasks(verify_where_it_is, tasks, workers, finished)


def verify_where_it_is(
    root: Path, files: SegmentFiles, symbols: frozenset[str] | None, step: Step = no_advance
) -> SegmentResult:
    """Verify one segment. Raises FolderNotShared on a machine that has none of its files."""
    listed = [*files.sealed, *([files.manifest] if files.manifest else [])]
    if not any((root / file).exists() for file in listed):
        raise FolderNotShared(socket.gethostname(), str(root / listed[0]))
    return verify_segment(root, files, symbols, step)


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
    return sum(_tape_size(root, files) for files in chosen)


def _tape_size(root: Path, files: SegmentFiles) -> int:
    return (root / files.tape).stat().st_size if files.tape else 0


def verdict(report: Report) -> str:
    """The outcome in one sentence."""
    count = report.found.count
    if report.clean:
        whole = counted(report.segments - len(report.removed_tapes), "segment")
        text = f"Verified: everything stored in {whole} follows from the tapes."
        if report.removed_tapes:
            without = counted(len(report.removed_tapes), "segment")
            text += f" As they were when their tapes were removed, verified: {without}."
        return text
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
