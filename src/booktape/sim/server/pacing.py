"""The exchange's clock, and the pacer that advances a source by it, or as fast as clients read.

With an infinite speed there is no clock to give a client time for its REST request, so the pacer
waits for its clients instead:

- without any subscription it stands still;
- when a symbol gets its first subscriber, or when one of its events has reached no client, a request for
  its snapshot is expected: the pacer takes `LEAD` more steps and then waits for the request. A request that
  the source holds (because a recording has not got that far) lets it continue;
- it waits at most `patience_s` of real time, because some clients never ask.

Weakness: a second client of a symbol that already has one is not waited for.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeAlias

from booktape.sim.market.market import Market
from booktape.sim.messages import Message
from booktape.sim.replay.source import ReplaySource

Source: TypeAlias = Market | ReplaySource
"""What is played: a sequence of steps without a clock. `Market` documents each method."""

LEAD: Final = 3


class ExchangeClock:
    """Seconds since `start`, `speed` times as fast as the event loop's clock; 0 until then.

    With infinite speed, events come as fast as clients read them, and no time follows from them, so this
    clock shows the loop's seconds.
    """

    def __init__(self, speed: float) -> None:
        self.started = asyncio.Event()
        self._rate = 1.0 if math.isinf(speed) else speed
        self._zero_s = 0.0

    def start(self) -> None:
        """From now on time passes. A second call changes nothing."""
        if not self.started.is_set():
            self._zero_s = asyncio.get_running_loop().time()
            self.started.set()

    def now_s(self) -> float:
        """The time it shows."""
        if not self.started.is_set():
            return 0.0
        return (asyncio.get_running_loop().time() - self._zero_s) * self._rate

    def real_s(self, seconds: float) -> float:
        """Seconds of its time in real seconds; 0 for a time that has passed."""
        return max(0.0, seconds / self._rate)

    async def pause(self, seconds: float) -> None:
        """Wait for `seconds` of its time, whether it has been started or not."""
        await asyncio.sleep(self.real_s(seconds))

    async def until(self, at_s: float) -> None:
        """Wait until it shows `at_s`."""
        await self.started.wait()
        await self.pause(at_s - self.now_s())


class Pacer:
    """Advances a source by a clock; with an infinite `speed` the clock does not matter.

    `now_s` is the time of the last step. The time of day is `start_us` at the start; without it, this machine's.
    """

    def __init__(
        self,
        source: Source,
        clock: ExchangeClock,
        speed: float,
        patience_s: float,
        start_us: int | None,
    ) -> None:
        self.now_s = 0.0
        self.has_ended = False
        self._source = source
        self._clock = clock
        self._clockless = math.isinf(speed)
        self._patience_s = patience_s
        self._start_us = start_us
        self._is_running = False
        self._listeners = 0
        self._held = 0
        self._expected: set[str] = set()
        self._lead = LEAD
        self._changed = asyncio.Event()
        self._stepped = asyncio.Event()

    async def run(self, publish: Callable[[Sequence[Message]], Awaitable[None]]) -> None:
        """Once the clock runs, advance the source whenever it is due; return when it has ended."""
        try:
            await self._clock.started.wait()
            self._start_us, self._is_running = self.time_us(), True
            self._source.start(self._start_us)
            while (due_s := self._source.due_s()) is not None:
                if self._clockless:
                    await self._until_wanted()
                # Also when there is nothing to wait for: other tasks must get their turn.
                await self._clock.pause(0.0 if self._clockless else due_s - self._clock.now_s())
                self.now_s = due_s
                messages = self._source.advance()
                # A client that waits for a book gets it before the events that follow it.
                self._wake_held()
                await publish(messages)
        finally:
            # Also after an error: no request waits for ever.
            self.has_ended = True
            self._wake_held()

    def _wake_held(self) -> None:
        self._stepped.set()
        self._stepped.clear()

    async def next_step(self) -> None:
        """Hold a request until the source has made its next step; the pacer does not wait for it."""
        self._held += 1
        self._changed.set()
        try:
            await self._stepped.wait()
        finally:
            self._held -= 1

    def set_listeners(self, listeners: int) -> None:
        """How many clients have subscribed to something. The first one starts the clock."""
        self._listeners = listeners
        if listeners:
            self._clock.start()
        self._changed.set()

    def expect_requests(self, symbols: set[str]) -> None:
        """The subscribers of these symbols will want a snapshot."""
        if symbols - self._expected:
            self._expected |= symbols
            self._lead = LEAD

    def on_request(self, symbol: str) -> None:
        """A client has asked for this snapshot."""
        self._expected.discard(symbol)
        self._changed.set()

    def time_us(self) -> int:
        """The time of day at the exchange."""
        start_us = time.time_ns() // 1_000 if self._start_us is None else self._start_us
        return start_us + int(self._elapsed_s() * 1_000_000) if self._is_running else start_us

    @property
    def slot_end_s(self) -> float:
        """When the next step is due; after the last step, when that was."""
        due_s = self._source.due_s()
        return self.now_s if due_s is None else due_s

    def fraction(self) -> float:
        """How much of the time from the last step to the next has passed, 0 to 1; one half without a clock."""
        due_s = self._source.due_s()
        if self._clockless or due_s is None or not self._clock.started.is_set():
            return 0.5
        span_s = max(due_s - self.now_s, 1e-9)
        return min(max((self._elapsed_s() - self.now_s) / span_s, 0), 1)

    def _elapsed_s(self) -> float:
        return self.now_s if self._clockless else self._clock.now_s()

    async def _until_wanted(self) -> None:
        while not self._listeners or (self._expected and not self._lead and not self._held):
            self._changed.clear()
            try:
                async with asyncio.timeout(self._patience_s if self._listeners else None):
                    await self._changed.wait()
            except TimeoutError:
                # These clients never ask: a dashboard, or a recorder with a second connection.
                self._expected.clear()
        if self._expected and self._lead:
            self._lead -= 1
