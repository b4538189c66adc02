"""The trades of one symbol: each is stored once, and the ids of missing ones are known."""

from __future__ import annotations

from random import Random
from typing import Final, NamedTuple

import pytest

from booktape.core import trades as trades_module
from booktape.core.trades import (
    ASK_AFTER_NS,
    ASK_AGAIN_NS,
    IDS_RESET,
    NOT_FILLED,
    NOT_SERVED,
    OPEN_MAX_NS,
    FetchTrades,
    Trade,
    TradeGap,
    TradeHole,
    TradeOutput,
    TradeRow,
    TradeSequence,
    TradeState,
)

BTC: Final = "BTCUSDT"
SECOND: Final = 10**9
T0_US: Final = 1_780_000_000_000_000


def trade(trade_id: int, time_us: int | None = None) -> Trade:
    """A trade made `trade_id` milliseconds after the beginning."""
    at_us = T0_US + trade_id * 1_000 if time_us is None else time_us
    return Trade(BTC, trade_id, 100.0, 1.0, at_us, at_us, buyer_is_maker=False)


def ids(found: list[TradeOutput]) -> list[int]:
    return [each.trade.trade_id for each in found if isinstance(each, TradeRow)]


def gaps(found: list[TradeOutput]) -> list[tuple[int, int, str]]:
    return [
        (each.hole.first_id, each.hole.last_id, each.reason)
        for each in found
        if isinstance(each, TradeGap)
    ]


def holes(sequence: TradeSequence) -> list[tuple[int, int]]:
    return [(hole.first_id, hole.last_id) for hole in sequence.holes]


def bring(sequence: TradeSequence, *trade_ids: int, at_ns: int = SECOND) -> list[int]:
    """Streams bring trades; returns the ids of those stored, none of which is marked as filled in."""
    stored: list[int] = []
    for one in trade_ids:
        found = sequence.on_trade(trade(one), at_ns)
        assert not any(isinstance(each, TradeRow) and each.is_filled for each in found)
        stored += ids(found)
    return stored


class Case(NamedTuple):
    """The trades that streams bring after trade 10, those stored, and those then missing."""

    brought: tuple[int, ...]
    stored: list[int]
    missing: list[tuple[int, int]]


CASES: Final[dict[str, Case]] = {
    "in order": Case((11, 12), [11, 12], []),
    "the second copy is dropped": Case((11, 11, 12, 12), [11, 12], []),
    "an old one is dropped": Case((9, 10), [], []),
    "one that runs ahead is stored at once": Case((13,), [13], [(11, 12)]),
    "what another connection brings later is stored then": Case((13, 11, 12), [13, 11, 12], []),
    "a hole shrinks from its ends": Case((15, 11, 14), [15, 11, 14], [(12, 13)]),
    "a hole is parted": Case((15, 12), [15, 12], [(11, 11), (13, 14)]),
    "copies of what filled it are dropped": Case((13, 11, 11, 12, 11), [13, 11, 12], []),
    "two holes": Case((12, 14), [12, 14], [(11, 11), (13, 13)]),
}


def test_the_limits_are_those_in_the_documents() -> None:
    """docs/format.md names an hour, a million trades and a thousand holes."""
    assert (ASK_AFTER_NS, ASK_AGAIN_NS) == (3_000_000_000, 30_000_000_000)
    assert OPEN_MAX_NS == 3_600_000_000_000
    assert (trades_module.HOLE_IDS_MAX, trades_module.HOLES_MAX) == (1_000_000, 1_000)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_which_trades_are_stored_and_which_are_missing(case: Case) -> None:
    """Each case begins after trade 10."""
    sequence = TradeSequence(BTC)
    bring(sequence, 10)
    assert bring(sequence, *case.brought) == case.stored
    assert holes(sequence) == case.missing


def test_nothing_is_missing_before_the_first_trade() -> None:
    """Trades made before a recording began are not missing."""
    sequence = TradeSequence(BTC)
    assert sequence.save() is None
    assert bring(sequence, 1_000) == [1_000]
    assert holes(sequence) == []


def test_a_restart_continues_from_the_last_id_of_its_checkpoint() -> None:
    """So trades made while no recorder ran are a hole."""
    first = TradeSequence(BTC)
    bring(first, 10, 12)
    again = TradeSequence(BTC, first.save())
    assert again.save() == first.save()
    assert bring(again, 11, 20) == [11, 20]
    assert holes(again) == [(13, 19)]


def test_the_oldest_hole_is_requested_if_no_other_connection_fills_it() -> None:
    """It is requested once a tick, after ASK_AFTER_NS."""
    sequence = TradeSequence(BTC)
    bring(sequence, 10, 12, 20)
    assert sequence.on_tick(SECOND + ASK_AFTER_NS - 1) == []
    assert sequence.on_tick(SECOND + ASK_AFTER_NS) == [FetchTrades(BTC, 11)]
    bring(sequence, 11)
    assert sequence.on_tick(SECOND + ASK_AFTER_NS) == [FetchTrades(BTC, 13)]


