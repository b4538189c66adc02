"""All connections of a recorder: what is done to every one of them, and when."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from aiohttp import web

from booktape.net.feed import FeedLimits
from booktape.net.feeds import FeedSet
from net.hand_clock import RestlessClock
from net.loopback import linked
from support import virtual_time

DAY_S = 86_400


async def unasked(_: web.Request) -> web.StreamResponse:
    raise NotImplementedError


@pytest.mark.parametrize(("at_s", "first_s"), [(2_000, 1_000), (400, 85_800), (1_000, DAY_S)])
def test_connections_are_replaced_at_a_time_of_day(at_s: float, first_s: float) -> None:
    """The next time that it is so late, in UTC, and every day from then on."""

    async def story() -> None:
        clock = RestlessClock()  # which stands at 1,000 s of its first day
        async with linked(unasked, clock) as context:
            feeds = FeedSet(context, (), 1, FeedLimits(lambda _, __: True), at_s)
            task = asyncio.create_task(feeds.run())
            while len(clock.pauses) < 3:
                await asyncio.sleep(0)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        assert clock.pauses[:3] == [first_s, DAY_S, DAY_S]

    virtual_time.run(story())
