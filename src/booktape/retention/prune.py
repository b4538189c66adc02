"""One pass over an archive: what is past its limit, verified, and not needed any more goes.

**In the order of recording.** What is kept of the tapes, and what is kept of everything, reaches back without a hole. So
a segment that must stay keeps all those that continue it.

**What never goes:**

- what is not verified (retention/proof.py says what that means);
- what has changed since it was verified, or is no regular file;
- a segment that no other one continues: the next start continues from it;
- what is not sealed;
- what is not in every bucket that segments of this archive are shipped to.

**Kill it anywhere.** The receipt is durable before the first file goes, and the manifest, which names the files, goes
last. So the next pass completes what this one began, and `verify` and the readers know what was meant.
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
WAITS: Final = "what continues it continues younger segments, too"


@dataclass(frozen=True, slots=True)
class Rules:
    """How long everything is kept, and how long tapes are.

    `buckets`: addresses of buckets that segments must be in, beside those that the archive's own receipts name.
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
    """What one pass did. `stays`: what is past its limit and stays, with the reason.

    Among them `unverified` and `unshipped`, which should have gone; others wait in turn, or are needed.
    """

    tapes: list[str] = field(default_factory=list)
    segments: list[str] = field(default_factory=list)
    freed_bytes: int = 0
    stays: dict[str, str] = field(default_factory=dict)
    unverified: dict[str, str] = field(default_factory=dict)
    unshipped: dict[str, str] = field(default_factory=dict)


def prune(root: Path, rules: Rules, now_us: int | None = None) -> PruneOutcome:
    """Remove what need not be kept. May run beside a recorder.

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
    """A pass: first the tapes that are due, then what is left of the segments that are."""

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
        """Complete a removal that was interrupted."""
        if one.removal is None:
            return
        if one.removal.removed == "all":
            self._remove_all(one.segment, one.removal)
        elif one.has_tape and not changed_since(self._layout, one.segment, one.removal):
            self._remove_tape(one.segment, one.removal)
        # Anything else of that name is not the tape that was verified: it stays, and is named once the tape is due.

    def _due(self, stored: Sequence[StoredSegment]) -> tuple[set[Segment], set[Segment]]:
        """The segments whose tape need not be kept, and those of which nothing need be kept."""
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
        """Verify each segment whose tape is due, and remove the tape once what continues it was compared with its end."""
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
            # A segment may continue several, of two workers say: it is compared once all of those are verified.
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
        # All of them: what one proves may be needed of another segment, too.
        whys = [proof.compare_beginning(each, continues[each]) for each in one.continued_by]
        if why := next(filter(None, whys), ""):
            return why
        proved = proof.of(one.segment)
        receipt = verified_receipt(self._layout, one.segment, one.continued_by, proved)
        # Verification took a while.
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
        """Remove what is left of segments whose tape is gone, as long as none before it stays."""
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
        """Remove what is left of a segment, if it is what the receipt was written for. Returns whether it was."""
        if why := changed_since(self._layout, segment, receipt):
            self._note_unverified(segment, why)
            return False
        self._done.freed_bytes += self._size_bytes(segment, tape=True)
        remove_segment(self._layout, segment, replace(receipt, removed="all"))
        self._done.segments.append(segment.name)
        return True

    def _size_bytes(self, segment: Segment, *, tape: bool) -> int:
        return size_bytes(self._layout, files_of(self._layout, segment), tape=tape)
