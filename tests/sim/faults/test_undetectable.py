"""Faults that nothing reveals: exactly one thing is wrong, the ids chain, and the truth still shows the fault."""

from __future__ import annotations

import json
from collections.abc import Iterable
from decimal import Decimal
from itertools import pairwise
from typing import Literal, TypeAlias

import pytest

from booktape.core.checks import BookTicker, TopLevels
from booktape.core.events import DepthEvent
from booktape.sim.faults.conditions import Attempts, Messages
from booktape.sim.faults.fault import Fault
from booktape.sim.faults.messages import Drop
from booktape.sim.faults.undetectable import (
    Hide,
    MessageChanger,
    StaleWitness,
    Wrong,
    WrongEvent,
    wrong_snapshot,
)
from booktape.sim.messages import (
    MarketMessage,
    Message,
    stream_name,
)
from sim.exchange import BTC, SLOTS, faulty, last_id, pairs
from sim.visitor import Levels, Naive, decimals, texts, visit
from support.truth import TracedMarket, TrueBook

BOTH = "BTCUSDT", "ETHUSDT"
Side: TypeAlias = list[tuple[Decimal, Decimal]]


def messages_of(
    *faults: Fault, symbols: tuple[str, ...] = ("BTCUSDT",), slots: int = SLOTS
) -> list[Message]:
    """Every message of such an exchange; the market is that of `honest`."""
    market, changer = TracedMarket(symbols, 1, levels=30), MessageChanger(faults)
    kinds = "depth@100ms", "bookTicker", "depth20@100ms"
    market.want({stream_name(symbol, kind) for kind in kinds for symbol in symbols})
    return [m for slot in range(slots) for m in changer.changed(market.advance(), slot / 10)]


def events(messages: Iterable[Message], symbol: str = "BTCUSDT") -> list[DepthEvent]:
    return [m.event for m in messages if m.event and m.event.symbol == symbol]


def ids(found: list[DepthEvent]) -> list[tuple[int, int]]:
    return [(event.first_id, event.last_id) for event in found]


def levels_of(event: DepthEvent) -> dict[tuple[str, float], float]:
    bids = {("bid", price): size for price, size in event.bids}
    return bids | {("ask", price): size for price, size in event.asks}


# ── events ──────────────────────────────────────────────────────────────────────────────────


def test_a_hidden_event_leaves_no_hole_in_the_ids() -> None:
    """The next one covers its ids, but has only its own levels; everything else is unchanged."""
    true, found = events(messages_of()), events(messages_of(Hide(Messages(first=10, last=10))))
    assert ids(found)[8:10] == [ids(true)[8], (true[9].first_id, true[10].last_id)]
    assert levels_of(found[9]) == levels_of(true[10])
    assert found[:9] + found[10:] == true[:9] + true[11:]


def test_the_ids_chain_however_many_events_are_hidden() -> None:
    """Runs of events too, and for each symbol separately."""
    found = messages_of(Hide(Messages(probability=0.5, seed=3)), symbols=BOTH, slots=100)
    for symbol in BOTH:
        message = events(found, symbol)
        assert 30 < len(message) < 70
        assert all(b.first_id == a.last_id + 1 for a, b in pairwise(message))
        assert any(levels_of(event) for event in message)


@pytest.mark.parametrize("wrong", ["size", "missing"])
def test_one_level_of_an_event_is_wrong(wrong: Wrong) -> None:
    """Only one level, in the named event; its ids and all other levels are true."""
    fault = WrongEvent(Messages(first=10, last=10), wrong=wrong, seed=4)
    true, found = events(messages_of()), events(messages_of(fault))
    assert ids(found) == ids(true)
    different = [n for n, pair in enumerate(zip(true, found, strict=True)) if pair[0] != pair[1]]
    assert different == [9]
    before, after = levels_of(true[9]), levels_of(found[9])
    ((key, size),) = before.items() - after.items()
    assert after.get(key) == (size + 1 if wrong == "size" else None)
    assert after.keys() | {key} == before.keys()


def test_the_seed_decides_which_level_of_an_event_is_wrong() -> None:
    """It can be any of them."""
    true = events(messages_of())[9]
    wrong = set()
    for seed in range(200):
        found = WrongEvent(Messages(), seed=seed).changed(true, 10)
        ((key, _),) = levels_of(found).items() - levels_of(true).items()
        wrong.add(key)
    assert len(wrong) > len(levels_of(true)) // 2
    assert {side for side, _ in wrong} == {"bid", "ask"}


async def test_a_client_accepts_the_fault_and_has_a_wrong_book() -> None:
    """The exchange's own procedure cannot find it; it is the same on all connections."""
    server = faulty(Hide(Messages(first=12, last=12)), slots=40, patience_s=5)
    truth = server.source.truth()  # type: ignore[union-attr]
    async with visit(server) as visit_:
        visitors = [await visit_.listen(BTC) for _ in range(2)]
        await visitors[0].count(3)
        book = Naive(await visit_.depth("BTCUSDT"))
        assert book.id < pairs([11])[0][0]
        got = [await visitor.events(last_id(40)) for visitor in visitors]
        assert len(got[0]) == 39
        assert set(got[1]) <= set(got[0])
        for message in visitors[0].messages:
            book.apply(json.loads(message))  # asserts that the ids chain
        assert book.id == last_id(40)
        assert (book.bids, book.asks) != texts(truth.book("BTCUSDT", book.id))


