r"""All text that leaves the process: reports on stdout, and on stderr the log, the live table, errors.

`connected` replaces `sys.stdout` and `sys.stderr` for the life of a process, so that everything that writes to them
(the log, rich, warnings, tracebacks, the logging of libraries) obeys the same two rules:

- **No output stops the work.** Text that cannot be written, because the reader is gone, the disk is full or the
  descriptor is closed, is lost and counted. A character that the encoding lacks is written as an escape,
  such as `\u5e01`.
- **stderr never blocks.** A thread writes it from a bounded queue; when the queue is full, lines are lost and
  counted. A stopped pager, a frozen ssh or a Ctrl-S holds up only that thread. A process that ends does not wait
  for a blocked thread for more than DRAIN_S.

Text may contain names, answers and files that come from others. So here, and only here, it is made safe for a terminal
(`fit`): escape sequences, NUL, bidirectional marks and the like are shown as escapes, nothing is read as markup, and
long text is cut. The number of log lines per event is limited, and the lines that were left out are counted.

Writing to stdout blocks, as in other programs: the reader sets the pace, and a slow reader loses no line of a report.
A server does not wait for stdout either (`never_wait_for_stdout`).
"""

from __future__ import annotations

import errno
import io
import os
import select
import signal
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple, TextIO

import structlog
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from structlog.typing import EventDict

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

QUEUE_BYTES: Final = 1 << 20
"""Text that may wait for the reader of stderr: about ten thousand lines of the log."""

DRAIN_S: Final = 2.0
"""How long a process that ends waits for the queued text to be written."""

STDOUT: Final = 1
STDERR: Final = 2


TEXT_MAX: Final = 2_000
"""The most characters shown of a sentence, or of one value in the log, which may quote an answer of megabytes."""

BURST_LINES: Final = 10_000
LINES_PER_S: Final = 50.0
"""Limits for each log event. Losing a connection with 1,024 symbols logs a few lines for each of them at once."""


# ── writing ─────────────────────────────────────────────────────────────────────────────────────


def fit(text: str, most: int | None = TEXT_MAX) -> str:
    r"""Make text safe to show: unprintable characters become escapes (`\x1b`), and it is cut after `most` characters.

    Line ends stay. Spaces other than U+0020 are escaped too, because they look like U+0020.
    """
    cut = ""
    if most is not None and len(text) > most:
        cut = f"… ({len(text) - most:,} characters more)"
        text = text[:most]
    if not text.isprintable():
        text = "".join(map(_shown, text))
    return text + cut


def counted(number: int, noun: str) -> str:
    """A number and the noun it counts, with an s unless the number is 1: `1 segment`, `1,400 segments`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _shown(character: str) -> str:
    if character.isprintable() or character == "\n":
        return character
    return character.encode("unicode_escape").decode()


def write_line(text: str) -> None:
    """Write one or more lines of a report to stdout. They are not cut, because they may be JSON."""
    sys.stdout.write(f"{fit(text, None)}\n")
    sys.stdout.flush()


def write_to_stderr(sentence: str) -> None:
    """Write an error's sentence, or a remark, to stderr."""
    sys.stderr.write(f"booktape: {fit(sentence)}\n")


def console(*, stderr: bool = False) -> Console:
    """A rich console for tables and progress bars, without markup and emoji names."""
    return _FitConsole(stderr=stderr, markup=False, emoji=False)


class _FitConsole(Console):
    """Applies `fit` to each piece of text after its style is decided and before it becomes escape codes.

    Known weakness: a table's columns are measured before that, so an escaped name may be cut.
    """

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterator[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=fit(segment.text, None))


def _fit_values(_: object, __: str, event: EventDict) -> EventDict:
    """A log processor: makes all keys and values of a line safe to show."""
    return {
        fit(key): value if isinstance(value, int | float | None) else fit(str(value))
        for key, value in event.items()
    }


