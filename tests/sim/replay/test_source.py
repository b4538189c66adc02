"""A recording played back: byte for byte, in order, and honest about what it does not know."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
import math
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from booktape.core.gap_reasons import STOPPED
from booktape.core.tape_records import (
    ROTATED,
    Connected,
    DepthAnswer,
    Disconnected,
    SegmentEnd,
    SegmentStart,
    StreamMessage,
    SymbolListing,
    TapeRecord,
)
from booktape.errors import DamagedArchive, DamagedFile, UsageError
from booktape.reconstruct import Reconstruction
from booktape.sim.messages import Encoding, stream_name
from booktape.sim.replay import tapes
from booktape.sim.replay.source import ReplaySource
from booktape.sim.replay.tapes import PlayedRecording
from booktape.sim.server.server import SimServer
from booktape.store.catalog import sealed_tapes
from booktape.store.layout import TAPE, Layout
from booktape.store.removals import Removal, write_removal
from booktape.store.tape_codec import decode_record
from booktape.store.tape_reader import read_lines
from booktape.store.tape_writer import TapeWriter
from booktape.wire.exchange_info import SymbolInfo
from sim.visitor import Naive, Visit, texts, visit
from support.truth import TracedMarket
from verify.small import build, edit_tape, sealed

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

CAPTURES = Path(__file__).parents[4] / "shared" / "captures"
SPOT = (
    "btcusdt-2026-06-07-depth5",
    "four-symbols-2021-08-limit5000",
    "ten-symbols-2021-04-05-bookticker",
)
CHOSEN = [
    pytest.param(name, marks=pytest.mark.long if name.startswith("ten") else ()) for name in SPOT
]
"""The largest one takes seconds."""

FUTURES = "usdm-futures-2021-07-must-be-refused"
BTC = stream_name("BTCUSDT")


class Line(msgspec.Struct):
    t: float
    kind: str
    symbol: str
    m: msgspec.Raw


def capture(name: str) -> Path:
    path = CAPTURES / f"{name}.jsonl.gz"
    if not path.exists():
        pytest.skip(f"the real capture {path} is not here")
    return path


def lines(path: Path) -> Iterator[Line]:
    with gzip.open(path) as file:
        for line in file:
            yield msgspec.json.decode(line, type=Line)


def stream_of(payload: bytes) -> str:
    name: str = json.loads(payload)["stream"]
    return name


# ── real captures ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", [*CHOSEN, FUTURES])
async def test_every_recorded_message_comes_byte_for_byte_and_in_order(name: str) -> None:
    """A client of all streams gets all messages; the first snapshots are the recorded bytes."""
    path = capture(name)

    server = SimServer(ReplaySource(path), speed=math.inf)
    sent = [bytes(line.m) for line in lines(path) if line.kind == "ws"]
    recorded = {line.symbol: bytes(line.m) for line in lines(path) if line.kind == "rest"}
    async with visit(server) as visit_:
        visitor = await visit_.listen(*{stream_of(payload) for payload in sent})
        asked = {symbol: asyncio.create_task(visit_.depth(symbol)) for symbol in recorded}
        assert {symbol: await body for symbol, body in asked.items()} == recorded
        await server.finished.wait()
        await visitor.count(len(sent))
        assert visitor.messages == sent


@pytest.mark.parametrize("name", CHOSEN)
async def test_a_late_client_gets_the_book_of_that_moment(name: str) -> None:
    """Later snapshots join the stream, and lead to the same book as the recorded one."""
    path = capture(name)

    first = {line.symbol: bytes(line.m) for line in lines(path) if line.kind == "rest"}
    depth = [
        m for m in lines(path) if m.kind == "ws" and stream_of(bytes(m.m)).endswith("depth@100ms")
    ]
    async with visit(SimServer(ReplaySource(path), speed=math.inf)) as visit_:
        visitor = await visit_.listen(*(stream_name(symbol) for symbol in first))
        early = {symbol: Naive(await visit_.depth(symbol)) for symbol in first}
        await visit_.server.finished.wait()
        late = {symbol: Naive(await visit_.depth(symbol)) for symbol in first}
        for message in await visitor.count(len(depth)):
            early[message["data"]["s"]].apply(message)
        for symbol, book in late.items():
            assert book.id == early[symbol].id
            for mine, theirs in (
                (book.bids, early[symbol].bids),
                (book.asks, early[symbol].asks),
            ):
                assert mine.items() <= theirs.items()
                assert len(mine) == min(5_000, len(theirs))


async def test_only_subscribed_streams_are_sent() -> None:
    """A capture's other streams go to their subscribers, and to no other client."""
    path = capture(SPOT[0])

    wanted = "btcusdt@depth5@100ms"
    sent = [bytes(line.m) for line in lines(path) if line.kind == "ws"]
    sent = [payload for payload in sent if stream_of(payload) == wanted]
    async with visit(SimServer(ReplaySource(path), speed=math.inf)) as visit_:
        combined = await visit_.listen(wanted)
        raw = await visit_.connect("/ws/btcusdt@trade")
        await visit_.server.finished.wait()
        await combined.count(len(sent))
        assert combined.messages == sent
        assert {m["e"] for m in map(json.loads, raw.messages)} == {"trade"}


