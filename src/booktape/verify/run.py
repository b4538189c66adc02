"""Verifies an archive: each segment by itself, wherever there is a worker, then one after another.

What a segment showed is small and does not depend on any other segment. So it can be kept (`KeptResults`), and a run
that was killed, or several runs that share the segments, are put together by a last one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace

from booktape.errors import UsageError
from booktape.processes.task_map import Workers, map_tasks
from booktape.processes.terminal import counted
from booktape.store.layout import Segment, symbol_folder
from booktape.verify.continuity import Continuity
from booktape.verify.files import SegmentFiles, unsealed_names
from booktape.verify.findings import Findings, Kind
from booktape.verify.kept_results import KeptResults
from booktape.verify.order import Scope, SegmentOrder
from booktape.verify.segment import SegmentResult, Step, verify_segment
from booktape.verify.stored_files import StoredFiles


@dataclass
class Report:
    """The segments that were verified, and the findings. `name` is the archive's folder or address.

    `removed_tapes` are those among them whose tape was removed on purpose, after they had been verified; `removed` are
    the segments of which all was removed on purpose. `on_the_way` are segments in a bucket without a manifest.
    """

    name: str
    found: Findings
    segments: int
    unsealed: list[str] = field(default_factory=list)
    given: str | None = None
    left_out: bool = False
    removed_tapes: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    on_the_way: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Nothing differs, nothing is unproven, everything could be verified."""
        return not self.found.count.total()

    @property
    def exit_code(self) -> int:
        """0 when clean, else 1."""
        return 0 if self.clean else 1


Advance = Callable[[int], None]

Progress = Callable[[int], AbstractContextManager[Advance]]
"""From the bytes of tape to read, what to call with each further part of them."""


@contextmanager
def no_progress(_total_bytes: int) -> Iterator[Advance]:
    """For a caller that shows none."""
    yield _no_advance


def _no_advance(_bytes: int) -> None:
    pass


def verify(
    stored: StoredFiles,
    scope: Scope,
    workers: Workers = 1,
    progress: Progress = no_progress,
    kept: KeptResults | None = None,
) -> Report:
    """Verify an archive. Raises UsageError where there is none, or nothing of the scope.

    Results in `kept` are used again, and further ones are added. The segments of a shard are verified each by itself:
    whether each begins as the one before it ended is left to a run over all of them. Raises WorkerFailed,
    FolderNotShared, BucketError.
    """
    found = Findings()
    order = SegmentOrder(stored, scope, found)
    chosen = order.chosen
    unsealed = unsealed_names(stored)
    if not (order.segments or order.on_the_way or order.removed or unsealed):
        raise UsageError(
            f"{stored.name} holds no recording. Make one with: booktape record BTCUSDT"
        )
    _check_scope(stored, scope, order)
    total_bytes = sum(_tape_size(stored, files) for files in chosen)
    with progress(total_bytes) as advance:
        if scope.shard.count > 1:
            parts: list[Findings] = []
            _verify_segments(
                stored, scope, order, workers, lambda one: parts.append(one.found), advance, kept
            )
            found = Findings()
            found.merge(parts)
            return Report(stored.name, found, len(chosen))
        chain = Continuity(found, order.lineage, {files.segment for files in chosen}, order.removed)
        ordered = _InOrder(chosen, chain)
        _verify_segments(stored, scope, order, workers, ordered.add, advance, kept)
    chain.finish([*unsealed, *order.on_the_way])
    found.merge(ordered.found)
    later = order.lineage.reaching_into(scope.to_us, None) if scope.to_us is not None else set()
    return Report(
        stored.name,
        found,
        len(chosen),
        [segment.name for segment in unsealed],
        chain.given,
        left_out=bool(later - {files.segment for files in chosen}),
        removed_tapes=[files.segment.name for files in chosen if files.was_verified],
        removed=[segment.name for segment, one in order.removed.items() if one.is_whole],
        on_the_way=[segment.name for segment in order.on_the_way],
    )


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
    stored: StoredFiles,
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
            advance(_tape_size(stored, files))
            done(known)
        else:
            tasks[name] = (stored.of(_all(files)), files, scope.symbols, *step)

    def finished(name: str, result: SegmentResult) -> None:
        if not step:
            advance(_tape_size(stored, by_name[name]))
        if kept:
            kept.store(by_name[name], result)
        done(result)

    map_tasks(verify_where_it_is, tasks, workers, finished)


def verify_where_it_is(
    stored: StoredFiles,
    files: SegmentFiles,
    symbols: frozenset[str] | None,
    step: Step = _no_advance,
) -> SegmentResult:
    """Verify one segment. Of a bucket its files are fetched, and removed afterwards.

    Raises FolderNotShared on a machine that has none of its files, BucketError, WriteFailed.
    """
    with stored.at_hand(_all(files)) as root:
        result = verify_segment(root, files, symbols, step)
    # What could not be opened is named by where it really is.
    result.found.kept = [
        replace(one, what=one.what.replace(str(root), stored.name)) for one in result.found.kept
    ]
    return result


def _all(files: SegmentFiles) -> list[str]:
    """The names of a segment's files, its manifest included."""
    return [*files.sealed, *([files.manifest] if files.manifest else [])]


def _check_scope(stored: StoredFiles, scope: Scope, order: SegmentOrder) -> None:
    if order.segments and not order.chosen:
        raise UsageError(f"{stored.name} holds no segment between --from and --to.")
    for symbol in sorted(scope.symbols or ()):
        # A symbol whose book was never known has no rows, and was most likely named by mistake.
        if not stored.exists(f"snapshots/{symbol_folder(symbol)}"):
            raise UsageError(f"{stored.name} holds no snapshots of {symbol}.")


def _tape_size(stored: StoredFiles, files: SegmentFiles) -> int:
    return stored.bytes_of(files.tape) if files.tape else 0


def verdict(report: Report) -> str:
    """The outcome in one sentence."""
    count = report.found.count
    if report.clean:
        whole = report.segments - len(report.removed_tapes)
        text = f"Verified: everything stored in {counted(whole, 'segment')} follows from the tapes."
        if report.removed_tapes:
            without = counted(len(report.removed_tapes), "segment")
            text = f"{text if whole else 'Verified.'} As it was when its tape was removed, verified: {without}."
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
