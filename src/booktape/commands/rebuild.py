"""`booktape rebuild`: the same books at another N, from the tapes."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from booktape import tuning
from booktape.commands.options import NamedPath, Positive, Processes, range_us
from booktape.reader.archive_files import ArchiveFiles
from booktape.rebuild import RebuildOutcome, RebuildRequest
from booktape.rebuild import rebuild as rebuild_archive
from booktape.store.target import check_archive
from booktape.terminal import write_line


def rebuild(  # noqa: PLR0913 - each is one documented option
    directory: NamedPath,
    *,
    every: Positive,
    out: NamedPath,
    symbol: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    from_: Annotated[str | None, Parameter(name="--from")] = None,
    to: str | None = None,
    jobs: Processes = 1,
) -> int:
    """Make the same books again from the tapes, at another N, or where files were lost.

    Exit code 1 when a tape is damaged: its segment is left out. See docs/rebuild.md.

    Parameters
    ----------
    directory
        The archive's folder; nothing in it is changed.
    every
        N: one full snapshot every N updates of a symbol.
    out
        The folder for the new archive; an interrupted rebuild is continued.
    symbol
        Only these symbols; all when not given.
    from_
        Only segments that reach beyond this time, such as 2026-11-22T10:00 (UTC).
    to
        Only segments that begin before this time.
    jobs
        How many segments to rebuild at the same time, each on its own core.
    """
    tuning.tune_interpreter()
    request = RebuildRequest(
        ArchiveFiles.find(directory),
        out,
        every,
        frozenset(name.upper() for name in symbol) or None,
        *range_us(from_, to),
    )
    check_archive("--out", request.layout)
    damaged = False
    for outcome in rebuild_archive(request, jobs):
        write_line(_sentence(outcome))
        damaged = damaged or outcome.damage is not None
    return int(damaged)


def _sentence(outcome: RebuildOutcome) -> str:
    if outcome.damage:
        return f"{outcome.segment}: left out. {outcome.damage}"
    return f"{outcome.segment}: {'is there already' if outcome.was_there else 'rebuilt'}"
