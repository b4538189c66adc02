"""Whether a segment is verified: the condition on which it may be removed.

A segment is verified when `verify` has read it without a finding: each file is as it was sealed, and everything stored
follows from its tape. Each segment that continues it must begin in the state in which it ended, since that can be
compared only as long as its tape is there.

One thing is not asked for: that its own beginning is proved by a segment before it. Rows that rest on an unproven
beginning stay so however long they are kept. The receipt counts them, and says which books were still unproven at the
end; so `verify` goes on to say what it would have said.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from booktape import __version__
from booktape.errors import DamagedTape
from booktape.retention.stored import files_of, irregular_file
from booktape.store.layout import Layout, Segment
from booktape.store.removals import Removal, now_text
from booktape.store.unsealed_file import FileSeal
from booktape.verify.edges import begins_as_ended
from booktape.verify.files import check_seals
from booktape.verify.findings import Findings
from booktape.verify.removed import Removed
from booktape.verify.segment import SegmentResult, no_step, read_beginning, verify_segment


@dataclass(frozen=True)
class Proved:
    """What was proved of a segment: `unproven` symbols at its end, and `unproven_rows` by symbol (normally none)."""

    unproven: frozenset[str]
    unproven_rows: dict[str, int]


class Proof:
    """`verify` each segment after those that it continues; then `compare_beginning` of each that continues it.

    `unproven` has, for each segment that is proved to continue one, the symbols whose books were unproven where it
    begins. It starts with those of the receipts.
    """

    def __init__(self, layout: Layout, unproven: Mapping[Segment, frozenset[str]]) -> None:
        self._layout = layout
        self._unproven = dict(unproven)
        self._results: dict[Segment, SegmentResult] = {}

    def verify(self, segment: Segment) -> str:
        """Why the segment, with all of its symbols, is not verified; empty when it is."""
        if why := irregular_file(self._layout, segment):
            return why
        files = files_of(self._layout, segment)
        result = verify_segment(self._layout.root, files, None, no_step)
        if result.found.count.total():
            return _first(result.found)
        self._results[segment] = result
        return ""

    def can_compare(self, segment: Segment, continues: Iterable[Segment]) -> bool:
        """Whether all segments that it continues are verified, or its beginning is compared already."""
        return segment in self._unproven or self._results.keys() >= {*continues}

    def compare_beginning(self, segment: Segment, continues: Iterable[Segment]) -> str:
        """Why a segment does not begin as all that it continues ended; empty when it does. They `can_compare`."""
        if segment in self._unproven:
            return ""
        results = [self._results[one] for one in continues]
        found = Findings()
        try:
            begins = read_beginning(self._layout.root, files_of(self._layout, segment))
        except DamagedTape as error:
            return f"{segment.name}, which continues it, cannot be read: {error}"
        if not begins_as_ended(results, begins, found):
            return _first(found)
        unproven = (self._at_end(one) for one in results)
        self._unproven[segment] = frozenset().union(*unproven) & begins.begin.books.keys()
        return ""

    def of(self, segment: Segment) -> Proved:
        """What was proved of a verified segment."""
        result = self._results[segment]
        begins = self._at_beginning(result)
        rows = {
            symbol: counts.inherited
            for symbol, counts in result.found.symbols.items()
            if symbol in begins and counts.inherited
        }
        return Proved(self._at_end(result), rows)

    def note_beginning(self, segment: Segment, unproven: frozenset[str]) -> None:
        """Where this segment begins, the books of these symbols were unproven, and no others."""
        self._unproven[segment] = unproven

    def forget(self, segment: Segment) -> None:
        """Drop the result of a segment: none that continues it is left to be compared."""
        self._results.pop(segment, None)

    def _at_beginning(self, result: SegmentResult) -> frozenset[str]:
        return self._unproven.get(result.segment, frozenset(result.begin.books))

    def _at_end(self, result: SegmentResult) -> frozenset[str]:
        return self._at_beginning(result) & result.rests


def verified_receipt(
    layout: Layout, segment: Segment, continued_by: Iterable[Segment], proved: Proved
) -> Removal:
    """The receipt of a tape that goes, or is not copied: what it proved, of what its manifest names now."""
    return Removal(
        segment.name,
        "tape",
        now_text(),
        verified_by=__version__,
        manifest_sha256=FileSeal.of_file(layout.manifest(segment)).sha256,
        continued_by=tuple(one.name for one in continued_by),
        unproven=tuple(sorted(proved.unproven)),
        unproven_rows=proved.unproven_rows,
    )


def changed_since(layout: Layout, segment: Segment, receipt: Removal) -> str:
    """Why the files of a segment are not those that its receipt was written for; empty when they are.

    Their sizes and checksums are compared with the manifest, and the manifest with the receipt. The tape may be gone
    already, and any other file once the receipt says that all of them go.
    """
    if why := irregular_file(layout, segment):
        return why
    files, found = files_of(layout, segment), Findings()
    files.removed = Removed(
        is_whole=receipt.removed == "all",
        is_verified=bool(receipt.verified_by),
        manifest_sha256=receipt.manifest_sha256,
        continued_by=frozenset(receipt.continued_by),
        unproven=frozenset(receipt.unproven),
        unproven_rows=receipt.unproven_rows,
    )
    check_seals(layout.root, files, found)
    return _first(found) if found.count.total() else ""


def _first(found: Findings) -> str:
    """The first finding, as a sentence."""
    one = found.kept[0]
    where = one.file if one.symbol is None else f"{one.file}, {one.symbol}"
    return f"{where}: {one.what}"
