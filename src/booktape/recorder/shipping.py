"""A recorder whose sealed segments are shipped to a bucket while it records, and that never waits for the bucket."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final

import structlog

from booktape.errors import UsageError
from booktape.reader.book_view import BookView
from booktape.recorder.run import RecorderLike
from booktape.recorder.status import SHOWN, RecorderStatus
from booktape.ship.shipper import Shipper

FINAL_S: Final = 60.0
"""How long shipping may continue once the recorder has sealed its last segment. systemd allows 90 s by default."""

log = structlog.get_logger()


class ShippingRecorder:
    """Runs a recorder and a shipper. It is run, stopped and shown like a recorder."""

    def __init__(self, recorder: RecorderLike, shipper: Shipper) -> None:
        self._recorder = recorder
        self._shipper = shipper
        self._hurry = asyncio.Event()
        self._is_sealed = False

    def stop(self) -> None:
        """Have the recorder seal its files. Once they are sealed, leave what is not shipped to the next start."""
        self._recorder.stop()
        if self._is_sealed:
            self._hurry.set()

    def flush(self) -> None:
        """Hand the tape to the operating system right before the process ends."""
        self._recorder.flush()

    async def run(self) -> None:
        """Record until stopped, then ship for at most FINAL_S. Raises NotShipped if anything is left after that."""
        shipping = asyncio.create_task(self._shipper.run())
        shipping.add_done_callback(_log_failure)
        try:
            await self._recorder.run()
        except UsageError:
            raise  # nothing was recorded
        except BaseException:
            await self._finish(shipping)
            raise
        else:
            await self._finish(shipping)
        finally:
            shipping.cancel()
            await asyncio.wait({shipping})
        self._shipper.check()

    def status(self, shown: int = SHOWN) -> RecorderStatus | None:
        """The recorder's status, and what is waiting for the bucket."""
        now = self._recorder.status(shown)
        return now and replace(now, backlog=self._shipper.backlog())

    async def view(self, symbol: str, reach_bps: int) -> BookView | None:
        """A known book, as the recorder shows it."""
        return await self._recorder.view(symbol, reach_bps)

    async def _finish(self, shipping: asyncio.Task[None]) -> None:
        self._is_sealed = True
        await self._shipper.end()
        waits = self._shipper.backlog()
        if waits.segments:
            log.info("shipping what is left", segments=waits.segments, at_most_s=FINAL_S)
        hurry = asyncio.create_task(self._hurry.wait())
        await asyncio.wait({shipping, hurry}, timeout=FINAL_S, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()


def _log_failure(shipping: asyncio.Task[None]) -> None:
    """Log a failure of shipping when it happens; recording continues."""
    if not shipping.cancelled() and (error := shipping.exception()):
        log.error("shipping ended", why=repr(error))
