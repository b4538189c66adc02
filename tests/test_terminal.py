"""Text that cannot be written is lost and counted; nobody waits for whoever reads stderr."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Final, NamedTuple

import pytest

from booktape.terminal import QueuedOutput, _text
from full_streams import fill

PATIENCE_S: Final = 20.0
LINE: Final = b"a line of the log\n"


class Pipe(NamedTuple):
    """Both ends of a real pipe."""

    reader: int
    writer: int


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe(*os.pipe())
    yield made
    for end in made:
        with suppress(OSError):  # the test has closed it
            os.close(end)


def read_to_end(pipe: Pipe, skipped: int = 0) -> list[str]:
    """All that arrives until the writing end is closed, without the first bytes."""
    os.close(pipe.writer)
    with os.fdopen(os.dup(pipe.reader), "rb") as file:
        return file.read()[skipped:].decode().splitlines()


def test_what_is_written_arrives_in_order(pipe: Pipe) -> None:
    """While somebody reads nothing is lost."""
    output = QueuedOutput(pipe.writer)
    for number in range(1_000):
        output.write(b"%d\n" % number)
    output.drain(PATIENCE_S)
    assert output.lost_lines == 0
    assert read_to_end(pipe) == [str(number) for number in range(1_000)]


def test_nobody_waits_for_a_pipe_that_is_not_read(pipe: Pipe) -> None:
    """What the queue holds arrives later; then one line says how many are missing at that place."""
    skipped = fill(pipe.writer)
    output = QueuedOutput(pipe.writer, limit_bytes=10 * len(LINE))
    for _ in range(25):
        output.write(LINE)
    assert output.lost_lines == 15

    reading = threading.Thread(target=_read_bytes, args=(pipe.reader, skipped))
    reading.start()
    output.drain(PATIENCE_S)
    reading.join(PATIENCE_S)
    output.write(b"the last one\n")
    output.drain(PATIENCE_S)
    assert read_to_end(pipe) == [
        *[LINE.decode().rstrip()] * 10,
        "booktape: 15 lines are missing here: they could not be written",
        "the last one",
    ]
    assert output.lost_lines == 15


def test_to_end_does_not_wait_for_ever(pipe: Pipe) -> None:
    """Its thread is held in a write, and left behind."""
    fill(pipe.writer)
    output = QueuedOutput(pipe.writer)
    output.write(LINE)
    output.drain(0.01)
    assert output.lost_lines == 0  # it may still be read


def test_a_reader_that_is_gone_costs_lines_and_nothing_else(pipe: Pipe) -> None:
    """Each one is counted."""
    os.close(pipe.reader)
    output = QueuedOutput(pipe.writer)
    for _ in range(3):
        output.write(LINE)
    output.drain(PATIENCE_S)
    assert output.lost_lines == 3


def test_a_full_disk_costs_lines_until_there_is_space() -> None:
    """`/dev/full` has none."""
    full = os.open("/dev/full", os.O_WRONLY)
    output = QueuedOutput(full)
    output.write(LINE * 4)
    output.drain(PATIENCE_S)
    assert output.lost_lines == 4
    reader, writer = os.pipe()
    os.dup2(writer, full)
    os.close(writer)
    output.write(LINE)
    output.drain(PATIENCE_S)
    assert read_to_end(Pipe(reader, full)) == [
        "booktape: 4 lines are missing here: they could not be written",
        LINE.decode().rstrip(),
    ]
    os.close(reader)


def test_a_pipe_that_somebody_made_non_blocking_loses_nothing(pipe: Pipe) -> None:
    """The flag belongs to all programs that share it, and any of them may set it."""
    os.set_blocking(pipe.writer, False)
    output = QueuedOutput(pipe.writer)
    count = 200_000 // len(LINE)  # several times what a pipe holds
    for _ in range(count):
        output.write(LINE)
    reading = threading.Thread(target=_read_bytes, args=(pipe.reader, count * len(LINE)))
    reading.start()
    output.drain(PATIENCE_S)
    reading.join(PATIENCE_S)
    assert not reading.is_alive()
    assert output.lost_lines == 0


def _read_bytes(reader: int, count: int) -> None:
    while count:
        count -= len(os.read(reader, min(count, 65_536)))


def test_a_print_is_one_write(pipe: Pipe) -> None:
    """A line is lost as a whole or not at all, so it must not be queued in pieces."""
    written: list[bytes] = []

    class Watched(QueuedOutput):
        def write(self, data: object, /) -> int:
            assert isinstance(data, bytes)
            written.append(data)
            return len(data)

    print("one", "two", file=_text(Watched(pipe.writer), None))
    assert written == [b"one two\n"]


def test_what_the_encoding_does_not_have_is_an_escape(pipe: Pipe) -> None:
    """Also half of a character, as in the name of a folder that is no UTF-8."""
    ascii_only = io.TextIOWrapper(io.BytesIO(), "ascii")
    output = QueuedOutput(pipe.writer)
    stream = _text(output, ascii_only)
    stream.write("币USDT \udcff\n")
    output.drain(PATIENCE_S)
    assert read_to_end(pipe) == ["\\u5e01USDT \\udcff"]


def run(script: str, redirections: str = "") -> subprocess.CompletedProcess[str]:
    """A process that is connected as ours are, its streams redirected as a shell does."""
    lines = (
        "import os, sys",
        "from booktape import terminal",
        "with terminal.connected():",
        script,
    )
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {redirections}', "sh", sys.executable, "-c", "\n".join(lines)],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("redirections", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-", "<&-", ""])
def test_no_file_takes_the_place_of_a_closed_stream(redirections: str) -> None:
    """Else what some library writes to stderr would land in the first file that was opened: a tape."""
    done = run(
        "  sys.stderr.write('x\\n'); print('y')\n"
        "  sys.exit(os.open('/dev/zero', os.O_RDONLY) > 2 and os.fstat(2) is not None and 7)",
        redirections,
    )
    assert done.returncode == 7, done.stderr


def test_a_bug_is_shown_in_full() -> None:
    """By the same way, and the exit code is Python's own."""
    done = run("  raise ValueError('of ours')")
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert done.stderr.endswith("ValueError: of ours\n")
    assert run("  raise ValueError('of ours')", "2>/dev/full").returncode == 1