async def test_a_recording_whose_ids_do_not_chain_has_no_book() -> None:
    """Futures: the recorded snapshot is followed by a gap, and from then on every request gets 503."""
    path = capture(FUTURES)

    async with visit(SimServer(ReplaySource(path), speed=math.inf)) as visit_:
        await visit_.listen(stream_name("SUSHIUSDT"))
        await visit_.depth("SUSHIUSDT")
        await visit_.server.finished.wait()
        status, _, body = await visit_.get("depth?symbol=SUSHIUSDT&limit=5000")
        assert (status, json.loads(body)["code"]) == (503, -1001)


# ── recordings made here ────────────────────────────────────────────────────────────────────


class Recorder:
    """Makes frames of a market, so the truth of the playback is known."""

    def __init__(self, symbol: str = "BTCUSDT", levels: int = 30) -> None:
        self.symbol = symbol
        self.market = TracedMarket((symbol,), 1, levels=levels)
        self.truth = self.market.truth()
        self.frames: list[TapeRecord] = [SegmentStart(0, "", "sim", 1, 5000, (symbol,))]
        self.now_ns = 0

    @property
    def last_id(self) -> int:
        return self.market.update_id(self.symbol)

    def connected(self, number: int = 0) -> Recorder:
        return self.add(Connected(self.now_ns, number, (self.symbol,)))

    def events(self, slots: int, connections: tuple[int, ...] = (0,)) -> Recorder:
        for _ in range(slots):
            self.now_ns += 100_000_000
            for message in self.market.advance():
                payload = message.payload(Encoding(combined=True, microseconds=True))
                for number in connections:
                    self.add(StreamMessage(self.now_ns, number, payload))
        return self

    def rest(self, limit: int = 5000) -> Recorder:
        body = self.market.depth(self.symbol, limit, 0.5)
        return self.add(DepthAnswer(self.now_ns, self.symbol, limit, body))

    def checkpoint(self) -> Recorder:
        reconstruction = Reconstruction()
        for frame in self.frames:
            list(reconstruction.apply(frame))
        self.frames = [self.frames[0], *reconstruction.checkpoints(self.now_ns)]
        return self

    def add(self, frame: TapeRecord) -> Recorder:
        self.frames.append(frame)
        return self

    def tape(self, path: Path, reason: str = STOPPED, *, after: tuple[str, ...] = ()) -> Path:
        """A tape as the store writes it: a stopped recorder writes its last state. `after`: the tape it continues."""
        writer, books = TapeWriter(path), Reconstruction()
        opening, *others = self.frames
        assert isinstance(opening, SegmentStart)
        for frame in (replace(opening, continues=after), *others, SegmentEnd(self.now_ns, reason)):
            list(books.apply(frame))
            writer.write(frame)
        for checkpoint in books.checkpoints(self.now_ns) if reason == STOPPED else ():
            writer.write(checkpoint)
        writer.seal()
        return path

    def capture(self, path: Path) -> Path:
        with gzip.open(path, "wb") as file:
            for frame in self.frames:
                if isinstance(frame, StreamMessage | DepthAnswer):
                    kind = "rest" if isinstance(frame, DepthAnswer) else "ws"
                    head = (
                        f'{{"t":{frame.received_ns / 1e9},"kind":"{kind}","symbol":"{self.symbol}"'
                    )
                    file.write(head.encode() + b',"m":' + frame.payload + b"}\n")
        return path


