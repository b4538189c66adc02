"""The segments of an archive, in the order of their recording, and which of them to verify."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from booktape.errors import DamagedTape
from booktape.processes.descriptors import refuse_used_up
from booktape.processes.task_map import WHOLE, Shard
from booktape.store.layout import Segment
from booktape.store.lineage import Beginning, Lineage
from booktape.verify.files import SegmentFiles, find_segments, find_unsealed
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

    `removed` are the receipts of what was removed on purpose, also of segments of which nothing is left. In a bucket, a
    segment without a manifest is not in `segments` but in `on_the_way`, because its manifest is put last. `unsealed` has
    the segments that are not sealed yet.
    """

    def __init__(self, stored: StoredFiles, scope: Scope, found: Findings) -> None:
        self.removed = read_removed(stored, found)
        self.segments: dict[Segment, SegmentFiles] = {}
        self.on_the_way: list[Segment] = []
        for files in find_segments(stored, found):
            segment = files.segment
            files.removed = self.removed.get(segment)
            if files.removed and files.removed.is_whole:
                continue  # the next prune completes its removal
            if stored.is_bucket and files.manifest is None:
                self.on_the_way.append(segment)
            else:
                self.segments[segment] = files
        self.unsealed = find_unsealed(stored, found)
        self._stored = stored
        begun = stored.map(self._beginning, self.segments.values())
        self.lineage = Lineage(begun, self._carried_over)
        wanted = self.lineage.reaching_into(scope.from_us, scope.to_us)
        self.chosen = scope.shard.part(
            [
                self.segments[segment]
                for segment in self.lineage.order
                if segment in wanted and not self._ended_before(segment, scope.from_us)
            ]
        )

    def _lines(self, tape: str) -> Iterator[Line]:
        """Raises DamagedTape."""
        try:
            with self._stored.open(tape) as file:
                yield from (line for _, _, line in lines(file))
        except OSError as error:
            refuse_used_up(error)
            raise DamagedTape(f"it cannot be read: {error}") from error

    def _beginning(self, files: SegmentFiles) -> Beginning:
        """The beginning of a segment, from the first line of its tape; `unknown` if that cannot be read."""
        try:
            for start in self._lines(files.tape) if files.tape else ():
                names = start.fields.get("continues")
                return Beginning(
                    files.segment,
                    start.whole("received_ns") // 1_000,
                    frozenset(start.texts("symbols")),
                    None if names is None else start.texts("continues"),
                )
        except DamagedTape:
            pass  # reported when the segment is verified
        return Beginning.unknown(files.segment)

    def _ended_before(self, segment: Segment, from_us: int | None) -> bool:
        """Whether a segment ended before `from_us`. If no other segment shows that, its tape is read to the end."""
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
        """The symbols that have a checkpoint at the beginning of a segment's tape."""
        symbols: set[str] = set()
        tape = self.segments[segment].tape
        try:
            for line in islice(self._lines(tape), 1, None) if tape else ():
                if line.kind != "checkpoint":
                    break
                symbols.add(line.text("symbol"))
        except DamagedTape:
            return frozenset()
        return frozenset(symbols)
