"""All faults together: they can be combined, each can be written as text, and chance follows from the seed."""

from __future__ import annotations

import pytest

from booktape.core.events import DepthEvent
from booktape.errors import UsageError
from booktape.sim.faults import requests
from booktape.sim.faults.conditions import Attempt, Attempts, Delivery, Messages, chance
from booktape.sim.faults.connections import Cuts, HalfOpen, Lifetime, Outage, ServerShutdown
from booktape.sim.faults.fault import AnswerFault, Fault, Faults
from booktape.sim.faults.market import Huge, MarketFaults
from booktape.sim.faults.messages import Close, Drop, Repeat
from booktape.sim.faults.outcomes import Reset
from booktape.sim.faults.parse import parse_faults
from booktape.sim.faults.steps import Cut, Later, Send, Step
from sim.exchange import BTC


def delivery(connection: int = 0, message: int = 1, number: int = 1) -> Delivery:
    event = DepthEvent("BTCUSDT", 0, number * 10, number * 10 + 9, [(1.0, 1.0)], [])
    return Delivery(connection, message, number, BTC, event, b"payload")


# ── together ────────────────────────────────────────────────────────────────────────────────


def test_faults_compose_in_order() -> None:
    """Each fault gets the result of the previous one; a new fault needs no change in another file."""

    class Twice(Fault, frozen=True):
        def apply(self, delivery: Delivery, steps: list[Step]) -> list[Step]:
            return steps * len(delivery.event.bids) * 2 if delivery.event else steps

    always, never = Messages(), Messages(probability=0)
    send = Send(b"payload")
    assert Faults().apply(delivery()) == [send]
    assert Faults.of(Twice(), Close(always)).apply(delivery()) == [send, send, Cut(abrupt=False)]
    assert Faults.of(Twice(), Drop(always), Close(never)).apply(delivery()) == []
    assert Faults.of(Repeat(always), Twice()).apply(delivery()) == [send] * 4
    steps = Faults.of(Lifetime(9), Lifetime(3, abrupt=True)).steps(0)
    assert steps == [Later(9, Cut(abrupt=False)), Later(3, Cut(abrupt=True))]


def test_the_first_fault_that_matches_a_request_wins() -> None:
    """The others are not consulted."""
    both = Faults.of(requests.refuse(Attempts(door="ws")), requests.rest_error(Attempts()))
    assert both.outcome(Attempt("ws", 0, 0)) == Reset()
    assert getattr(both.outcome(Attempt("rest", 0, 0)), "status", None) == 500
    assert Faults().outcome(Attempt("ws", 0, 0)) is None


def test_timetables_are_merged_in_order_of_time() -> None:
    """Endless ones too."""
    faults = Faults.of(Cuts(10), HalfOpen(25), ServerShutdown(5), Outage(31, 40))
    moments = faults.timetable()
    times = [next(moments).at_s for _ in range(20)]
    assert times == sorted(times)
    assert {5, 25, 31} <= set(times)


def test_only_message_faults_cost_anything_per_message() -> None:
    """The exchange need not consult the others."""
    assert not Faults.of(Cuts(3), Huge("BTCUSDT", 1), requests.refuse(Attempts())).change_messages
    assert Faults.of(Cuts(3), Drop(Messages())).change_messages
    assert not Faults().change_messages


def test_the_market_remembers_as_much_as_a_fault_needs() -> None:
    """Without such a fault it remembers nothing."""
    assert MarketFaults.of() == MarketFaults()
    old = requests.stale(Attempts(), seconds=3), requests.stale(Attempts(), events=7)
    assert MarketFaults.of(*old).memory_events == 31


# ── chance ──────────────────────────────────────────────────────────────────────────────────


def test_chance_depends_only_on_its_arguments() -> None:
    """The same arguments give the same number; different ones are spread evenly over 0 to 1."""
    numbers = [chance(7, "message", n) for n in range(10_000)]
    assert numbers == [chance(7, "message", n) for n in range(10_000)]
    assert min(numbers) >= 0
    assert max(numbers) < 1
    assert sum(numbers) / len(numbers) == pytest.approx(0.5, abs=0.02)


