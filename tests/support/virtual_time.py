"""Time that passes only when nothing else can happen: an hour of sleep takes none.

    virtual_time.run(work())        tests/conftest.py runs a coroutine test in this way

The loop's clock stands still while anything can still happen *now*: a callback is ready, bytes are on their way between
two sockets of this loop, a connection is being made, a thread works. Only then does it leap to the next timer. So a
test sees the same times on an idle machine and on a busy one, and may ask for exact ones. Everything that uses the
loop's time follows: `asyncio.sleep`, `asyncio.timeout`, aiohttp's timeouts, the built-in exchange. The recorder takes a
`WallClock`.

Both ends of every connection must be in this one loop. A task that polls must sleep for a while: with
`sleep(0)` something is always ready, and time stands still for ever. Nor does time pass while a
thread waits for it.

Weaknesses: a socket that is used without a transport (`loop.sock_recv`) is not counted; data on its way to it does not
hold time up. Work may last some weeks, no longer: beyond that, floats of time are no finer than the nanosecond that
asyncio's timers ask for.
"""

from __future__ import annotations

import asyncio
import selectors
import socket
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, TypeVar
from unittest import mock

T = TypeVar("T")
START_S: Final = 1_000.0
START_NS: Final = 1_780_000_000 * 10**9  # 2026-05-28, 20:26:40 UTC
PATIENCE_S: Final = 180.0
"""Real time within which virtual time has to move; otherwise the test counts as hung. It is long, because the machine
may be busy, and a market played at infinite speed takes no virtual time."""

WITHIN_S: Final = 3_600.0
"""Virtual time within which work must end, unless its caller says otherwise."""

_submit = ThreadPoolExecutor.submit


class Hung(AssertionError):
    """A test did not end."""


def run(work: Coroutine[Any, Any, T], within_s: float | None = WITHIN_S) -> T:
    """The result of `work`, run in virtual time.

    Raises TimeoutError after `within_s` of virtual time (None: never), and Hung when that has not
    moved for PATIENCE_S of real time.
    """
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, VirtualLoop)
        with loop.watching_threads():
            return runner.run(_guarded(work, within_s))


async def _guarded(work: Coroutine[Any, Any, T], within_s: float | None) -> T:
    watchdog = _Watchdog(running(), asyncio.current_task())
    watchdog.watch()
    try:
        async with asyncio.timeout(within_s):
            return await work
    except asyncio.CancelledError:
        if watchdog.found:
            raise Hung(watchdog.found) from None
        raise
    finally:
        watchdog.stop()


