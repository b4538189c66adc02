"""`booktape verify`: proves what was recorded."""

from __future__ import annotations

import json as json_text
from functools import partial
from typing import Annotated

from cyclopts import Parameter

from booktape.commands.options import NamedArchive, NamedPath, Processes, range_us, shard_of
from booktape.commands.workers import chosen_workers
from booktape.errors import UsageError
from booktape.processes import terminal
from booktape.reader.progress import progress_bar
from booktape.store.target import check_folder
from booktape.verify.kept_results import KeptResults
from booktape.verify.order import Scope
from booktape.verify.report import as_json, render, render_shard
from booktape.verify.run import verify as verify_archive
from booktape.verify.stored_files import stored_files


def verify(  # noqa: PLR0913 - each is one documented option
    directory: NamedArchive,
    *,
    symbol: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    from_: Annotated[str | None, Parameter(name="--from")] = None,
    to: str | None = None,
    jobs: Processes = 1,
    dask: str | None = None,
    shard: str | None = None,
    results: NamedPath | None = None,
    json: bool = False,
) -> int:
    """Prove every stored row from the tape, with an independent implementation.

    Exit code 1 if anything differs or cannot be verified.

    Parameters
    ----------
    directory
        The archive's folder, or its address such as s3://bucket/prefix; nothing in it is changed.
    symbol
        Only these symbols; all if not given.
    from_
        Only segments that end after this time, such as 2026-11-22T10:00 (UTC).
    to
        Only segments that begin before this time.
    jobs
        How many segments to verify at the same time, each on its own core.
    dask
        The scheduler of a Dask cluster whose workers verify, such as tcp://scheduler:8786. The workers need access to
        the same folder, or the credentials for the bucket.
    shard
        Only this part of the segments, such as 2/3, without a report. When all parts are done, `verify` with the same
        --results and without --shard makes the report.
    results
        A folder that keeps the result of each segment, which is used again as long as the segment's files are the same.
    json
        Report as JSON, for machines.
    """
    scope = Scope(
        frozenset(name.upper() for name in symbol) or None,
        *range_us(from_, to),
        shard_of(shard),
    )
    if shard and results is None:
        raise UsageError("--shard needs a folder for the results of all shards. Add --results DIR.")
    if results:
        check_folder("--results", results)
    stored = stored_files(directory)
    kept = KeptResults(results, stored, scope.symbols) if results else None
    with chosen_workers(jobs, dask) as workers:
        report = verify_archive(stored, scope, workers, partial(progress_bar, "verifying"), kept)
    if json:
        terminal.write_line(json_text.dumps(as_json(report), indent=2))
    elif shard:
        terminal.console().print(render_shard(report, shard))
    else:
        terminal.console().print(render(report))
    return report.exit_code
