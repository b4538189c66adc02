"""Real recordings of the exchange, every row against the oracle and against its own witnesses.

They were made by others (see SOURCES.md beside them) and stay outside this repository.
"""

from __future__ import annotations

import functools
import gzip
import itertools
import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator
from operator import itemgetter
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from booktape.core.events import BookRow, FetchSnapshot, Gap, Lost, Synced
from booktape.core.frames import Connected, Frame, RestFrame, SegmentStart, StreamFrame
from booktape.core.sync import State
from booktape.reconstruct import Malformed, Output, Reconstruction
from oracle import Oracle, doubles, frozen, shown

CAPTURES: Final = Path(__file__).parents[3] / "shared" / "captures"

pytestmark = pytest.mark.skipif(
    not CAPTURES.is_dir(), reason="the real captures are not there: ../shared/captures"
)

# File and the limit its snapshots were asked for with (SOURCES.md).
BTCUSDT: Final = ("btcusdt-2026-06-07-depth5", 5000)
TEN: Final = ("ten-symbols-2021-04-05-bookticker", 1000)
FOUR: Final = ("four-symbols-2021-08-limit5000", 5000)
FUTURES: Final = ("usdm-futures-2021-07-must-be-refused", 1000)


class Line(NamedTuple):
    """One line of a capture, its payload byte for byte."""

    received_ns: int
    symbol: str
    is_rest: bool
    payload: bytes

    @property
    def stream(self) -> str:
        """`depth@100ms`, `bookTicker`, …; empty for a raw payload or a REST answer."""
        head = self.payload[:80].split(b'"')
        return head[3].decode().partition("@")[2] if head[1] == b"stream" else ""


@functools.cache
def lines(name: str) -> tuple[Line, ...]:
    """All lines of a capture, in the order in which they arrived."""
    with gzip.open(CAPTURES / f"{name}.jsonl.gz") as file:
        return tuple(_line(text.rstrip()) for text in file)


def _line(text: bytes) -> Line:
    head, _, rest = text.partition(b',"m":')
    said = json.loads(head + b"}")
    received_ns = int(said["t"] * 1_000_000_000)
    return Line(received_ns, said["symbol"], said["kind"] == "rest", rest[:-1])


def frames(name: str, limit: int, every: int = 1) -> Iterator[Frame]:
    """The capture as a tape: one connection that carries all its symbols from the start."""
    first = lines(name)[0].received_ns
    symbols = tuple(sorted({line.symbol for line in lines(name)}))
    yield SegmentStart(first, "test", "binance", every, limit, symbols)
    yield Connected(first, 0, symbols)
    for line in lines(name):
        if line.is_rest:
            yield RestFrame(line.received_ns, line.symbol, limit, line.payload)
        else:
            yield StreamFrame(line.received_ns, 0, line.payload)


def read(tape: Iterable[Frame]) -> tuple[Reconstruction, Iterator[Output]]:
    """The machine, and what it says while the tape is read."""
    machine = Reconstruction()
    return machine, (output for frame in tape for output in machine.feed(frame))


def rows(tape: Iterable[Frame]) -> Iterator[BookRow]:
    return (output for output in read(tape)[1] if isinstance(output, BookRow))


def followed(name: str, symbol: str) -> Iterator[Oracle]:
    """The oracle of one symbol, after its snapshot and after each event that it applies."""
    oracle = Oracle()
    waiting: list[bytes] = []
    for line in lines(name):
        if line.symbol != symbol:
            continue
        if line.is_rest:
            oracle.snapshot(line.payload)
            yield oracle
            for payload in waiting:
                if oracle.event(payload):
                    yield oracle
        elif line.stream.startswith("depth@"):
            waiting.append(line.payload)
            if oracle.event(line.payload):
                yield oracle


SPOT: Final = [(BTCUSDT, 1, 594), (TEN, 10, 4_652), (FOUR, 4, 532)]


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
    """Each symbol asks once, is known once, and no frame is unreadable: trades are only unknown."""
    del count
    machine, said = read(frames(*capture, every=10**9))
    kinds = Counter(type(output) for output in said)
    assert kinds[FetchSnapshot] == kinds[Synced] == kinds[BookRow] == symbols
    assert not kinds[Malformed]
    assert not kinds[Lost]
    assert {sync.state for sync in machine.syncs.values()} == {State.LIVE}


