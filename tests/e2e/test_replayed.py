"""A replayed tape, recorded again, gives the rows of the original, from its start or from the middle."""

from __future__ import annotations

import asyncio
import json
import math
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import booktape
from booktape.errors import UsageError
from booktape.reader.times import moment_us
from booktape.sim.market.market import Market
from booktape.sim.messages import stream_name
from booktape.sim.replay.source import ReplaySource
from booktape.sim.server.server import SimServer
from e2e.inside import POLL_S, recording
from sim.visitor import Naive, visit

SYMBOLS = ("LTCUSDT", "XMRBTC")
LENGTH_S = 40

pytestmark = pytest.mark.within_s(300)


def books_of(out: Path, symbol: str) -> list[booktape.Book]:
    entries = booktape.open(out).snapshots(symbol)
    return [entry for entry in entries if isinstance(entry, booktape.Book)]


def content(book: booktape.Book) -> list[Any]:
    """Everything in a row except its time of receipt and its epoch."""
    names = [f.name for f in fields(book) if f.name not in {"receive_time", "epoch", "updates"}]
    values = (getattr(book, name) for name in names)
    return [value.tolist() if hasattr(value, "tolist") else value for value in values]


async def original(out: Path, every: int) -> None:
    async with (
        SimServer(Market(SYMBOLS, 5, levels=80)) as server,
        recording(server, SYMBOLS, out, every=every),
    ):
        await asyncio.sleep(LENGTH_S)


async def again(source: ReplaySource, out: Path, every: int, speed: float) -> None:
    """Record all of it at this speed."""
    async with (
        SimServer(source, speed=speed) as server,
        recording(server, SYMBOLS, out, every=every),
    ):
        await server.finished.wait()
        await asyncio.sleep(1)


@pytest.mark.parametrize("speed", [1, 5, math.inf])
async def test_a_replayed_tape_recorded_again_gives_equal_rows(
    tmp_path: Path, speed: float
) -> None:
    """Every row of the original, and no others, at any speed; the steps of prices and sizes too."""
    await original(tmp_path / "first", 7)
    await again(ReplaySource(tmp_path / "first"), tmp_path / "second", 7, speed)
    for symbol in SYMBOLS:
        first, second = (books_of(tmp_path / name, symbol) for name in ("first", "second"))
        assert len(first) > LENGTH_S / 7
        assert list(map(content, second)) == list(map(content, first))
        assert [book.updates for book in second] == [book.updates for book in first]


async def test_a_replay_can_begin_in_the_middle(tmp_path: Path) -> None:
    """With the books of that moment; from then on every row is the original's."""
    await original(tmp_path / "first", 1)
    first = {symbol: books_of(tmp_path / "first", symbol) for symbol in SYMBOLS}
    start = first["LTCUSDT"][0].receive_time + timedelta(seconds=LENGTH_S / 2)
    source = ReplaySource(tmp_path / "first", start_us=moment_us(start))
    await again(source, tmp_path / "second", 1, 1)
    for symbol in SYMBOLS:
        known = {book.update_id: content(book) for book in first[symbol]}
        beginning, *second = books_of(tmp_path / "second", symbol)
        # The first row is a snapshot, which has no event time.
        assert content(beginning)[2:] == known[beginning.update_id][2:]
        assert [content(book) for book in second] == [known[book.update_id] for book in second]
        late = [book.update_id for book in first[symbol] if book.receive_time >= start]
        assert [book.update_id for book in second][-len(late) :] == late
        assert len(second) <= len(late)


async def test_a_replay_cannot_begin_after_the_end(tmp_path: Path) -> None:
    await original(tmp_path / "first", 1)
    with pytest.raises(UsageError, match="has nothing at or after 2200-01-01"):
        ReplaySource(tmp_path / "first", start_us=moment_us("2200-01-01T00:00:00Z"))


async def test_several_clients_of_a_replay_each_have_a_book_that_fits_the_stream(
    tmp_path: Path,
) -> None:
    """They join one after another; each one's snapshot and events give the book of the original."""
    await original(tmp_path / "first", 1)
    known = {book.update_id: content(book) for book in books_of(tmp_path / "first", "LTCUSDT")}

    server = SimServer(ReplaySource(tmp_path / "first"))
    async with visit(server) as visit_:
        for _ in range(4):
            listener = await visit_.listen(stream_name("LTCUSDT"))
            await listener.count(1)
            book = Naive(await visit_.depth("LTCUSDT"))
            await asyncio.sleep(3 + POLL_S)
            for message in listener.messages:
                book.apply(json.loads(message))
            sides = (sorted(book.bids.items(), reverse=True), sorted(book.asks.items()))
            bids, asks = ([list(map(float, level)) for level in side] for side in sides)
            row = known[book.id]
            assert bids == [list(level) for level in zip(row[3], row[4], strict=True)]
            assert asks == [list(level) for level in zip(row[5], row[6], strict=True)]
