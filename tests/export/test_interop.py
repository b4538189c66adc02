"""The tools themselves load the exports, and their books equal ours, even across a gap.

They are large and need other versions of our libraries, so `make interop` installs them separately. The
lines that load a file are those of docs/export.md.
"""

from __future__ import annotations

import gzip
import importlib
import importlib.util
import json
import os
import random
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

import booktape
from booktape.core.events import DepthSnapshot
from booktape.core.gap_reasons import DISCONNECTED
from booktape.core.tape_records import Connected, Disconnected, StreamMessage, TapeRecord
from booktape.core.trades import Trade
from booktape.reader import Book, Gap
from booktape.reader.times import moment_us
from booktape.sim.messages import Encoding, MarketMessage, stream_name
from captures.capture import BTCUSDT, followed, frames, needs_captures
from export.guide import export_everything, run_example
from export.seeded_recording import TICK, answer, record, tape_records
from support.oracle import SYMBOL, connected, doubles, event, rest, snapshot, stream

MOMENTS: Final = 1_000
SECOND_NS: Final = 1_000_000_000


class Sides(NamedTuple):
    """Sizes by price, in ticks: tools that count in ticks return prices with rounding errors."""

    bids: dict[int, float]
    asks: dict[int, float]


NOTHING: Final = Sides({}, {})


def needs(tool: str) -> pytest.MarkDecorator:
    """Skipped if the tool is not installed, except in `make interop`, where it must be."""
    absent = importlib.util.find_spec(tool) is None and "BOOKTAPE_INTEROP" not in os.environ
    return pytest.mark.skipif(absent, reason=f"{tool} is not installed: make interop")


def real() -> Iterator[TapeRecord]:
    """A real minute of BTCUSDT, a fifth of which was lost; the oracle then answers the requests."""
    messages = list(frames(*BTCUSDT))[1:]
    lost, back, answered = (len(messages) * tenths // 100 for tenths in (40, 60, 63))
    last_id = max(filter(None, map(_depth_id, messages[:answered])))
    oracle = next(oracle for oracle in followed(BTCUSDT[0], SYMBOL) if oracle.id == last_id)
    bids = doubles(oracle.bids, best_is_highest=True)
    asks = doubles(oracle.asks, best_is_highest=False)
    snapshot = DepthSnapshot(SYMBOL, 5_000, last_id, bids, asks)
    yield from messages[:lost]
    alive_ns = messages[lost - 1].received_ns
    yield Disconnected(alive_ns + SECOND_NS, 0, alive_ns, DISCONNECTED)
    yield Connected(messages[back].received_ns - 1, 0, (SYMBOL,))
    yield from messages[back : answered + 5]
    yield answer(messages[answered + 4].received_ns, snapshot)
    yield from messages[answered + 5 :]


def _depth_id(tape_record: TapeRecord) -> int | None:
    if not isinstance(tape_record, StreamMessage) or b"@depth@" not in tape_record.payload[:60]:
        return None
    found: int = json.loads(tape_record.payload)["data"]["u"]
    return found


@pytest.fixture(
    scope="module",
    params=[tape_records, pytest.param(real, marks=needs_captures)],
    ids=["seeded", "real"],
)
def recorded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("recorded"), request.param())


class Ours(NamedTuple):
    """Every book of `replay` and when it was known; NOTHING inside a gap."""

    times_ns: list[int]
    books: list[Sides]

    def at(self, moment_ns: int) -> Sides:
        return self.books[bisect_right(self.times_ns, moment_ns) - 1]


def ours(archive: Path, *, gaps_begin_at_once: bool = False) -> Ours:
    """`gaps_begin_at_once`: right after the last event, for a layout that cannot give the time."""
    found = Ours([], [])
    for item in booktape.open(archive).replay(SYMBOL):
        last_ns = found.times_ns[-1] if found.times_ns else 0
        if isinstance(item, Gap):
            starts_ns = moment_us(item.start_time) * 1_000
            found.times_ns.append(last_ns + 1 if gaps_begin_at_once else starts_ns)
            found.books.append(NOTHING)
        else:
            found.times_ns.append(max(last_ns, moment_us(item.book.receive_time) * 1_000))
            found.books.append(in_ticks(item.book))
    assert NOTHING in found.books[:-1]
    return found


def in_ticks(book: Book) -> Sides:
    bids = zip(map(tick, book.bid_price), book.bid_size.tolist(), strict=True)
    return Sides(
        dict(bids), dict(zip(map(tick, book.ask_price), book.ask_size.tolist(), strict=True))
    )


def tick(price: float) -> int:
    return round(price / TICK)


def moments(books: Ours) -> list[int]:
    """Random, in order; between two microseconds, so that no event has exactly that stamp."""
    dice = random.Random(7)
    first_us, last_us = books.times_ns[0] // 1_000, books.times_ns[-1] // 1_000
    return sorted(dice.randrange(first_us, last_us) * 1_000 + 500 for _ in range(MOMENTS))


