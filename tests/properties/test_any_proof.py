"""Witnesses of an honest exchange never differ, whatever happens on the way; a lie is found."""

from __future__ import annotations

import json
from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from booktape.checks import book_checks
from booktape.core.checks import Check
from booktape.core.events import BookLost, BookRow, FetchSnapshot
from booktape.core.gap_reasons import DISPROVED
from booktape.core.sync import State
from booktape.core.tape_records import (
    ROTATED,
    Connected,
    DepthAnswer,
    SegmentEnd,
    SegmentStart,
    SnapshotRequested,
    StreamMessage,
    TapeRecord,
)
from booktape.reconstruct import Output, Reconstruction
from properties.market import Market
from properties.proved_script import LEVELS, play_proved
from properties.test_any_script import continued
from support.oracle import differences, frozen

B = "BTCUSDT"


@given(st.randoms(use_true_random=False))
def test_no_witness_ever_gives_a_false_alarm(chance: Random) -> None:
    """Answers early, late, ahead, behind, cut off; cuts, rollovers, restarts; and rows stay true."""
    play_proved(chance)


@pytest.mark.long
@pytest.mark.parametrize("fifty", range(4))
def test_numbered_proofs_keep_every_promise(fifty: int) -> None:
    """The scripts that find every loosened rule find nothing in the real ones."""
    for seed in range(fifty * 50, fifty * 50 + 50):
        play_proved(Random(seed))


@pytest.mark.long
def test_the_scripts_of_proofs_are_eventful() -> None:
    """Every witness is compared often, answers wait, and horizons grow within an epoch."""
    count: Counter[str] = Counter()
    for seed in range(100):
        script = play_proved(Random(seed))
        before: dict[tuple[str, int], BookRow] = {}
        for output in script.outputs:
            if isinstance(output, Check):
                count[output.witness] += output.comparisons
            elif isinstance(output, BookRow):
                epoch = output.symbol, output.epoch
                old = before.get(epoch, output)
                count["grown"] += (old.bid_horizon, old.ask_horizon) != (
                    output.bid_horizon,
                    output.ask_horizon,
                )
                before[epoch] = output
    assert count["depth20"] >= 500
    assert count["rest"] >= 300
    assert count["bookTicker"] >= 75
    assert count["grown"] >= 50


def stored(machine: Reconstruction, frames: list[TapeRecord]) -> list[object]:
    """All outputs except requests, which do not affect stored data."""
    outputs = [output for frame in frames for output in machine.apply(frame)]
    return [
        frozen(output)
        for output in outputs
        if isinstance(output, BookRow | Check) or type(output).__name__ in {"Gap", "Note", "Synced"}
    ]


@pytest.mark.parametrize("seed", range(4))
def test_a_segment_cut_anywhere_is_followed_by_one_with_the_same_outputs(seed: int) -> None:
    """Whether it is read alone from its checkpoints or after the previous one, rows, gaps and checks are equal."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(book_checks, "LEVELS", LEVELS)
        tape = play_proved(Random(seed)).tape
        opening = tape[0]
        assert isinstance(opening, SegmentStart)
        for cut in range(1, len(tape) + 1, 3):
            end = SegmentEnd(tape[cut - 1].received_ns, ROTATED)
            first = Reconstruction()
            stored(first, [*tape[:cut], end])
            alone = continued(first, opening, end.received_ns)
            assert stored(alone, tape[cut:]) == stored(first, tape[cut:]), f"cut after frame {cut}"


# ── lies ────────────────────────────────────────────────────────────────────────────────────


class Liar:
    """One connection on which, with healed ids, a level is left out or has another size."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.market = Market(chance, B)
        self.machine = Reconstruction()
        self.now = 0
        self.feed(SegmentStart(0, "test", "sim", 1, 5000, (B,)))
        self.feed(Connected(0, 0, (B,)))
        self.answer(chance.choice([2, 3, 5000]))

    def feed(self, frame: TapeRecord) -> list[Output]:
        return list(self.machine.apply(frame))

    def tick(self) -> int:
        self.now += 10**9
        return self.now

    def answer(self, limit: int, age: int = 0) -> list[Output]:
        last_id = max(self.market.first_id, self.market.last_id - age)
        return self.feed(DepthAnswer(self.tick(), B, limit, self.market.snapshot(last_id, limit)))

    def event(self) -> None:
        shown = json.loads(self.market.happen(self.chance))
        side = shown[self.chance.choice([s for s in ("b", "a") if shown[s]])]
        match self.chance.randrange(6):
            case 0:
                side.pop()
            case 1:
                side[-1] = [side[-1][0], "7.00000000"]
        self.feed(StreamMessage(self.tick(), 0, json.dumps(shown).encode()))

    def ask(self) -> None:
        self.feed(SnapshotRequested(self.tick(), B, 5000))

    def act(self) -> None:
        if self.machine.syncs[B].state is not State.LIVE:
            self.answer(self.chance.choice([2, 3, 5000]))
        act = self.chance.choice([*[self.event] * 6, self.ask, self.late_answer])
        act()

    def late_answer(self) -> None:
        self.answer(self.chance.choice([2, 3, 5000]), self.chance.randint(0, 6))


@given(st.randoms(use_true_random=False))
def test_a_lie_inside_the_horizon_is_found_by_the_next_audit(chance: Random) -> None:
    """If and only if the book is no longer true; then the epoch ends, and the next one is true."""
    check_audit(chance)


def test_lies_are_found_unless_they_were_corrected_before() -> None:
    """In numbered scripts some lies are overwritten, or removed by an audit, before the last audit."""
    found = [check_audit(Random(seed)) for seed in range(200)]
    assert found.count(True) >= 50
    assert found.count(False) >= 50


def check_audit(chance: Random) -> bool:
    """Whether the book was wrong, which the last audit must report."""
    liar = Liar(chance)
    for _ in range(chance.randint(5, 40)):
        liar.act()
    sync = liar.machine.syncs[B]
    if sync.state is not State.LIVE:
        liar.answer(5000)
    wrong = differences(sync.row(0), *liar.market.at(sync.update_id))
    liar.ask()
    check, *more = liar.answer(5000)
    assert isinstance(check, Check)
    assert bool(check.differences) is bool(wrong)
    assert [type(output) for output in more] == ([BookLost, FetchSnapshot] if wrong else [])
    if wrong:
        assert sync.gap is not None
        assert sync.gap.reason == DISPROVED
        liar.answer(5000)
    assert sync.state is State.LIVE
    assert not differences(sync.row(0), *liar.market.at(sync.update_id))
    return bool(wrong)
