"""Plays a recording as an exchange: what was received is sent again, byte for byte, in order.

Stream messages go to the subscribers of their stream. A request for a snapshot waits until the
recording has reached the symbol's first book; a recorded answer is given byte for byte as long as
nothing newer has been sent. All other answers come from the book that follows from the recording
so far. While that book is not known (the recording has a gap, or its ids do not chain), the answer
is 503, until the recording has a snapshot again.

Weaknesses: a recorded book is known only up to the limit of its request; a client that asks for more gets
the known levels and takes them for the whole side, so a recorder of a replay should use the recorded `--depth`.
An event that several connections recorded is sent once. Recorded garbage is not sent.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path

import msgspec

from booktape.core.checks import BookTicker
from booktape.core.events import DepthEvent, DepthSnapshot
from booktape.core.sync import State, SymbolSync
from booktape.core.tape_records import (
    Checkpoint,
    DepthAnswer,
    SegmentEnd,
    SegmentStart,
    StreamMessage,
    SymbolListing,
    TapeRecord,
)
from booktape.core.trades import Trade
from booktape.errors import DamagedFile, DamagedTape, MalformedFrame, UsageError
from booktape.reader.tape_query import FIRST_ROWS_ONLY
from booktape.reader.times import moment_at
from booktape.reconstruct import Reconstruction
from booktape.sim.faults.market import MarketFaults
from booktape.sim.faults.outcomes import Old
from booktape.sim.messages import TRADES_KEPT, RecordedMessage, Wrapper, stream_name
from booktape.sim.replay.tapes import Played, PlayedRecording
from booktape.store.tape_reader import errors_as_damage
from booktape.wire.binance import decode_depth, decode_event
from booktape.wire.encode import encode_depth
from booktape.wire.exchange_info import SymbolInfo


class ReplaySource:
    """A source made of a capture, a tape or an archive, from its beginning or from `start_us`.

    Raises UsageError if there is none at `path`, or nothing from `start_us` on; DamagedArchive if none of it can be
    played. A tape that is damaged further on ends there, as if its recorder had been killed, and `on_damage` is called.
    """

    patient = True

    def __init__(
        self,
        path: Path,
        on_damage: Callable[[DamagedFile], object] = warnings.warn,
        start_us: int | None = None,
    ) -> None:
        self._recording = PlayedRecording(path, on_damage, start_us)
        self._infos = {symbol: SymbolInfo(symbol) for symbol in self._recording.symbols}
        records = self._recording.records()
        ahead: list[Played] = []
        for played in records:
            # A tape describes its symbols before its first message, and clients ask for that description first.
            ahead.append(played)
            self._note_symbol(played.record)
            if isinstance(played.record, StreamMessage | DepthAnswer):
                break
        self._played = chain(ahead, records)
        self._next = next(self._played, None)
        self._books: dict[int, Reconstruction] = {}
        self._stopped: set[int] = set()
        self._answers: dict[str, tuple[bytes, DepthSnapshot]] = {}
        self._sent_ids: dict[str, int] = {}
        self._had_book: set[str] = set()
        self._trades: dict[str, dict[int, Trade]] = defaultdict(dict)
        self._start_ns, self._due_s = 0, 0.0
        if start_us is not None:
            while self._next and self._next.record.received_ns < start_us * 1_000:
                self.advance()
            if self._next is None:
                raise UsageError(
                    f"{path} has nothing at or after {moment_at(start_us).isoformat()}."
                )
        self._start_ns = self._next.record.received_ns if self._next else 0
        self._due_s = 0.0

    def symbols(self) -> list[SymbolInfo]:
        return list(self._infos.values())

    def apply_faults(self, faults: MarketFaults) -> None:
        """Raises UsageError for any: a recording cannot be changed."""
        if faults.faults or faults.memory_events:
            raise UsageError(
                "A recording cannot halt, list, fall, surge, shift its clock or be asked for old books."
            )

    def want(self, streams: Collection[str]) -> None:
        """A recording plays all its streams."""

    def start(self, time_us: int) -> None:
        """A recording keeps its own time."""

    def due_s(self) -> float | None:
        """When the next record was received; never earlier than the one before it."""
        if self._next is None:
            return None
        return max(self._due_s, (self._next.record.received_ns - self._start_ns) / 1e9)

    def advance(self) -> list[RecordedMessage]:
        played, self._due_s = self._next, self.due_s() or self._due_s
        self._next = next(self._played, None)
        if played is None or played.tape in self._stopped:
            return []
        try:
            with errors_as_damage("the tape"):
                self._feed_books(played)
        except DamagedTape as error:
            # The tape's last books stay; the rest of it is not played.
            self._stopped.add(played.tape)
            self._recording.report(played.tape, error)
            return []
        if isinstance(played.record, DepthAnswer):
            self._keep_answer(played.record)
        return self._messages(played.record) if isinstance(played.record, StreamMessage) else []

    def depth(
        self, symbol: str, limit: int, _fraction: float, _old: Old | None = None, /
    ) -> bytes | None:
        """The recorded answer, or one that follows from the recording so far; None without a book.

        The fraction makes no difference, because a recording has no state between its records; and `apply_faults`
        allows no fault that needs an old book.
        """
        if answer := self._answers.get(symbol):
            payload, snapshot = answer
            if max(len(snapshot.bids), len(snapshot.asks)) > limit:
                return encode_depth(replace(snapshot, limit=limit))
            return payload
        sync = self._live(symbol)
        if sync is None:
            return None
        bids, asks = sync.book.bids.levels(), sync.book.asks.levels()
        return encode_depth(DepthSnapshot(symbol, limit, sync.update_id, bids, asks))

    def top(self, symbol: str, _fraction: float, /) -> BookTicker | None:
        sync = self._live(symbol)
        if sync is None:
            return None
        return BookTicker(symbol, sync.update_id, sync.book.bids.best(), sync.book.asks.best())

    def trades(self, symbol: str, /) -> list[Trade]:
        """The trades that were sent so far, in order of their ids."""
        return [trade for _, trade in sorted(self._trades[symbol].items())]

    def holds(self, symbol: str) -> bool:
        """Whether a request waits: it does until the symbol's first book. After a loss it gets an error instead."""
        return symbol not in self._had_book

    # ── one record ───────────────────────────────────────────────────────────────────────────

    def _feed_books(self, played: Played) -> None:
        """Feed the books. A tape can be read alone, so each tape begins with no books.

        A recorder that stops loses its books. Here they are dropped only when another tape continues its tape, so the
        last books stay as they are at the end of the recording.
        """
        record = played.record
        if isinstance(record, SegmentStart):
            for tape in played.continues:
                self._books.pop(tape, None)
            self._books[played.tape] = Reconstruction()
            record = replace(record, every=FIRST_ROWS_ONLY)
        if isinstance(record, SegmentEnd):
            return
        self._note_symbol(record)
        self._books[played.tape].apply(record)
        if isinstance(record, DepthAnswer | Checkpoint) and self._live(record.symbol):
            self._had_book.add(record.symbol)

    def _note_symbol(self, record: TapeRecord) -> None:
        if isinstance(record, SymbolListing | Checkpoint) and record.symbol in self._infos:
            tick, step = record.tick_size or "0", record.lot_size or "0"
            info = SymbolInfo(record.symbol, record.status, tick_size=tick, step_size=step)
            self._infos[record.symbol] = info

    def _live(self, symbol: str) -> SymbolSync | None:
        """The symbol's state machine if its book is known; only one worker records the symbol."""
        syncs = (books.syncs.get(symbol) for books in self._books.values())
        return next((sync for sync in syncs if sync and sync.state is State.LIVE), None)

    def _keep_answer(self, record: DepthAnswer) -> None:
        """Keep the recorded answer for requests, if the book is known after it."""
        if self._live(record.symbol):
            # An error page that came while the book was known anyway is of no use as an answer.
            with suppress(MalformedFrame):
                snapshot = decode_depth(record.payload, record.symbol, record.limit)
                self._answers[record.symbol] = record.payload, snapshot

    def _messages(self, record: StreamMessage) -> list[RecordedMessage]:
        payload, wrapped = record.payload, None
        try:
            event = decode_event(payload)
        except MalformedFrame:
            # Garbage belongs to no stream.
            return []
        with suppress(msgspec.DecodeError):
            # A raw message has no wrapper.
            wrapped = msgspec.json.decode(payload, type=Wrapper)
        if isinstance(event, DepthEvent):
            if event.last_id <= self._sent_ids.get(event.symbol, -1):
                return []
            self._sent_ids[event.symbol] = event.last_id
            answer = self._answers.get(event.symbol)
            if answer and event.last_id > answer[1].last_id:
                # Something newer is sent: the recorded answer is out of date.
                del self._answers[event.symbol]
            stream = wrapped.stream if wrapped else stream_name(event.symbol)
            return [RecordedMessage(stream, event, payload, wrapped, (event.event_time_us,))]
        if wrapped is None:
            return []
        times_us: tuple[int, ...] = ()
        if isinstance(event, Trade):
            kept = self._trades[event.symbol]
            kept[event.trade_id] = event
            if len(kept) > TRADES_KEPT:
                del kept[next(iter(kept))]
            times_us = event.event_time_us or 0, event.trade_time_us
        return [RecordedMessage(wrapped.stream, None, payload, wrapped, times_us)]
