"""A recorder beside which old segments are removed, and which never waits for that.

To verify a segment takes a core for seconds or minutes. So each pass runs in a process of its own, at the lowest
priority. When the recorder stops, a pass that is at work is ended at once: the next one completes what it began.
"""

from __future__ import annotations

import asyncio
import os
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import Final

import structlog

from booktape.errors import BooktapeError
from booktape.processes.process_pool import process_pool
from booktape.reader.book_view import BookView
from booktape.recorder.run import RecorderLike
from booktape.recorder.status import SHOWN, RecorderStatus
from booktape.retention.prune import PruneOutcome, Rules, prune
from booktape.store.catalog import sealed_tapes
from booktape.store.layout import Layout, Segment

LOOK_S: Final = 15.0
"""How often newly sealed segments are looked for: a pass follows them."""

PASS_S: Final = 3_600.0
"""A pass is made at least this often, since segments also come of age while none is sealed."""
LOG_AGAIN_S: Final = 86_400.0
"""A segment that stays because it is not verified is logged this often."""

LEAST_PRIORITY: Final = 19

log = structlog.get_logger()


class PruningRecorder:
    """Runs a recorder, and removes old segments beside it; it is run, stopped and shown like a recorder."""

    def __init__(self, recorder: RecorderLike, root: Path, rules: Rules) -> None:
        self._recorder = recorder
        self._layout = Layout(root)
        self._rules = rules
        self._ending = asyncio.Event()
        self._pass_ends = Event()
        self._logged_s: dict[str, float] = {}

    def stop(self) -> None:
        """Have the recorder seal its files."""
        self._recorder.stop()

    def flush(self) -> None:
        """Bring the tape to the disk before the process ends at once."""
        self._recorder.flush()

    def status(self, shown: int = SHOWN) -> RecorderStatus | None:
        """The recorder's status."""
        return self._recorder.status(shown)

    async def view(self, symbol: str, reach_bps: int) -> BookView | None:
        """A known book, as the recorder shows it."""
        return await self._recorder.view(symbol, reach_bps)

    async def run(self) -> None:
        """Record until stopped. A pass that is at work then is ended."""
        pruning = asyncio.create_task(self._prune_often())
        pruning.add_done_callback(_log_failure)
        try:
            await self._recorder.run()
        finally:
            self._ending.set()
            self._pass_ends.set()
            await asyncio.wait({pruning})

    async def _prune_often(self) -> None:
        """After each segment that was sealed, and each PASS_S."""
        seen: list[Segment] = []
        passed_s = 0.0
        while not self._ending.is_set():
            sealed = await asyncio.to_thread(sealed_tapes, self._layout)
            now_s = asyncio.get_running_loop().time()
            if sealed and (sealed != seen or now_s - passed_s >= PASS_S):
                seen, passed_s = sealed, now_s
                await self._make_pass()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), LOOK_S)

    async def _make_pass(self) -> None:
        try:
            outcome = await asyncio.to_thread(self._prune_in_a_process)
        except (BooktapeError, BrokenProcessPool, OSError, ValueError) as error:
            if not self._ending.is_set():
                log.warning("old segments could not be removed", why=str(error))
            return
        if outcome.tapes or outcome.segments:
            log.info(
                "removed what need not be kept",
                tapes=len(outcome.tapes),
                segments=len(outcome.segments),
                freed_bytes=outcome.freed_bytes,
            )
        for name, why in outcome.unverified.items():
            self._log_unverified(name, why)

    def _prune_in_a_process(self) -> PruneOutcome:
        """One pass. Raises BrokenProcessPool when it was ended because the recorder stops."""
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

    def _log_unverified(self, name: str, why: str) -> None:
        now_s = asyncio.get_running_loop().time()
        if now_s - self._logged_s.get(name, float("-inf")) >= LOG_AGAIN_S:
            self._logged_s[name] = now_s
            log.error("an old segment stays, with all that continue it", segment=name, why=why)


def prune_at_leisure(root: Path, rules: Rules) -> PruneOutcome:
    """`prune`, in a process that gets what time the others leave."""
    os.nice(LEAST_PRIORITY)
    return prune(root, rules)


def _log_failure(pruning: asyncio.Task[None]) -> None:
    if not pruning.cancelled() and (error := pruning.exception()):
        log.error("old segments are not removed any more", why=repr(error))
