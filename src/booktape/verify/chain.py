"""Segment after segment: each must begin as the one before it ended.

A segment was verified assuming what its first checkpoints say. Here that is proved from the segment
before, whose own beginning was proved likewise; so in the end all rests on a beginning that claims
nothing. Where the one before is missing or damaged, what stands on those checkpoints rests on the
recorder's word.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from booktape.store.layout import Segment
from booktape.verify.findings import Finding, Findings, Kind
from booktape.verify.segment import SegmentResult
from booktape.verify.standing import Standing, cold


class Chain:
    """`link` every segment, oldest first, then `finish`.

    `given`: what was before the first one is not asked about, and its beginning is taken as right.
    """

    def __init__(self, found: Findings, *, given: bool) -> None:
        self._found = found
        self._given = given
        self._run = ""
        # The last segment of each worker: of the recorder at hand, and of the one before it.
        self._strands: dict[str, SegmentResult] = {}
        self._previous: list[SegmentResult] = []
        self._trusted: dict[str, frozenset[str]] = {}
        self._epochs: dict[str, int] = {}

    def link(self, result: SegmentResult) -> None:
        """The next one."""
        segment = result.segment
        if segment.run != self._run:
            self._run, self._previous = segment.run, list(self._strands.values())
            self._strands = {}
        own = self._strands.get(segment.tag)
        before = [own] if own else self._previous
        self._trusted[segment.name] = frozenset()
        if result.start is not None:
            self._check_name(result, before)
            self._check_epochs(result)
            self._trusted[segment.name] = self._trusted_in(result, before)
            self._count_trust(result)
        self._remember(result)
        self._strands[segment.tag] = result

    def finish(self, unsealed: Collection[Segment]) -> None:
        """No further segment is sealed. One that was `rotated` has a successor, or had one."""
        for tag, last in self._strands.items():
            later = any(one.tag == tag and last.segment < one for one in unsealed)
            if last.reason == "rotated" and not later:
                self._found.different(last.segment.name, "the segment after this one is missing")

    # ── what a beginning rests on ───────────────────────────────────────────────────────────

    def _trusted_in(self, result: SegmentResult, before: Sequence[SegmentResult]) -> frozenset[str]:
        """The symbols whose beginning here is not proved by anything before."""
        begins = frozenset(result.begin.books)
        if not before:
            return frozenset() if self._given else begins
        if not all(one.end for one in before) or not self._fits(before, result):
            return begins
        trusted = (self._trusted[one.segment.name] & one.rests for one in before)
        return begins & frozenset().union(*trusted)

    def _fits(self, before: Sequence[SegmentResult], result: SegmentResult) -> bool:
        """Whether this segment begins as those before it ended."""
        tag, same = result.segment.tag, before[0].segment.tag == result.segment.tag
        for one in before:
            if (one.reason == "rotated") != same:
                what = f"does not continue {one.segment.name}: a segment between them is missing"
                self._found.different(result.segment.name, what)
                return False
        if same:
            self._compare_starts(before[0], result)
        ends = {symbol: said for one in before if one.end for symbol, said in one.end.books.items()}
        wanted = (
            ends if same else {symbol: cold(said, result.format) for symbol, said in ends.items()}
        )
        # Of several workers each begins with its own symbols only. Known weakness: one that none
        # of them took over is not missed.
        alone = tag == result.segment.run
        symbols = result.begin.books.keys() | (wanted.keys() if alone or same else set())
        name = " and ".join(one.segment.name for one in before)
        wrong = [
            symbol
            for symbol in sorted(symbols)
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
        """One recording goes on: with the same settings, over the same connections.

        What was listed meanwhile is recorded, too.
        """
        name = result.segment.name
        wanted_start = dict(before.start or {})
        if before.end:
            wanted_start["symbols"] = list(before.end.symbols)
        pairs = [
            (part, wanted_start.get(part), said)
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

    def _check_name(self, result: SegmentResult, before: Sequence[SegmentResult]) -> None:
        """A segment is named by its start, or by the microsecond after the one before it."""
        start_ns = (result.start or {}).get("received_ns")
        begins_us = start_ns // 1_000 if isinstance(start_ns, int) else 0
        named_us = result.segment.start_us
        next_us = max((one.segment.start_us + 1 for one in before), default=named_us)
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
        for symbol in sorted(self._trusted[result.segment.name]):
            counts = result.found.of(symbol)
            if counts.inherited:
                counts.trusted = counts.inherited
                what = (
                    f"{counts.inherited} rows follow from the checkpoint it begins with, "
                    "which no tape before it proves"
                )
                name = result.segment.name
                self._found.add(Finding(Kind.TRUST, name, what, symbol=symbol))