async def test_undetectable_faults_compose_with_each_other_and_with_other_faults() -> None:
    """If the wrong event follows a hidden one, it too covers the hidden ids; a message lost on the way is lost."""
    when = Messages(first=10, last=11)
    found = events(messages_of(Hide(Messages(first=10, last=10)), WrongEvent(when, "missing")))
    true = events(messages_of())
    assert (found[9].first_id, found[9].last_id) == (true[9].first_id, true[10].last_id)
    assert len(levels_of(found[9])) == len(levels_of(true[10])) - 1

    faults = Hide(Messages(first=5, last=5)), Drop(Messages(first=20, last=20))
    async with visit(faulty(*faults)) as visit_:
        visitor = await visit_.listen(BTC)
        got = await visitor.events(last_id())
        # A hidden event does not count for faults that see only the messages sent.
        expected = pairs(range(SLOTS))
        expected[4:6] = [(expected[4][0], expected[5][1])]
        del expected[19]
        assert got == expected


def test_without_undetectable_faults_nothing_is_touched() -> None:
    """The messages are the very same."""
    messages = messages_of()
    assert MessageChanger((Drop(Messages()),)).changed(messages, 0) is messages
    untouched = list(MessageChanger((Hide(Messages(probability=0)),)).changed(messages, 0))
    assert all(a is b for a, b in zip(messages, untouched, strict=True))


# ── witnesses ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("relabelled", [False, True])
@pytest.mark.parametrize("kind", ["depth20", "bookTicker"])
def test_a_witness_repeats_its_message(
    kind: Literal["depth20", "bookTicker"], *, relabelled: bool
) -> None:
    """An old message: true by its own id, or faulty under the current one; none is left out."""
    when = Messages(stream=kind, first=6, last=9)
    true, found = messages_of(), messages_of(StaleWitness(when, messages=3, relabelled=relabelled))
    changed = [n for n, pair in enumerate(zip(true, found, strict=True)) if pair[0] is not pair[1]]
    message = [(_statement(true[n]), _statement(found[n])) for n in range(len(true))]
    stream = [n for n, m in enumerate(true) if f"@{kind}" in m.stream]
    differing = [n for n in changed if message[n][0] != message[n][1]]
    assert differing == stream[5:9]
    for place in range(5, 9):
        (now, told_now), (then, _) = message[stream[place]], message[stream[place - 3]]
        assert _levels(told_now) == _levels(then)
        assert _id(told_now) == _id(now if relabelled else then)


def test_a_repeated_trade_keeps_its_own_id() -> None:
    """A fault of witnesses that names no stream also applies to trades, which have no current id."""
    market = TracedMarket(("BTCUSDT",), 1, levels=30)
    market.want({BTC, stream_name("BTCUSDT", "trade")})
    changer = MessageChanger([StaleWitness(Messages(), messages=2, relabelled=True)])
    true = [market.advance() for _ in range(SLOTS)]
    found = [message for messages in true for message in changer.changed(messages, 0)]
    trades = [
        m for messages in true for m in messages if m.stream == stream_name("BTCUSDT", "trade")
    ]
    assert len(trades) > 10
    repeated = [message for message in found if message.stream == stream_name("BTCUSDT", "trade")]
    assert repeated == trades[:2] + trades[:-2]


def _statement(message: Message) -> object:
    return message.content if isinstance(message, MarketMessage) else message.event


def _levels(message: object) -> object:
    if isinstance(message, TopLevels):
        return message.bids, message.asks
    assert isinstance(message, BookTicker)
    return message.bid, message.ask


def _id(message: object) -> int:
    if isinstance(message, TopLevels):
        return message.last_id
    assert isinstance(message, BookTicker)
    return message.update_id


# ── snapshots ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("limit", [10, 30, 5000])
@pytest.mark.parametrize("place", [0, 7])
@pytest.mark.parametrize("side", ["bid", "ask"])
@pytest.mark.parametrize("wrong", ["size", "missing"])
async def test_one_level_of_a_snapshot_is_wrong(
    wrong: Wrong, side: Literal["bid", "ask"], place: int, limit: int
) -> None:
    """The named level; the number of levels is the requested one; every other client gets the truth."""
    when = Attempts(first=2, last=2)
    server = faulty(wrong_snapshot(when, wrong, side, place), speed=1)
    truth = server.source.truth()  # type: ignore[union-attr]
    async with visit(server) as visit_:
        answers = [Naive(await visit_.depth("BTCUSDT", limit)) for _ in range(3)]
        true = truth.book("BTCUSDT", answers[0].id)
        assert _sides(answers[0]) == _sides(answers[2]) == _best(true, limit)
        mine, other = _sides(answers[1]), _sides(answers[0])
        at = side == "ask"
        assert mine[not at] == other[not at]
        expected = _all(true)[at]
        price, size = expected[place]
        expected[place : place + 1] = [] if wrong == "missing" else [(price, size + 1)]
        assert mine[at] == expected[:limit]


def _sides(book: Naive) -> list[Side]:
    return [list(book.bids.items()), list(book.asks.items())]


def _best(true: TrueBook, limit: int) -> list[Side]:
    return [side[:limit] for side in _all(true)]


def _all(true: TrueBook) -> list[Side]:
    return [
        list(decimals([list(level) for level in side])) for side in (true.bid_texts, true.ask_texts)
    ]


async def test_a_wrong_snapshot_makes_no_client_ask_again() -> None:
    """It looks right: with infinite speed the exchange waits for no request, and plays to its end."""
    server = faulty(wrong_snapshot(Attempts(), seed=5), slots=60, patience_s=10**6)
    async with visit(server) as visit_:
        visitor = await visit_.listen(BTC)
        await visitor.count(3)
        book = Naive(await visit_.depth("BTCUSDT"))
        await server.finished.wait()
        truth: Levels = {}
        for side in texts(server.source.truth().book("BTCUSDT", book.id)):  # type: ignore[union-attr]
            truth |= side
        assert len((book.bids | book.asks).items() ^ truth.items()) == 2
