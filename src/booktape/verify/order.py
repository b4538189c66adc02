"""Which segments there are, in which order they were recorded, and which are asked about."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from booktape.errors import DamagedTape
from booktape.store.layout import Segment
from booktape.store.lineage import Beginning, Lineage
from booktape.verify.files import SegmentFiles, find_segments
from booktape.verify.findings import Findings
from booktape.verify.model.tape import Line, lines


@dataclass(frozen=True)
class Scope:
    """What is asked about: some symbols or all, and the segments that reach into a stretch of time."""

    symbols: frozenset[str] | None = None
    from_us: int | None = None
    to_us: int | None = None


class SegmentOrder:
    """The segments of an archive; `chosen` are those to verify, each after those it goes on from."""

    def __init__(self, root: Path, scope: Scope, found: Findings) -> None:
        self.segments = {files.segment: files for files in find_segments(root, found)}
        self._root = root
        self.lineage = Lineage(
            [self._beginning(files) for files in self.segments.values()],
            lambda segment: _taken_over(root, self.segments[segment]),
        )
        wanted = self.lineage.reaching_into(scope.from_us, scope.to_us)
        self.chosen = [
            self.segments[segment]
            for segment in self.lineage.order
            if segment in wanted and not self._ended_before(segment, scope.from_us)
        ]

    def _beginning(self, files: SegmentFiles) -> Beginning:
        """What its tape says; little, where there is none that can be read."""
        if files.tape is None:
            return Beginning.unknown(files.segment)
        try:
            first = next((line for _, _, line in lines(self._root / files.tape)), None)
            return _said(files.segment, first) if first else Beginning.unknown(files.segment)
        except DamagedTape:
            return Beginning.unknown(files.segment)

    def _ended_before(self, segment: Segment, from_us: int | None) -> bool:
        """Where no other segment tells when it ended, its tape does, which is read to its end for that."""
        tape = self.segments[segment].tape
        if from_us is None or tape is None or self.lineage.end_us(segment) is not None:
            return False
        if self.lineage.beginnings[segment].start_us >= from_us:
            return False
        stamp_ns = 0
        try:
            for _, _, line in lines(self._root / tape):
                stamp_ns = max(stamp_ns, line.whole("received_ns"))
        except DamagedTape:
            return False
        return stamp_ns // 1_000 < from_us


def _said(segment: Segment, start: Line) -> Beginning:
    """What a first line says of its place. Raises DamagedTape."""
    names = start.fields.get("continues")
    return Beginning(
        segment,
        start.whole("received_ns") // 1_000,
        frozenset(start.texts("symbols")),
        None if names is None else start.texts("continues"),
    )


def _taken_over(root: Path, files: SegmentFiles) -> frozenset[str]:
    """The symbols of which its tape begins with a checkpoint."""
    symbols: set[str] = set()
    try:
        for _, _, line in islice(lines(root / files.tape), 1, None) if files.tape else ():
            if line.kind != "checkpoint":
                break
            symbols.add(line.text("symbol"))
    except DamagedTape:
        # It is named when the segment is verified.
        return frozenset()
    return frozenset(symbols)
