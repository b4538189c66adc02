"""Checks that each segment begins in the state in which the previous one ended.

A segment is verified on the assumption that its first checkpoints are right. Here that assumption is proved
from the end of the previous segment, whose own beginning was proved in the same way. So in the end everything
rests on the first segment, which begins with nothing. If the previous segment is missing or damaged, rows
that follow from those checkpoints are unproven.

If the previous segment was removed on purpose, it had been compared with this one first, and its receipt says so. If it
was removed unverified because it is in a bucket, rows that follow from those checkpoints are unproven here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from booktape.processes.terminal import counted
from booktape.store.layout import Segment
from booktape.verify.edges import begins_as_ended
from booktape.verify.findings import Finding, Findings, Kind
from booktape.verify.order import SegmentOrder
from booktape.verify.segment import SegmentResult

_YEAR_10000_US: Final = 253_402_300_800_000_000


class Continuity:
    """`add` the result of every chosen segment, in any order, then `finish`. All findings go to `found`.

    Segments before the chosen ones are not verified, and the beginning of the chosen ones is assumed to be right.
    `given` is the first such segment.
    """

    def __init__(self, found: Findings, order: SegmentOrder) -> None:
        self.given: str | None = None
        self._found = found
        self._parts: list[Findings] = []
        self._lineage = order.lineage
        self._going_on = [*order.unsealed, *order.on_the_way]
        self._due = deque(files.segment for files in order.chosen)
        self._chosen = frozenset(self._due)
        self._early: dict[Segment, SegmentResult] = {}
        self._removed = frozenset(segment.name for segment in order.removed)
        # For each segment whose beginning is proved by a receipt, by its name: the symbols that were unproven there.
        self._proofs: dict[str, list[frozenset[str]]] = {}
        for receipt in order.removed.values():
            for name in receipt.continued_by:
                self._proofs.setdefault(name, []).append(receipt.unproven)
        # The linked segments that a later segment may still continue.
        self._linked: dict[Segment, SegmentResult] = {}
        self._trusted: dict[Segment, frozenset[str]] = {}
        self._rotated: list[Segment] = []
        self._epochs: dict[str, int] = {}

    def add(self, result: SegmentResult) -> None:
        """Add a segment that was verified by itself. It is linked once all before it are, and then forgotten."""
        self._early[result.segment] = result
        while self._due and self._due[0] in self._early:
            due = self._early.pop(self._due.popleft())
            self._link(due)
            self._parts.append(due.found)

    def _link(self, result: SegmentResult) -> None:
        """Compare the beginning of the next segment with the ends of those before it."""
        segment = result.segment
        before = [self._linked[one] for one in self._lineage.before[segment] if one in self._linked]
        self._trusted[segment] = frozenset()
        if result.start is not None:
            self._check_name(result, before)
            self._check_epochs(result)
            self._trusted[segment] = self._trusted_in(result, before)
            self._count_trust(result)
        self._remember(result)
        self._linked[segment] = result
        if result.reason == "rotated" and not self._lineage.after[segment]:
            self._rotated.append(segment)
        for one in before:
            if all(
                after in self._linked or after not in self._chosen
                for after in self._lineage.after[one.segment]
            ):
                # No later segment needs its books: those of an archive of years do not fit into memory.
                self._linked[one.segment] = SegmentResult(one.segment, Findings())

    def finish(self) -> None:
        """Report what is left once all segments are linked: each one that ended by rotation must be continued."""
        for last in self._rotated:
            if all(one.tag != last.tag for one in self._going_on):
                self._found.different(last.name, "the segment after this one is missing")
        self._found.merge(self._parts)

    # ── whether a beginning is proved ───────────────────────────────────────────────────────────

    def _trusted_in(self, result: SegmentResult, before: Sequence[SegmentResult]) -> frozenset[str]:
        """The symbols whose beginning in this segment is not proved by a previous one."""
        segment, begins = result.segment, frozenset(result.begin.books)
        if any(one not in self._chosen for one in self._lineage.before[segment]):
            self.given = self.given or segment.name
            return frozenset()
        missing = self._lineage.missing[segment]
        # Receipts, not the names that the tape continues: older tapes have no names.
        proofs = self._proofs.get(segment.name)
        if proofs:
            return begins & frozenset().union(*proofs)
        lost = [name for name in missing if name not in self._removed]
        # If none of the symbols was recorded before, the archive begins here.
        if lost and not begins.isdisjoint(self._epochs):
            what = f"goes on from {lost[0]}: a segment between them is missing"
            self._found.different(segment.name, what)
        if missing or not before or not all(one.end for one in before):
            return begins
        if not begins_as_ended(before, result, self._found):
            return begins
        trusted = (self._trusted[one.segment] & one.rests for one in before)
        return begins & frozenset().union(*trusted)

    # ── names, epochs, trust ────────────────────────────────────────────────────────────────

    def _check_name(self, result: SegmentResult, before: Sequence[SegmentResult]) -> None:
        """Check that a segment is named after its start, or after the microsecond that follows the previous one."""
        start_ns = (result.start or {}).get("received_ns")
        begins_us = start_ns // 1_000 if isinstance(start_ns, int) else 0
        named_us = result.segment.start_us
        # Older recorders named a segment by the previous one even if the clock was behind. No name is used twice.
        earlier = [one.segment.start_us + 1 for one in before]
        other = Segment(named_us - 1, result.segment.tag)
        taken = other in self._lineage.beginnings or other.name in self._removed
        late = named_us > begins_us and (taken or named_us == max(earlier, default=0))
        if named_us != begins_us and not late:
            # No segment can be named after some forged times.
            has_name = 0 <= begins_us < _YEAR_10000_US
            wanted = Segment(begins_us, result.segment.tag).name if has_name else f"{begins_us} us"
            named = result.segment.name
            self._found.different(
                named, "is not named by its beginning", expected=wanted, stored=named
            )

    def _check_epochs(self, result: SegmentResult) -> None:
        """Check that epochs of recorded symbols never decrease. Symbols only carried over may be recorded elsewhere."""
        started = (result.start or {}).get("symbols")
        recorded = {*(result.end.symbols if result.end else ()), *_texts(started)}
        for symbol in sorted(recorded & (result.end or result.begin).books.keys()):
            begins = int(result.begin.books.get(symbol, {}).get("epoch", "0"))
            known = self._epochs.get(symbol, 0)
            if begins < known:
                what = "an epoch falls back"
                if not self._lineage.before[result.segment]:
                    what += ": two recordings of one symbol do not belong into one folder"
                self._found.different(
                    result.segment.name,
                    what,
                    symbol=symbol,
                    column="epoch",
                    expected=f"at least {known}",
                    stored=str(begins),
                )

    def _remember(self, result: SegmentResult) -> None:
        books = (result.end or result.begin).books
        ends = {symbol: int(texts["epoch"]) for symbol, texts in books.items()} | result.epochs
        for symbol, epoch in ends.items():
            self._epochs[symbol] = max(self._epochs.get(symbol, 0), epoch)

    def _count_trust(self, result: SegmentResult) -> None:
        for symbol in sorted(self._trusted[result.segment]):
            counts = result.found.counts_of(symbol)
            if counts.inherited:
                counts.trusted = counts.inherited
                what = (
                    f"{counted(counts.inherited, 'row')} from the checkpoint it begins with, "
                    "which no tape before it proves"
                )
                name = result.segment.name
                self._found.add(Finding(Kind.TRUST, name, what, symbol=symbol))


def _texts(found: object) -> list[str]:
    return [text for text in found if isinstance(text, str)] if isinstance(found, list) else []
