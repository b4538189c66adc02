"""Segment after segment: each must begin as the one before it ended.

A segment was verified assuming what its first checkpoints say. Here that is proved from the segment
before, whose own beginning was proved likewise; so in the end all rests on a beginning that claims
nothing. Where the one before is missing or damaged, what stands on those checkpoints rests on the
recorder's word.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from booktape.store.layout import Segment
from booktape.store.lineage import Lineage
from booktape.verify.findings import Finding, Findings, Kind
from booktape.verify.model.checkpoint import CheckpointTexts, cold
from booktape.verify.segment import SegmentResult


class Continuity:
    """`link` every chosen segment, each after those that it goes on from, then `finish`.

    What was before the chosen ones is not asked about, and their beginning is taken as right: `given` is
    the first such segment.
    """

    def __init__(self, found: Findings, lineage: Lineage, chosen: Collection[Segment]) -> None:
        self.given: str | None = None
        self._found = found
        self._lineage = lineage
        self._chosen = frozenset(chosen)
        # What was linked, as long as a segment that goes on from it is still to come.
        self._linked: dict[Segment, SegmentResult] = {}
        self._trusted: dict[Segment, frozenset[str]] = {}
        self._rotated: list[Segment] = []
        self._epochs: dict[str, int] = {}

    def link(self, result: SegmentResult) -> None:
        """The next one."""
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
                # The books of an archive of years do not fit into memory.
                self._linked[one.segment] = SegmentResult(one.segment, Findings())

    def finish(self, unsealed: Collection[Segment]) -> None:
        """No further segment is sealed. One that was `rotated` has a successor, or had one."""
        for last in self._rotated:
            if all(one.tag != last.tag for one in unsealed):
                self._found.different(last.name, "the segment after this one is missing")

    # ── what a beginning rests on ───────────────────────────────────────────────────────────

    def _trusted_in(self, result: SegmentResult, before: Sequence[SegmentResult]) -> frozenset[str]:
        """The symbols whose beginning here is not proved by anything before."""
        segment, begins = result.segment, frozenset(result.begin.books)
        if any(one not in self._chosen for one in self._lineage.before[segment]):
            self.given = self.given or segment.name
            return frozenset()
        missing = self._lineage.missing[segment]
        if missing and self._was_recorded(begins):
            what = f"goes on from {missing[0]}: a segment between them is missing"
            self._found.different(segment.name, what)
        if missing or not before:
            return begins
        if not all(one.end for one in before) or not self._fits(before, result):
            return begins
        trusted = (self._trusted[one.segment] & one.rests for one in before)
        return begins & frozenset().union(*trusted)

    def _was_recorded(self, symbols: Collection[str]) -> bool:
        """Whether there is a segment before this one: else an archive just begins here."""
        return any(symbol in self._epochs for symbol in symbols)

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
        ends = _furthest(one.end.books for one in before if one.end)
        began = result.format, _began_ns(result)
        wanted = ends if same else {symbol: cold(said, *began) for symbol, said in ends.items()}
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

    def _differs(
        self, before: str, symbol: str, wanted: CheckpointTexts, result: SegmentResult
    ) -> bool:
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
            if part not in {"received_ns", "continues"}
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
        # Once a name lay behind the one before it, whatever the clock said; and a name is used once.
        earlier = [one.segment.start_us + 1 for one in before]
        taken = Segment(named_us - 1, result.segment.tag) in self._lineage.beginnings
        late = named_us > begins_us and (taken or named_us == max(earlier, default=0))
        if named_us != begins_us and not late:
            wanted, said = Segment(begins_us, result.segment.tag).name, result.segment.name
            self._found.different(
                said, "is not named by its beginning", expected=wanted, stored=said
            )

    def _check_epochs(self, result: SegmentResult) -> None:
        """Of what is recorded here. What is only handed on may have been recorded elsewhere meanwhile."""
        recorded = {*(result.end.symbols if result.end else ()), *_symbols(result.start)}
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
        ends = {symbol: int(said["epoch"]) for symbol, said in books.items()} | result.epochs
        for symbol, epoch in ends.items():
            self._epochs[symbol] = max(self._epochs.get(symbol, 0), epoch)

    def _count_trust(self, result: SegmentResult) -> None:
        for symbol in sorted(self._trusted[result.segment]):
            counts = result.found.counts_of(symbol)
            if counts.inherited:
                counts.trusted = counts.inherited
                what = (
                    f"{counts.inherited} rows follow from the checkpoint it begins with, "
                    "which no tape before it proves"
                )
                name = result.segment.name
                self._found.add(Finding(Kind.TRUST, name, what, symbol=symbol))


def _furthest(ends: Iterable[Mapping[str, CheckpointTexts]]) -> dict[str, CheckpointTexts]:
    """How each symbol stood; of several that tell of one symbol the one counts that is further on."""
    found: dict[str, CheckpointTexts] = {}
    for books in ends:
        for symbol, said in books.items():
            if symbol not in found or _place(found[symbol]) < _place(said):
                found[symbol] = said
    return found


def _began_ns(result: SegmentResult) -> int | None:
    """When a recording began; None on tapes that do not say which segments they go on from."""
    start = result.start or {}
    began = start.get("received_ns")
    return began if isinstance(began, int) and start.get("continues") is not None else None


def _place(said: CheckpointTexts) -> tuple[int, int]:
    return int(said["epoch"]), int(said["update_id"])


def _symbols(start: Mapping[str, object] | None) -> list[str]:
    found = (start or {}).get("symbols")
    return (
        [symbol for symbol in found if isinstance(symbol, str)] if isinstance(found, list) else []
    )