def test_an_answer_fills_holes_and_nothing_else() -> None:
    """Neither known trades nor later ones, which the stream will bring, are stored from it."""
    sequence = TradeSequence(BTC)
    bring(sequence, 10, 13, 15)
    found = sequence.on_answer(11, [trade(one) for one in range(11, 19)], 9 * SECOND)
    assert ids(found) == [11, 12, 14]
    assert all(isinstance(each, TradeRow) and each.is_filled for each in found)
    assert holes(sequence) == []
    assert bring(sequence, 16, 11) == [16]


def test_trades_that_an_answer_leaves_out_are_declared_missing() -> None:
    """The exchange has later trades but not these, so they will not come."""
    sequence = TradeSequence(BTC)
    bring(sequence, 10, 20)
    found = sequence.on_answer(11, [trade(one) for one in (13, 14, 17, 21)], 9 * SECOND)
    assert ids(found) == [13, 14, 17]
    assert gaps(found) == [(11, 12, NOT_SERVED), (15, 16, NOT_SERVED), (18, 19, NOT_SERVED)]
    first = next(each for each in found if isinstance(each, TradeGap))
    assert (first.hole.after_us, first.hole.before_us) == (T0_US + 10_000, T0_US + 13_000)
    assert first.declared_ns == 9 * SECOND


def test_trades_beyond_the_end_of_an_answer_stay_missing() -> None:
    """The answer may be full, or the exchange's database may lag behind its streams."""
    sequence = TradeSequence(BTC)
    bring(sequence, 10, 20)
    assert ids(sequence.on_answer(11, [trade(11), trade(12)], 9 * SECOND)) == [11, 12]
    assert holes(sequence) == [(13, 19)]
    assert sequence.on_answer(13, [], 9 * SECOND) == []
    assert holes(sequence) == [(13, 19)]
    sequence = TradeSequence(BTC)
    bring(sequence, 10, 12)
    assert sequence.on_answer(11, [], 9 * SECOND) == []
    assert holes(sequence) == [(11, 11)]


def test_after_an_answer_without_news_the_next_request_waits() -> None:
    """Otherwise an exchange that lacks the trades would be asked every second."""
    sequence = TradeSequence(BTC)
    bring(sequence, 10, 20)
    sequence.on_answer(11, [], 9 * SECOND)
    assert sequence.on_tick(9 * SECOND + ASK_AGAIN_NS - 1) == []
    assert sequence.on_tick(9 * SECOND + ASK_AGAIN_NS) == [FetchTrades(BTC, 11)]
    sequence.on_answer(11, [trade(11)], 40 * SECOND)
    assert sequence.on_tick(40 * SECOND) == [FetchTrades(BTC, 12)]


def test_a_hole_that_stays_open_too_long_is_declared() -> None:
    """Its trades count as copies if they come later: a trade gap is final."""
    sequence = TradeSequence(BTC)
    bring(sequence, 10, 12)
    bring(sequence, 14, at_ns=2 * SECOND)
    assert gaps(sequence.on_tick(SECOND + OPEN_MAX_NS - 1)) == []
    assert gaps(sequence.on_tick(SECOND + OPEN_MAX_NS)) == [(11, 11, NOT_FILLED)]
    assert holes(sequence) == [(13, 13)]
    assert bring(sequence, 11) == []


def test_a_hole_that_is_too_large_is_declared_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recorder that was stopped for a month does not request a month of trades."""
    monkeypatch.setattr(trades_module, "HOLE_IDS_MAX", 3)
    sequence = TradeSequence(BTC)
    bring(sequence, 10)
    assert gaps(sequence.on_trade(trade(14), SECOND)) == []
    assert gaps(sequence.on_trade(trade(19), SECOND)) == [(15, 18, NOT_FILLED)]
    assert holes(sequence) == [(11, 13)]


def test_when_there_are_too_many_holes_the_oldest_is_declared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Memory and checkpoints stay bounded, even when a hole is split."""
    monkeypatch.setattr(trades_module, "HOLES_MAX", 2)
    sequence = TradeSequence(BTC)
    bring(sequence, 10, 12, 16)
    assert gaps(sequence.on_trade(trade(18), SECOND)) == [(11, 11, NOT_FILLED)]
    assert gaps(sequence.on_trade(trade(14), SECOND)) == [(13, 13, NOT_FILLED)]
    assert holes(sequence) == [(15, 15), (17, 17)]


