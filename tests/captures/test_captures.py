"""Real recordings of the exchange, every row against the oracle and against its own witnesses.

They were made by others (see SOURCES.md beside them) and stay outside this repository.
"""

from __future__ import annotations

import itertools
import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from operator import itemgetter

import pytest

from booktape.core.events import (
    BookLost,
    BookRow,
    BookSynced,
    FetchSnapshot,
    GapInterval,
    MalformedMessage,
)
from booktape.core.sync import State
from booktape.core.tape_records import DepthAnswer, StreamMessage
from booktape.reconstruct import Output
from captures.capture import (
    BTCUSDT,
    FOUR,
    FUTURES,
    SPOT,
    TEN,
    followed,
    frames,
    lines,
    needs_captures,
    read,
    rows,
)
from support.oracle import Oracle, doubles, frozen, shown

pytestmark = needs_captures


@pytest.mark.parametrize(("capture", "symbols", "count"), SPOT)
def test_every_row_is_the_oracle_s_book(capture: tuple[str, int], symbols: int, count: int) -> None:
    """Each of the 15 Spot symbols: every level of every row at N = 1, exactly."""
    name, limit = capture
    followers: dict[str, Iterator[Oracle]] = {}
    compared = 0
    for row in rows(frames(name, limit)):
        follower = followers.setdefault(row.symbol, followed(name, row.symbol))
        oracle = next(follower)
        assert row.update_id == oracle.id
        bids, asks = shown(row)
        assert bids == doubles(oracle.bids, best_is_highest=True)
        assert asks == doubles(oracle.asks, best_is_highest=False)
        compared += 1
    assert (len(followers), compared) == (symbols, count)
    assert all(next(follower, None) is None for follower in followers.values())


@pytest.mark.parametrize(("capture", "symbols", "count"), SPOT)
def test_nothing_is_lost_or_malformed(capture: tuple[str, int], symbols: int, count: int) -> None:
    """Each symbol sends one request and is known once, and no frame is unreadable: trades are merely unknown."""
    del count
    machine, outputs = read(frames(*capture, every=10**9))
    kinds = Counter(type(output) for output in outputs)
    assert kinds[FetchSnapshot] == kinds[BookSynced] == kinds[BookRow] == symbols
    assert not kinds[MalformedMessage]
    assert not kinds[BookLost]
    assert {sync.state for sync in machine.syncs.values()} == {State.LIVE}


@pytest.mark.parametrize(("capture", "equal"), [(TEN, 4_601), (FOUR, 519)])
def test_book_ticker_agrees(capture: tuple[str, int], equal: int) -> None:
    """After each event the best bid and ask are those of the newest ticker up to its id."""
    name, limit = capture
    tickers: dict[str, list[tuple[int, tuple[float, ...]]]] = {}
    for line in lines(name):
        if line.stream == "bookTicker":
            outputs = json.loads(line.payload)["data"]
            best = tuple(float(outputs[field]) for field in "bBaA")
            tickers.setdefault(line.symbol, []).append((outputs["u"], best))
    compared = 0
    for row in rows(frames(name, limit)):
        known = tickers[row.symbol]
        later = bisect_right(known, row.update_id, key=itemgetter(0))
        if 0 < later < len(known):  # a later ticker was seen, so this one holds until then
            bids, asks = shown(row)
            assert (*bids[0], *asks[0]) == known[later - 1][1]
            compared += 1
    assert compared == equal


def test_depth5_agrees() -> None:
    """The partial book stream has the id of an event, and the five best levels after that event."""
    name, limit = BTCUSDT
    partial = [
        json.loads(line.payload)["data"] for line in lines(name) if line.stream == "depth5@100ms"
    ]
    events = [
        json.loads(line.payload)["data"] for line in lines(name) if line.stream == "depth@100ms"
    ]
    assert [top["lastUpdateId"] for top in partial] == [event["u"] for event in events]
    tops = {top["lastUpdateId"]: top for top in partial}
    compared = 0
    for row in rows(frames(name, limit)):
        if row.updates:
            top = tops[row.update_id]
            outputs = [[(float(p), float(q)) for p, q in top[side]] for side in ("bids", "asks")]
            assert [side[:5] for side in shown(row)] == outputs
            compared += 1
    assert compared == 593


