"""One symbol on a tape: when its book is known, what it is, and so what must be stored.

It follows the exchange's own description, state by state: wait for a connection, hold events until a snapshot
joins, then follow the ids; a break of the chain opens a gap. Rows and gaps go to the `BookSink` as soon as
they follow from the tape.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from booktape.verify.model.arbitration import ArrivedEvent, ModelArbiter
from booktape.verify.model.book import DecimalBook
from booktape.verify.model.decode import Answer, Event
from booktape.verify.model.gap_reasons import DISPROVED, ID_GAP, SENT_AFTER_DELISTING, TOO_LARGE
from booktape.verify.model.trades import ModelTrades

_HELD_MAX: Final = 3_000
_LEVELS_MAX: Final = 1_000_000


class ModelState(StrEnum):
    """The names are those in checkpoints."""

    COLD = "cold"
    SYNCING = "syncing"
    LIVE = "live"
    ENDED = "ended"
    BREAK = "break"  # only on tapes of format 2


@dataclass
class OpenGap:
    """An interval that has begun. `inherited`: it is known from a checkpoint, not from this tape."""

    epoch: int
    start_ns: int
    last_update_id: int
    reason: str
    inherited: bool = False


class BookSink(Protocol):
    """Receives the rows and gaps that must be stored."""

    def row(self, sync: ModelSync, stamp_ns: int) -> None:
        """A full book."""

    def gap(
        self, symbol: str, gap: OpenGap, end_ns: int | None = None, next_id: int | None = None
    ) -> None:
        """A gap that ended, or that is open when the recording ends."""


class BookListener(Protocol):
    """Is called when a book changes: its checks."""

    def on_applied(self, event: Event, stamp_ns: int) -> None:
        """The book has changed by one event; called before the row that is due then."""

    def on_row(self, stamp_ns: int) -> None:
        """A row of the book was due at `stamp_ns`."""

    def on_lost(self) -> None:
        """The book is not known any more."""


class ModelSync:
    """A symbol on a tape of format 1; `TimedModelSync` differs in what time and evidence decide.

    `inherited`: the book rests on a checkpoint, not on this tape alone. `known_ns` is the last moment at
    which the book was known.
    """

    def __init__(self, symbol: str, every: int, sink: BookSink, arbiter: ModelArbiter) -> None:
        self.symbol = symbol
        self.every = every
        self.sink = sink
        self.listener: BookListener | None = None
        self.arbiter = arbiter
        self.state = ModelState.COLD
        self.book = DecimalBook.empty()
        self.epoch = self.update_id = self.updates = self.known_ns = 0
        self.event_time_us: int | None = None
        self.gap: OpenGap | None = None
        self.held: list[ArrivedEvent] = []
        self.status = "TRADING"
        self.inherited = False
        self.trades: ModelTrades | None = None

    @property
    def live(self) -> bool:
        """Whether the book is known."""
        return self.state == ModelState.LIVE

    def rests_on_start(self) -> bool:
        """Whether anything here is known from the checkpoint of the tape's beginning alone."""
        events = (*self.held, *self.arbiter.buffered)
        gap = self.gap is not None and self.gap.inherited
        trades = self.trades is not None and any(one.inherited for one in self.trades.missing)
        return self.inherited or gap or trades or any(arrived.inherited for arrived in events)

    # ── connections ─────────────────────────────────────────────────────────────────────────

    def on_connected(self, connection: int) -> None:
        """A connection carries the symbol."""
        self.arbiter.add_connection(connection)
        if self.state == ModelState.COLD:
            self.state = ModelState.SYNCING

    def on_disconnected(self, connection: int, alive_ns: int, reason: str) -> None:
        """A connection is lost; with the last one the book, which was known until `alive_ns`."""
        self._handle_all(self.arbiter.drop_connection(connection))
        if self.arbiter.last_by_connection or self.state == ModelState.ENDED:
            return
        if self.live:
            self._lose_book(self._known_until(alive_ns), reason)
        self.held = []
        self.state = ModelState.COLD

    # ── what arrives ────────────────────────────────────────────────────────────────────────

    def on_event(self, connection: int, arrived: ArrivedEvent) -> None:
        """An event. It is ignored on a connection that does not carry the symbol."""
        if connection in self.arbiter.last_by_connection:
            self._handle_all(self.arbiter.accept(connection, arrived))

    def on_hold_expired(self) -> None:
        """Events that wait are released."""
        self._handle_all(self.arbiter.release_next())

    def on_answer(self, answer: Answer, limit: int, stamp_ns: int) -> None:
        """A snapshot. An epoch begins with it if one is awaited; otherwise it changes nothing here."""
        if self.state != ModelState.SYNCING:
            return
        if self._is_stale(answer):
            return
        self._start_epoch(answer, limit, stamp_ns)
        held, self.held = self.held, []
        self._handle_all(held)
        self._advance_arbiter(answer)

    def on_listing(self, status: str, stamp_ns: int) -> None:
        """Its status in the exchange's list."""
        self.status = status
        if status == "DELISTED":
            self.on_delisted(stamp_ns)

    def on_delisted(self, stamp_ns: int) -> None:
        """The exchange no longer lists it: it has ended, and that is no gap."""
        if self.state == ModelState.ENDED:
            return
        self._drop_book()
        self.state = ModelState.ENDED
        self.held = []
        self.prove(stamp_ns)
        self._close_gap(stamp_ns, None)

    def on_check_failed(self) -> None:
        """A witness has shown that the book is wrong."""
        if self.live:
            self._lose_book(self._known_until(), DISPROVED)

    # ── what differs on a tape of format 2 ──────────────────────────────────────────────────

    def prove(self, at_ns: int) -> None:
        """Something other than an event proves the state at this moment."""
        self.known_ns = max(self.known_ns, at_ns)

    def on_agreement(self, at_ns: int) -> None:
        """A witness agreed with the book as of this moment. On format 1 that moves no gap."""

    def _known_until(self, alive_ns: int = 0) -> int:
        """Where a gap begins."""
        return max(self.known_ns, alive_ns)

    def _row_time(self, stamp_ns: int) -> int:
        """An event or a snapshot of this stamp was applied. Returns the time of a row due now."""
        self.known_ns = max(self.known_ns, stamp_ns)
        return stamp_ns

    def _is_stale(self, answer: Answer) -> bool:
        """Whether a snapshot is older than the held events, or than the last known book."""
        behind = self.held[0].event.first - 1 if self.held else self.update_id
        return answer.last < behind

    def _advance_arbiter(self, answer: Answer) -> None:
        """No connection needs to deliver what a snapshot holds."""
        self._handle_all(self.arbiter.advance_to(answer.last))

    def _joins(self, event: Event) -> bool:
        """Whether an event is the book's next."""
        return event.first <= self.update_id + 1

    # ── what follows ────────────────────────────────────────────────────────────────────────

    def _handle_all(self, due: list[ArrivedEvent]) -> None:
        for arrived in due:
            self._handle(arrived)

    def _handle(self, arrived: ArrivedEvent) -> None:
        event = arrived.event
        if self.state == ModelState.SYNCING:
            if len(self.held) >= _HELD_MAX:
                self.held = []
            self.held.append(arrived)
        elif self.state == ModelState.COLD or event.last <= self.update_id:
            return
        elif self.live and self._joins(event):
            self._apply(arrived)
        else:
            # The ids do not chain; or a delisted symbol has an event after all.
            self._lose_book(self._known_until(), ID_GAP if self.live else SENT_AFTER_DELISTING)
            self.held = [arrived]

    def _start_epoch(self, answer: Answer, limit: int, stamp_ns: int) -> None:
        self.state = ModelState.LIVE
        self.book = DecimalBook.from_answer(answer, limit)
        self.epoch += 1
        self.update_id, self.updates, self.event_time_us = answer.last, 0, None
        row_ns = self._row_time(stamp_ns)
        self.inherited = False
        self._close_gap(row_ns, answer.last)
        self._put_row(row_ns)

    def _apply(self, arrived: ArrivedEvent) -> None:
        event = arrived.event
        self.book.change(event.bids, event.asks)
        self.update_id, self.event_time_us = event.last, event.time_us
        self.updates += 1
        row_ns = self._row_time(arrived.stamp_ns)
        self.inherited = self.inherited or arrived.inherited
        if len(self.book.bids.sizes) + len(self.book.asks.sizes) > _LEVELS_MAX:
            self._lose_book(self._known_until(), TOO_LARGE)
        elif self.listener:
            self.listener.on_applied(event, row_ns)
        if self.live and self.updates % self.every == 0:
            self._put_row(row_ns)

    def _put_row(self, row_ns: int) -> None:
        self.sink.row(self, row_ns)
        if self.listener:
            self.listener.on_row(row_ns)

    def _lose_book(self, start_ns: int, reason: str) -> None:
        self.gap = OpenGap(self.epoch, start_ns, self.update_id, reason, self.inherited)
        self._drop_book()
        self.state = ModelState.SYNCING

    def _drop_book(self) -> None:
        self.book = DecimalBook.empty()
        self.inherited = False
        if self.listener:
            self.listener.on_lost()

    def _close_gap(self, end_ns: int, next_id: int | None) -> None:
        gap, self.gap = self.gap, None
        if gap:
            self.sink.gap(self.symbol, gap, max(gap.start_ns, end_ns), next_id)
