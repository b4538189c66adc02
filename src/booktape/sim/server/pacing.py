"""Moves a source along: by the clock, or as fast as the clients take it.

With an infinite speed there is no clock to give a client time for its REST request, so the player
waits for its clients instead:

- without any subscription it stands still;
- when a symbol gets its first subscriber, or an event of it reached none, its subscribers are owed
  a snapshot: the player goes `LEAD` steps on and then waits until somebody has asked for it. A
  request that the source holds (a recording that has not come so far) lets it go on;
- it waits `patience_s` of real time at most, for clients that will never ask.

Weakness: a second client of a symbol that already has one is not waited for.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Final

from booktape.sim.server.clock import ExchangeClock
from booktape.sim.source import Source

LEAD: Final = 3


class Pacer:
    """Moves a source by this clock; with an infinite `speed` the clock says nothing about it."""

    def __init__(
        self, source: Source, clock: ExchangeClock, speed: float, patience_s: float
    ) -> None:
        self.now_s = 0.0
        self._source = source
        self._clock = clock
        self._clockless = math.isinf(speed)
        self._patience_s = patience_s
        self._listeners = 0
        self._held = 0
        self._owed: set[str] = set()
        self._lead = LEAD
        self._changed = asyncio.Event()
        self._start_us: int | None = None

    async def run(self, now_us: Callable[[], int], step: Callable[[], Awaitable[None]]) -> None:
        """Once the clock runs, call `step` whenever the source is due; return when it has ended.

        `now_us` says what time of day it is at the start; `now_s` is the time of the last step.
        """
        await self._clock.started.wait()
        self._start_us = start_us = now_us()
        self._source.start(start_us)
        while (due_s := self._source.due_s()) is not None:
            await self._wait_until(due_s)
            self.now_s = due_s
            await step()

    # ── what it is told ─────────────────────────────────────────────────────────────────────

    def listen(self, listeners: int) -> None:
        """So many clients have subscribed to something."""
        self._listeners = listeners
        if listeners:
            self._clock.start()
        self._changed.set()

    def owe(self, symbols: set[str]) -> None:
        """The subscribers of these symbols will want a snapshot."""
        if symbols - self._owed:
            self._owed |= symbols
            self._lead = LEAD

    def asked(self, symbol: str) -> None:
        """Somebody asked for this snapshot."""
        self._owed.discard(symbol)
        self._changed.set()

    def hold(self, requests: int) -> None:
        """So many requests more wait until the source has come farther; below 0: so many fewer."""
        self._held += requests
        self._changed.set()

    # ── what it says ────────────────────────────────────────────────────────────────────────

    def time_us(self) -> int | None:
        """The time of day at the exchange; None before it runs."""
        if self._start_us is None:
            return None
        return self._start_us + int(self._elapsed_s() * 1_000_000)

    @property
    def slot_end_s(self) -> float:
        """When the next step is due; when the last one was, after it."""
        due_s = self._source.due_s()
        return self.now_s if due_s is None else due_s

    def fraction(self) -> float:
        """The part of the time until the next step that has passed; a half where none passes."""
        due_s = self._source.due_s()
        if self._clockless or due_s is None or not self._clock.started.is_set():
            return 0.5
        span_s = max(due_s - self.now_s, 1e-9)
        return min(max((self._elapsed_s() - self.now_s) / span_s, 0), 1)

    def _elapsed_s(self) -> float:
        return self.now_s if self._clockless else self._clock.now_s()

    # ── waiting ─────────────────────────────────────────────────────────────────────────────

    async def _wait_until(self, due_s: float) -> None:
        if self._clockless:
            await self._until_wanted()
            due_s = 0.0
        # Also when nothing is left to wait for: others must get their turn.
        await self._clock.pause(due_s - self._clock.now_s())

    async def _until_wanted(self) -> None:
        while not self._listeners or (self._owed and not self._lead and not self._held):
            self._changed.clear()
            try:
                async with asyncio.timeout(self._patience_s if self._listeners else None):
                    await self._changed.wait()
            except TimeoutError:
                # These clients never ask: a dashboard, or a recorder with a second connection.
                self._owed.clear()
        if self._owed and self._lead:
            self._lead -= 1
