"""Faults about messages, over real sockets: each does exactly what it says, and nothing else."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

import aiohttp
import pytest

from booktape.core.events import DepthEvent
from booktape.sim.faults.conditions import Delivery, Messages
from booktape.sim.faults.connections import CutAt, Lifetime
from booktape.sim.faults.fault import Fault
from booktape.sim.faults.messages import Close, Delay, Drop, LostMessages, Repeat, Stall
from booktape.sim.faults.steps import GOING_AWAY, POLICY_VIOLATION, Send
from sim.exchange import (
    BTC,
    SLOTS,
    contains_id,
    event_number,
    events,
    faulty,
    last_id,
    market,
    message_number,
    pairs,
)
from sim.visitor import Naive, visit
from support.connections import count_open
from support.truth import TracedMarket
from support.venues import venue_with


def loses(fault: Fault, number: int = 1, connection: int = 0) -> bool:
    """Whether this event of BTCUSDT is lost on this connection."""
    event = DepthEvent("BTCUSDT", 0, number * 10, number * 10 + 9, [(1.0, 1.0)], [])
    sent = Delivery(connection, number, number, BTC, event, b"payload")
    return not fault.apply(sent, [Send(b"payload")])


# ── losing ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("lost", "condition"),
    [
        ([16], event_number("BTCUSDT", 17)),
        ([3, 16], event_number("BTCUSDT", 17, 4)),
        ([9], contains_id("BTCUSDT", events()[9].first_id)),
        ([9], contains_id("BTCUSDT", events()[9].last_id)),
        ([], contains_id("ETHUSDT", events()[9].last_id)),
        ([4], message_number(5)),
        ([4], message_number(5, connection=0)),
        ([], message_number(5, connection=1)),
        ([3, 4, 5], Messages(first=4, last=6)),
        ([3, 4, 5], Messages(first=4, last=6, symbol="BTCUSDT", connection=0)),
        ([], Messages(first=4, last=6, symbol="ETHUSDT")),
        ([], Messages(first=4, last=6, connection=1)),
        ([9, 10, 11, 12], Messages(start_s=1.0, end_s=1.4)),
    ],
)
async def test_exactly_the_named_event_is_lost(
    lost: list[int], condition: Callable[[Delivery], bool]
) -> None:
    """A script names events by position, by an id, by the message's number or by the market's time."""
    async with visit(faulty(Drop(condition))) as visit_:
        visitor = await visit_.listen(BTC)
        kept = [number for number in range(SLOTS) if number not in lost]
        assert await visitor.events(last_id()) == pairs(kept)


async def test_a_gap_is_a_run_of_consecutive_events() -> None:
    """`count` events, starting with the named one."""
    async with visit(faulty(LostMessages(Messages(first=11, last=11), count=5))) as visit_:
        visitor = await visit_.listen(BTC)
        kept = [*range(10), *range(15, SLOTS)]
        assert await visitor.events(last_id()) == pairs(kept)


def test_random_gaps_have_the_given_length_and_frequency() -> None:
    """Each start loses `count` events; runs may touch."""
    gap = LostMessages(Messages(probability=0.01, seed=3), count=10)
    lost = [loses(gap, number) for number in range(1, 5_001)]
    runs = [len(list(group)) for key, group in itertools.groupby(lost) if key]
    assert min(runs[:-1]) == 10  # the last run is not over
    assert sum(runs) / 5_000 == pytest.approx(1 - 0.99**10, abs=0.02)


async def test_a_client_has_time_to_request_a_snapshot_after_an_event_that_was_never_sent() -> None:
    """With infinite speed the exchange waits for the snapshot that the gap makes necessary."""
    server = faulty(Drop(event_number("BTCUSDT", 20)), slots=60, patience_s=5)
    async with visit(server) as visit_:
        visitor = await visit_.listen(BTC)
        await visitor.count(3)
        await visit_.depth("BTCUSDT")
        await visitor.count(22)
        book = Naive(await visit_.depth("BTCUSDT"))
        await visit_.server.finished.wait()
        after = await visitor.count(59)
        assert [book.apply(event) for event in after[22:]] == [True] * 37


# ── repeating ───────────────────────────────────────────────────────────────────────────────


async def test_an_event_is_repeated_at_once() -> None:
    """As often as the fault says, byte for byte, before the next one."""
    async with visit(faulty(Repeat(Messages(first=8, last=8), times=2))) as visit_:
        visitor = await visit_.listen(BTC)
        places = [*range(8), 7, 7, *range(8, SLOTS)]
        assert await visitor.events(last_id()) == pairs(range(SLOTS))[:8] + [
            pairs(range(SLOTS))[place] for place in places[8:]
        ]
        assert visitor.messages[7] == visitor.messages[8] == visitor.messages[9]


async def test_an_event_is_repeated_late() -> None:
    """After newer ones; nothing else changes."""
    fault = Repeat(Messages(first=5, last=5), after_s=1.05)
    async with visit(faulty(fault, speed=20)) as visit_:
        visitor = await visit_.listen(BTC)
        got = await visitor.events(last_id())
        fifth = pairs([4])[0]
        at = [place for place, pair in enumerate(got) if pair == fifth]
        assert at == [4, 15]  # ten slots a second
        del got[at[1]]
        assert got == pairs(range(SLOTS))


# ── being late ──────────────────────────────────────────────────────────────────────────────


async def test_one_connection_is_late_and_keeps_its_order() -> None:
    """Each of its events comes 1 s of exchange time after the other connection's; none is lost."""
    fault = Delay(Messages(connection=0, of=2), seconds=1.0)
    async with visit(faulty(fault, speed=10, slots=15)) as visit_:
        late, early = [await visit_.listen(BTC) for _ in range(2)]
        for visitor in (early, late):
            assert await visitor.events(last_id(15)) == pairs(range(15))
        lag_s = [b - a for a, b in zip(early.arrived_s, late.arrived_s, strict=True)]
        assert lag_s == pytest.approx([0.1] * 15, abs=1e-6)
        assert not visit_.server.violations


