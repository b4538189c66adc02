"""Segment after segment: each must begin as the one before it ended.

A segment was verified assuming what its first checkpoints say. Here that is proved from the segment
before, whose own beginning was proved likewise; so in the end all rests on a beginning that claims
nothing. Where the one before is missing or damaged, what stands on those checkpoints rests on the
recorder's word.
"""

from __future__ import annotations

from collections.abc import Collection

from booktape.store.layout import Segment
from booktape.verify.findings import Finding, Findings, Kind
from booktape.verify.reading import Edge
from booktape.verify.segment import SegmentResult
from booktape.verify.standing import Standing, cold


class Chain:
    """`link` every segment, oldest first, then `finish`.

    `given`: what was before the first one is not asked about, and its beginning is taken as right.
    """

    def __init__(self, found: Findings, *, given: bool) -> None:
        self._found = found
        self._given = given
        self._before: SegmentResult | None = None
        self._trusted: frozenset[str] = frozenset()
        self._epochs: dict[str, int] = {}

    def link(self, result: SegmentResult) -> None:
        """The next one."""
        if result.start is not None:
            self._check_name(result)
            self._check_epochs(result)
            self._trusted = self._trusted_in(result)
            self._count_trust(result)
        self._remember(result)
        self._before, self._given = result, False

    def finish(self, unsealed: Collection[Segment]) -> None:
        """No further segment is sealed. One that was `rotated` has a successor, or had one."""
        last = self._before
        if last and last.reason == "rotated" and not any(last.segment < one for one in unsealed):
            self._found.different(last.segment.name, "the segment after this one is missing")

    # ── what a beginning rests on ───────────────────────────────────────────────────────────

    def _trusted_in(self, result: SegmentResult) -> frozenset[str]:
        """The symbols whose beginning here is not proved by anything before."""
        before = self._before
        if before is None:
            return frozenset() if self._given else frozenset(result.begin.books)
        if before.end is None or not self._fits(before, before.end, result):
            return frozenset(result.begin.books)
        return self._trusted & before.rests

    def _fits(self, before: SegmentResult, end: Edge, result: SegmentResult) -> bool:
        """Whether this segment begins as the one before ended."""
        name, same = before.segment.name, before.segment.tag == result.segment.tag
        if (before.reason == "rotated") != same:
            what = f"does not continue {name}: a segment between them is missing"
            self._found.different(result.segment.name, what)
            return False
        wanted = end.books
        if same:
            self._compare_starts(before, result)
        else:
            wanted = {symbol: cold(said) for symbol, said in end.books.items()}
        wrong = [
            symbol
            for symbol in sorted(wanted.keys() | result.begin.books.keys())
            if self._differs(name, symbol, wanted.get(symbol, {}), result)
        ]
        return not wrong

    def _differs(self, before: str, symbol: str, wanted: Standing, result: SegmentResult) -> bool:
        said = result.begin.books.get(symbol, {})
        parts = [part for part in {**wanted, **said} if wanted.get(part) != said.get(part)]
        if parts:
            self._found.different(
                result.segment.name,
                f"does not begin as {before} ended (or a segment between them is missing)",
                symbol=symbol,
                column=parts[0],
                expected=wanted.get(parts[0], "nothing"),
                stored=said.get(parts[0], "nothing"),
            )
        return bool(parts)

    def _compare_starts(self, before: SegmentResult, result: SegmentResult) -> None:
        """One recording goes on: with the same settings, over the same connections."""
        name = result.segment.name
        pairs = [
            (part, (before.start or {}).get(part), said)
            for part, said in (result.start or {}).items()
            if part != "received_ns"
        ]
        if before.end:
            taken = result.begin.connections
            pairs += [
                (f"connection {n}", s, taken.get(n)) for n, s in before.end.connections.items()
            ]
        for part, wanted, said in pairs:
            if wanted != said:
                what = f"does not go on as {before.segment.name}"
                self._found.different(
                    name, what, column=part, expected=str(wanted), stored=str(said)
                )

    # ── names, epochs, trust ────────────────────────────────────────────────────────────────

    def _check_name(self, result: SegmentResult) -> None:
        """A segment is named by its start, or by the microsecond after the one before it."""
        start_ns = (result.start or {}).get("received_ns")
        begins_us = start_ns // 1_000 if isinstance(start_ns, int) else 0
        named_us, before = result.segment.start_us, self._before
        next_us = before.segment.start_us + 1 if before else named_us
        if named_us != begins_us and (named_us < begins_us or named_us != next_us):
            wanted, said = Segment(begins_us, result.segment.tag).name, result.segment.name
            self._found.different(
                said, "is not named by its beginning", expected=wanted, stored=said
            )

    def _check_epochs(self, result: SegmentResult) -> None:
        for symbol in (result.end or result.begin).books:
            begins = int(result.begin.books.get(symbol, {}).get("epoch", "0"))
            known = self._epochs.get(symbol, 0)
            if begins < known:
                self._found.different(
                    result.segment.name,
                    "an epoch falls back",
                    symbol=symbol,
                    column="epoch",
                    expected=f"at least {known}",
                    stored=str(begins),
                )

    def _remember(self, result: SegmentResult) -> None:
        books = (result.end or result.begin).books
        ends = {symbol: int(said["epoch"]) for symbol, said in books.items()} | result.epochs
        for symbol, epoch in ends.items():
            self._epochs[symbol] = max(self._epochs.get(symbol, 0), epoch)

    def _count_trust(self, result: SegmentResult) -> None:
        for symbol in sorted(self._trusted):
            counts = result.found.of(symbol)
            if counts.inherited:
                counts.trusted = counts.inherited
                what = (
                    f"{counts.inherited} rows follow from the checkpoint it begins with, "
                    "which no tape before it proves"
                )
                name = result.segment.name
                self._found.add(Finding(Kind.TRUST, name, what, symbol=symbol))
