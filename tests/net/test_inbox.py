"""Frames wait in order, so many and no more, and nobody is woken for each of them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from booktape.core.frames import Frame, RestFrame, StreamFrame
from booktape.net.inbox import Inbox
from net.loopback import next_frame

MOST = 10


def frame(number: int, door: int = 1) -> Frame:
    return StreamFrame(number, door, b"")


async def settled() -> None:
    """Everything that can go on has gone on."""
    for _ in range(5):
        await asyncio.sleep(0)


async def full() -> Inbox:
    inbox = Inbox(MOST)
    for number in range(MOST):
        await inbox.put(frame(number))
    return inbox


def told(story: Coroutine[Any, Any, None]) -> None:
    async def in_time() -> None:
        async with asyncio.timeout(20):
            await story

    asyncio.run(in_time())


def test_who_finds_it_full_waits_until_half_is_empty() -> None:
    """To be woken for each place costs more than the frame that it is for."""

    async def story() -> None:
        inbox = await full()
        waiting = asyncio.create_task(inbox.put(frame(MOST)))
        await settled()
        for left in range(MOST - 1, MOST // 2, -1):
            await inbox.take(1, 1)
            await settled()
            assert (len(inbox), waiting.done()) == (left, False)
        await inbox.take(1, 1)
        await settled()
        assert waiting.done()
        assert len(inbox) == MOST // 2 + 1

    told(story())


def test_who_comes_later_does_not_overtake() -> None:
    """While somebody waits for room, there is none for others either."""

    async def story() -> None:
        inbox = await full()
        first = asyncio.create_task(inbox.put(frame(MOST)))
        await settled()
        await inbox.take(1, 1)
        second = asyncio.create_task(inbox.put(frame(MOST + 1)))
        await settled()
        assert not first.done()
        assert not second.done()
        taken = [await next_frame(inbox) for _ in range(MOST + 1)]
        assert taken == [frame(number) for number in range(1, MOST + 2)]

    told(story())


@pytest.mark.parametrize("most", [1, 2, 3, MOST])
@pytest.mark.parametrize("doors", [1, 4])
def test_everything_arrives_in_order(most: int, doors: int) -> None:
    """Of however many doors, however small it is; and never does it hold more than it may."""

    async def story() -> None:
        inbox, numbers = Inbox(most), range(100)

        async def deliver(door: int) -> None:
            for number in numbers:
                await inbox.put(frame(number, door))

        delivering = [asyncio.create_task(deliver(door)) for door in range(doors)]
        found: list[list[int]] = [[] for _ in delivering]
        for _ in range(doors * len(numbers)):
            assert len(inbox) <= most
            taken = await next_frame(inbox)
            assert isinstance(taken, StreamFrame)
            found[taken.connection].append(taken.received_ns)
        assert found == [list(numbers)] * doors
        assert not inbox
        await asyncio.gather(*delivering)

    told(story())


def test_who_stops_waiting_leaves_nothing_behind() -> None:
    """A door that is closed meanwhile puts nothing in, and nobody else waits for it."""

    async def story() -> None:
        inbox = Inbox(1)
        await inbox.put(frame(0))
        waiting = asyncio.create_task(inbox.put(frame(1)))
        await settled()
        waiting.cancel()
        await settled()
        assert await next_frame(inbox) == frame(0)
        await inbox.put(frame(2))
        assert await next_frame(inbox) == frame(2)
        assert not inbox

    told(story())


def test_bytes_fill_it_too() -> None:
    """A few long messages take as much memory as thousands of short ones; half of it must be empty again."""

    async def story() -> None:
        inbox, long = Inbox(MOST, 100), StreamFrame(0, 1, bytes(40))
        for _ in range(3):
            await inbox.put(long)
        waiting = asyncio.create_task(inbox.put(long))
        await settled()
        for done in (False, True):
            assert not waiting.done()
            await inbox.take(1, 1)
            await settled()
            assert waiting.done() is done
        assert len(inbox) == 2
        assert len(inbox.rest()) == 2
        assert not inbox

    told(story())


def test_some_are_taken_at_a_time() -> None:
    """So many, or so many bytes, or all that there are: a turn is short, and never empty."""

    async def story() -> None:
        inbox = await full()
        heavy = StreamFrame(MOST, 1, b"12345678"), RestFrame(MOST + 1, "BTCUSDT", 5, b"1234")
        assert await inbox.take(MOST - 1, 1) == [frame(number) for number in range(MOST - 1)]
        for each in (*heavy, frame(MOST + 2)):
            await inbox.put(each)
        assert await inbox.take(MOST, 9) == [frame(MOST - 1), *heavy]
        assert await inbox.take(MOST, 9) == [frame(MOST + 2)]
        late = asyncio.create_task(inbox.take(MOST, 9))
        await settled()
        assert not late.done()
        await inbox.put(frame(0))
        assert await late == [frame(0)]

    told(story())


def test_who_ends_gets_the_rest() -> None:
    """At once, and in order; a turn that was given up meanwhile has taken nothing."""

    async def story() -> None:
        inbox = Inbox(MOST)
        assert inbox.rest() == []
        turn = asyncio.create_task(inbox.take(1, 1))
        await settled()
        await inbox.put(frame(0))
        await inbox.put(frame(1))
        turn.cancel()
        await settled()
        assert turn.cancelled()
        assert inbox.rest() == [frame(0), frame(1)]

    told(story())
