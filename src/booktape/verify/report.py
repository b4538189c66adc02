"""The report: for people as a table with the first differences, for machines as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Final

from rich.box import SIMPLE
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from booktape.processes.terminal import counted
from booktape.verify.findings import Counts, Finding, Kind
from booktape.verify.model.decimals import CAP
from booktape.verify.run import Report, verdict

SHOWN_MAX: Final = 10
"""Findings of each kind shown to a person; `--json` has all that were kept."""

_TEXT_MAX: Final = 60
_LABELS: Final = {kind: kind.value for kind in Kind} | {Kind.TRUST: "unproven"}
"""The kinds as a person reads them: `--json` has another word for rows that rest on a checkpoint."""


def render(report: Report) -> Group:
    """The report for a person. It fits on 80 columns."""
    parts: list[RenderableType] = [_symbols(report)]
    for kind in Kind:
        kept = [finding for finding in report.found.kept if finding.kind == kind]
        parts += [_finding(finding) for finding in kept[:SHOWN_MAX]]
        more = report.found.count[kind] - min(len(kept), SHOWN_MAX)
        if more:
            parts.append(Text(f"… and {more} more ({_LABELS[kind]})."))
    parts += [Text(line) for line in _remarks(report)]
    parts.append(Text(verdict(report), style="bold green" if report.clean else "bold red"))
    return Group(*parts)


def render_shard(report: Report, shard: str) -> Group:
    """The report for a person who runs one shard of several. It has no verdict, because no two segments were compared."""
    findings = [_finding(finding) for finding in report.found.kept[:SHOWN_MAX]]
    number = report.found.count.total()
    sentence = (
        f"Shard {shard}: {counted(report.segments, 'segment')}, each by itself, with "
        f"{counted(number, 'finding')}. When all shards are done, the same command without --shard makes the report."
    )
    return Group(_symbols(report), *findings, Text(sentence, style="red" if number else ""))


def _by_symbol(report: Report) -> list[tuple[str, Counts]]:
    found = report.found.symbols.items()
    return sorted((symbol, counts) for symbol, counts in found if symbol is not None)


def _symbols(report: Report) -> Table:
    """Equal rows of each table; then rows of all tables that are not clean."""
    # One blank between columns: with trades there are nine, and all of them have to fit.
    table = Table(box=SIMPLE, pad_edge=False, padding=(0, 0, 0, 1))
    table.add_column("symbol", no_wrap=True)
    has_trades = any(counts.equal["trades"] for _, counts in _by_symbol(report))
    equal = ("rows", *(["trades"] if has_trades else []), "gaps", "checks")
    for name in ("segments", *equal, "different", "unproven", "no proof"):
        table.add_column(name, justify="right", overflow="fold")
    for symbol, counts in _by_symbol(report):
        numbers = (
            *(counts.segments, *(counts.equal[name] for name in equal)),
            *(counts.different.total(), counts.trusted, counts.unverifiable),
        )
        table.add_row(symbol, *(f"{number:,}" for number in numbers))
    return table


def _finding(finding: Finding) -> Text:
    style = "red" if finding.kind == Kind.DIFFERENT else ""
    text = Text(f"{_LABELS[finding.kind]}: ", style=style)
    text.append(_place(finding), style="bold")
    text.append(f" {finding.what}")
    if finding.expected is not None or finding.stored is not None:
        for name, value in (("due", finding.expected), ("stored", finding.stored)):
            text.append(f"\n    {name + ':':8}{_short(value)}")
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


def _short(value: str | None) -> str:
    if value is None:
        return "nothing"
    return value if len(value) <= _TEXT_MAX else value[:_TEXT_MAX] + "…"


def _remarks(report: Report) -> Iterator[str]:
    if report.unsealed:
        yield f"Not sealed yet, and not verified: {', '.join(report.unsealed)}."
    if report.on_the_way:
        names = ", ".join(report.on_the_way)
        yield f"On the way, since their manifests are not in the bucket, and not verified: {names}."
    if report.removed:
        segments = counted(len(report.removed), "segment")
        yield f"Removed on purpose: {segments}, {_period(report.removed)}."
    if report.removed_tapes:
        rows = sum(counts.verified_before for counts in report.found.symbols.values())
        tapes = counted(len(report.removed_tapes), "tape")
        yield (
            f"Removed on purpose, after all that follows from them was verified: {tapes}, "
            f"{_period(report.removed_tapes)}. {counted(rows, 'row')} have the SHA-256 of that time."
        )
    if report.given:
        yield f"The beginning of {report.given} is taken as right, because of --from."
    if report.left_out:
        yield "Segments after --to were not verified."
    for symbol, counts in _by_symbol(report):
        if counts.capped:
            yield (
                f"{symbol}: {counted(counts.capped, 'row')} with a capped size: "
                f"the exchange writes {CAP} for this size or more."
            )


def _period(names: list[str]) -> str:
    return min(names) if len(names) == 1 else f"{min(names)} to {max(names)}"


def as_json(report: Report) -> dict[str, Any]:
    """The report for a machine. Counts include all findings; `findings` has the first of each segment."""
    symbols = {
        symbol: {
            "segments": counts.segments,
            "equal": dict(counts.equal),
            "different": dict(counts.different),
            "capped": counts.capped,
            "on_trust": counts.trusted,
            "unverifiable": counts.unverifiable,
            "verified_before": counts.verified_before,
        }
        for symbol, counts in report.found.symbols.items()
        if symbol is not None
    }
    return {
        "directory": report.name,
        "clean": report.clean,
        "verdict": verdict(report),
        "segments": report.segments,
        "unsealed": report.unsealed,
        "on_the_way": report.on_the_way,
        "begins_as_given": report.given,
        "removed": report.removed,
        "removed_tapes": report.removed_tapes,
        "counts": {kind.value: report.found.count[kind] for kind in Kind},
        "symbols": symbols,
        "findings": [asdict(finding) for finding in report.found.kept],
    }
