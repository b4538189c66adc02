"""`booktape view`: shows a recording as a page in the browser."""

from __future__ import annotations

import asyncio

from booktape import reader
from booktape.commands.options import NamedArchive
from booktape.processes.terminal import log_to_stderr, never_wait_for_stdout, write_line
from booktape.recorder.run import on_hangup, on_stop_signals
from booktape.web.guard import Address, parse_address
from booktape.web.recording import RecordingAnswers
from booktape.web.server import PageServer


def view(directory: NamedArchive, *, web: str = "127.0.0.1:8080") -> None:
    """Show a recording in the browser, until Ctrl-C: coverage, gaps, the book at any moment, a heatmap.

    Rows that are not yet sealed are not shown.

    Parameters
    ----------
    directory
        The archive's folder, or its address such as s3://bucket/prefix; nothing in it is changed.
    web
        Where to serve the page: a port or address such as 8080 or 127.0.0.1:8080; port 0 for any free port. Other
        machines can open the page only at a network address, such as 0.0.0.0:8080.
    """
    address = parse_address("--web", web)
    answers = RecordingAnswers(reader.open(directory, unsealed=False), directory)
    never_wait_for_stdout()
    log_to_stderr()
    asyncio.run(_serve(address, answers))


async def _serve(address: Address, answers: RecordingAnswers) -> None:
    stopped = asyncio.Event()
    on_stop_signals(stopped.set)
    on_hangup(stopped.set)
    async with PageServer(address, answers.routes()) as server:
        write_line(f"Open {server.url} in a browser. Ctrl-C stops the server.")
        await stopped.wait()