async def test_a_jittered_delay_never_reorders_a_connection() -> None:
    """TCP does not either."""
    fault = Delay(Messages(probability=0.5), seconds=0, jitter_s=2, seed=4)
    async with visit(faulty(fault, speed=40)) as visit_:
        visitor = await visit_.listen(BTC)
        assert await visitor.events(last_id()) == pairs(range(SLOTS))


async def test_a_stall_holds_frames_back_while_pings_continue() -> None:
    """Nothing comes during the stall, everything after it; the connection lives, and no pong is due."""
    fault = Stall(0.5, 2.5, connection=0)
    async with visit(faulty(fault, speed=1, venue=venue_with(ping_s=0.21))) as visit_:
        visitor = await visit_.listen(BTC, autoping=False)
        began_s = visit_.now_s()
        await visitor.count(4)
        assert len(visitor.pings) == 1
        await visitor.count(5)
        assert len(visitor.pings) == 11
        assert await visitor.events(last_id()) == pairs(range(SLOTS))
        arrived_s = [at_s - began_s for at_s in visitor.arrived_s]
        # Every message that was held back comes at once.
        expected_s = [0.1, 0.2, 0.3, 0.4, *[2.5] * 21, 2.6, 2.7, 2.8, 2.9, 3.0]
        assert arrived_s == pytest.approx(expected_s, abs=1e-6)
        assert not visit_.server.violations