async def listened(visit_: Visit, events: int) -> list[dict[str, Any]]:
    visitor = await visit_.listen(BTC)
    return await visitor.count(events)


async def test_a_tape_is_played_like_a_capture(tmp_path: Path) -> None:
    """The same frames, from either kind of file, give the same messages and the same snapshot."""
    recorder = Recorder().connected().events(3).rest().events(20)
    paths = recorder.tape(tmp_path / "a.jsonl.zst"), recorder.capture(tmp_path / "a.jsonl.gz")
    wanted = [frame.payload for frame in recorder.frames if isinstance(frame, StreamMessage)]
    bodies = [frame.payload for frame in recorder.frames if isinstance(frame, DepthAnswer)]

    async def work(path: Path) -> None:
        async with visit(SimServer(ReplaySource(path), speed=math.inf)) as visit_:
            visitor = await visit_.listen(BTC)
            assert [await visit_.depth("BTCUSDT")] == bodies
            await visitor.count(len(wanted))
            assert visitor.messages == wanted

    for path in paths:
        await work(path)


async def test_the_checkpoint_of_a_tape_gives_the_book(tmp_path: Path) -> None:
    """A segment without a snapshot begins with the book; clients can join at once."""
    recorder = Recorder().connected().rest().events(10).checkpoint().connected().events(10)
    path = recorder.tape(tmp_path / "a.jsonl.zst")

    async with visit(SimServer(ReplaySource(path), speed=math.inf)) as visit_:
        visitor = await visit_.listen(BTC)
        book = Naive(await visit_.depth("BTCUSDT"))
        assert (book.bids, book.asks) == texts(recorder.truth.book("BTCUSDT", book.id))
        for message in await visitor.count(10):
            book.apply(message)
        assert (book.bids, book.asks) == texts(recorder.truth.book("BTCUSDT", book.id))
        assert book.id == recorder.last_id


async def test_an_archive_is_played_tape_after_tape(tmp_path: Path) -> None:
    """All segments of a directory, oldest first, as one recording."""
    recorder = Recorder().connected().rest().events(5)
    folder = tmp_path / "tape" / "date=2026-11-22"
    recorder.tape(folder / "20261122T100000.000000Z-b.jsonl.zst")
    recorder.checkpoint().connected().events(5)
    recorder.tape(folder / "20261122T110000.000000Z-a.jsonl.zst")

    async with visit(SimServer(ReplaySource(tmp_path), speed=math.inf)) as visit_:
        visitor = await visit_.listen(BTC)
        book = Naive(await visit_.depth("BTCUSDT"))
        assert [book.apply(message) for message in await visitor.count(10)] == [True] * 10


def test_recordings_of_parallel_workers_are_played_at_the_same_time(tmp_path: Path) -> None:
    """In order of their stamps, each with its own connections and end; all books are known."""
    folder = tmp_path / "tape" / "date=2026-11-22"
    recorders = [Recorder(symbol).connected().rest().events(5) for symbol in ("BTCUSDT", "ETHUSDT")]
    for number, recorder in enumerate(recorders):
        recorder.tape(folder / f"20261122T100000.00000{number}Z-aw{number}.jsonl.zst", ROTATED)
        recorder.checkpoint().connected().events(5)
        after = (f"20261122T100000.00000{number}Z-aw{number}",)
        recorder.tape(folder / f"20261122T110000.00000{number}Z-aw{number}.jsonl.zst", after=after)
    playback, sent = ReplaySource(tmp_path), []
    while (due_s := playback.due_s()) is not None:
        sent += [(due_s, message.stream.partition("@")[0]) for message in playback.advance()]
    assert sent == [
        (slot / 10, symbol) for slot in range(1, 11) for symbol in ("btcusdt", "ethusdt")
    ]
    for recorder in recorders:
        book = Naive(playback.depth(recorder.symbol, 5000, 0) or b"")
        assert book.id == recorder.last_id
        assert (book.bids, book.asks) == texts(recorder.truth.book(recorder.symbol, book.id))