def test_a_cut_capture_shows_a_gap() -> None:
    """Without three events of one symbol its book is lost there, and no other symbol is affected."""
    name, limit = TEN
    tape = list(frames(name, limit))
    mine = [f for f in tape if isinstance(f, StreamMessage) and b'"zilusdt@depth@' in f.payload]
    dropped = mine[500:503]
    last_known = json.loads(mine[499].payload)["data"]["u"]
    machine, outputs = read(frame for frame in tape if frame not in dropped)
    shown_rows: dict[str, list[object]] = {}
    others: list[Output] = []
    for output in outputs:
        if isinstance(output, BookRow):
            shown_rows.setdefault(output.symbol, []).append(frozen(output))
        else:
            others.append(output)
    (loss,) = [output.gap for output in others if isinstance(output, BookLost)]
    assert (loss.symbol, loss.last_update_id) == ("ZILUSDT", last_known)
    assert loss.start_ns == mine[499].received_ns
    asked = Counter(output.symbol for output in others if isinstance(output, FetchSnapshot))
    assert asked.pop("ZILUSDT") == 2
    assert set(asked.values()) == {1}
    whole: dict[str, list[object]] = {}
    for row in rows(tape):
        whole.setdefault(row.symbol, []).append(frozen(row))
    kept = shown_rows.pop("ZILUSDT")
    assert kept == whole.pop("ZILUSDT")[: len(kept)]
    assert shown_rows == whole
    assert machine.open_gaps() == [loss]


def test_a_cut_capture_recovers_exactly() -> None:
    """An answer from after the cut closes the gap, and from then on each row equals that of the uncut capture."""
    name, limit = TEN
    symbol, cut, back = "NEOUSDC", 100, 120
    tape = list(frames(name, limit))
    mine = [f for f in tape if isinstance(f, StreamMessage) and b'"neousdc@depth@' in f.payload]
    *_, known = itertools.islice(followed(name, symbol), back)
    assert known.id is not None
    sides = {"bids": known.bids, "asks": known.asks}
    body = {
        side: [[str(level.price), str(level.size)] for level in levels.values()]
        for side, levels in sides.items()
    }
    answer = json.dumps({"lastUpdateId": known.id, **body}).encode()
    at = tape.index(mine[back + 10])
    tape.insert(at, DepthAnswer(tape[at].received_ns, symbol, limit, answer))
    whole = {row.update_id: shown(row) for row in rows(frames(name, limit)) if row.symbol == symbol}
    _, outputs = read(frame for frame in tape if frame not in mine[cut : cut + 3])
    mended = [o for o in outputs if isinstance(o, BookRow | GapInterval) and o.symbol == symbol]
    (gap,) = [output for output in mended if isinstance(output, GapInterval)]
    after = [o for o in mended if isinstance(o, BookRow) and o.epoch == 2]
    assert gap.next_update_id == after[0].update_id == known.id
    assert [(row.update_id, shown(row)) for row in after] == [
        (update_id, levels) for update_id, levels in whole.items() if update_id >= known.id
    ]


def test_futures_are_refused() -> None:
    """Their ids do not chain as Spot's do, so each symbol ends in a gap, and no book is called good."""
    machine, read_outputs = read(frames(*FUTURES))
    outputs = list(read_outputs)
    assert {sync.state for sync in machine.syncs.values()} == {State.SYNCING}
    assert {gap.symbol for gap in machine.open_gaps()} == set(machine.symbols)
    applied = [output.updates for output in outputs if isinstance(output, BookRow)]
    assert max(applied) <= 1
    assert not any(isinstance(output, GapInterval) for output in outputs)