@pytest.mark.parametrize(("capture", "equal"), [(TEN, 4_601), (FOUR, 519)])
def test_book_ticker_agrees(capture: tuple[str, int], equal: int) -> None:
    """After each event the best bid and ask are those of the newest ticker not after its id."""
    name, limit = capture
    tickers: dict[str, list[tuple[int, tuple[float, ...]]]] = {}
    for line in lines(name):
        if line.stream == "bookTicker":
            said = json.loads(line.payload)["data"]
            best = tuple(float(said[field]) for field in "bBaA")
            tickers.setdefault(line.symbol, []).append((said["u"], best))
    compared = 0
    for row in rows(frames(name, limit)):
        known = tickers[row.symbol]
        later = bisect_right(known, row.update_id, key=itemgetter(0))
        if 0 < later < len(known):  # a later one was seen, so this one still holds
            bids, asks = shown(row)
            assert (*bids[0], *asks[0]) == known[later - 1][1]
            compared += 1
    assert compared == equal


def test_depth5_agrees() -> None:
    """The partial book stream has the id of an event, and the five best levels after it."""
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
            said = [[(float(p), float(q)) for p, q in top[side]] for side in ("bids", "asks")]
            assert [side[:5] for side in shown(row)] == said
            compared += 1
    assert compared == 593


def test_a_cut_capture_shows_a_gap() -> None:
    """Without three events of one symbol its book is lost there, and no other symbol notices."""
    name, limit = TEN
    tape = list(frames(name, limit))
    mine = [f for f in tape if isinstance(f, StreamFrame) and b'"zilusdt@depth@' in f.payload]
    dropped = mine[500:503]
    last_known = json.loads(mine[499].payload)["data"]["u"]
    machine, said = read(frame for frame in tape if frame not in dropped)
    shown_rows: dict[str, list[object]] = {}
    others: list[Output] = []
    for output in said:
        if isinstance(output, BookRow):
            shown_rows.setdefault(output.symbol, []).append(frozen(output))
        else:
            others.append(output)
    (loss,) = [output.gap for output in others if isinstance(output, Lost)]
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
    """An answer from after the cut closes the gap, and from there each row is the uncut one's."""
    name, limit = TEN
    symbol, cut, back = "NEOUSDC", 100, 120
    tape = list(frames(name, limit))
    mine = [f for f in tape if isinstance(f, StreamFrame) and b'"neousdc@depth@' in f.payload]
    *_, known = itertools.islice(followed(name, symbol), back)
    assert known.id is not None
    sides = {"bids": known.bids, "asks": known.asks}
    body = {
        side: [[str(level.price), str(level.size)] for level in levels.values()]
        for side, levels in sides.items()
    }
    answer = json.dumps({"lastUpdateId": known.id, **body}).encode()
    at = tape.index(mine[back + 10])
    tape.insert(at, RestFrame(tape[at].received_ns, symbol, limit, answer))
    whole = {row.update_id: shown(row) for row in rows(frames(name, limit)) if row.symbol == symbol}
    _, said = read(frame for frame in tape if frame not in mine[cut : cut + 3])
    mended = [o for o in said if isinstance(o, BookRow | Gap) and o.symbol == symbol]
    (gap,) = [output for output in mended if isinstance(output, Gap)]
    after = [o for o in mended if isinstance(o, BookRow) and o.epoch == 2]
    assert gap.next_update_id == after[0].update_id == known.id
    assert [(row.update_id, shown(row)) for row in after] == [
        (update_id, levels) for update_id, levels in whole.items() if update_id >= known.id
    ]


def test_futures_are_refused() -> None:
    """Ids that do not chain as Spot's do end in a gap for each symbol, with no book called good."""
    machine, said = read(frames(*FUTURES))
    outputs = list(said)
    assert {sync.state for sync in machine.syncs.values()} == {State.SYNCING}
    assert {gap.symbol for gap in machine.open_gaps()} == set(machine.symbols)
    applied = [output.updates for output in outputs if isinstance(output, BookRow)]
    assert max(applied) <= 1
    assert not any(isinstance(output, Gap) for output in outputs)
