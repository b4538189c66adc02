"""Whatever happens to a recorder's output, recording continues and signals are obeyed.

The streams are real: a pipe that is full or has no reader, a terminal that was stopped or closed,
`/dev/full`, a descriptor that is closed.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

import pytest

from booktape.sim.server.server import SimServer
from e2e.commands import BOOKTAPE
from e2e.promises import check_archive, gaps_of, truth_of
from e2e.tables import PATIENCE_S, rows_on_tape, until_rows
from support.full_streams import fill
from support.truth import TracedMarket

pytestmark = pytest.mark.real_time

SYMBOLS: Final = ("BTCUSDT", "ETHUSDT")
ROWS: Final = 3
"""Once this many rows of each symbol are on the tape, the recorder is recording."""

Stderr: TypeAlias = Callable[[ExitStack], int]
"""Makes a descriptor for a recorder's stdout and stderr."""


_STARTED: Final[list[subprocess.Popen[bytes]]] = []


@pytest.fixture(autouse=True)
def no_recorder_outlives_its_test() -> Iterator[None]:
    """A hanging recorder would take processor time from all later tests."""
    yield
    while _STARTED:
        process = _STARTED.pop()
        if process.poll() is None:
            process.kill()
            process.wait()


def pipe(stack: ExitStack) -> tuple[int, int]:
    """Both ends, closed at the end of the test."""
    ends = os.pipe()
    for end in ends:
        stack.callback(_close, end)
    return ends


def terminal(stack: ExitStack) -> tuple[int, int]:
    """A pseudo-terminal: the user's side and the program's side."""
    ends = os.openpty()
    for end in ends:
        stack.callback(_close, end)
    return ends


def the_pipe_is_not_read(stack: ExitStack) -> int:
    """A stopped pager."""
    _, writer = pipe(stack)
    fill(writer)
    return writer


def the_terminal_is_not_read(stack: ExitStack) -> int:
    """A frozen ssh, or Ctrl-S."""
    _, program = terminal(stack)
    fill(program)
    return program


def the_reader_is_gone(stack: ExitStack) -> int:
    """`… 2>&1 | head -1`."""
    reader, writer = pipe(stack)
    os.close(reader)
    return writer


def the_disk_is_full(stack: ExitStack) -> int:
    """The disk of the log, not of the recording."""
    full = os.open("/dev/full", os.O_WRONLY)
    stack.callback(os.close, full)
    return full


@pytest.mark.parametrize(
    ("way", "workers"),
    [
        (the_pipe_is_not_read, 1),
        pytest.param(the_pipe_is_not_read, 2, marks=pytest.mark.long),
        pytest.param(the_terminal_is_not_read, 1, marks=pytest.mark.long),
        pytest.param(the_reader_is_gone, 2, marks=pytest.mark.long),
        pytest.param(the_disk_is_full, 1, marks=pytest.mark.long),
    ],
)
async def test_a_recording_does_not_hang_on_its_log(
    tmp_path: Path, way: Stderr, workers: int
) -> None:
    """It records, obeys SIGTERM, seals everything, and ends with exit code 0."""
    market = TracedMarket(SYMBOLS, seed=3, levels=50)
    async with SimServer(market, speed=5, start_at_once=True) as server:
        with ExitStack() as stack:
            end = way(stack)
            process = record(server, tmp_path, workers, stdout=end, stderr=end)
            await recording(process, tmp_path)
            process.terminate()
            assert await ended(process) == 0
    check(tmp_path, market)


@pytest.mark.parametrize("closed", [pytest.param("2>&-", marks=pytest.mark.long), "<&- >&- 2>&-"])
async def test_a_recording_needs_no_streams(tmp_path: Path, closed: str) -> None:
    """None of its files takes the place of a stream."""
    market = TracedMarket(SYMBOLS, seed=3, levels=50)
    async with SimServer(market, speed=5, start_at_once=True) as server:
        shell = ("sh", "-c", f'exec "$@" {closed}', "sh")
        process = record(server, tmp_path, 1, before=shell)
        await recording(process, tmp_path)
        process.terminate()
        assert await ended(process) == 0
    check(tmp_path, market)


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.long)])
async def test_a_closed_terminal_ends_the_recording_as_sigterm_does(
    tmp_path: Path, workers: int
) -> None:
    """The system sends SIGHUP, and the shell sends it again, several times; stderr is gone."""
    market = TracedMarket(SYMBOLS, seed=3, levels=50)
    async with SimServer(market, speed=5, start_at_once=True) as server:
        with ExitStack() as stack:
            person, program = terminal(stack)
            process = record(server, tmp_path, workers, of_terminal=program)
            os.close(program)
            await recording(process, tmp_path)
            os.close(person)
            async with asyncio.timeout(PATIENCE_S):
                while process.poll() is None:
                    process.send_signal(signal.SIGHUP)
                    await asyncio.sleep(0.01)
            assert process.returncode == 0
    check(tmp_path, market)


