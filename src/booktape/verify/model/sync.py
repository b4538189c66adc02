"""One symbol on a tape: when its book is known, what it is, and so what must be stored.

It follows the exchange's own description, state by state: wait for a connection, hold events until a snapshot
joins, then follow the ids; a break of the chain opens a gap. Rows and gaps go to the `BookSink` as soon as
they follow from the tape.

On a tape of format 2 a gap begins at the last evidence, as docs/proofs.md describes in "Now: evidence". A book has two
moments: `stamp_ns`, the latest stamp among its snapshot and the events applied since, is the time of its rows;
`proved_ns` is the latest of all other evidence. `known_ns` is the later of both.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from booktape.verify.model.arbitration import ArrivedEvent, ModelArbiter
from booktape.verify.model.book import DecimalBook
from booktape.verify.model.decode import UNOPENED, Answer, Event
from booktape.verify.model.gap_reasons import (
    DISPROVED,
    ID_GAP,
    IDS_RESET,
    IN_BREAK,
    SENT_AFTER_DELISTING,
    SILENT,
    TOO_LARGE,
)
from booktape.verify.model.tape_time import SECOND_NS, ModelUsualLag
from booktape.verify.model.trades import ModelTrades

_HELD_MAX: Final = 3_000
_LEVELS_MAX: Final = 1_000_000
_HOLD_NS: Final = 3 * SECOND_NS
_STALE_MAX: Final = 2
_LOW_MAX: Final = 3
_LATE_US: Final = 1_000_000
_NO_MARKET_DATA: Final = frozenset({"BREAK", "END_OF_DAY"})


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
    """One symbol. Where a tape of format 1 differs, it is not `timed`: no tick stands on it, and no book ages.

    `inherited`: the book rests on a checkpoint, not on this tape alone. `synced_ns` is when the epoch began, `age_ns`
    the tape time since the tick after the last evidence.
    """

    def __init__(  # noqa: PLR0913
        self,
        symbol: str,
        every: int,
        sink: BookSink,
        arbiter: ModelArbiter,
        lags: ModelUsualLag,
        *,
        timed: bool,
    ) -> None:
        self.symbol = symbol
        self.every = every
        self.timed = timed
        self.sink = sink
        self.listener: BookListener | None = None
        self.arbiter = arbiter
        self.state = ModelState.COLD
        self.book = DecimalBook.empty()
        self.epoch = self.update_id = self.updates = 0
        self.synced_ns = self.stamp_ns = self.proved_ns = self.known_ns = self.age_ns = 0
        self.event_time_us: int | None = None
        self.gap: OpenGap | None = None
        self.held: list[ArrivedEvent] = []
        self.status = "" if timed else "TRADING"
        self.tick_size = self.lot_size = ""
        self.inherited = False
        self.trades: ModelTrades | None = None
        # (epoch, update_id, proved_ns) at the last tick; None when there was none.
        self.marker: tuple[int, int, int] | None = None
        self._id_at_tick = 0
        self._lags = lags
        self._reset_candidate: ArrivedEvent | None = None
        self._stale_answers = 0
        self._low: tuple[int, int] = 0, 0  # answers in a row that were too low, the book's id then

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

    # ── evidence ────────────────────────────────────────────────────────────────────────────

    def prove(self, at_ns: int) -> None:
        """Something other than an event shows the state at this moment."""
        self.proved_ns = max(self.proved_ns, at_ns)
        self.known_ns = max(self.stamp_ns, self.proved_ns)

    def on_agreement(self, at_ns: int) -> None:
        """A witness agreed with the book as of this moment. On format 1 that moves no gap."""
        if self.timed:
            self.prove(at_ns)

    @property
    def messages_waited(self) -> bool:
        """Whether what arrives now may have waited in the socket: then the stamp of a witness proves nothing."""
        return self._lags.messages_waited

    def lag_ns(self) -> int | None:
        """How late the last evidence came, if it is an event."""
        is_event = self.stamp_ns > self.synced_ns and self.proved_ns <= self.stamp_ns
        if not is_event or self.event_time_us is None:
            return None
        return self.stamp_ns - self.event_time_us * 1_000

    def _known_until(self) -> int:
        """Where a gap begins: at the last evidence; an event that came late proves nothing about the time it took."""
        lag_ns, usual_ns = self.lag_ns(), self._lags.usual_ns
        if lag_ns is not None and usual_ns is not None and lag_ns > usual_ns + SECOND_NS:
            return max(self.stamp_ns - lag_ns + usual_ns, self.synced_ns)
        return self.known_ns

    def _row_time(self, stamp_ns: int) -> int:
        """An event or a snapshot of this stamp was applied. Returns the time of a row due now.

        A snapshot's row is not earlier than the last moment at which the book before it was known.
        """
        if self.timed and self.updates == 0:
            self.synced_ns = stamp_ns = max(self.known_ns, stamp_ns)
        self.stamp_ns = max(self.stamp_ns, stamp_ns)
        self.known_ns = max(self.stamp_ns, self.proved_ns)
        return self.stamp_ns if self.timed else stamp_ns

    def evidence_age_ns(self) -> int:
        """The age as in a checkpoint: 0 when something has proved the book since the last tick."""
        return self.age_ns if self.live and self.marker == self._evidence() else 0

    def _evidence(self) -> tuple[int, int, int]:
        return self.epoch, self.update_id, self.proved_ns

    def on_restored(self, age_ns: int) -> None:
        """A checkpoint was restored."""
        self._id_at_tick = self.update_id
        if age_ns:
            self.age_ns, self.marker = age_ns, self._evidence()

    def step_clock(self, step_ns: int) -> None:
        """All stamps that are kept move with our clock, `step_ns` is negative; 0: there is none."""

        def moved(at_ns: int) -> int:
            return at_ns and at_ns + step_ns

        def moved_all(arrived: list[ArrivedEvent]) -> list[ArrivedEvent]:
            return [one._replace(stamp_ns=moved(one.stamp_ns)) for one in arrived]

        marker = self.marker
        if marker:
            self.marker = (*marker[:2], moved(marker[2]))
        self.stamp_ns, self.synced_ns = moved(self.stamp_ns), moved(self.synced_ns)
        self.proved_ns, self.known_ns = moved(self.proved_ns), moved(self.known_ns)
        self.held, self.arbiter.buffered = moved_all(self.held), moved_all(self.arbiter.buffered)
        if self._reset_candidate:
            (self._reset_candidate,) = moved_all([self._reset_candidate])
        if self.gap:
            self.gap.start_ns = moved(self.gap.start_ns)

    # ── ticks ───────────────────────────────────────────────────────────────────────────────

    def on_hold_tick(self, passed_ns: int) -> None:
        """Events that wait have waited `passed_ns` longer."""
        arbiter = self.arbiter
        if not arbiter.buffered:
            return
        arbiter.held_ns = 0 if arbiter.held_ns is None else arbiter.held_ns + passed_ns
        if arbiter.held_ns >= _HOLD_NS:
            arbiter.held_ns = 0
            self._handle_all(arbiter.release_next())

    def on_age_tick(self, passed_ns: int) -> None:
        """The evidence is `passed_ns` older, unless there is newer evidence since the last tick."""
        marker = self._evidence()
        self.age_ns = self.age_ns + passed_ns if marker == self.marker else 0
        self.marker = marker

    def lag_since_tick(self) -> int | None:
        """At the end of a tick: how late the last event was, if one was applied since the tick before."""
        before, self._id_at_tick = self._id_at_tick, self.update_id
        return self.lag_ns() if self.live and before != self.update_id else None

    def on_silent(self) -> None:
        """The stream is silent: the book is lost."""
        self._lose_book(self._known_until(), SILENT)

    def on_connection_silent(self) -> None:
        """One of its connections has fallen silent: events that waited only for it are released."""
        self._handle_all(self.arbiter.release())

    # ── connections ─────────────────────────────────────────────────────────────────────────

    def on_connected(self, connection: int) -> None:
        """A connection carries the symbol. In a break no snapshot is requested."""
        self.arbiter.add_connection(connection)
        if self.state == ModelState.COLD:
            is_break = self.timed and self.status in _NO_MARKET_DATA
            self.state = ModelState.BREAK if is_break else ModelState.SYNCING

    def on_disconnected(self, connection: int, alive_ns: int, reason: str) -> None:
        """A connection is lost; with the last one the book, and an event that may begin lower ids.

        On format 1 the book was known as long as the connection was alive.
        """
        self._handle_all(self.arbiter.drop_connection(connection))
        if self.arbiter.last_by_connection:
            return
        self._reset_candidate = None
        if self.state == ModelState.ENDED:
            return
        if self.live:
            until_ns = self._known_until() if self.timed else max(self.known_ns, alive_ns)
            self._lose_book(until_ns, reason)
        self.held = []
        self.state = ModelState.COLD

    # ── what arrives ────────────────────────────────────────────────────────────────────────

    def on_event(self, connection: int, arrived: ArrivedEvent) -> None:
        """An event, of a connection that carries the symbol.

        Two with old ids and a new time, the second chained to the first, are an `ids_reset`.
        """
        first = self._reset_candidate
        if self.timed and self._is_reset_candidate(arrived.event):
            if first and _follows(first.event, arrived.event):
                self._on_ids_reset()
                self._handle_all(self.arbiter.release_after_reset(first, arrived))
                return
            if not (first and _lies_in(arrived.event, first.event)):
                self._reset_candidate = arrived
        self._handle_all(self.arbiter.accept(connection, arrived))

    def _is_reset_candidate(self, event: Event) -> bool:
        """Whether it has old ids and a new time. A copy of an old event has an old time."""
        arbiter = self.arbiter
        is_old = 0 < event.last <= arbiter.newest_id
        return is_old and event.time_us > arbiter.newest_us + _LATE_US

    def _on_ids_reset(self) -> None:
        """The exchange counts from lower ids again."""
        if self.live:
            self._lose_book(self._known_until(), IDS_RESET)
        self._reset_candidate = None
        self.held = []
        self.arbiter.reset()
        self._stale_answers = _STALE_MAX  # the next snapshot is believed, however low

    def on_hold_expired(self) -> None:
        """Events that wait are released."""
        self._handle_all(self.arbiter.release_next())

    def on_answer(self, answer: Answer, limit: int, stamp_ns: int) -> None:
        """A snapshot. An epoch begins with it if one is awaited; otherwise it changes nothing here."""
        if self.state != ModelState.SYNCING or self._is_stale(answer):
            return
        self._start_epoch(answer, limit, stamp_ns)
        held, self.held = self.held, []
        self._handle_all(held)
        if answer.last != UNOPENED:  # no connection needs to deliver what a snapshot holds
            self._handle_all(self.arbiter.advance_to(answer.last))

    def _is_stale(self, answer: Answer) -> bool:
        """Whether a snapshot is older than the held events, or than the last known book.

        On format 2, with no events held, the third answer below the last book's id is believed. Then the exchange
        counts from lower ids again, and the arbiter forgets the old ones.
        """
        behind = self.held[0].event.first - 1 if self.held else self.update_id
        if self.held or not self.timed or answer.last >= behind:
            return answer.last < behind
        if not self.epoch:
            return False
        self._stale_answers += 1
        if self._stale_answers <= _STALE_MAX:
            return True
        self.arbiter.reset()
        self._reset_candidate = None
        return False

    def on_audit_answer(self, *, is_low: bool) -> None:
        """An audit's answer has come. `is_low`: its id is below that of the book when it was requested.

        Three low answers in a row are believed, if the book has not changed meanwhile.
        """
        count, at = self._low
        count = count + 1 if count and at == self.update_id else 1
        self._low = (count, self.update_id) if is_low else (0, 0)
        if is_low and count == _LOW_MAX:
            self._on_ids_reset()

    def on_check_failed(self) -> None:
        """A witness has shown that the book is wrong."""
        if self.live:
            self._lose_book(self._known_until(), DISPROVED)

    # ── statuses ────────────────────────────────────────────────────────────────────────────

    def on_listing(self, status: str, stamp_ns: int) -> None:
        """Its status in the exchange's list. In a break orders can be cancelled without an event: the book is not known."""
        self.status = status
        if status == "DELISTED":
            self._on_delisted(stamp_ns)
        if not self.timed:
            return
        if status in _NO_MARKET_DATA:
            if self.live:
                self._lose_book(self._known_until(), IN_BREAK)
            if self.state == ModelState.SYNCING:
                self.state, self.held = ModelState.BREAK, []
        elif self.state == ModelState.BREAK:
            self.state = ModelState.SYNCING

    def _on_delisted(self, stamp_ns: int) -> None:
        """The exchange no longer lists it: it has ended, and that is no gap."""
        if self.state == ModelState.ENDED:
            return
        self._drop_book()
        self.state = ModelState.ENDED
        self.held = []
        self.prove(stamp_ns)
        self._close_gap(stamp_ns, None)

    # ── what follows ────────────────────────────────────────────────────────────────────────

    def _handle_all(self, due: list[ArrivedEvent]) -> None:
        for arrived in due:
            self._handle(arrived)

    def _handle(self, arrived: ArrivedEvent) -> None:
        event = arrived.event
        if self.state == ModelState.BREAK:
            self.state = ModelState.SYNCING
        if self.state == ModelState.SYNCING:
            if len(self.held) >= _HELD_MAX:
                self.held = []
            self.held.append(arrived)
        elif self.state == ModelState.COLD or event.last <= self.update_id:
            return
        elif self.live and (
            event.first <= self.update_id + 1 or self.update_id == UNOPENED
        ):  # the book's next
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
        self._stale_answers, self._low = 0, (0, 0)
        self.age_ns, self.marker = 0, None
        if self.listener:
            self.listener.on_lost()

    def _close_gap(self, end_ns: int, next_id: int | None) -> None:
        gap, self.gap = self.gap, None
        if gap:
            self.sink.gap(self.symbol, gap, max(gap.start_ns, end_ns), next_id)


def _follows(first: Event, second: Event) -> bool:
    return second.first == first.last + 1 and second.time_us >= first.time_us


def _lies_in(event: Event, other: Event) -> bool:
    return other.first <= event.first and event.last <= other.last