def test_a_symbol_that_the_next_segments_omit_is_lost(tmp_path: Path) -> None:
    """The next recorder has one worker and one symbol."""
    folder = tmp_path / "tape" / "date=2026-11-22"
    for number, symbol in enumerate(("BTCUSDT", "ETHUSDT")):
        recorder = Recorder(symbol).connected().rest().events(5)
        recorder.tape(folder / f"20261122T100000.00000{number}Z-aw{number}.jsonl.zst")
    next_one = Recorder("BTCUSDT").connected().rest().events(5)
    both = tuple(f"20261122T100000.00000{number}Z-aw{number}" for number in (0, 1))
    next_one.tape(folder / "20261122T110000.000000Z-b.jsonl.zst", after=both)
    playback = ReplaySource(tmp_path)
    while playback.due_s() is not None:
        playback.advance()
    assert playback.depth("BTCUSDT", 5000, 0)
    assert playback.depth("ETHUSDT", 5000, 0) is None


def test_a_book_lost_by_stopping_is_unknown_after_a_restart(tmp_path: Path) -> None:
    """The end of everything leaves the last book; after a restart there is none until the next snapshot."""
    recorder = Recorder().connected().rest().events(5)
    folder = tmp_path / "tape" / "date=2026-11-22"
    recorder.tape(folder / "20261122T100000.000000Z-b.jsonl.zst")
    ended, known = ReplaySource(tmp_path), texts(recorder.truth.book("BTCUSDT", recorder.last_id))
    recorder.frames = recorder.frames[:1]
    recorder.connected().events(5)
    after = ("20261122T100000.000000Z-b",)
    recorder.tape(folder / "20261122T110000.000000Z-a.jsonl.zst", after=after)
    restarted = ReplaySource(tmp_path)
    for source in (ended, restarted):
        while source.due_s() is not None:
            source.advance()
    book = Naive(ended.depth("BTCUSDT", 5000, 0) or b"")
    assert (book.bids, book.asks) == known
    assert restarted.depth("BTCUSDT", 5000, 0) is None


@pytest.mark.parametrize(
    ("lost", "start_us", "named"),
    [(0, None, True), (1, None, True), (2, None, True), (0, 61 * 10**6, False)],
)
def test_a_lost_tape_is_reported(
    tmp_path: Path, lost: int, start_us: int | None, *, named: bool
) -> None:
    """Its manifest exists. It is not reported if the replay begins later, or if a receipt says that it was removed."""
    build(tmp_path)
    segment = sealed_tapes(Layout(tmp_path))[lost]
    Layout(tmp_path).tape(segment).unlink()
    reported: list[DamagedFile] = []
    ReplaySource(tmp_path, reported.append, start_us)
    assert [segment.name in one.path for one in reported] == [True] * named
    write_removal(Layout(tmp_path), segment, Removal(segment.name, "tape", "", verified_by="test"))
    reported.clear()
    ReplaySource(tmp_path, reported.append, start_us)
    assert not reported


async def test_an_event_recorded_on_two_connections_is_sent_once(tmp_path: Path) -> None:
    """A client of the exchange never sees the recorder's redundancy."""
    recorder = Recorder().connected(0).connected(1).rest().events(10, connections=(0, 1))
    path = recorder.tape(tmp_path / "a.jsonl.zst")

    async with visit(SimServer(ReplaySource(path), speed=math.inf)) as visit_:
        visitor = await visit_.listen(BTC)
        await visit_.depth("BTCUSDT")
        await visit_.server.finished.wait()
        ids = [message["data"]["U"] for message in await visitor.count(10)]
        assert len(ids) == len(visitor.messages) == len(set(ids)) == 10