class _Limit:
    """A log processor: allows BURST_LINES of one event at once, then LINES_PER_S.

    The next line after dropped lines has their number as `left_out`.
    """

    def __init__(self) -> None:
        self._events: dict[object, _Allowance] = {}

    def __call__(self, _: object, __: str, event: EventDict) -> EventDict:
        # The names of events are constants of this program, so there are few.
        allowance = self._events.setdefault(event["event"], _Allowance(monotonic()))
        if not allowance.use_one(monotonic()):
            raise structlog.DropEvent
        if allowance.left_out:
            event["left_out"], allowance.left_out = allowance.left_out, 0
        return event


@dataclass(slots=True)
class _Allowance:
    """How many lines may be written now, as of a moment of steady time."""

    at_s: float
    lines: float = BURST_LINES
    left_out: int = 0

    def use_one(self, now_s: float) -> bool:
        """Whether one more line may be written; if so, it counts as written."""
        self.lines = min(BURST_LINES, self.lines + (now_s - self.at_s) * LINES_PER_S)
        self.at_s = now_s
        if self.lines < 1:
            self.left_out += 1
            return False
        self.lines -= 1
        return True


def log_to_stderr() -> None:
    """Write the log to stderr: in colour on a terminal, elsewhere one `key=value` line per event."""
    colours = sys.stderr.isatty()
    pretty = structlog.dev.ConsoleRenderer(colors=colours)
    plain = structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"])
    structlog.configure(
        processors=[
            _Limit(),
            _fit_values,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            pretty if colours else plain,
        ],
        wrapper_class=structlog.make_filtering_bound_logger("info"),
        # Looked up for each line: while the status table is shown, `sys.stderr` writes above it. Each line is one
        # write, so that it is lost as a whole or not at all.
        logger_factory=lambda *_: structlog.WriteLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )


# ── the streams ─────────────────────────────────────────────────────────────────────────────────


@contextmanager
def connected() -> Iterator[None]:
    """Replace stdout and stderr with streams that obey the rules above, until the process ends.

    An unexpected exception ends the process with exit code 1, and its traceback is written in the same way.
    """
    _open_closed_descriptors()
    before = sys.stdout, sys.stderr
    sys.stdout = _text(_WaitedOutput(STDOUT), sys.stdout)
    sys.stderr = _text(QueuedOutput(STDERR), sys.stderr)
    try:
        yield
    except Exception:  # noqa: BLE001 it is shown in full, and ends the process
        sys.excepthook(*sys.exc_info())
        raise SystemExit(1) from None
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            output = _output(stream)
            if isinstance(output, QueuedOutput):
                output.drain(DRAIN_S)
        sys.stdout, sys.stderr = before


def never_wait_for_stdout() -> None:
    """Let a thread write stdout, like stderr: for a process that serves or records."""
    if isinstance(_output(sys.stdout), _WaitedOutput):
        sys.stdout = _text(QueuedOutput(STDOUT), sys.stdout)


def lost_lines() -> int:
    """The number of log lines that have been lost so far."""
    output = _output(sys.stderr)
    return output.lost_lines if output else 0


def stdout_failure() -> str | None:
    """Why a report on stdout is incomplete; None if it is complete, or if its reader closed the pipe."""
    output = _output(sys.stdout)
    return output.failure if output else None


class _Output(io.RawIOBase):
    """Writes bytes to a descriptor. Nothing here raises because of its other end."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self.lost_lines = 0
        self.failure: str | None = None

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    @property
    def name(self) -> int:
        """The descriptor, as for a file that was opened by descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def _put(self, text: bytes) -> bool:
        """Write all of the text, however long that takes. Returns False if it is lost, perhaps only in part."""
        rest = memoryview(text)
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:
                # Another program that shares the terminal or the pipe has made it non-blocking.
                select.select([], [self._descriptor], [])
            except OSError as error:
                if error.errno != errno.EPIPE:
                    self.failure = os.strerror(error.errno or 0)
                return False
        return True