def test_random_losses_keep_their_probability_and_differ_between_connections() -> None:
    """So a second connection helps, as it does in reality."""
    condition = Messages(probability=0.1)
    lost = [
        {n for n in range(1, 10_001) if condition(delivery(connection, n, n))}
        for connection in (0, 1)
    ]
    assert all(len(numbers) == pytest.approx(1_000, abs=120) for numbers in lost)
    assert len(lost[0] & lost[1]) == pytest.approx(100, abs=50)
    assert not any(Messages(probability=0)(delivery(0, n, n)) for n in range(1, 100))
    assert all(Messages()(delivery(0, n, n)) for n in range(1, 100))


def test_a_condition_can_name_a_kind_of_stream_and_a_symbol() -> None:
    """Both for depth events and for witnesses, whose messages hold no event."""
    streams = ("btcusdt@depth@100ms", "btcusdt@depth20@100ms", "ethusdt@bookTicker")
    sent = [Delivery(0, 1, 1, stream, None, b"") for stream in streams]
    for condition, meant in (
        (Messages(stream="depth"), streams[:1]),
        (Messages(stream="depth20"), streams[1:2]),
        (Messages(symbol="BTCUSDT"), streams[:2]),
        (Messages(symbol="ETHUSDT", stream="bookTicker"), streams[2:]),
        (Messages(symbol="ETHUSDT", stream="depth"), ()),
    ):
        assert tuple(one.stream for one in sent if condition(one)) == meant


# ── text ────────────────────────────────────────────────────────────────────────────────────


def test_an_empty_text_means_no_fault() -> None:
    """The exchange is honest unless told otherwise."""
    assert parse_faults("") == parse_faults(" , ") == Faults() == Faults.of()


def test_every_fault_can_be_written_as_text() -> None:
    """Each part gives one fault, in order."""
    text = "drop=0.01, close=30,cut=100msg,refuse=0.2,outage=10-25,rest-error=0.1,cuts=3,shutdown=9"
    kinds = [type(fault) for fault in parse_faults(text).faults]
    expected = [Drop, Lifetime, Close, AnswerFault, Outage, AnswerFault, Cuts, ServerShutdown]
    assert kinds == expected
    assert parse_faults("close=30,cut=2.5").faults == (
        Lifetime(30, seed=1),
        Lifetime(2.5, abrupt=True, seed=2),
    )
    assert parse_faults("stale=2", 5).faults == (requests.stale(Attempts(seed=5_001), seconds=2),)


def test_a_text_is_read_exactly_as_written() -> None:
    """Messages are counted from 1 and seconds from the start, and the seed matters."""
    cut = parse_faults("cut=3msg").apply
    ends = [Cut(abrupt=True) in cut(delivery(message=n)) for n in (1, 2, 3, 4)]
    assert ends == [False, False, True, False]
    assert parse_faults("outage=1-2").outcome(Attempt("ws", 0, 1.5)) == Reset()
    assert parse_faults("outage=1-2").outcome(Attempt("ws", 0, 2.5)) is None
    dropped = [
        [parse_faults("drop=0.5", seed).apply(delivery(number=n)) for n in range(1, 51)]
        for seed in (1, 1, 2)
    ]
    assert dropped[0] == dropped[1] != dropped[2]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("drop", "'drop'"),
        ("drop=", "'drop='"),
        ("drop=2", "'drop=2'"),
        ("drop=-0.1", "'drop=-0.1'"),
        ("drop=nan", "'drop=nan'"),
        ("drop=0.1,explode=1", "'explode=1'"),
        ("close=soon", "'close=soon'"),
        ("close=inf", "'close=inf'"),
        ("close=-1", "'close=-1'"),
        ("cut=0", "'cut=0'"),
        ("cut=0msg", "'cut=0msg'"),
        ("cut=1.5msg", "'cut=1.5msg'"),
        ("outage=10", "'outage=10'"),
        ("outage=9-3", "'outage=9-3'"),
        ("outage=a-b", "'outage=a-b'"),
        ("cuts=0", "'cuts=0'"),
        ("stale=0", "'stale=0'"),
        ("=1", "'=1'"),
    ],
)
def test_a_text_that_cannot_be_read_is_the_users_mistake(text: str, part: str) -> None:
    """The sentence names the wrong part."""
    with pytest.raises(UsageError, match=part):
        parse_faults(text)
