r"""All text that leaves the process: reports on stdout, and on stderr the log, the live table, errors.

`connected` replaces `sys.stdout` and `sys.stderr` for the life of a process, so that whatever writes to
them (the log, rich, warnings, tracebacks, the logging of libraries) obeys the same two rules:

- **Nothing that becomes of a text stops the work.** What cannot be written, because the reader is gone,
  the disk is full or the descriptor is closed, is lost and counted. What an encoding does not have
  is written as an escape, such as `\u5e01`.
- **Nobody waits for stderr.** A thread of its own writes it, out of a bounded queue; when that is full,
  lines are lost and counted. A pager that was stopped, a frozen ssh or a Ctrl-S holds that thread
  alone, also when the process ends: it leaves the thread behind.

What stands in a text is nobody's to choose but ours: names, answers and files come from elsewhere. So
here, and only here, text is made fit for a terminal (`fit`): escape sequences, NUL, marks that turn the
direction of writing and the like are shown as escapes, nothing is taken for markup, and what is too
long is cut. A flood of one kind of log line is limited, and what was left out is counted.

stdout is waited for, as other programs do: its reader sets the pace, and no line of a report is lost
to a slow one. A server does not wait for it either (`never_wait_for_stdout`).
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
"""Text that may wait for the reader of stderr: some ten thousand lines of the log."""

LAST_WORDS_S: Final = 2.0
"""How long a process that ends waits for the reader of what is still queued."""

STDOUT: Final = 1
STDERR: Final = 2


TEXT_MAX: Final = 2_000
"""Characters of a sentence or of one value in the log; a message may quote an answer of megabytes."""

BURST_LINES: Final = 10_000
LINES_PER_S: Final = 50.0
"""Of one event of the log. A connection of 1,024 symbols that is lost says a few lines of each, at once."""


# ── what the program writes with ────────────────────────────────────────────────────────────────


def fit(text: str, most: int | None = TEXT_MAX) -> str:
    r"""The same, safe to show: what is not printable as an escape (`\x1b`), and cut after `most` characters.

    Ends of lines stay. Spaces other than U+0020 are escaped too, since they look like it.
    """
    cut = ""
    if most is not None and len(text) > most:
        cut = f"… ({len(text) - most:,} characters more)"
        text = text[:most]
    if not text.isprintable():
        text = "".join(map(_shown, text))
    return text + cut


def _shown(character: str) -> str:
    if character.isprintable() or character == "\n":
        return character
    return character.encode("unicode_escape").decode()


def write_line(text: str) -> None:
    """Write a line of a report, or several, to stdout; not cut, for it may be JSON."""
    sys.stdout.write(f"{fit(text, None)}\n")
    sys.stdout.flush()


def write_error(sentence: str) -> None:
    """Tell the user what went wrong, on stderr."""
    sys.stderr.write(f"booktape: {fit(sentence)}\n")


def console(*, stderr: bool = False) -> Console:
    """What rich draws tables and progress bars on. It takes nothing for markup or an emoji."""
    return _FitConsole(stderr=stderr, markup=False, emoji=False)


class _FitConsole(Console):
    """Makes each piece of text fit, after its style was decided and before it becomes escape codes.

    Known weakness: a table's columns are measured before, so that an escaped name may be cut.
    """

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterator[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=fit(segment.text, None))


def _fit_values(_: object, __: str, event: EventDict) -> EventDict:
    """A processor of the log: all that a line says."""
    return {
        fit(key): value if isinstance(value, int | float | None) else fit(str(value))
        for key, value in event.items()
    }


class _Limit:
    """A processor of the log: so many lines of one event at once, then so many a second.

    The next line that passes says how many were `left_out` before it.
    """

    def __init__(self) -> None:
        self._events: dict[object, _Allowance] = {}

    def __call__(self, _: object, __: str, event: EventDict) -> EventDict:
        # Which event it is stands in our own code, so that these are few.
        allowance = self._events.setdefault(event["event"], _Allowance(monotonic()))
        if not allowance.take(monotonic()):
            raise structlog.DropEvent
        if allowance.left_out:
            event["left_out"], allowance.left_out = allowance.left_out, 0
        return event


@dataclass(slots=True)
class _Allowance:
    """How many lines may follow at once, as of a moment of steady time."""

    at_s: float
    lines: float = BURST_LINES
    left_out: int = 0

    def take(self, now_s: float) -> bool:
        """Whether one more may be written."""
        self.lines = min(BURST_LINES, self.lines + (now_s - self.at_s) * LINES_PER_S)
        self.at_s = now_s
        if self.lines < 1:
            self.left_out += 1
            return False
        self.lines -= 1
        return True


def log_to_stderr() -> None:
    """For eyes on a terminal; one `key=value` line an event elsewhere."""
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
        # Looked up at each line: while the live table is up, stderr is what writes above it. One
        # write a line, so that it is lost as a whole or not at all.
        logger_factory=lambda *_: structlog.WriteLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )


# ── what becomes of it ──────────────────────────────────────────────────────────────────────────


@contextmanager
def connected() -> Iterator[None]:
    """Let text go its way by the rules above, until the process ends.

    An exception that nobody expects ends it with exit code 1, and a traceback by the same way.
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
                output.drain(LAST_WORDS_S)
        sys.stdout, sys.stderr = before


