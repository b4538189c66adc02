"""One pass over an archive: removes segments that are past their limit, verified, and no longer needed.

**In the order of recording.** The kept tapes reach back without a hole, and so do the kept segments. So if a segment has
to stay, all segments that continue it stay too.

**Never removed:**

- a segment that is not verified (retention/proof.py says what that means);
- a segment that has changed since it was verified, or has anything but a regular file in the place of a file;
- a segment that no other one continues: the next start continues from it;
- a segment that is not sealed;
- a segment that is not in every bucket to which segments of this archive are shipped.

**It may be killed at any moment.** The receipt is durable before the first file is removed, and the manifest, which
names the files, is removed last. So the next pass completes what this one began, and `verify` and the readers can tell
that the removal was intended.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from booktape.errors import DirectoryInUse, NotRecorded, UsageError
from booktape.retention.limits import KEEP_ALL, Limit
from booktape.retention.proof import Proof, changed_since, verified_receipt
from booktape.retention.stored import (
    StoredSegment,
    files_of,
    size_bytes,
    stored_segments,
)
from booktape.ship.receipts import buckets
from booktape.store.clearing import is_regular
from booktape.store.layout import Layout, Segment
from booktape.store.lock import lock_directory
from booktape.store.removals import Removal, remove_segment, remove_tape

LAST: Final = "the next start continues from it"
AFTER_ONE_THAT_STAYS: Final = "a segment before it stays"
WAITS: Final = "the segment that continues it also continues younger ones"


@dataclass(frozen=True, slots=True)
class Rules:
    """How much is kept of everything, and of the tapes.

    `buckets` are addresses of buckets in which segments must be, besides those named by the archive's own receipts.
    """

    everything: Limit = KEEP_ALL
    tapes: Limit = KEEP_ALL
    buckets: tuple[str, ...] = ()

    @property
    def keep_all(self) -> bool:
        """Whether nothing is ever removed."""
        return self.everything == self.tapes == KEEP_ALL


@dataclass
class PruneOutcome:
    """What one pass did. `stays` has each segment that is past its limit and stays, with the reason.

    `unverified` and `unshipped` are those among them that should have been removed. The others wait for a segment before
    them, or are needed.
    """

    tapes: list[str] = field(default_factory=list)
    segments: list[str] = field(default_factory=list)
    freed_bytes: int = 0
    stays: dict[str, str] = field(default_factory=dict)
    unverified: dict[str, str] = field(default_factory=dict)
    unshipped: dict[str, str] = field(default_factory=dict)


def prune(root: Path, rules: Rules, now_us: int | None = None) -> PruneOutcome:
    """Remove the segments and tapes that need not be kept. May run beside a recorder.

    Raises NotRecorded, UsageError while another process does the same, WriteFailed, OSError, and Damaged for a
    receipt or a manifest that cannot be read.
    """
    layout = Layout(root)
    if not (root / "tape").is_dir() and not (root / "manifests").is_dir():
        raise NotRecorded(f"{root} holds no recording. Make one with: booktape record BTCUSDT")
    now_us = time.time_ns() // 1_000 if now_us is None else now_us
    try:
        with lock_directory(layout.prune_lock):
            return _Pass(layout, rules, now_us).run()
    except DirectoryInUse as error:
        raise UsageError(
            f"Another process is removing old segments of {root}. Wait for it."
        ) from error


class _Pass:
    """One pass: removes the tapes that are due, then the rest of the segments that are due."""

    def __init__(self, layout: Layout, rules: Rules, now_us: int) -> None:
        self._layout = layout
        self._rules = rules
        self._now_us = now_us
        self._buckets = {*rules.buckets, *buckets(layout)}
        self._done = PruneOutcome()

    def run(self) -> PruneOutcome:
        stored = stored_segments(self._layout)
        for one in stored:
            self._complete(one)
        # A listing reads the first line of each tape, and most passes change nothing.
        if self._done.tapes or self._done.segments:
            stored = stored_segments(self._layout)
        tapes_due, all_due = self._due(stored)
        self._remove_tapes(stored, tapes_due | all_due)
        if self._done.tapes:
            stored = stored_segments(self._layout)
        self._remove_segments(stored, all_due)
        return self._done

    def _complete(self, one: StoredSegment) -> None:
        """Complete an interrupted removal."""
        if one.removal is None:
            return
        if one.removal.removed == "all":
            self._remove_all(one.segment, one.removal)
        elif one.has_tape and not changed_since(self._layout, one.segment, one.removal):
            self._remove_tape(one.segment, one.removal)
        # Anything else with the tape's name is not what was verified. It stays, and is named once the tape is due.

    def _due(self, stored: Sequence[StoredSegment]) -> tuple[set[Segment], set[Segment]]:
        """The segments whose tape need not be kept, and the segments of which nothing need be kept."""
        tapes = [one for one in stored if one.has_tape]
        limit, sizes = self._rules.tapes, [0] * len(tapes)
        if limit.size_bytes is not None:
            sizes = [self._layout.tape(one.segment).lstat().st_size for one in tapes]
        tapes_due = limit.exceeded(tapes, sizes, self._now_us)
        limit, sizes = self._rules.everything, [0] * len(stored)
        if limit.size_bytes is not None:
            sizes = [
                self._size_bytes(one.segment, tape=one.segment not in tapes_due) for one in stored
            ]
        return tapes_due, limit.exceeded(stored, sizes, self._now_us)

    def _remove_tapes(self, stored: Sequence[StoredSegment], due: set[Segment]) -> None:
        """Verify each segment whose tape is due. Remove the tape once the segments that continue it were compared with its end."""
        continues = {one.segment: one.continues for one in stored}
        known = {one.segment: one.unproven for one in stored if one.unproven is not None}
        proof = Proof(self._layout, known)
        stay: set[Segment] = set()
        verified: list[StoredSegment] = []
        for one in stored:
            if not one.has_tape:
                continue
            if one.segment not in due:
                stay.add(one.segment)
                continue
            waiting = [each.segment for each in verified]
            if reason := self._reason_to_stay(one, stay.union(waiting)):
                stay.add(one.segment)
                self._done.stays[one.segment.name] = reason
                continue
            if why := proof.verify(one.segment):
                stay.add(one.segment)
                self._note_unverified(one.segment, why)
                continue
            verified.append(one)
            # A segment may continue several, for example of two workers. It is compared once all of them are verified.
            for each in list(verified):
                if all(proof.can_compare(later, continues[later]) for later in each.continued_by):
                    verified.remove(each)
                    if why := self._remove_proved_tape(each, continues, proof):
                        stay.add(each.segment)
                        self._note_unverified(each.segment, why)
                    proof.forget(each.segment)
        self._done.stays |= {one.segment.name: WAITS for one in verified}

    def _remove_proved_tape(
        self,
        one: StoredSegment,
        continues: Mapping[Segment, Sequence[Segment]],
        proof: Proof,
    ) -> str:
        """Remove the tape of a verified segment. Returns why it stays, or an empty text."""
        # Compare all of them even if one fails: the result may be needed for another segment, too.
        whys = [proof.compare_beginning(each, continues[each]) for each in one.continued_by]
        if why := next(filter(None, whys), ""):
            return why
        proved = proof.of(one.segment)
        receipt = verified_receipt(self._layout, one.segment, one.continued_by, proved)
        # Minutes may have passed since the files were read.
        if why := changed_since(self._layout, one.segment, receipt):
            return why
        self._remove_tape(one.segment, receipt)
        return ""

    def _reason_to_stay(self, one: StoredSegment, stay: Collection[Segment]) -> str:
        if not one.continued_by:
            return LAST
        for address in self._buckets:
            if not is_regular(self._layout.receipt(address, one.segment)):
                reason = f"it is not in {address} yet"
                self._done.unshipped[one.segment.name] = reason
                return reason
        return AFTER_ONE_THAT_STAYS if any(each in stay for each in one.continues) else ""

    def _note_unverified(self, segment: Segment, why: str) -> None:
        reason = f"it is not verified: {why}"
        self._done.unverified[segment.name] = self._done.stays[segment.name] = reason

    def _remove_tape(self, segment: Segment, receipt: Removal) -> None:
        self._done.freed_bytes += self._layout.tape(segment).stat().st_size
        remove_tape(self._layout, segment, receipt)
        self._done.tapes.append(segment.name)

    def _remove_segments(self, stored: Sequence[StoredSegment], due: set[Segment]) -> None:
        """Remove the rest of segments whose tape is gone, unless a segment before them stays."""
        there = {one.segment for one in stored}
        for one in stored:
            if one.segment not in due or one.has_tape:
                continue
            if one.removal is None or not one.is_verified:
                why = "its tape is gone, and no receipt says that it had been verified"
                self._note_unverified(one.segment, why)
            elif reason := self._reason_to_stay(one, there):
                self._done.stays[one.segment.name] = reason
            elif self._remove_all(one.segment, one.removal):
                there.remove(one.segment)

    def _remove_all(self, segment: Segment, receipt: Removal) -> bool:
        """Remove the rest of a segment if it is still what the receipt was written for. Returns whether it was."""
        if why := changed_since(self._layout, segment, receipt):
            self._note_unverified(segment, why)
            return False
        self._done.freed_bytes += self._size_bytes(segment, tape=True)
        remove_segment(self._layout, segment, replace(receipt, removed="all"))
        self._done.segments.append(segment.name)
        return True

    def _size_bytes(self, segment: Segment, *, tape: bool) -> int:
        return size_bytes(self._layout, files_of(self._layout, segment), tape=tape)
