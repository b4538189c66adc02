"""Records wait in order, up to a limit, without waking a task for each of them."""

from __future__ import annotations

import asyncio

import pytest

from booktape.core.tape_records import DepthAnswer, StreamMessage, TapeRecord
from booktape.net.record_queue import RecordQueue
from net.loopback import next_frame

MOST = 10


def frame(number: int, http: int = 1) -> TapeRecord:
    return StreamMessage(number, http, b"")


async def settled() -> None:
    """Lets every task that can continue do so."""
    for _ in range(5):
        await asyncio.sleep(0)


async def full() -> RecordQueue:
    queue = RecordQueue(MOST)
    for number in range(MOST):
        await queue.put(frame(number))
    return queue


async def test_a_task_that_finds_the_queue_full_waits_until_half_is_empty() -> None:
    """Waking a task for each free place would cost more than the frame itself."""
    queue = await full()
    waiting = asyncio.create_task(queue.put(frame(MOST)))
    await settled()
    for left in range(MOST - 1, MOST // 2, -1):
        await queue.take(1, 1)
        await settled()
        assert (len(queue), waiting.done()) == (left, False)
    await queue.take(1, 1)
    await settled()
    assert waiting.done()
    assert len(queue) == MOST // 2 + 1


async def test_a_later_task_does_not_overtake() -> None:
    """While one task waits for room, there is none for others either."""
    queue = await full()
    first = asyncio.create_task(queue.put(frame(MOST)))
    await settled()
    await queue.take(1, 1)
    second = asyncio.create_task(queue.put(frame(MOST + 1)))
    await settled()
    assert not first.done()
    assert not second.done()
    taken = [await next_frame(queue) for _ in range(MOST + 1)]
    assert taken == [frame(number) for number in range(1, MOST + 2)]


@pytest.mark.parametrize("most", [1, 2, 3, MOST])
@pytest.mark.parametrize("senders", [1, 4])
async def test_everything_arrives_in_order(most: int, senders: int) -> None:
    """For any number of senders and any size of the queue, which never holds more than it may."""
    queue, numbers = RecordQueue(most), range(100)

    async def deliver(http: int) -> None:
        for number in numbers:
            await queue.put(frame(number, http))

    delivering = [asyncio.create_task(deliver(sender)) for sender in range(senders)]
    found: list[list[int]] = [[] for _ in delivering]
    for _ in range(senders * len(numbers)):
        assert len(queue) <= most
        taken = await next_frame(queue)
        assert isinstance(taken, StreamMessage)
        found[taken.connection].append(taken.received_ns)
    assert found == [list(numbers)] * senders
    assert not queue
    await asyncio.gather(*delivering)


async def test_a_task_that_stops_waiting_leaves_nothing_behind() -> None:
    """A task that is cancelled while it waits puts nothing in, and no other task waits for it."""
    queue = RecordQueue(1)
    await queue.put(frame(0))
    waiting = asyncio.create_task(queue.put(frame(1)))
    await settled()
    waiting.cancel()
    await settled()
    assert await next_frame(queue) == frame(0)
    await queue.put(frame(2))
    assert await next_frame(queue) == frame(2)
    assert not queue


async def test_bytes_fill_the_queue_too() -> None:
    """A few long messages take as much memory as thousands of short ones; half of it must be empty again."""
    queue, long = RecordQueue(MOST, 100), StreamMessage(0, 1, bytes(40))
    for _ in range(3):
        await queue.put(long)
    waiting = asyncio.create_task(queue.put(long))
    await settled()
    for done in (False, True):
        assert not waiting.done()
        await queue.take(1, 1)
        await settled()
        assert waiting.done() is done
    assert len(queue) == 2
    assert len(queue.drain()) == 2
    assert not queue


async def test_a_turn_takes_a_limited_number_of_records() -> None:
    """At most `most` records or `most_bytes`, or all if fewer: a turn is short, and never empty."""
    queue = await full()
    heavy = StreamMessage(MOST, 1, b"12345678"), DepthAnswer(MOST + 1, "BTCUSDT", 5, b"1234")
    assert await queue.take(MOST - 1, 1) == [frame(number) for number in range(MOST - 1)]
    for each in (*heavy, frame(MOST + 2)):
        await queue.put(each)
    assert await queue.take(MOST, 9) == [frame(MOST - 1), *heavy]
    assert await queue.take(MOST, 9) == [frame(MOST + 2)]
    late = asyncio.create_task(queue.take(MOST, 9))
    await settled()
    assert not late.done()
    await queue.put(frame(0))
    assert await late == [frame(0)]


async def test_the_rest_can_be_taken_at_the_end() -> None:
    """All of it at once, in order; a turn that was cancelled in between has taken nothing."""
    queue = RecordQueue(MOST)
    assert queue.drain() == []
    turn = asyncio.create_task(queue.take(1, 1))
    await settled()
    await queue.put(frame(0))
    await queue.put(frame(1))
    turn.cancel()
    await settled()
    assert turn.cancelled()
    assert queue.drain() == [frame(0), frame(1)]
