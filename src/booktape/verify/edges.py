"""Compares the beginning of a segment with the ends of the segments that it continues."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from booktape.verify.findings import Findings
from booktape.verify.model.checkpoint import CheckpointTexts, cold
from booktape.verify.segment import SegmentResult

_BEFORE_IT_WAS_THERE: Final = MappingProxyType({"trades": False})
"""The meaning of a missing field of the first line, which older versions did not write."""


def begins_as_ended(
    before: Sequence[SegmentResult], result: SegmentResult, found: Findings
) -> bool:
    """Whether a segment begins in the state in which the segments `before` it ended. Each difference is reported.

    `before` has all segments that it continues; the end of each is known.
    """
    tag, same = result.segment.tag, before[0].segment.tag == result.segment.tag
    for one in before:
        if (one.reason == "rotated") != same:
            what = f"does not continue {one.segment.name}: a segment between them is missing"
            found.different(result.segment.name, what)
            return False
    if same:
        _compare_starts(before[0], result, found)
    ends = _furthest(one.end.books for one in before if one.end)
    began = result.format, _began_ns(result)
    wanted = ends if same else {symbol: cold(texts, *began) for symbol, texts in ends.items()}
    # Each of several workers begins with its own symbols only. Known weakness: a symbol that none of
    # them carried over is not noticed.
    alone = tag == result.segment.run
    symbols = result.begin.books.keys() | (wanted.keys() if alone or same else set())
    name = " and ".join(one.segment.name for one in before)
    wrong = [
        symbol
        for symbol in sorted(symbols)
        if _differs(name, symbol, wanted.get(symbol, {}), result, found)
    ]
    return not wrong


def _differs(
    before: str,
    symbol: str,
    wanted: CheckpointTexts,
    result: SegmentResult,
    found: Findings,
) -> bool:
    begins = result.begin.books.get(symbol, {})
    parts = [part for part in {**wanted, **begins} if wanted.get(part) != begins.get(part)]
    if parts:
        found.different(
            result.segment.name,
            f"does not begin as {before} ended (or a segment between them is missing)",
            symbol=symbol,
            column=parts[0],
            expected=wanted.get(parts[0], "nothing"),
            stored=begins.get(parts[0], "nothing"),
        )
    return bool(parts)


def _compare_starts(before: SegmentResult, result: SegmentResult, found: Findings) -> None:
    """Compare the settings and the connections of two segments of one recording, which must be the same.

    Symbols that were listed in the meantime are recorded too.
    """
    name = result.segment.name
    wanted_start = dict(before.start or {})
    if before.end:
        wanted_start["symbols"] = list(before.end.symbols)
    pairs = [
        (part, wanted_start.get(part, _BEFORE_IT_WAS_THERE.get(part)), value)
        for part, value in (result.start or {}).items()
        if part not in {"received_ns", "continues"}
    ]
    if before.end:
        begins = result.begin.connections
        pairs += [(f"connection {n}", s, begins.get(n)) for n, s in before.end.connections.items()]
    for part, wanted, stored in pairs:
        if wanted != stored:
            what = f"does not go on as {before.segment.name}"
            found.different(name, what, column=part, expected=str(wanted), stored=str(stored))


def _furthest(ends: Iterable[Mapping[str, CheckpointTexts]]) -> dict[str, CheckpointTexts]:
    """The last state of each symbol. If several segments have one, the furthest counts."""
    found: dict[str, CheckpointTexts] = {}
    for books in ends:
        for symbol, texts in books.items():
            if symbol not in found or _position(found[symbol]) < _position(texts):
                found[symbol] = texts
    return found


def _began_ns(result: SegmentResult) -> int | None:
    """When a recording began. None for tapes that do not name the segments that they continue."""
    start = result.start or {}
    began = start.get("received_ns")
    return began if isinstance(began, int) and start.get("continues") is not None else None


def _position(texts: CheckpointTexts) -> tuple[int, int]:
    return int(texts["epoch"]), int(texts["update_id"])