def never_wait_for_stdout() -> None:
    """From now on stdout is written like stderr: for a process that serves or records."""
    if isinstance(_output(sys.stdout), _WaitedOutput):
        sys.stdout = _text(QueuedOutput(STDOUT), sys.stdout)


def lost_lines() -> int:
    """How many lines of the log could not be written so far."""
    output = _output(sys.stderr)
    return output.lost_lines if output else 0


def stdout_failure() -> str | None:
    """Why a report is not whole; None where it is, and where its reader wanted no more of it."""
    output = _output(sys.stdout)
    return output.failure if output else None


class _Output(io.RawIOBase):
    """Bytes on their way to a descriptor. Nothing here raises because of what is at its other end."""

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
        """As of a file that was opened by its descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def _put(self, text: bytes) -> bool:
        """Write all of it, however long that takes. False: it is lost, in part perhaps."""
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
    """Whoever writes waits until it is written."""

    def write(self, data: ReadableBuffer, /) -> int:
        text = bytes(data)
        if not self._put(text):
            self.lost_lines += _lines(text)
        return len(text)


class _Queued(NamedTuple):
    """A text, and the lines that were dropped just before it because the queue was full."""

    text: bytes
    dropped: int


class QueuedOutput(_Output):
    """Nobody waits: a thread writes, out of a queue that drops what does not fit.

    `logging.handlers.QueueListener` would do this for records of the log alone, and it ends by waiting
    for its thread, for ever where that one is held in a write.
    """

    def __init__(self, descriptor: int, limit_bytes: int = QUEUE_BYTES) -> None:
        super().__init__(descriptor)
        self._limit_bytes = limit_bytes
        self._queue: deque[_Queued] = deque()
        self._unwritten = 0  # texts in the queue, and the one that is being written
        self._unwritten_bytes = 0
        self._dropped = 0
        self._changed = threading.Condition()
        # A daemon: should it be held in a write, the process ends without it.
        threading.Thread(target=self._write_on, name=f"output-{descriptor}", daemon=True).start()

    def write(self, data: ReadableBuffer, /) -> int:
        """Queue it, or count it as lost; at once in both cases."""
        text = bytes(data)
        with self._changed:
            if self._unwritten_bytes + len(text) > self._limit_bytes:
                self._dropped += _lines(text)
                self.lost_lines += _lines(text)
            else:
                self._enqueue(text)
        return len(text)

    def drain(self, patience_s: float) -> None:
        """Wait until everything is written or lost, but not for longer than this."""
        with self._changed:
            if self._dropped:
                self._enqueue(b"")
            self._changed.wait_for(lambda: not self._unwritten, patience_s)

    def _enqueue(self, text: bytes) -> None:
        """The caller holds the lock."""
        self._queue.append(_Queued(text, self._dropped))
        self._dropped = 0
        self._unwritten += 1
        self._unwritten_bytes += len(text)
        self._changed.notify_all()

    def _write_on(self) -> None:
        """The thread: write what comes, for ever."""
        # On a terminal with `stty tostop`, writing from the background would stop the whole process.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
        untold = 0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue)
                text, dropped = self._queue.popleft()
            untold += dropped
            written = self._put(self._note(untold) + text)
            untold = 0 if written else untold + _lines(text)
            with self._changed:
                self.lost_lines += 0 if written else _lines(text)
                self._unwritten -= 1
                self._unwritten_bytes -= len(text)
                self._changed.notify_all()

    def _note(self, lines: int) -> bytes:
        """Say what is missing, where it is missing. On a terminal the live table counts it."""
        if not lines or self.isatty():
            return b""
        return f"booktape: {lines} lines are missing here: they could not be written\n".encode()


def _lines(text: bytes) -> int:
    return text.count(b"\n") or bool(text)


def _text(output: _Output, like: TextIO | None) -> io.TextIOWrapper:
    """A text stream over it, in the encoding of the one that it replaces.

    Line-buffered, so that each line (or whole text that ends with one) arrives as one write.
    """
    encoding = like.encoding if like else "utf-8"
    return io.TextIOWrapper(output, encoding, errors="backslashreplace", line_buffering=True)


def _output(stream: TextIO) -> _Output | None:
    """What a stream of ours writes to; None of any other stream. Rich's proxies are looked through."""
    output = getattr(stream, "buffer", None)
    return output if isinstance(output, _Output) else None


def _open_closed_descriptors() -> None:
    """Let 0, 1 and 2 lead nowhere where they are closed (`2>&-`).

    Else the first files that are opened become them, and what is written to stderr, by whatever
    library, lands in a tape.
    """
    for descriptor in range(STDERR + 1):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest that is free, which is this one: those below are open by now.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