def test_the_end_of_a_recording_declares_open_holes() -> None:
    """No later recording fills them: its checkpoint has only the last id."""
    sequence = TradeSequence(BTC)
    bring(sequence, 10, 12, 20)
    assert gaps(sequence.end(9 * SECOND, "stopped")) == [(11, 11, "stopped"), (13, 19, "stopped")]
    assert sequence.save() == TradeState(20, T0_US + 20_000)


RESET_AT_US: Final = T0_US + 60_000_000


def test_ids_that_start_over_are_noticed() -> None:
    """An old id with a new time, twice in a row: the ids between are declared, both trades stored."""
    sequence = TradeSequence(BTC)
    bring(sequence, 100, 102)
    assert sequence.on_trade(trade(5, RESET_AT_US), SECOND) == []
    found = sequence.on_trade(trade(6, RESET_AT_US + 1), 2 * SECOND)
    assert gaps(found) == [(101, 101, IDS_RESET), (103, 4, IDS_RESET)]
    assert ids(found) == [5, 6]
    assert not any(isinstance(each, TradeRow) and each.is_filled for each in found)
    assert sequence.save() == TradeState(6, RESET_AT_US + 1)
    assert ids(sequence.on_trade(trade(6, RESET_AT_US + 1), 3 * SECOND)) == []
    assert ids(sequence.on_trade(trade(8, RESET_AT_US + 2), 3 * SECOND)) == [8]
    assert holes(sequence) == [(7, 7)]


def test_a_trade_late_by_no_more_than_that_fills_its_hole() -> None:
    """It came from a stream, and its row says so."""
    sequence = TradeSequence(BTC)
    bring(sequence, 100, 102)
    late = trade(101, T0_US + 102_000 + trades_module.LATER_US)
    (row,) = sequence.on_trade(late, 2 * SECOND)
    assert row == TradeRow(late, 2 * SECOND, is_filled=False)
    assert holes(sequence) == []


def test_ids_that_start_over_on_two_connections() -> None:
    """Each trade still comes twice."""
    sequence = TradeSequence(BTC)
    bring(sequence, 100)
    brought = [trade(one, RESET_AT_US + one) for one in (5, 5, 6, 6, 7, 7)]
    assert [stored for one in brought for stored in ids(sequence.on_trade(one, SECOND))] == [
        5,
        6,
        7,
    ]


def test_one_odd_trade_does_not_restart_the_ids() -> None:
    """Garbage that looks like a trade must not declare the whole past missing."""
    sequence = TradeSequence(BTC)
    bring(sequence, 100)
    for odd in (5, 9, 7):
        assert sequence.on_trade(trade(odd, RESET_AT_US), SECOND) == []
    assert bring(sequence, 101) == [101]
    assert holes(sequence) == []


def test_an_odd_trade_is_not_remembered_across_segments() -> None:
    """No checkpoint holds it, and a segment read alone must give what was recorded."""
    sequence = TradeSequence(BTC)
    bring(sequence, 100)
    sequence.on_trade(trade(5, RESET_AT_US), SECOND)
    sequence.begin_segment()
    assert sequence.on_trade(trade(6, RESET_AT_US), SECOND) == []


@pytest.mark.parametrize("seed", range(30))
def test_any_losses_and_answers_store_each_trade_once_or_declare_it(seed: int) -> None:
    """Two connections lose trades, delay them out of order, and are cut; answers are late, short or have holes."""
    dice = Random(seed)
    sequence = TradeSequence(BTC)
    last = 300
    unserved = {one for one in range(1, last) if dice.random() < 0.05}
    found = sequence.on_trade(trade(0), 0)
    delayed: list[int] = []
    for trade_id in range(1, last + 1):
        now_ns = trade_id * SECOND
        is_sent = trade_id not in unserved
        if trade_id == last or (is_sent and dice.random() < 0.7):
            found += sequence.on_trade(trade(trade_id), now_ns)
        if is_sent and dice.random() < 0.5:
            delayed.append(trade_id)
        while delayed and dice.random() < 0.6:
            found += sequence.on_trade(trade(delayed.pop(0)), now_ns)
        for wanted in sequence.on_tick(now_ns):
            if isinstance(wanted, FetchTrades) and dice.random() < 0.5:
                had = [one for one in range(wanted.from_id, trade_id + 1) if one not in unserved]
                answer = [trade(one) for one in had[: dice.randrange(20)]]
                found += sequence.on_answer(wanted.from_id, answer, now_ns)
        if dice.random() < 0.05:
            sequence = TradeSequence(BTC, sequence.save())
    found += sequence.end(last * SECOND, "stopped")
    stored, declared = ids(found), [range(a, b + 1) for a, b, _ in gaps(found)]
    missing = [one for each in declared for one in each]
    assert len(stored) == len(set(stored))
    assert sorted([*stored, *missing]) == list(range(last + 1))
    assert unserved <= set(missing)
    assert all(isinstance(each.hole, TradeHole) for each in found if isinstance(each, TradeGap))
