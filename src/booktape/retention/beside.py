"""Removes old segments beside a recorder, which never waits for it.

Verifying a segment occupies a core for seconds or minutes. So each pass runs in a separate process, at the lowest
priority. When the recorder stops, a running pass is ended at once; the next one completes what it began.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Final

import structlog

from booktape.errors import BooktapeError
from booktape.processes.process_pool import process_pool
from booktape.reader.book_view import BookView
from booktape.recorder.run import RecorderLike
from booktape.recorder.status import SHOWN, Blocked, RecorderStatus, RetentionStatus
from booktape.retention.prune import PruneOutcome, Rules, prune
from booktape.store.catalog import sealed_tapes
from booktape.store.layout import Layout, Segment

LOOK_S: Final = 15.0
"""How often newly sealed segments are looked for. A pass is made when there are any."""

PASS_S: Final = 3_600.0
"""A pass is made at least this often, because segments also reach their limit while none is sealed."""

RETRY_S: Final = 60.0
"""The time until the next pass after a cause that may end by itself: an upload, a disk error. Verifying a segment again
takes minutes of a core, so a segment that is not verified waits for PASS_S."""

LOG_AGAIN_S: Final = 86_400.0
"""The reasons why segments stay are logged when they change, and this often."""

LEAST_PRIORITY: Final = 19

log = structlog.get_logger()


class PruningRecorder:
    """Runs a recorder and removes old segments beside it. It is run, stopped and shown like a recorder."""

    def __init__(self, recorder: RecorderLike, root: Path, rules: Rules) -> None:
        self._recorder = recorder
        self._layout = Layout(root)
        self._rules = rules
        self._ending = asyncio.Event()
        self._pass_ends = Event()
        self._retention = RetentionStatus(time.time_ns())
        self._logged_s: dict[Blocked, float] = {}

    def stop(self) -> None:
        """Have the recorder seal its files."""
        self._recorder.stop()

    def flush(self) -> None:
        """Hand the tape to the operating system before the process ends at once."""
        self._recorder.flush()

    def status(self, shown: int = SHOWN) -> RecorderStatus | None:
        """The recorder's status, with the reasons why old segments stay."""
        now = self._recorder.status(shown)
        return now and replace(now, retention=self._retention)

    async def view(self, symbol: str, reach_bps: int) -> BookView | None:
        """A known book, as the recorder shows it."""
        return await self._recorder.view(symbol, reach_bps)

    async def run(self) -> None:
        """Record until stopped. A pass that is running then is ended."""
        pruning = asyncio.create_task(self._prune_often())
        pruning.add_done_callback(self._on_end_of_pruning)
        try:
            await self._recorder.run()
        finally:
            self._ending.set()
            self._pass_ends.set()
            await asyncio.wait({pruning})

    async def _prune_often(self) -> None:
        """Make a pass after each segment that was sealed, and after PASS_S."""
        seen: list[Segment] = []
        due_s = 0.0
        now_s = asyncio.get_running_loop().time
        while not self._ending.is_set():
            try:
                sealed = await asyncio.to_thread(sealed_tapes, self._layout)
                if not sealed:
                    self._set_blocked({})
                elif sealed != seen or now_s() >= due_s:
                    seen, due_s = sealed, now_s() + PASS_S
                    self._report(await asyncio.to_thread(self._prune_in_a_process))
            except (BooktapeError, BrokenProcessPool, OSError) as error:
                if not self._ending.is_set():
                    self._set_blocked({Blocked.FAILED: f"the last pass failed: {error}"})
            if {Blocked.UNSHIPPED, Blocked.FAILED} & self._retention.blocked.keys():
                due_s = min(due_s, now_s() + RETRY_S)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), LOOK_S)

    def _report(self, outcome: PruneOutcome) -> None:
        if outcome.tapes or outcome.segments:
            log.info(
                "removed what need not be kept",
                tapes=len(outcome.tapes),
                segments=len(outcome.segments),
                freed_bytes=outcome.freed_bytes,
            )
        kinds = {Blocked.UNVERIFIED: outcome.unverified, Blocked.UNSHIPPED: outcome.unshipped}
        self._set_blocked({kind: _first_of(stay) for kind, stay in kinds.items() if stay})

    def _set_blocked(self, blocked: Mapping[Blocked, str]) -> None:
        """Show what blocked the last pass, and log what is new about it."""
        before = self._retention
        if before.blocked and not blocked:
            log.info("old segments are removed again")
        complete_ns = before.complete_ns if blocked else time.time_ns()
        self._retention = RetentionStatus(complete_ns, blocked)
        now_s = asyncio.get_running_loop().time()
        for kind, why in blocked.items():
            if why != before.blocked.get(kind) or now_s - self._logged_s[kind] >= LOG_AGAIN_S:
                self._logged_s[kind] = now_s
                log.error("old segments stay", reason=kind.value, why=why)

    def _on_end_of_pruning(self, pruning: asyncio.Task[None]) -> None:
        """A bug ends the passes. Recording continues, and the operator sees the bug."""
        if not pruning.cancelled() and (error := pruning.exception()):
            self._set_blocked({Blocked.FAILED: f"no pass is made any more: {error!r}"})

    def _prune_in_a_process(self) -> PruneOutcome:
        """Make one pass. Raises BrokenProcessPool when it was ended because the recorder stops."""
        self._pass_ends.clear()
        with process_pool(1) as pool:
            found = pool.submit(prune_at_leisure, self._layout.root.absolute(), self._rules)
            found.add_done_callback(lambda _: self._pass_ends.set())
            if self._ending.is_set():
                self._pass_ends.set()
            self._pass_ends.wait()
            if not found.done():
                raise BrokenProcessPool("the recorder stops")
            return found.result()


def prune_at_leisure(root: Path, rules: Rules) -> PruneOutcome:
    """`prune`, in a process that gets the time that others leave."""
    os.nice(LEAST_PRIORITY)
    return prune(root, rules)


def _first_of(stay: Mapping[str, str]) -> str:
    """The first segment that stays, with the reason, and the number of others."""
    name, why = next(iter(stay.items()))
    return f"{name}: {why}" + (f"; {len(stay) - 1} more" if len(stay) > 1 else "")
