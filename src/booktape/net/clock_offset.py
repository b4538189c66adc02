"""The offset of our clock from the exchange's, measured every quarter of an hour and put on the tape.

The exchange reads its clock at some moment between our request and its answer. So the offset is our time halfway
between the two minus the exchange's time, give or take half of the round trip.
"""

from __future__ import annotations

from typing import Final

import structlog

from booktape.core.tape_records import ClockOffset
from booktape.errors import ExchangeError, MalformedFrame
from booktape.net.rest_client import RestClient
from booktape.wire.server_time import MICROSECONDS, decode_server_time

FIRST_S: Final = 2.0
EVERY_S: Final = 900.0
AFTER_FAILURE_S: Final = 60.0

SAMPLES: Final = 3
"""Requests for each measurement. Only the fastest counts: the first may have to open a connection, and any may be
delayed."""

log = structlog.get_logger()


class OffsetMeter:
    """Puts a `ClockOffset` into the queue every EVERY_S."""

    def __init__(self, rest: RestClient) -> None:
        self._context = rest.context
        self._clock = rest.context.clock
        self._http = rest.http

    async def run(self) -> None:
        """Measure until cancelled. No answer from the exchange ends it."""
        await self._clock.pause(FIRST_S)
        while True:
            offset = await self.measure()
            if offset:
                await self._context.queue.put(offset)
            await self._clock.pause(EVERY_S if offset else AFTER_FAILURE_S)

    async def measure(self) -> ClockOffset | None:
        """One measurement; None if the exchange did not answer, or not with a time."""
        samples: list[ClockOffset] = []
        for _ in range(SAMPLES):
            number = await self._http.begin_when_free(self._context.venue.weights.time)
            try:
                samples.append(await self._sample())
            except MalformedFrame as error:
                log.warning("the exchange's clock is not understood", error=str(error))
                return None
            except ExchangeError as error:
                self._http.back_off(number, error)
                return None
            self._http.record_success(number)
        return min(samples, key=lambda sample: sample.error_ns)

    async def _sample(self) -> ClockOffset:
        began_ns, began_s = self._clock.now_ns(), self._clock.steady_s()
        body = await self._http.get(self._context.venue.time_path(), MICROSECONDS)
        # By steady time: our clock may be set in the meantime.
        half_ns = round((self._clock.steady_s() - began_s) * 1e9 / 2)
        theirs_ns, unsure_ns = decode_server_time(body)
        offset_ns = began_ns + half_ns - theirs_ns
        return ClockOffset(self._clock.now_ns(), offset_ns, half_ns + unsure_ns)
