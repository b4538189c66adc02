"""Text that cannot be written is lost and counted; the readers of stderr block nothing."""

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
import structlog
from rich.table import Table
from rich.text import Text

from booktape.core.events import UnknownEvent
from booktape.processes import terminal
from booktape.processes.terminal import (
    BURST_LINES,
    TEXT_MAX,
    QueuedOutput,
    _text,
    counted,
    fit,
    log_to_stderr,
)
from booktape.recorder.telemetry import KINDS_MAX, NAME_MAX, Telemetry
from support.full_streams import fill

PATIENCE_S: Final = 120.0
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
    """All lines that arrive until the writing end is closed, without the first bytes."""
    os.close(pipe.writer)
    with os.fdopen(os.dup(pipe.reader), "rb") as file:
        return file.read()[skipped:].decode().splitlines()


def test_written_lines_arrive_in_order(pipe: Pipe) -> None:
    """Nothing is lost while the pipe is read."""
    output = QueuedOutput(pipe.writer)
    for number in range(1_000):
        output.write(b"%d\n" % number)
    output.drain(PATIENCE_S)
    assert output.lost_lines == 0
    assert read_to_end(pipe) == [str(number) for number in range(1_000)]


def test_no_command_waits_for_a_pipe_that_is_not_read(pipe: Pipe) -> None:
    """Queued lines arrive later; then one line says how many are missing there."""
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
        "booktape: missing here, could not be written: 15 lines",
        "the last one",
    ]
    assert output.lost_lines == 15


def test_the_end_does_not_wait_for_ever(pipe: Pipe) -> None:
    """Its thread is blocked in a write, and is abandoned."""
    fill(pipe.writer)
    output = QueuedOutput(pipe.writer)
    output.write(LINE)
    output.drain(0.01)
    assert output.lost_lines == 0  # it may still be read


def test_a_reader_that_is_gone_costs_only_lines(pipe: Pipe) -> None:
    """Each lost line is counted."""
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
        "booktape: missing here, could not be written: 4 lines",
        LINE.decode().rstrip(),
    ]
    os.close(reader)


def test_a_pipe_that_is_non_blocking_loses_nothing(pipe: Pipe) -> None:
    """All programs that share the pipe share this flag, and any of them may set it."""
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


def test_a_character_outside_the_encoding_becomes_an_escape(pipe: Pipe) -> None:
    """So does an invalid byte, as in the name of a folder that is not UTF-8."""
    ascii_only = io.TextIOWrapper(io.BytesIO(), "ascii")
    output = QueuedOutput(pipe.writer)
    stream = _text(output, ascii_only)
    stream.write("币USDT \udcff\n")
    output.drain(PATIENCE_S)
    assert read_to_end(pipe) == ["\\u5e01USDT \\udcff"]