class _WaitedOutput(_Output):
    """A blocking stream: `write` returns when the text is written, or lost."""

    def write(self, data: ReadableBuffer, /) -> int:
        text = bytes(data)
        if not self._put(text):
            self.lost_lines += _lines(text)
        return len(text)


class _Queued(NamedTuple):
    """Some text, and the number of lines that were dropped before it because the queue was full."""

    text: bytes
    dropped: int


class QueuedOutput(_Output):
    """A stream that never blocks: a thread writes from a queue, which drops text that does not fit.

    `logging.handlers.QueueListener` would do this only for log records, and at the end it waits for its thread:
    forever, if that is blocked in a write.
    """

    def __init__(self, descriptor: int, limit_bytes: int = QUEUE_BYTES) -> None:
        super().__init__(descriptor)
        self._limit_bytes = limit_bytes
        self._queue: deque[_Queued] = deque()
        self._unwritten = 0  # texts in the queue, and the one that is being written
        self._unwritten_bytes = 0
        self._dropped = 0
        self._changed = threading.Condition()
        # A daemon: if it is blocked in a write, the process ends without it.
        threading.Thread(target=self._write_on, name=f"output-{descriptor}", daemon=True).start()

    def write(self, data: ReadableBuffer, /) -> int:
        """Queue the text, or count its lines as lost. Never blocks."""
        text = bytes(data)
        with self._changed:
            if self._unwritten_bytes + len(text) > self._limit_bytes:
                self._dropped += _lines(text)
                self.lost_lines += _lines(text)
            else:
                self._enqueue(text)
        return len(text)

    def drain(self, most_s: float) -> None:
        """Wait until everything is written or lost, but at most `most_s`."""
        with self._changed:
            if self._dropped:
                self._enqueue(b"")
            self._changed.wait_for(lambda: not self._unwritten, most_s)

    def _enqueue(self, text: bytes) -> None:
        """Queue some text. The caller holds the lock."""
        self._queue.append(_Queued(text, self._dropped))
        self._dropped = 0
        self._unwritten += 1
        self._unwritten_bytes += len(text)
        self._changed.notify_all()

    def _write_on(self) -> None:
        """Write queued text forever. This is the thread."""
        # On a terminal with `stty tostop`, writing from the background would stop the whole process.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
        unreported = 0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue)
                text, dropped = self._queue.popleft()
            unreported += dropped
            written = self._put(self._loss_report(unreported) + text)
            unreported = 0 if written else unreported + _lines(text)
            with self._changed:
                self.lost_lines += 0 if written else _lines(text)
                self._unwritten -= 1
                self._unwritten_bytes -= len(text)
                self._changed.notify_all()

    def _loss_report(self, lines: int) -> bytes:
        """A line that says how many lines are missing here. On a terminal the status table shows the number."""
        if not lines or self.isatty():
            return b""
        return f"booktape: missing here, could not be written: {counted(lines, 'line')}\n".encode()


def _lines(text: bytes) -> int:
    return text.count(b"\n") or bool(text)


def _text(output: _Output, like: TextIO | None) -> io.TextIOWrapper:
    """A text stream for an output, in the encoding of the stream that it replaces.

    It is line-buffered, so that each line, or each text that ends with a newline, is one write.
    """
    encoding = like.encoding if like else "utf-8"
    return io.TextIOWrapper(output, encoding, errors="backslashreplace", line_buffering=True)


def _output(stream: TextIO) -> _Output | None:
    """The output of one of our streams, even behind rich's proxy; None for any other stream."""
    output = getattr(stream, "buffer", None)
    return output if isinstance(output, _Output) else None


def _open_closed_descriptors() -> None:
    """Open any of the descriptors 0, 1 and 2 that is closed (`2>&-`) to /dev/null.

    Otherwise the first files that are opened get these numbers, and what a library writes to stderr ends up in a tape.
    """
    for descriptor in range(STDERR + 1):
        try:
            os.fstat(descriptor)
        except OSError:
            # `open` returns the lowest free descriptor, which is this one: those below are open by now.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