def test_a_gap_of_the_recording_is_a_gap_of_the_playback(tmp_path: Path) -> None:
    """After the recorder lost the book there is none, until its next snapshot."""
    recorder = Recorder().connected().rest().events(5)
    recorder.add(Disconnected(recorder.now_ns, 0, recorder.now_ns, "disconnected"))
    recorder.market.advance()
    playback = ReplaySource(recorder.tape(tmp_path / "a.jsonl.zst"))
    recorder.connected().events(2)
    without = ReplaySource(recorder.tape(tmp_path / "b.jsonl.zst"))
    recorder.rest().events(3)
    again = ReplaySource(recorder.tape(tmp_path / "c.jsonl.zst"))
    for source in (playback, without, again):
        while source.due_s() is not None:
            source.advance()
    answers = [source.depth("BTCUSDT", 5000, 0) for source in (playback, without, again)]
    assert answers[:2] == [None, None]
    assert not playback.holds("BTCUSDT")
    assert answers[2]
    book = Naive(answers[2])
    assert (book.bids, book.asks) == texts(recorder.truth.book("BTCUSDT", book.id))


def test_a_recorded_answer_is_used_only_while_it_is_new(tmp_path: Path) -> None:
    """Later, or for fewer levels, the answer is made from the book; each answer is true."""
    recorder = Recorder().connected().rest().events(1)
    playback = ReplaySource(recorder.tape(tmp_path / "a.jsonl.zst"))
    recorded = next(f.payload for f in recorder.frames if isinstance(f, DepthAnswer))
    assert playback.depth("BTCUSDT", 5000, 0) is None
    assert playback.holds("BTCUSDT")
    for _ in range(3):
        playback.advance()
    few = Naive(playback.depth("BTCUSDT", 5, 0) or b"")
    assert (len(few.bids), few.id) == (5, Naive(recorded).id)
    assert playback.depth("BTCUSDT", 5000, 0) == recorded
    playback.advance()
    later = Naive(playback.depth("BTCUSDT", 5000, 0) or b"")
    assert later.id == recorder.last_id
    assert (later.bids, later.asks) == texts(recorder.truth.book("BTCUSDT", later.id))


async def test_a_request_waits_until_the_recording_knows_the_book(tmp_path: Path) -> None:
    """It is held while events pass; if no book ever comes it ends with 503, not with silence."""
    recorder = Recorder().connected().events(5)
    path = recorder.tape(tmp_path / "a.jsonl.zst")

    async with visit(SimServer(ReplaySource(path), speed=math.inf)) as visit_:
        asked = asyncio.create_task(visit_.get("depth?symbol=BTCUSDT"))
        assert len(await listened(visit_, 5)) == 5
        status, _, _ = await asked
        assert status == 503


async def test_a_request_that_waits_is_answered_when_the_exchange_closes(tmp_path: Path) -> None:
    """Also with 503; no handler has to be cancelled."""
    path = Recorder().connected().events(50).tape(tmp_path / "a.jsonl.zst")
    async with aiohttp.ClientSession() as http:
        async with SimServer(ReplaySource(path)) as server:
            visit_ = Visit(server, http)
            await listened(visit_, 3)
            asked = asyncio.create_task(visit_.get("depth?symbol=BTCUSDT"))
            await asyncio.sleep(1)
            assert not asked.done()
        status, _, _ = await asked
        assert status == 503


async def test_a_recording_is_played_at_its_own_pace(tmp_path: Path) -> None:
    """At 10 times the speed, 2 s of recording take 0.2 s."""
    path = Recorder().connected().rest().events(20).tape(tmp_path / "a.jsonl.zst")

    async with visit(SimServer(ReplaySource(path), speed=10)) as visit_:
        began_s = visit_.now_s()
        await listened(visit_, 20)
        assert visit_.now_s() - began_s == pytest.approx(0.2, abs=1e-6)


def test_garbage_on_a_tape_harms_nothing(tmp_path: Path) -> None:
    """A message that was unreadable when it came is not sent; the others are."""
    recorder = Recorder().connected().rest().events(2)
    recorder.add(StreamMessage(recorder.now_ns, 0, b"\xff\x00garbage"))
    recorder.add(DepthAnswer(recorder.now_ns, "BTCUSDT", 5000, b"<html>"))
    path = recorder.events(2).tape(tmp_path / "a.jsonl.zst")
    playback, sent = ReplaySource(path), []
    while playback.due_s() is not None:
        sent += playback.advance()
    assert len(sent) == 4
    assert playback.depth("BTCUSDT", 5000, 0)


