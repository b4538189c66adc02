"""The outcome, for people (a table, the first differences side by side) and for syncs (JSON)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Final

from rich.box import SIMPLE
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from booktape.verify.findings import Counts, Finding, Kind
from booktape.verify.model.decimals import CAP
from booktape.verify.run import Report, verdict

SHOWN_MAX: Final = 10
"""Findings shown to a person; `--json` has all that were kept."""

_TEXT_MAX: Final = 60


def render(report: Report) -> Group:
    """For a person; fits on 80 columns."""
    parts: list[RenderableType] = [_symbols(report)]
    for kind in Kind:
        kept = [finding for finding in report.found.kept if finding.kind == kind]
        parts += [_finding(finding) for finding in kept[:SHOWN_MAX]]
        more = report.found.count[kind] - min(len(kept), SHOWN_MAX)
        if more:
            parts.append(Text(f"… and {more} more ({kind.value})."))
    parts += [Text(line) for line in _remarks(report)]
    parts.append(Text(verdict(report), style="bold green" if report.clean else "bold red"))
    return Group(*parts)


def _symbols(report: Report) -> Table:
    table = Table(box=SIMPLE, pad_edge=False)
    table.add_column("symbol", no_wrap=True)
    names = ("segments", "rows", "gaps", "checks", "different", "on trust", "no proof")
    for name in names:
        table.add_column(name, justify="right")
    for symbol, counts in sorted(report.found.symbols.items(), key=lambda item: item[0] or ""):
        if symbol is not None:
            table.add_row(symbol, *(f"{number:,}" for number in _numbers(counts)))
    return table


def _numbers(counts: Counts) -> list[int]:
    """Rows, gaps and checks that are equal; then what is not clean, of all tables."""
    return [
        counts.segments,
        *(counts.equal[table] for table in ("rows", "gaps", "checks")),
        counts.different.total(),
        counts.trusted,
        counts.unverifiable,
    ]


def _finding(finding: Finding) -> Text:
    text = Text(f"{finding.kind.value}: ", style="red" if finding.kind == Kind.DIFFERENT else "")
    text.append(_place(finding), style="bold")
    text.append(f" {finding.what}")
    if finding.expected is not None or finding.stored is not None:
        for name, said in (("due", finding.expected), ("stored", finding.stored)):
            text.append(f"\n    {name + ':':8}{_short(said)}")
    return text


def _place(finding: Finding) -> str:
    """`snapshots/….parquet, BTCUSDT, row 17, bid_size, level 3:`."""
    parts = [finding.file, finding.symbol]
    if finding.row is not None:
        parts.append(f"row {finding.row}")
    parts.append(finding.column)
    if finding.level is not None:
        parts.append(f"level {finding.level}")
    return ", ".join(part for part in parts if part) + ":"


def _short(said: str | None) -> str:
    if said is None:
        return "nothing"
    return said if len(said) <= _TEXT_MAX else said[:_TEXT_MAX] + "…"


def _remarks(report: Report) -> Iterator[str]:
    if report.unsealed:
        yield f"Not sealed yet, and not verified: {', '.join(report.unsealed)}."
    if report.given:
        yield f"Taken as right, since you asked from there on: how {report.given} begins."
    if report.left_out:
        yield "Segments after --to were not looked at."
    for symbol, counts in sorted(report.found.symbols.items(), key=lambda item: item[0] or ""):
        if counts.capped:
            yield (
                f"{counts.capped:,} rows of {symbol} hold a capped size: "
                f"the exchange says {CAP} and means so much, or more."
            )


def as_json(report: Report) -> dict[str, Any]:
    """The same for a sync. Counts are of all findings, `findings` holds the first of each segment."""
    symbols = {
        symbol: {
            "segments": counts.segments,
            "equal": dict(counts.equal),
            "different": dict(counts.different),
            "capped": counts.capped,
            "on_trust": counts.trusted,
            "unverifiable": counts.unverifiable,
        }
        for symbol, counts in report.found.symbols.items()
        if symbol is not None
    }
    return {
        "directory": str(report.root),
        "clean": report.clean,
        "verdict": verdict(report),
        "segments": report.segments,
        "unsealed": report.unsealed,
        "begins_as_given": report.given,
        "counts": {kind.value: report.found.count[kind] for kind in Kind},
        "symbols": symbols,
        "findings": [asdict(finding) for finding in report.found.kept],
    }
