"""Records the tape of a merge: a new archive, which appears under its name when it is whole.

The archive is written into a folder beside it, `OUT.merging`, which is renamed at the end. So OUT is either complete or
not there, and an interrupted merge leaves nothing that a reader could take for a recording.

**Snapshots that come before they are needed.** A machine requests a snapshot when *it* has lost its book. The merge
may lose the book a little later: it waits up to 3 s for another machine to fill the hole, or it notices a dead
stream at a later tick. By then the answer has arrived, and no other one follows. So without further measures the book
would be unknown until the next audit, a quarter of an hour later, while the machine itself had it after 0.2 s.

So an answer that is ahead of a known book is kept (`_EarlyAnswers`). Once the book has reached the answer's id, the
answer is no longer needed. If the book is lost before that, the answer is written to the tape again, with its own
stamp, after the record with which the book was lost. That is safe: the events since then are held, as after any
snapshot, and the book counts as known from the stamp of the answer on, not from a later moment. No other record is
written twice.

Known weakness: a snapshot may disprove a book of the merge after its own machine has replaced that book. It is then
lost, and the next audit finds the error.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from booktape.core.gap_reasons import STOPPED
from booktape.core.sync import State
from booktape.core.tape_records import DepthAnswer, TapeRecord
from booktape.errors import DamagedArchive, DamagedTape, MalformedFrame, UsageError
from booktape.reader.archive_files import ArchiveFiles
from booktape.reconstruct import Reconstruction
from booktape.rerecord.interleave import interleave
from booktape.rerecord.tracks import Advance, Inputs, find_inputs
from booktape.store.durable_files import disk_errors_named, sync_path
from booktape.store.layout import Layout, Segment, segment_end_ns, segment_start_ns
from booktape.store.lock import lock_directory
from booktape.store.patience import retry_while_full
from booktape.store.recovery import keep_pace
from booktape.store.segment_writer import SegmentWriter
from booktape.store.session import RecordingSession
from booktape.store.tape_reader import errors_as_damage
from booktape.wire.binance import decode_depth


@dataclass(frozen=True, slots=True)
class MergeOutcome:
    """How many segments were made, and what was left out: see `Inputs`."""

    segments: int
    damaged: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    unsealed: list[str] = field(default_factory=list)


def merge(
    archives: Sequence[ArchiveFiles],
    out: Path,
    *,
    every: int | None = None,
    segment_s: float = 3_600.0,
    advance: Advance = lambda _: None,
) -> MergeOutcome:
    """Merge archives into `out`, and return what was left out.

    The result has a row after `every` updates (None: as they have), and a segment for each `segment_s` seconds on the
    clock. `advance` is called with the number of further bytes of tape that were read; each tape is read twice. Raises
    CannotMerge if the archives do not fit together, NotRecorded, UsageError if `out` is not free, DirectoryInUse,
    DamagedArchive if a tape holds what no recorder writes, and WriteFailed.
    """
    _check_out(archives, out)
    out = out.resolve()
    staging = Layout(out.with_name(f"{out.name}.merging"))
    if staging.root.exists():
        with lock_directory(staging.lock, folder=True):
            _check_free(staging)
    inputs = find_inputs(archives, every, advance)
    with lock_directory(staging.lock, folder=True):
        _check_free(staging)
        try:
            segments = _record(inputs, staging, round(segment_s * 1e9), advance)
        except DamagedTape as error:
            raise DamagedArchive(f"{error} Nothing was merged. Move that tape away.") from error
        with disk_errors_named(out):
            staging.root.rename(out)
            sync_path(out.parent)
    return MergeOutcome(segments, inputs.damaged, inputs.removed, inputs.unsealed)


def _check_free(staging: Layout) -> None:
    """Raises UsageError if the folder has anything in it."""
    if any(path != staging.lock for path in staging.root.iterdir()):
        raise UsageError(
            f"{staging.root} was left by an interrupted merge. Remove that folder, then start again."
        )


def _check_out(archives: Iterable[ArchiveFiles], out: Path) -> None:
    """Raises UsageError unless the result can be written to `out`."""
    for archive in archives:
        root = Path(archive.root).resolve()
        if not archive.is_bucket and root in (out.resolve(), *out.resolve().parents):
            raise UsageError(f"{out} lies in {archive.root}. Choose another --out.")
    if out.exists() and any(out.iterdir()):
        raise UsageError(f"{out} is not empty, and nothing is replaced. Choose another --out.")


def _record(inputs: Inputs, layout: Layout, segment_ns: int, advance: Advance) -> int:
    """Record the merge. Returns the number of segments."""
    begins_ns = min(track.begins_ns for track in inputs.tracks)
    start = replace(inputs.start, received_ns=begins_ns)
    tape = _NameOfTape()
    with ThreadPoolExecutor(1, "booktape-store") as worker, errors_as_damage(tape):
        session = RecordingSession(layout, Segment.at(begins_ns, _tag(inputs)), worker, start)
        answers, segments = _EarlyAnswers(session.books), 1
        ends_ns = segment_end_ns(begins_ns, segment_ns)
        for placed in interleave(inputs.tracks, advance):
            tape.name = placed.tape
            if placed.at_ns >= ends_ns:
                session.rotate(segment_start_ns(placed.at_ns, segment_ns))
                ends_ns = segment_end_ns(placed.at_ns, segment_ns)
                segments += 1
                _seal_ended(session)
            session.handle(placed.record)
            for answer in answers.due_after(placed.record):
                session.handle(answer)
            keep_pace(session.writer)
        session.end(STOPPED)
        _seal_ended(session)
    return segments


def _tag(inputs: Inputs) -> str:
    """A tag that depends only on the tapes, so merging again makes the same files."""
    names = "\n".join(tape.file.segment.name for track in inputs.tracks for tape in track.tapes)
    return hashlib.sha256(names.encode()).hexdigest()[:8]


def _seal_ended(session: RecordingSession) -> None:
    while session.write_next_of_opening():
        keep_pace(session.writer)
    retry_while_full(session.writer.flush)
    for writer in session.take_ended():
        retry_while_full(partial(_seal, writer))


def _seal(writer: SegmentWriter) -> None:
    writer.seal().result()


@dataclass(slots=True)
class _NameOfTape:
    """The tape that is being read, for error messages."""

    name: str = "a tape"

    def __str__(self) -> str:
        return self.name


class _EarlyAnswers:
    """Snapshots that are ahead of a known book, by symbol, until the book has reached them or is lost."""

    def __init__(self, books: Reconstruction) -> None:
        self._books = books
        self._kept: dict[str, tuple[int, DepthAnswer]] = {}

    def due_after(self, record: TapeRecord) -> Iterable[DepthAnswer]:
        """The answers that must be written to the tape again after this record, which was handled."""
        if isinstance(record, DepthAnswer):
            self._keep(record)
        return self._due() if self._kept else ()

    def _keep(self, answer: DepthAnswer) -> None:
        sync = self._books.syncs[answer.symbol]
        if sync.state is not State.LIVE:
            return
        try:
            snapshot = decode_depth(answer.payload, answer.symbol, answer.limit)
        except MalformedFrame:
            return
        if snapshot.last_id > sync.update_id:
            self._kept[answer.symbol] = snapshot.last_id, answer

    def _due(self) -> list[DepthAnswer]:
        due = []
        for symbol, (last_id, answer) in list(self._kept.items()):
            sync = self._books.syncs[symbol]
            if sync.state is State.LIVE and sync.update_id < last_id:
                continue
            del self._kept[symbol]
            if sync.state is State.SYNCING:
                due.append(answer)
        return due