async def test_nohup_is_respected(tmp_path: Path) -> None:
    """A SIGHUP that was ignored when the recorder started stays ignored."""
    market = TracedMarket(SYMBOLS, seed=3, levels=50)
    async with SimServer(market, speed=5, start_at_once=True) as server:
        process = record(server, tmp_path, 1, before=("nohup",))
        await recording(process, tmp_path)
        process.send_signal(signal.SIGHUP)
        await recording(process, tmp_path, rows=2 * max(rows_on_tape(tmp_path, SYMBOLS)))
        process.terminate()
        assert await ended(process) == 0
    check(tmp_path, market)


async def test_a_terminal_that_stops_background_writers_stops_no_recording(
    tmp_path: Path,
) -> None:
    """`stty tostop`: the system stops a background job that writes, unless the job asks not to be stopped."""
    job = [*BOOKTAPE, "record", "BTCUSDT", "--exchange", "sim", "--every", "2"]
    in_background = 'stty tostop; set -m; "$@" & read -r _; kill $!; wait $!'
    with ExitStack() as stack:
        person, program = terminal(stack)
        shell = subprocess.Popen(
            ["sh", "-c", in_background, "sh", *job, "--out", str(tmp_path)],  # noqa: S607
            preexec_fn=partial(os.login_tty, program),  # noqa: PLW1509 no threads yet
        )
        _STARTED.append(shell)
        os.close(program)
        await until_rows(tmp_path, ("BTCUSDT",), ROWS)
        os.write(person, b"\n")
        assert await ended(shell) == 0
    assert list(tmp_path.glob("snapshots/**/*.parquet"))


def record(  # noqa: PLR0913 each is one circumstance
    server: SimServer,
    out: Path,
    workers: int,
    *,
    stdout: int = subprocess.DEVNULL,
    stderr: int = subprocess.DEVNULL,
    before: tuple[str, ...] = (),
    of_terminal: int | None = None,
) -> subprocess.Popen[bytes]:
    """A recorder with these streams, or as the leader of a terminal's session with the terminal's streams."""
    process = subprocess.Popen(
        [
            *(*before, *BOOKTAPE, "record", *SYMBOLS, "--every", "2"),
            *("--rest-url", server.rest_url, "--ws-url", server.ws_url),
            *("--workers", str(workers), "--out", str(out)),
        ],
        stdout=None if of_terminal else stdout,
        stderr=None if of_terminal else stderr,
        preexec_fn=partial(os.login_tty, of_terminal) if of_terminal else None,  # noqa: PLW1509 no threads yet
    )
    _STARTED.append(process)
    return process


async def recording(process: subprocess.Popen[bytes], out: Path, rows: int = ROWS) -> None:
    """Wait until this many rows of each symbol are on its tape."""
    await until_rows(out, SYMBOLS, rows)
    assert process.poll() is None, "it has ended"


async def ended(process: subprocess.Popen[bytes]) -> int:
    """The exit code. Raises TimeoutExpired if it hangs."""
    return await asyncio.to_thread(process.wait, PATIENCE_S)


def check(out: Path, market: TracedMarket) -> None:
    """Every row is true, everything is sealed, and no gap is reported."""
    rows = check_archive(out, truth_of(market), every=2)
    assert set(rows) == set(SYMBOLS)
    assert gaps_of(out) == []
    assert not list((out / "unsealed").iterdir())


def _close(descriptor: int) -> None:
    with suppress(OSError):  # the test has closed it
        os.close(descriptor)
