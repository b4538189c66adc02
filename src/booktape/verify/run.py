"""Verifies an archive: each segment by itself, wherever there is a worker, then one after another.

The result of a segment is small and does not depend on any other segment. So it can be kept (`KeptResults`), and a last
run can combine the results of a run that was killed, or of several runs that share the segments.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace

from booktape.errors import UsageError
from booktape.processes.task_map import Workers, map_tasks
from booktape.processes.terminal import counted
from booktape.store.layout import symbol_folder
from booktape.verify.continuity import Continuity
from booktape.verify.files import SegmentFiles
from booktape.verify.findings import Findings, Kind
from booktape.verify.kept_results import KeptResults
from booktape.verify.order import Scope, SegmentOrder
from booktape.verify.segment import SegmentResult, Step, no_step, verify_segment
from booktape.verify.stored_files import StoredFiles, readable_entries


@dataclass
class Report:
    """The segments that were verified, and the findings. `name` is the archive's folder or address.

    `removed_tapes` are the segments among them whose tape was removed on purpose after they had been verified, and
    `removed` are those of which everything was removed. `on_the_way` are segments in a bucket without a manifest.
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


Progress = Callable[[int], AbstractContextManager[Step]]
"""Called with the bytes of tape to read. Its block gets a function to call with each further part of them."""


def verify(
    stored: StoredFiles,
    scope: Scope,
    workers: Workers = 1,
    progress: Progress = lambda _: nullcontext(no_step),
    kept: KeptResults | None = None,
) -> Report:
    """Verify an archive. Raises UsageError where there is none, or nothing of the scope.

    Results in `kept` are used again, and new ones are added. Each segment of a shard is verified by itself; only a run
    over all segments compares the beginning of each with the end of the previous one. Raises WorkerFailed,
    FolderNotShared, BucketError.
    """
    found = Findings()
    order = SegmentOrder(stored, scope, found)
    chosen = {files.segment.name: files for files in order.chosen}
    _check_scope(stored, scope, order)
    chain = Continuity(found, order)
    alone = Findings()
    sizes = {name: stored.bytes_of(one.tape) if one.tape else 0 for name, one in chosen.items()}
    with progress(sum(sizes.values())) as advance:
        # In this process a long tape shows its progress line by line.
        step = (advance,) if workers == 1 else ()

        def done(name: str, result: SegmentResult) -> None:
            """Called in any order."""
            if not step:
                advance(sizes[name])
            if kept:
                kept.store(chosen[name], result)
            add(result)

        def add(result: SegmentResult) -> None:
            if scope.shard.count > 1:
                alone.merge([result.found])
            else:
                chain.add(result)

        tasks = {}
        for name, files in chosen.items():
            known = kept.load(files) if kept else None
            if known:
                advance(sizes[name])
                add(known)
            else:
                tasks[name] = (stored.of(files.all), files, scope.symbols, *step)
        map_tasks(verify_where_it_is, tasks, workers, done)
    if scope.shard.count > 1:
        return Report(stored.name, alone, len(chosen))
    chain.finish()
    later = order.lineage.reaching_into(scope.to_us, None) if scope.to_us is not None else set()
    return Report(
        stored.name,
        found,
        len(chosen),
        [segment.name for segment in order.unsealed],
        chain.given,
        left_out=any(segment.name not in chosen for segment in later),
        removed_tapes=[name for name, files in chosen.items() if files.was_verified],
        removed=[segment.name for segment, one in order.removed.items() if one.is_whole],
        on_the_way=[segment.name for segment in order.on_the_way],
    )


def verify_where_it_is(
    stored: StoredFiles,
    files: SegmentFiles,
    symbols: frozenset[str] | None,
    step: Step = no_step,
) -> SegmentResult:
    """Verify one segment. Files of a bucket are fetched first, and removed afterwards.

    Raises FolderNotShared on a machine that has none of its files, BucketError, WriteFailed.
    """
    with stored.at_hand(files.all) as root:
        result = verify_segment(root, files, symbols, step)
    # Errors name the file where it really is, not the fetched copy.
    result.found.kept = [
        replace(one, what=one.what.replace(str(root), stored.name)) for one in result.found.kept
    ]
    return result


def _check_scope(stored: StoredFiles, scope: Scope, order: SegmentOrder) -> None:
    if not (order.segments or order.on_the_way or order.removed or order.unsealed):
        raise UsageError(
            f"{stored.name} holds no recording. Make one with: booktape record BTCUSDT"
        )
    if order.segments and not order.chosen:
        raise UsageError(f"{stored.name} holds no segment between --from and --to.")
    there = {entry.name for entry in readable_entries(stored, "snapshots", Findings())}
    for symbol in sorted(scope.symbols or ()):
        # A symbol whose book was never known has no rows. It was most likely named by mistake.
        if symbol_folder(symbol) not in there:
            raise UsageError(f"{stored.name} holds no snapshots of {symbol}.")


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
