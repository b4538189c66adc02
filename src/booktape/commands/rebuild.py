"""`booktape rebuild`: the same books at another N, from the tapes."""

from __future__ import annotations

import warnings
from typing import Annotated

from cyclopts import Parameter

from booktape.commands.options import (
    NamedArchive,
    NamedPath,
    Positive,
    Processes,
    range_us,
    shard_of,
)
from booktape.commands.workers import chosen_workers
from booktape.errors import TapesRemoved
from booktape.processes import tuning
from booktape.processes.terminal import counted, write_line
from booktape.reader.archive_files import ArchiveFiles
from booktape.reader.progress import progress_bar
from booktape.rerecord.rebuild import RebuildOutcome, RebuildRequest, tapes_to_rebuild
from booktape.rerecord.rebuild import rebuild as rebuild_archive
from booktape.store.target import check_archive


def rebuild(  # noqa: PLR0913 - each is one documented option
    directory: NamedArchive,
    *,
    every: Positive,
    out: NamedPath,
    symbol: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    from_: Annotated[str | None, Parameter(name="--from")] = None,
    to: str | None = None,
    jobs: Processes = 1,
    dask: str | None = None,
    shard: str | None = None,
) -> int:
    """Make the same books again from the tapes, at another N, or where files were lost.

    Exit code 1 if a tape is damaged or lost: its segment is left out. See docs/rebuild.md.

    Parameters
    ----------
    directory
        The archive's folder, or its address such as s3://bucket/prefix; nothing in it is changed.
    every
        N: one full snapshot every N updates of a symbol.
    out
        The folder for the new archive; an interrupted rebuild is continued.
    symbol
        Only these symbols; all if not given.
    from_
        Only segments that end after this time, such as 2026-11-22T10:00 (UTC).
    to
        Only segments that begin before this time.
    jobs
        How many segments to rebuild at the same time, each on its own core.
    dask
        The scheduler of a Dask cluster whose workers rebuild, such as tcp://scheduler:8786. The workers need access
        to the same folders, and the credentials for a bucket.
    shard
        Only this part of the segments, such as 2/3. When all parts are done, the same command without --shard checks
        that nothing is missing.
    """
    tuning.tune_interpreter()
    request = RebuildRequest(
        ArchiveFiles.find(directory),
        out.absolute(),
        every,
        frozenset(name.upper() for name in symbol) or None,
        *range_us(from_, to),
    )
    check_archive("--out", request.layout)
    part = shard_of(shard)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TapesRemoved)  # printed below
        tapes = part.part(tapes_to_rebuild(request))
    sizes = {tape.segment.name: tape.bytes for tape in tapes}
    with (
        chosen_workers(jobs, dask) as workers,
        progress_bar("rebuilding", sum(sizes.values())) as advance,
    ):
        outcomes = rebuild_archive(
            request, workers, part, lambda one: advance(sizes.get(one.segment, 0))
        )
    for outcome in outcomes:
        if outcome.damage:
            write_line(f"{outcome.segment}: left out. {outcome.damage}")
    for sentence in request.source.lacks:
        write_line(sentence)
    write_line(_summary(outcomes, shard))
    return int(any(outcome.damage for outcome in outcomes))


def _summary(outcomes: list[RebuildOutcome], shard: str | None) -> str:
    there = sum(outcome.was_there for outcome in outcomes)
    damaged = sum(outcome.damage is not None for outcome in outcomes)
    counts = {
        "rebuilt": len(outcomes) - there - damaged,
        "already there": there,
        "left out": damaged,
    }
    parts = [f"{count:,} {what}" for what, count in counts.items() if count]
    text = f"{counted(len(outcomes), 'segment')}: {', '.join(parts) or 'none in this shard'}."
    if shard:
        text = (
            f"Shard {shard}: {text} When all shards are done, the same command without --shard "
            "checks that nothing is missing."
        )
    return text
