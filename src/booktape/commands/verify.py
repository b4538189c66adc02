"""`booktape verify`: prove what was recorded."""

from __future__ import annotations

import json as json_text
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from booktape import terminal
from booktape.commands.options import NamedPath, Processes, range_us
from booktape.verify.order import Scope
from booktape.verify.report import as_json, render
from booktape.verify.run import Report, tape_bytes
from booktape.verify.run import verify as verify_archive


def verify(  # noqa: PLR0913 - each is one documented option
    directory: NamedPath,
    *,
    symbol: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    from_: Annotated[str | None, Parameter(name="--from")] = None,
    to: str | None = None,
    jobs: Processes = 1,
    json: bool = False,
) -> int:
    """Prove every stored row from the tape, with an independent implementation.

    Exit code 1 when anything differs, and when anything cannot be verified.

    Parameters
    ----------
    directory
        The archive's folder; nothing in it is changed.
    symbol
        Only these symbols; all when not given.
    from_
        Only segments that reach beyond this time, such as 2026-11-22T10:00 (UTC).
    to
        Only segments that begin before this time.
    jobs
        How many segments to verify at the same time, each on its own core.
    json
        Report as JSON, for machines.
    """
    scope = Scope(
        frozenset(name.upper() for name in symbol) or None,
        *range_us(from_, to),
    )
    report = _with_progress(directory, scope, jobs)
    if json:
        terminal.write_line(json_text.dumps(as_json(report), indent=2))
    else:
        terminal.console().print(render(report))
    return report.exit_code


def _with_progress(directory: Path, scope: Scope, jobs: int) -> Report:
    """Verify with a progress bar on stderr, if that is a terminal."""
    console = terminal.console(stderr=True)
    columns = (TextColumn("verifying"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("verifying", total=tape_bytes(directory, scope) or None)
        return verify_archive(directory, scope, jobs, lambda count: bar.advance(task, count))