def test_a_raw_message_is_wrapped_for_a_client_of_combined_streams(tmp_path: Path) -> None:
    """Only the wrapper is added; the content stays as recorded."""
    recorder = Recorder().connected().rest().events(1)
    raw = b'{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":1,"u":99999999999999,"b":[["1","2"]],"a":[]}'
    playback = ReplaySource(recorder.add(StreamMessage(9, 0, raw)).tape(tmp_path / "a.jsonl.zst"))
    messages = []
    while playback.due_s() is not None:
        messages += playback.advance()
    bare = messages[-1].payload(Encoding(combined=False, microseconds=True))
    wrapped = messages[-1].payload(Encoding(combined=True, microseconds=True))
    assert (bare, wrapped) == (raw, b'{"stream":"%b","data":%b}' % (BTC.encode(), raw))


@pytest.mark.parametrize("recorded_in_us", [True, False])
def test_times_have_the_unit_that_a_client_asks_for(
    tmp_path: Path, *, recorded_in_us: bool
) -> None:
    """Whatever unit the recorder asked for; nothing else in the message changes."""
    market = TracedMarket(("BTCUSDT",), 1, levels=30)
    market.start(1_780_000_000_000_000)
    (sent,) = market.advance()
    recorder = Recorder().connected().rest()
    recorder.add(StreamMessage(1, 0, sent.payload(Encoding(True, recorded_in_us))))
    source = ReplaySource(recorder.tape(tmp_path / "a.jsonl.zst"))
    played = [message for _ in range(4) for message in source.advance()]
    for combined, in_us in itertools.product([True, False], repeat=2):
        encoding = Encoding(combined, in_us)
        assert [message.payload(encoding) for message in played] == [sent.payload(encoding)]


def test_the_list_of_symbols_is_the_recorded_one(tmp_path: Path) -> None:
    """Status and steps are known before the first client comes, and change when they changed in the recording."""
    recorder = Recorder().add(SymbolListing(0, "BTCUSDT", "TRADING", "0.01", "0.00001")).connected()
    recorder.rest().events(1).add(SymbolListing(recorder.now_ns, "BTCUSDT", "BREAK", "0.1", ""))
    source = ReplaySource(recorder.tape(tmp_path / "a.jsonl.zst"))
    steps = SymbolInfo("BTCUSDT", tick_size="0.01", step_size="0.00001")
    assert source.symbols() == [steps]
    seen = []
    while source.due_s() is not None:
        seen.append(source.symbols()[0].status)
        source.advance()
    assert seen[:4] == ["TRADING"] * 4
    assert source.symbols() == [SymbolInfo("BTCUSDT", "BREAK", tick_size="0.1")]


# ── files ───────────────────────────────────────────────────────────────────────────────────


def test_the_limit_of_a_captured_snapshot_follows_from_its_size(tmp_path: Path) -> None:
    """A longest side of exactly 1,000 was cut by the limit; one of 30 is complete."""
    for levels, limit in ((1_200, 1_000), (30, 5_000)):
        path = Recorder(levels=levels).rest(1_000).capture(tmp_path / f"{levels}.jsonl.gz")
        records = [played.record for played in PlayedRecording(path, print).records()]
        (record,) = [record for record in records if isinstance(record, DepthAnswer)]
        assert record.limit == limit


@pytest.mark.parametrize("name", ["missing.jsonl.gz", "notes.txt", "empty"])
def test_a_path_without_a_recording_is_the_users_mistake(tmp_path: Path, name: str) -> None:
    """One sentence says what can be played."""
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError):
        ReplaySource(tmp_path / name)


# Written by hand: gzip puts the current second into its header, and test ids must not change.
@pytest.mark.parametrize(
    "content",
    [
        *(b"not gzip", gzip.compress(b"[1]\n"), gzip.compress(b"{}")[:-4]),
        gzip.compress(b"[" * 10_000),
    ],
    ids=["no gzip", "no object", "cut", "nested"],
)
def test_a_broken_capture_is_reported_as_broken(tmp_path: Path, content: bytes) -> None:
    """Whatever is wrong with the file, one typed error names it."""
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(content)
    with pytest.raises(DamagedArchive, match="is not a capture"):
        ReplaySource(path)


