"""Whether a segment is verified, which is the condition for removing it.

A segment is verified when `verify` has read it without a finding: each file is as it was sealed, and everything stored
follows from its tape. Each segment that continues it must begin in the state in which it ended, because that can be
compared only while its tape is there.

Its own beginning need not be proved by the previous segment. Rows that rest on an unproven beginning remain unproven
however long they are kept. The receipt counts them, and says which books were still unproven at the end, so `verify`
says the same after the removal as before.
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
    """What was proved of a segment: the symbols `unproven` at its end, and `unproven_rows` by symbol (normally none)."""

    unproven: frozenset[str]
    unproven_rows: dict[str, int]


class Proof:
    """Call `verify` for each segment after those that it continues, then `compare_beginning` for each that continues it.

    `unproven` has the symbols whose books were unproven at the beginning of a segment, for each segment whose beginning
    is known from a receipt. Each comparison adds the next segment.
    """

    def __init__(self, layout: Layout, unproven: Mapping[Segment, frozenset[str]]) -> None:
        self._layout = layout
        self._unproven = dict(unproven)
        self._results: dict[Segment, SegmentResult] = {}

    def verify(self, segment: Segment) -> str:
        """Verify a segment with all of its symbols. Returns why it is not verified, or an empty text."""
        if why := irregular_file(self._layout, segment):
            return why
        files = files_of(self._layout, segment)
        result = verify_segment(self._layout.root, files, None, no_step)
        if result.found.count.total():
            return _first(result.found)
        self._results[segment] = result
        return ""

    def can_compare(self, segment: Segment, continues: Iterable[Segment]) -> bool:
        """Whether all segments that it continues are verified, or its beginning has been compared."""
        return segment in self._unproven or self._results.keys() >= {*continues}

    def compare_beginning(self, segment: Segment, continues: Iterable[Segment]) -> str:
        """Why a segment does not begin as those that it continues ended; empty when it does. Ask `can_compare` first."""
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
        """Note that the books of exactly these symbols were unproven at the beginning of a segment."""
        self._unproven[segment] = unproven

    def forget(self, segment: Segment) -> None:
        """Drop the result of a segment, once all segments that continue it are compared."""
        self._results.pop(segment, None)

    def _at_beginning(self, result: SegmentResult) -> frozenset[str]:
        return self._unproven.get(result.segment, frozenset(result.begin.books))

    def _at_end(self, result: SegmentResult) -> frozenset[str]:
        return self._at_beginning(result) & result.rests


def verified_receipt(
    layout: Layout, segment: Segment, continued_by: Iterable[Segment], proved: Proved
) -> Removal:
    """The receipt of a tape that is to be removed, or is not copied: what it proved of the files in the manifest."""
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
