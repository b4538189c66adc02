"""The random scripts are reproducible, differ, use every kind, and end with an honest stretch."""

from __future__ import annotations

from itertools import pairwise

import pytest

from booktape.core.events import DepthEvent
from booktape.sim.faults.conditions import Attempt, Delivery
from booktape.sim.faults.fault import AnswerFault, Fault, Faults
from booktape.sim.faults.market import ClockStep, Delist, MarketFaults
from booktape.sim.faults.messages import Drop
from booktape.sim.faults.parse import KINDS, SILENT
from booktape.sim.faults.steps import Cut, Later, Send
from booktape.sim.market.market import Market
from faults.scripts import (
    HEARD_MAKERS,
    MAKERS,
    SILENT_MAKERS,
    SYMBOLS,
    faultless_from_s,
    script,
    single,
)

SEEDS = range(200)
UNDETECTABLE = {"hide", "wrong-event", "wrong-snapshot"}


def test_the_same_seed_gives_the_same_script() -> None:
    """Neighbouring seeds give different scripts."""
    assert [script(seed) for seed in SEEDS] == [script(seed) for seed in SEEDS]
    assert all(a != b for a, b in pairwise(script(seed) for seed in SEEDS))


def test_scripts_use_every_kind_and_combine_two_to_four() -> None:
    """Every kind of fault occurs, except the undetectable ones.

    With those, rows are wrong and nothing in the data shows it: only audits can find them.
    """
    scripts = [script(seed) for seed in SEEDS]
    assert {len(faults.faults) for faults in scripts} == {2, 3, 4}
    assert KINDS.keys() - MAKERS.keys() == UNDETECTABLE
    found = {sort_of(fault) for faults in scripts for fault in faults.faults}
    assert found == {sort_of(single(kind).faults[0]) for kind in MAKERS}


def sort_of(fault: Fault) -> tuple[type, ...]:
    """Its kind, and for an answer also the kind of its request."""
    return type(fault), *(map(type, fault.outcomes) if isinstance(fault, AnswerFault) else ())


def test_undetectable_faults_are_a_separate_class() -> None:
    """Each of their kinds can be made, and no other kind is among them."""
    made = {type(single(kind).faults[0]) for kind in SILENT_MAKERS}
    assert made >= {KINDS[kind] for kind in SILENT}
    assert not HEARD_MAKERS.keys() & SILENT_MAKERS.keys()


def test_a_script_can_be_limited_to_some_kinds() -> None:
    """For a run that cannot wait as long as the other kinds require."""
    found = {type(fault) for seed in SEEDS for fault in script(seed, ["drop"]).faults}
    assert found == {Drop}


@pytest.mark.parametrize("kind", MAKERS)
def test_a_fault_can_be_alone(kind: str) -> None:
    """This holds for every fault, and the market supports it."""
    Market(SYMBOLS, levels=5).apply_faults(MarketFaults.of(*single(kind).faults))
    assert len(single(kind).faults) == 1


@pytest.mark.parametrize("kind", MAKERS)
def test_at_the_end_of_a_script_the_exchange_has_no_fault(kind: str) -> None:
    """No message, client or connection is affected any more; only a delisted symbol stays away."""
    for seed in range(20):
        faults = single(kind, seed)
        over_s = faultless_from_s(faults)
        for now_s in (over_s, over_s + 60):
            _assert_no_fault(faults, now_s)
        for moment in faults.timetable():
            ends = [step.after_s for step in moment.steps if isinstance(step, Later)]
            assert moment.at_s + max(ends, default=0) < over_s
        for number in range(4):
            for step in faults.steps(number):
                assert isinstance(step, Later)
                assert isinstance(step.step, Cut)
                assert step.after_s < over_s
                # Only connection 0, which exists from the beginning.
                assert number == 0


def _assert_no_fault(faults: Faults, now_s: float) -> None:
    for number in range(1, 50):
        event = DepthEvent("BTCUSDT", 0, number, number, [(1.0, 1.0)], [])
        sent = Delivery(number % 4, number, number, "btcusdt@depth@100ms", event, b"x", now_s)
        assert faults.apply(sent) == [Send(b"x")]
        for door in ("rest", "ws"):
            assert faults.outcome(Attempt(door, number, now_s, "/depth", "BTCUSDT")) is None
    for fault in MarketFaults.of(*faults.faults).faults:
        if not isinstance(fault, Delist | ClockStep):
            alone = MarketFaults.of(fault)
            assert {alone.status(symbol, now_s) for symbol in SYMBOLS} == {"TRADING"}
            pushes = [alone.push(symbol, now_s, now_s + 60) for symbol in SYMBOLS]
            assert {(push.levels, push.price) for push in pushes} == {(0, None)}