def test_a_capture_of_one_endless_line_is_reported_as_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few kilobytes on disk can be gigabytes in memory: no more is read than the longest allowed line."""
    monkeypatch.setattr(tapes, "LINE_BYTES_MAX", 1_000)
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b" " * 1_001))
    with pytest.raises(DamagedArchive, match="a line has more than"):
        ReplaySource(path)


def test_a_tape_without_its_first_line_is_reported_as_broken(tmp_path: Path) -> None:
    """It has no start record."""
    path = tmp_path / "a.jsonl.zst"
    writer = TapeWriter(path)
    writer.write(Connected(0, 0, ("BTCUSDT",)))
    writer.write(SegmentEnd(0, STOPPED))
    writer.seal()
    with pytest.raises(DamagedArchive, match=r"a\.jsonl\.zst does not begin with a start record"):
        ReplaySource(path)


def test_a_damaged_tape_ends_where_the_damage_begins(tmp_path: Path) -> None:
    """Everything before the damage is played, the file is named once, and its last books stay."""
    recorder = Recorder().connected().rest().events(50)
    path = recorder.tape(tmp_path / "a.jsonl.zst")
    whole = list(read_lines(path))
    with zstd.open(path, "wb") as tape:
        tape.writelines([*whole[:20], b"{garbage\n", *whole[21:]])
    named: list[DamagedFile] = []
    playback, sent = ReplaySource(path, named.append), []
    while playback.due_s() is not None:
        sent += playback.advance()
    before = [decode_record(line) for line in whole[:20]]
    assert len(sent) == sum(isinstance(frame, StreamMessage) for frame in before) > 10
    (file,) = named
    assert file.path == str(path)
    assert "line 21" in file.why
    assert playback.depth("BTCUSDT", 5000, 0)


def test_something_that_is_not_a_file_is_treated_like_a_damaged_tape(tmp_path: Path) -> None:
    """A FIFO in place of one tape hides no other tape; in an archive with nothing else it is damage: exit 1."""
    root = tmp_path / "archive"
    build(root)
    first, *others = sealed(root, "tape")
    first.unlink()
    os.mkfifo(first)
    named: list[DamagedFile] = []
    source = ReplaySource(root, named.append)
    while source.due_s() is not None:
        source.advance()
    assert [file.path for file in named] == [str(first)]
    for tape in others:
        tape.unlink()
    with pytest.raises(DamagedArchive, match="it is not a regular file") as raised:
        ReplaySource(root)
    assert raised.value.exit_code == 1
    with pytest.raises(UsageError, match="is neither a tape"):
        ReplaySource(first)


def test_tapes_that_continue_each_other_in_a_circle_are_played(tmp_path: Path) -> None:
    """They are forged, and each is played nevertheless."""
    root = tmp_path / "archive"
    build(root)
    first, second, *_ = sealed(root, "tape")
    edit_tape(first, lambda lines: lines[0].update(continues=[second.name.removesuffix(TAPE)]))
    played = {played.tape for played in PlayedRecording(root, print).records()}
    assert len(played) == len(sealed(root, "tape"))


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: lines[1].update(state="no state"),
        lambda lines: lines[1].update(received_ns=10**400),
        lambda lines: lines.append(lines[-3] | {"received_ns": -1}),
    ],
    ids=["a state that is none", "a time without measure", "a time before 1970"],
)
def test_a_tape_that_no_recorder_wrote_hides_no_other(
    tmp_path: Path, change: Callable[[list[dict[str, Any]]], None]
) -> None:
    """It is named once and ends there; the tapes after it are played."""
    root = tmp_path / "archive"
    build(root)
    victim = sealed(root, "tape")[1]
    edit_tape(victim, change)
    named: list[DamagedFile] = []
    source, last_s = ReplaySource(root, named.append), 0.0
    while (due_s := source.due_s()) is not None:
        source.advance()
        last_s = due_s
    assert [file.path for file in named] == [str(victim)]
    assert last_s > 200
