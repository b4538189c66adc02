"""`booktape export`: files in the layouts of other tools."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias

from cyclopts import Parameter

from booktape import reader
from booktape.commands.archives import chosen_symbols, naming_damage
from booktape.commands.options import (
    NamedArchive,
    NamedPath,
    Positive,
    Processes,
    shard_of,
    time_range,
)
from booktape.commands.workers import chosen_workers
from booktape.errors import NotRecorded, UsageError
from booktape.export import hftbacktest, tardis
from booktape.export.files import Outcome, Written, no_data_for
from booktape.export.per_segment import ExportedSegment, export_segment
from booktape.export.tables import TableShape, table
from booktape.export.tardis import Naming
from booktape.export.trades import TradeItem, trade_items, with_trades
from booktape.export.updates import updates
from booktape.processes.task_map import Shard
from booktape.processes.terminal import counted, write_line, write_to_stderr
from booktape.reader import Gap, Recording
from booktape.reader.shapes import checked_depth
from booktape.store.target import check_folder, check_not_source

Format: TypeAlias = Literal[
    "incremental_book_L2", "book_snapshot", "trades", "hftbacktest", "csv", "parquet"
]

_AROUND: Final = timedelta(minutes=1)
"""Trades are read this far beyond --from and --to: their times are the exchange's, but those two are our clock's."""


@dataclass(frozen=True, slots=True)
class _Request:
    """The options, checked."""

    format: Format
    start: datetime | None
    end: datetime | None
    depth: int | None
    shape: TableShape
    venue: str
    out: Path


def export(  # noqa: PLR0913 each is one documented option
    directory: NamedArchive,
    *,
    format: Format,  # noqa: A002 the option's name
    out: NamedPath,
    symbol: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    from_: Annotated[str | None, Parameter(name="--from")] = None,
    to: str | None = None,
    depth: Positive | None = None,
    shape: TableShape | None = None,
    venue: Literal["binance", "binance-us"] = "binance",
    per_segment: Annotated[bool, Parameter(negative=())] = False,
    jobs: Processes = 1,
    dask: str | None = None,
    shard: str | None = None,
) -> int:
    """Export a recording to the file layouts of other tools.

    docs/export.md says which files each format has, and how it shows a gap. Exit code 1 if a file of the archive is
    damaged: that file is named, and all others are exported.

    Parameters
    ----------
    directory
        The archive's folder, or its address such as s3://bucket/prefix; nothing in it is changed.
    format
        Tardis's incremental_book_L2 or book_snapshot (every event) or trades, hftbacktest's npz (every
        event, and the trades if there are any), or the stored rows as csv or parquet.
    out
        The folder for the files; made if missing. No file is replaced.
    symbol
        Only these symbols; all if not given.
    from_
        Only what was received from this time on, such as 2026-11-22T10:00 (UTC).
    to
        Only what was received before this time.
    depth
        Levels per side; not for incremental_book_L2 and hftbacktest, which hold the whole book.
    shape
        For csv and parquet: one row per level (long, the default) or one column per level (wide).
    venue
        The name of the exchange in the files of Tardis's formats.
    per_segment
        Write a folder of files for each segment, so that several workers can export; an interrupted export is
        continued. Without this option, files span segments.
    jobs
        With --per-segment: how many segments to export at the same time, each on its own core.
    dask
        With --per-segment: the scheduler of a Dask cluster whose workers export, such as tcp://scheduler:8786. The
        workers need access to the same folders, and the credentials for a bucket.
    shard
        With --per-segment: only this part of the segments, such as 2/3.
    """
    check_folder("--out", out)
    check_not_source(directory, out)
    _check(format, depth, shape)
    request = _Request(
        format, *time_range(from_, to), depth, shape or "long", venue, out.absolute()
    )
    part = shard_of(shard)
    if not per_segment and (jobs != 1 or dask or shard):
        raise UsageError("--jobs, --dask and --shard export segments. Add --per-segment.")
    if per_segment:
        return _export_segments(directory, symbol, request, (jobs, dask), part)
    recording = reader.open(directory)
    with naming_damage(recording):
        for name in chosen_symbols(recording, directory, symbol):
            try:
                _export(recording, name, request)
            except NotRecorded as error:
                # The other symbols may be intact.
                if not recording.damaged:
                    raise
                write_to_stderr(str(error))
    return int(bool(recording.damaged))


def _export_segments(
    directory: str,
    wanted: tuple[str, ...],
    request: _Request,
    workers: tuple[int, str | None],
    shard: Shard,
) -> int:
    """Export each segment into a separate folder."""
    recording = reader.open(directory, unsealed=False)
    with naming_damage(recording):
        work = partial(_export_segment, chosen_symbols(recording, directory, wanted), request)
        with chosen_workers(*workers) as chosen:
            found = recording.map_segments(
                work, request.start, request.end, workers=chosen, shard=shard, what="exporting"
            )
    for each in found.values():
        if each.left_out:
            write_line(f"{each.segment}: left out, because one of its files is damaged.")
    there = sum(each.was_there for each in found.values())
    left_out = sum(each.left_out for each in found.values())
    files, rows = (sum(getattr(one, name) for one in found.values()) for name in ("files", "rows"))
    write_line(
        f"{counted(len(found), 'segment')}: {len(found) - there - left_out:,} exported, {there:,} already there, "
        f"{left_out:,} left out. {counted(files, 'file')}, {counted(rows, 'row')}."
    )
    return int(bool(left_out))


def _export_segment(symbols: list[str], request: _Request, part: Recording) -> ExportedSegment:
    """On a worker, write the files of one segment, for those of the symbols that it has."""
    segment = str(part.segment)
    asked = {"symbols": symbols, **asdict(request), "out": None}
    asked |= {name: asked[name] and f"{asked[name]}" for name in ("start", "end")}

    def write(folder: Path) -> Iterator[Outcome]:
        for name in sorted({*symbols} & {*part.symbols()}):
            # A segment may have no data for a symbol in that time.
            with suppress(NotRecorded):
                yield from _outcomes(part, name, replace(request, out=folder))

    return export_segment(request.out, segment, asked, write, is_damaged=lambda: bool(part.damaged))


def _export(recording: Recording, name: str, request: _Request) -> None:
    """Export one symbol. Raises NotRecorded when nothing was written."""
    outcomes: list[Outcome] = []
    for outcome in _outcomes(recording, name, request):
        outcomes.append(outcome)
        write_line(_sentence(outcome))
    if not any(isinstance(outcome, Written) for outcome in outcomes):
        raise no_data_for(name)
    if request.format in {"csv", "parquet"}:
        # The formats that are made from tapes have already reported the gap.
        rows = recording.snapshots(name, request.start, request.end)
        gap = rows.gap_at_end()
        if gap and gap.epoch not in {o.epoch for o in outcomes if isinstance(o, Gap)}:
            write_line(_sentence(gap))


def _check(format_: Format, depth: int | None, shape: TableShape | None) -> None:
    """Raises UsageError if an option is missing or does not apply."""
    if shape and format_ not in {"csv", "parquet"}:
        raise UsageError(f"--shape does not apply to --format {format_}. Leave it out.")
    if depth is None and (format_ == "book_snapshot" or shape == "wide"):
        raise UsageError(f"{shape or format_} needs a number of levels. Add --depth 25.")
    if depth is not None and (format_ == "book_snapshot" or shape == "wide"):
        checked_depth(depth, shape or format_)
    if depth is not None and format_ in {"incremental_book_L2", "hftbacktest"}:
        raise UsageError(f"--format {format_} holds the whole book. Leave --depth out.")
    if depth is not None and format_ == "trades":
        raise UsageError("--depth does not apply to --format trades. Leave it out.")


def _outcomes(recording: Recording, symbol: str, request: _Request) -> Iterator[Outcome]:
    if request.format in {"csv", "parquet"}:
        rows = recording.snapshots(symbol, request.start, request.end, depth=request.depth)
        return table(rows, request.shape, request.format, request.out)
    naming = Naming(request.out, request.venue, symbol)
    if request.format == "trades":
        found = recording.trades(symbol, request.start, request.end)
        return tardis.trades(trade_items(found), naming)
    items = updates(recording.replay(symbol, request.start, request.end))
    if request.format == "hftbacktest":
        both = with_trades(items, _trades(recording, symbol, request))
        return hftbacktest.parts(both, request.out, symbol)
    if request.depth is None:
        return tardis.incremental(items, naming)
    return tardis.snapshots(items, naming, request.depth)


def _trades(recording: Recording, symbol: str, request: _Request) -> Iterator[TradeItem]:
    """The trades of the requested time, and a little more; none if trades were not recorded."""
    start = request.start and request.start - _AROUND
    end = request.end and request.end + _AROUND
    with suppress(NotRecorded):
        yield from trade_items(recording.trades(symbol, start, end))


def _sentence(outcome: Outcome) -> str:
    if isinstance(outcome, Written):
        return f"{outcome.path}: {counted(outcome.rows, 'row')}"
    until = outcome.end_time or "now"
    return f"{outcome.symbol}: not known from {outcome.start_time} until {until} ({outcome.reason})"