async def test_a_client_is_not_called_slow_after_a_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client did nothing wrong: messages that piled up during the stall do not count against it."""
    monkeypatch.setattr("booktape.sim.server.step_queue.QUEUE_MAX", 5)

    async with visit(faulty(Stall(0.3, 2.0), speed=20)) as visit_:
        visitor = await visit_.listen(BTC)
        assert await visitor.events(last_id()) == pairs(range(SLOTS))
        assert not visit_.server.violations


# ── ending ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("abrupt", "code"), [(False, GOING_AWAY), (True, 1006)])
async def test_a_connection_ends_after_the_named_message(abrupt: bool, code: int) -> None:
    """The message still arrives whole; then comes a close frame, or none; the next connection may live."""
    fault = Close(message_number(5, connection=0), abrupt)
    async with visit(faulty(fault)) as visit_:
        visitor = await visit_.listen(BTC)
        await visitor.end()
        assert visitor.socket.close_code == code
        if not abrupt:  # a reset may overtake data sent before it
            assert len(visitor.messages) == 5
        again = await visit_.listen(BTC)
        await visit_.server.finished.wait()
        assert len(await again.count(10)) == 10
        assert not again.ended


@pytest.mark.parametrize(
    "fault",
    [
        Close(message_number(3), code=POLICY_VIOLATION, reason="Too many requests"),
        CutAt(0.25, abrupt=False, code=POLICY_VIOLATION, reason="Too many requests"),
        Lifetime(0.25, code=POLICY_VIOLATION, reason="Too many requests"),
    ],
)
async def test_a_close_frame_has_the_given_code_and_reason(fault: Fault) -> None:
    """Both arrive as the fault states them."""
    async with visit(faulty(fault, speed=1)) as visit_:
        url = f"{visit_.server.ws_url}/ws/{BTC}"
        async with visit_.http.ws_connect(url, autoclose=False) as socket:
            while (message := await socket.receive()).type is aiohttp.WSMsgType.TEXT:
                pass
            assert message.type is aiohttp.WSMsgType.CLOSE
            assert (message.data, message.extra) == (1_008, "Too many requests")


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Lifetime(0.05), GOING_AWAY),
        (Lifetime(0.05, code=POLICY_VIOLATION), POLICY_VIOLATION),
        (Lifetime(0.05, abrupt=True), 1006),
        (Lifetime(0.03, jitter_s=0.02, connection=0), GOING_AWAY),
    ],
)
async def test_a_connection_has_a_lifetime(fault: Lifetime, code: int) -> None:
    """It ends after that number of seconds even if nothing is sent on it."""
    async with visit(faulty(fault)) as visit_:
        visitor = await visit_.listen("nothing@depth@100ms")
        await visitor.end()
        assert visitor.socket.close_code == code


async def test_a_lifetime_is_exchange_time() -> None:
    """Just under twenty seconds of it hold 199 events at any speed."""
    server = faulty(Lifetime(19.95), speed=100, source=market(slots=None))
    async with visit(server) as visit_:
        visitor = await visit_.listen(BTC)
        await visitor.end()
        assert len(visitor.messages) == 199


def test_a_fault_on_one_connection_leaves_the_others_alone() -> None:
    """The connection is chosen by number, or as every n-th one."""
    drop = Drop(Messages(connection=1, of=3))
    assert [n for n in range(9) if loses(drop, connection=n)] == [1, 4, 7]
    drop = Drop(Messages(connection=4))
    assert [n for n in range(9) if loses(drop, connection=n)] == [4]


def test_losses_everywhere_are_the_same_on_every_connection() -> None:
    """Then a second connection does not help."""
    drop = Drop(Messages(probability=0.3, everywhere=True))
    lost = [[n for n in range(1, 500) if loses(drop, n, connection)] for connection in (0, 1)]
    assert lost[0] == lost[1]
    assert len(lost[0]) == pytest.approx(150, abs=40)


async def test_delayed_messages_are_dropped_when_the_client_leaves() -> None:
    """No timer outlives its connection."""
    fault = Repeat(Messages(), after_s=3_600)
    async with visit(faulty(fault, source=TracedMarket(("BTCUSDT",), 1, levels=30))) as visit_:
        visitor = await visit_.listen(BTC)
        await visitor.count(3)
        await visitor.socket.close()
        await asyncio.sleep(0.001)
        assert not count_open(visit_.server)