@needs("hftbacktest")
def test_hftbacktest_has_our_book_at_every_moment(
    recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every level of both sides at 1,000 random moments, and no book inside the gap."""
    export_everything(recorded, tmp_path, monkeypatch)
    backtest = run_example("HashMapMarketDepthBacktest")["backtest"]
    backtest.elapse(0)  # before its first step it has no time
    books = ours(recorded)
    inside = 0
    for moment_ns in moments(books):
        assert backtest.elapse(moment_ns - backtest.current_timestamp) == 0
        assert _of_hftbacktest(backtest.depth(0)) == books.at(moment_ns)
        inside += books.at(moment_ns) == NOTHING
    backtest.close()
    assert 50 < inside < MOMENTS - 500


QUEUE_S: Final = 1_781_000_000


def quiet_touch(trades: int) -> Iterator[TapeRecord]:
    """A best bid of size 5 that does not change, and one sale a second that takes 1 of it."""
    yield connected(QUEUE_S)
    yield rest(snapshot(10, {"100": "5"}, {"101": "5"}), QUEUE_S)
    for number in range(1, 21):
        event_us = (QUEUE_S + number) * 1_000_000
        if number <= trades:
            times = event_us - 50_000, event_us - 50_000
            made = Trade(SYMBOL, number, 100.0, 1.0, *times, buyer_is_maker=True)
            payload = MarketMessage(stream_name(SYMBOL, "trade"), made).payload(
                Encoding(combined=True)
            )
            yield StreamMessage((QUEUE_S + number) * SECOND_NS - 40_000_000, 0, payload)
        changed = {"90": str(number)}
        moved = event(10 + number, 10 + number, changed, event_time_us=event_us)
        yield stream(moved, QUEUE_S + number)


@needs("hftbacktest")
@pytest.mark.parametrize(("trades", "filled_after"), [(1, None), (5, None), (20, 6)])
def test_an_order_waits_in_the_queue_until_trades_have_taken_the_size_ahead_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trades: int, filled_after: int | None
) -> None:
    """It joins behind a size of 5 at the best bid, which no change of the book reaches: only trades fill it."""
    archive = record(tmp_path / "recorded", quiet_touch(trades))
    export_everything(archive, tmp_path, monkeypatch)
    backtest = run_example("HashMapMarketDepthBacktest")["backtest"]
    backtest.elapse(500_000_000)  # before the first trade
    assert backtest.submit_buy_order(0, 1, 100.0, 1.0, 0, 0, False) == 0
    positions = []
    while backtest.elapse(SECOND_NS) == 0:
        positions.append(backtest.position(0))
    backtest.close()
    found = positions.index(1.0) + 1 if 1.0 in positions else None
    assert found == filled_after


@needs("nautilus_trader")
def test_nautilus_trader_loads_our_trades(
    recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its own loader: each trade, with its taker."""
    export_everything(recorded, tmp_path, monkeypatch)
    loaded = run_example("loader.load_trades", run_example("loader.load_deltas"))["trades"]
    stored = booktape.open(recorded).trades(SYMBOL).to_pylist()
    assert [int(str(trade.trade_id)) for trade in loaded] == [row["trade_id"] for row in stored]
    prices = [tick(trade.price.as_double()) for trade in loaded]
    assert prices == [tick(row["price"]) for row in stored]
    sellers = [trade.aggressor_side.name == "SELLER" for trade in loaded]
    assert sellers == [row["buyer_is_maker"] for row in stored]
    assert len(stored) > 200


# Any: a tool that is not installed where types are checked.
def _of_hftbacktest(depth: Any) -> Sides:
    found = Sides({}, {})
    levels = depth.snapshot()
    for ev, _, _, price, size, *_ in levels.tolist():
        (found.bids if ev & 1 << 29 else found.asks)[tick(price)] = size
    depth.snapshot_free(levels)
    return found


@needs("hftbacktest")
def test_hftbacktest_s_own_converter_reads_the_tardis_file(
    recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each epoch alone: its snapshot is not cut, and only a clear of each side is added."""
    tardis = importlib.import_module("hftbacktest.data.utils.tardis")
    export_everything(recorded, tmp_path, monkeypatch)
    files = sorted(Path("exported").glob("*incremental_book_L2*"))
    assert len(files) == 2
    for path in files:
        converted = tardis.convert([str(path)], buffer_size=1_000_000, ss_buffer_size=20_000)
        cleared = (converted["ev"] & 0xFF) == 3
        with gzip.open(path) as lines:
            assert len(converted) == len(list(lines)) - 1 + 2
        assert cleared.sum() == 2


@needs("nautilus_trader")
def test_nautilus_trader_has_our_book_at_every_moment(
    recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its own loader and its own book, from the Tardis files."""
    export_everything(recorded, tmp_path, monkeypatch)
    deltas = run_example("loader.load_deltas")
    books = ours(recorded, gaps_begin_at_once=True)
    names = deltas | {"deltas": []}
    run_example("book.apply_delta", names)
    book, waiting = names["book"], iter(deltas["deltas"])
    following = next(waiting)
    for moment_ns in moments(books):
        while following.ts_init <= moment_ns:
            book.apply_delta(following)
            following = next(waiting)
        assert _of_nautilus(book) == books.at(moment_ns)
    run_example("book.apply_delta", deltas)
    assert _of_nautilus(deltas["book"]) == NOTHING


# Any: see above.
def _of_nautilus(book: Any) -> Sides:
    sides = (book.bids(), book.asks())
    return Sides(*({tick(level.price.as_double()): level.size() for level in s} for s in sides))


@needs("nautilus_trader")
def test_nautilus_trader_reads_the_best_levels(
    recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten of them, the most it keeps, whenever one has changed."""
    export_everything(recorded, tmp_path, monkeypatch)
    names = run_example("loader.load_depth10", run_example("loader.load_deltas"))
    books = ours(recorded)
    last = {top.ts_init: top for top in names["tops"]}
    assert len(last) > 100
    for time_ns, top in last.items():
        assert _best(top.bids) == list(books.at(time_ns).bids.items())[:10]
        assert _best(top.asks) == list(books.at(time_ns).asks.items())[:10]


# Any: see above.
def _best(orders: Any) -> list[tuple[int, float]]:
    return [(tick(o.price.as_double()), o.size.as_double()) for o in orders if o.size.as_double()]