class _Watchdog:
    """Cancels a task if the time of its loop no longer moves, and says what was going on."""

    def __init__(self, loop: VirtualLoop, task: asyncio.Task[Any] | None) -> None:
        self.found = ""
        self._loop = loop
        self._task = task

    def watch(self) -> None:
        self._seen_s = self._loop.time()
        self._timer = threading.Timer(PATIENCE_S, self._loop.call_soon_threadsafe, (self._look,))
        self._timer.daemon = True
        self._timer.start()

    def stop(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        if self._loop.time() > self._seen_s:
            self.watch()
        elif self._task:
            self.found = self._loop.explain()
            self._task.cancel()


def running() -> VirtualLoop:
    """The loop that runs."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop), "this needs virtual_time.run"
    return loop


class WallClock:
    """A recorder's clock: the loop's time since START_NS, and a time of day that can be set."""

    def __init__(self) -> None:
        self._off_ns = 0

    def now_ns(self) -> int:
        return START_NS + self._off_ns + round((self.steady_s() - START_S) * 1e9)

    def steady_s(self) -> float:
        return running().time()

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def step(self, seconds: float) -> None:
        """The machine's clock is set, forward or back."""
        self._off_ns += round(seconds * 1e9)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is virtual."""

    def __init__(self) -> None:
        self._now_s = START_S
        self._ends: dict[Any, _End] = {}
        self._connecting = 0
        self._jobs: set[object] = set()
        self._watched = _Selector(self)
        super().__init__(self._watched)

    def time(self) -> float:
        return self._now_s

    def pass_over(self, seconds: float) -> None:
        """Let time pass although things could happen meanwhile: the machine was suspended."""
        self._now_s += seconds

    def unfinished(self) -> list[str]:
        """What time waits for, in words."""
        jobs = [f"{len(self._jobs)} jobs of threads"] if self._jobs else []
        connecting = [f"{self._connecting} connections being made"] if self._connecting else []
        return [*jobs, *connecting, *(str(end) for end in self._ends.values() if end.expects())]

    def busy(self) -> bool:
        """Whether something can still happen now, without time."""
        if self._jobs or self._connecting:
            return True
        return any(end.expects() for end in self._ends.values())

    def reads(self, fd: int) -> bool:
        """Whether a task wants to read from this descriptor."""
        return self._wants(fd, selectors.EVENT_READ)

    def writes(self, fd: int) -> bool:
        """Whether a task waits until this descriptor takes more."""
        return self._wants(fd, selectors.EVENT_WRITE)

    def _wants(self, fd: int, event: int) -> bool:
        key = self._watched.get_map().get(fd)
        return key is not None and bool(key.events & event)

    def explain(self) -> str:
        """What is going on, to find out why a test hangs."""
        tasks = [f"  {task.get_name()} {_where(task)}" for task in asyncio.all_tasks(self)]
        waiting = ", ".join(self.unfinished()) or "nothing: no thread, no bytes, perhaps sleep(0)"
        virtual_s = self._now_s - START_S
        return "\n".join(
            [f"hung after {virtual_s:g} virtual seconds, waiting for {waiting}", *tasks]
        )

    # ── threads ─────────────────────────────────────────────────────────────────────────────

    @contextmanager
    def watching_threads(self) -> Iterator[None]:
        """Work given to a thread pool, the loop's own or another, stops time until it is done."""

        def submit(pool: ThreadPoolExecutor, work: Any, /, *args: Any, **more: Any) -> Future[Any]:
            promise, job = Future[Any](), object()
            self._jobs.add(job)
            _submit(pool, self._do, job, promise, partial(work, *args, **more))
            return promise

        with mock.patch.object(ThreadPoolExecutor, "submit", submit):
            yield

    def _do(self, job: object, promise: Future[Any], work: partial[Any]) -> None:
        """In the thread. The task that waits for the result gets it before time may go on."""
        try:
            if promise.set_running_or_notify_cancel():
                promise.set_result(work())
        except BaseException as error:  # noqa: BLE001 - the task that waits for the result gets it
            promise.set_exception(error)
        finally:
            if not self.is_closed():
                self.call_soon_threadsafe(self._jobs.discard, job)

    async def shutdown_default_executor(self, *args: Any) -> None:
        self._jobs.add(self)
        await super().shutdown_default_executor(*args)
        self._jobs.discard(self)

    # ── connections ─────────────────────────────────────────────────────────────────────────

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        self._connecting += 1
        try:
            await super().sock_connect(sock, address)
        finally:
            self._connecting -= 1

    def _make_socket_transport(
        self, sock: socket.socket, *args: Any, server: Any = None, **more: Any
    ) -> asyncio.Transport:
        """Where the loop makes every transport, a client's and (with a `server`) an accepted one's."""
        end = _End(self, sock, awaits_other=server is None)
        self._ends[end.address] = end
        end.meet(self._ends.get(end.address[::-1]))
        made: asyncio.Transport = super()._make_socket_transport(  # type: ignore[misc] # private
            end, *args, server=server, **more
        )
        return made

    def forget(self, end: _End) -> None:
        """It is closed."""
        if self._ends.get(end.address) is end:
            del self._ends[end.address]


def _where(task: asyncio.Task[Any]) -> str:
    """The lines at which a task waits, outermost first."""
    at: Any = task.get_coro()
    lines: list[str] = []
    while frame := getattr(at, "cr_frame", None):
        lines.append(f"{frame.f_code.co_qualname}:{frame.f_lineno}")
        at = getattr(at, "cr_await", None)
    return " > ".join(lines)


class _Selector(selectors.DefaultSelector):
    """Lets the loop's time pass instead of waiting."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None or self._loop.busy():
            return super().select(None)
        self._loop.pass_over(timeout)
        return []


class _End(socket.socket):
    """One end of a connection, which knows what it sent and what it got."""

    def __init__(self, loop: VirtualLoop, plain: socket.socket, *, awaits_other: bool) -> None:
        kind = plain.family, plain.type, plain.proto
        self.address = plain.getsockname(), plain.getpeername()
        super().__init__(*kind, plain.detach())
        self.setblocking(False)
        self._loop = loop
        self._other: _End | None = None
        self._awaits_other = awaits_other
        self._sent = self._got = 0
        self._has_ended = self._heard_end = False

    def meet(self, other: _End | None) -> None:
        """The other end is (perhaps) in this loop, too."""
        if other is not None:
            self._other, other._other = other, self

    def expects(self) -> bool:
        """Whether something is on its way here, and would be read.

        While the other end waits to write more, the room for it counts as on its way: an acknowledgement may be late.
        """
        other = self._other
        if self._heard_end or not self._loop.reads(self.fileno()):
            return False
        if other is None:
            return self._awaits_other
        writing = not other._has_ended and self._loop.writes(other.fileno())
        return other._sent > self._got or other._has_ended or writing

    def send(self, *args: Any) -> int:
        count = super().send(*args)
        self._sent += count
        return count

    def sendmsg(self, *args: Any) -> int:
        count = super().sendmsg(*args)
        self._sent += count
        return count

    def recv(self, *args: Any) -> bytes:
        with self._hearing():
            data = super().recv(*args)
        self._take(len(data))
        return data

    def recv_into(self, *args: Any) -> int:
        with self._hearing():
            count = super().recv_into(*args)
        self._take(count)
        return count

    def shutdown(self, how: int) -> None:
        self._has_ended = True
        super().shutdown(how)

    def close(self) -> None:
        self._has_ended = self._heard_end = True
        self._loop.forget(self)
        super().close()

    def _take(self, count: int) -> None:
        self._got += count
        self._heard_end |= not count

    @contextmanager
    def _hearing(self) -> Iterator[None]:
        """An error is an end, too."""
        try:
            yield
        except (BlockingIOError, InterruptedError):
            raise
        except OSError:
            self._heard_end = True
            raise