def run(script: str, redirections: str = "") -> subprocess.CompletedProcess[str]:
    """A process connected as ours are, with its streams redirected as by a shell."""
    lines = (
        "import os, sys",
        "from booktape.processes import terminal",
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
    """Otherwise text that a library writes to stderr would land in the first opened file: a tape."""
    done = run(
        "  sys.stderr.write('x\\n'); print('y')\n"
        "  sys.exit(os.open('/dev/zero', os.O_RDONLY) > 2 and os.fstat(2) is not None and 7)",
        redirections,
    )
    assert done.returncode == 7, done.stderr


def test_a_bug_is_shown_in_full() -> None:
    """It is shown in the usual way, and the exit code is Python's own."""
    done = run("  raise ValueError('of ours')")
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert done.stderr.endswith("ValueError: of ours\n")
    assert run("  raise ValueError('of ours')", "2>/dev/full").returncode == 1


# ── what is fit for a terminal ──────────────────────────────────────────────────────────────────

HOSTILE: Final = "\x1b]0;owned\x07[/red]:warning:\0\u202egnp\u2066\x9b2J\r"
"""An escape sequence, markup, an emoji's name, NUL, marks that turn the direction, a C1 code, a return."""

SHOWN: Final = r"\x1b]0;owned\x07[/red]:warning:\x00\u202egnp\u2066\x9b2J\r"


def test_an_unprintable_character_is_shown_as_an_escape() -> None:
    """Printable characters of any script stay."""
    assert fit(HOSTILE) == SHOWN
    assert fit("币安人生USDT — 1 µs\nnext") == "币安人生USDT — 1 µs\nnext"


def test_a_text_that_is_too_long_is_cut() -> None:
    """It says how much is missing. Reports are never cut."""
    assert fit("x" * (TEXT_MAX + 7)) == "x" * TEXT_MAX + "… (7 characters more)"
    assert fit("x" * TEXT_MAX) == "x" * TEXT_MAX
    assert len(fit("x" * 10**6, None)) == 10**6


def test_lines_of_reports_and_errors_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    """These are the two ways in which a sentence is printed."""
    terminal.write_line(HOSTILE)
    terminal.write_to_stderr(HOSTILE)
    assert capsys.readouterr() == (f"{SHOWN}\n", f"booktape: {SHOWN}\n")


def test_tables_take_nothing_for_markup(capsys: pytest.CaptureFixture[str]) -> None:
    """A symbol may be named `[/red]`, in a plain cell, a title or a styled text."""
    table = Table(title=HOSTILE)
    table.add_column("symbol", no_wrap=True)
    table.add_row(HOSTILE)
    console = terminal.console()
    console.print(table, width=200)
    console.print(Text(HOSTILE, style="red"), width=200)
    shown = capsys.readouterr().out
    assert shown.count(SHOWN.replace("\\x07", "").replace("\\r", "")) == 2  # and in the cell, cut
    assert shown.count("[/red]:warning:") == 3
    assert all(character.isprintable() or character == "\n" for character in shown)


@pytest.fixture
def _log() -> Iterator[None]:
    log_to_stderr()
    yield
    structlog.reset_defaults()


@pytest.mark.usefixtures("_log")
def test_values_in_log_lines_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    """A text, an error, or a tuple of texts."""
    log = structlog.get_logger()
    log.info("event", name=HOSTILE, error=str(OSError("x" * 700_000)), first=(HOSTILE,), count=3)
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert len(shown) < 2 * TEXT_MAX
    assert all(character.isprintable() or character == "\n" for character in shown)
    assert "count=3" in shown


@pytest.mark.usefixtures("_log")
def test_a_flood_of_one_line_is_limited(capsys: pytest.CaptureFixture[str]) -> None:
    """Other events are still written; later a line says how many of the flood were left out."""
    log = structlog.get_logger()
    for number in range(3 * BURST_LINES):
        log.info("flood", number=number)
    log.info("other")
    shown = capsys.readouterr().err
    assert BURST_LINES <= shown.count("event=flood") < 2 * BURST_LINES
    assert "event=other" in shown


@pytest.mark.usefixtures("_log")
def test_kinds_of_unknown_events_are_limited(capsys: pytest.CaptureFixture[str]) -> None:
    """In number and in length: neither the log nor memory grows with names that others invent."""
    telemetry = Telemetry()
    for number in range(10 * KINDS_MAX):
        telemetry.record(UnknownEvent(f"kind {number} " + "x" * 1_000))
    assert telemetry.unknown.total() == 10 * KINDS_MAX
    assert len(telemetry.unknown) == KINDS_MAX + 1
    assert max(map(len, telemetry.unknown)) == NAME_MAX
    assert capsys.readouterr().err.count("\n") == KINDS_MAX + 1


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows"), (1_400, "1,400 rows")]
)
def test_a_count_has_the_right_grammatical_number(number: int, text: str) -> None:
    """Singular for one, plural otherwise."""
    assert counted(number, "row") == text
