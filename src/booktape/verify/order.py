"""The segments of an archive, in the order of their recording, and which of them to verify."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

from booktape.errors import DamagedTape
from booktape.processes.descriptors import refuse_used_up
from booktape.processes.task_map import WHOLE, Shard
from booktape.store.layout import Segment
from booktape.store.lineage import Beginning, Lineage
from booktape.verify.files import SegmentFiles, find_segments
from booktape.verify.findings import Findings
from booktape.verify.model.tape import Line, lines
from booktape.verify.removed import read_removed
from booktape.verify.stored_files import StoredFiles


@dataclass(frozen=True)
class Scope:
    """What to verify: some symbols or all (None), and the segments that overlap a range of time, or a part of them."""

    symbols: frozenset[str] | None = None
    from_us: int | None = None
    to_us: int | None = None
    shard: Shard = WHOLE


class SegmentOrder:
    """The segments of an archive; `chosen` are those to verify, each after those that it continues.

    `removed` are the receipts of what was removed on purpose, also of segments of which nothing is left. A segment of
    a bucket without a manifest is not among the segments, but `on_the_way`: its manifest is put last.
    """

    def __init__(self, stored: StoredFiles, scope: Scope, found: Findings) -> None:
        self.removed = read_removed(stored, found)
        self.segments = {
            files.segment: replace(files, removed=self.removed.get(files.segment))
            for files in find_segments(stored, found)
            if not self._is_leaving(files.segment)
        }
        self.on_the_way = [
            segment
            for segment, files in self.segments.items()
            if stored.is_bucket and files.manifest is None
        ]
        for segment in self.on_the_way:
            del self.segments[segment]
        self._stored = stored
        self.lineage = Lineage(
            stored.map(self._beginning, self.segments.values()), self._carried_over
        )
        wanted = self.lineage.reaching_into(scope.from_us, scope.to_us)
        self.chosen = scope.shard.part(
            [
                self.segments[segment]
                for segment in self.lineage.order
                if segment in wanted and not self._ended_before(segment, scope.from_us)
            ]
        )

    def _is_leaving(self, segment: Segment) -> bool:
        """Whether all of it is removed, but for what a process that was killed has left to the next one."""
        return segment in self.removed and self.removed[segment].is_whole

    def _lines(self, tape: str) -> Iterator[Line]:
        """Raises DamagedTape."""
        try:
            with self._stored.open(tape) as file:
                yield from (line for _, _, line in lines(file))
        except OSError as error:
            refuse_used_up(error)
            raise DamagedTape(f"it cannot be read: {error}") from error

    def _beginning(self, files: SegmentFiles) -> Beginning:
        """Its beginning, from the first line of its tape; `unknown` where that cannot be read."""
        if files.tape is None:
            return Beginning.unknown(files.segment)
        try:
            first = next(self._lines(files.tape), None)
            return (
                _beginning_of(files.segment, first) if first else Beginning.unknown(files.segment)
            )
        except DamagedTape:
            return Beginning.unknown(files.segment)

    def _ended_before(self, segment: Segment, from_us: int | None) -> bool:
        """Whether it ended before `from_us`. If no other segment shows that, its tape is read to its end."""
        tape = self.segments[segment].tape
        if from_us is None or tape is None or self.lineage.end_us(segment) is not None:
            return False
        if self.lineage.beginnings[segment].start_us >= from_us:
            return False
        stamp_ns = 0
        try:
            for line in self._lines(tape):
                stamp_ns = max(stamp_ns, line.whole("received_ns"))
        except DamagedTape:
            return False
        return stamp_ns // 1_000 < from_us

    def _carried_over(self, segment: Segment) -> frozenset[str]:
        """The symbols that have a checkpoint at the beginning of its tape."""
        symbols: set[str] = set()
        tape = self.segments[segment].tape
        try:
            for line in islice(self._lines(tape), 1, None) if tape else ():
                if line.kind != "checkpoint":
                    break
                symbols.add(line.text("symbol"))
        except DamagedTape:
            # The damage is reported when the segment is verified.
            return frozenset()
        return frozenset(symbols)


def _beginning_of(segment: Segment, start: Line) -> Beginning:
    """The beginning in a first line. Raises DamagedTape."""
    names = start.fields.get("continues")
    return Beginning(
        segment,
        start.whole("received_ns") // 1_000,
        frozenset(start.texts("symbols")),
        None if names is None else start.texts("continues"),
    )
