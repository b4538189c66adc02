"""One symbol on a tape of format 2: a gap begins at the last evidence.

It differs from `ModelSync` as docs/proofs.md describes in "Now: evidence". A book has two moments: `stamp_ns`,
the latest stamp among its snapshot and the events applied since, is the time of its rows; `proved_ns` is
the latest of all other evidence. `known_ns` is the later of both.
"""

from __future__ import annotations

from typing import Final

from booktape.verify.model.arbitration import ArrivedEvent, ModelArbiter
from booktape.verify.model.decode import UNOPENED, Answer, Event
from booktape.verify.model.gap_reasons import IDS_RESET, IN_BREAK, SILENT
from booktape.verify.model.sync import BookSink, ModelState, ModelSync
from booktape.verify.model.tape_time import SECOND_NS, ModelUsualLag

_HOLD_NS: Final = 3 * SECOND_NS
_STALE_MAX: Final = 2
_LOW_MAX: Final = 3
_LATE_US: Final = 1_000_000
_NO_MARKET_DATA: Final = frozenset({"BREAK", "END_OF_DAY"})


class TimedModelSync(ModelSync):
    """`synced_ns` is when the epoch began, `age_ns` the tape time since the tick after the last evidence."""

    def __init__(
        self, symbol: str, every: int, sink: BookSink, arbiter: ModelArbiter, lags: ModelUsualLag
    ) -> None:
        super().__init__(symbol, every, sink, arbiter)
        self.status = self.tick_size = self.lot_size = ""
        self.synced_ns = self.stamp_ns = self.proved_ns = 0
        self.age_ns = 0
        # (epoch, update_id, proved_ns) at the last tick; None when there was none.
        self.marker: tuple[int, int, int] | None = None
        self._id_at_tick = 0
        self._lags = lags
        self._reset_candidate: ArrivedEvent | None = None
        self._stale_answers = 0
        self._low: tuple[int, int] = 0, 0  # answers in a row that were too low, the book's id then

    # ── evidence ────────────────────────────────────────────────────────────────────────────

    def prove(self, at_ns: int) -> None:
        """Something other than an event shows the book current at this moment."""
        self.proved_ns = max(self.proved_ns, at_ns)
        self.known_ns = max(self.stamp_ns, self.proved_ns)

    def on_agreement(self, at_ns: int) -> None:
        """A witness agreed with the book as of this moment."""
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

    def _known_until(self, alive_ns: int = 0) -> int:  # noqa: ARG002 - a connection's life proves nothing
        """The last evidence; an event that came late proves nothing about the time it took."""
        lag_ns, usual_ns = self.lag_ns(), self._lags.usual_ns
        if lag_ns is not None and usual_ns is not None and lag_ns > usual_ns + SECOND_NS:
            return max(self.stamp_ns - lag_ns + usual_ns, self.synced_ns)
        return self.known_ns

    def _row_time(self, stamp_ns: int) -> int:
        """A snapshot's row is not earlier than the last moment at which the book before it was known."""
        if self.updates == 0:
            self.synced_ns = stamp_ns = max(self.known_ns, stamp_ns)
        self.stamp_ns = max(self.stamp_ns, stamp_ns)
        self.known_ns = max(self.stamp_ns, self.proved_ns)
        return self.stamp_ns

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

    # ── what arrives ────────────────────────────────────────────────────────────────────────

    def on_connected(self, connection: int) -> None:
        """In a break no snapshot is requested."""
        was_cold = self.state == ModelState.COLD
        super().on_connected(connection)
        if was_cold and self.status in _NO_MARKET_DATA:
            self.state = ModelState.BREAK

    def on_disconnected(self, connection: int, alive_ns: int, reason: str) -> None:
        """With the last connection an event that may begin lower ids is forgotten."""
        super().on_disconnected(connection, alive_ns, reason)
        if not self.arbiter.last_by_connection:
            self._reset_candidate = None

    def on_event(self, connection: int, arrived: ArrivedEvent) -> None:
        """An event. Two with old ids and a new time, the second chained to the first, are an `ids_reset`."""
        first = self._reset_candidate
        if connection in self.arbiter.last_by_connection and self._is_reset_candidate(
            arrived.event
        ):
            if first and _follows(first.event, arrived.event):
                self._on_ids_reset()
                self._handle_all(self.arbiter.release_after_reset(first, arrived))
                return
            if not (first and _lies_in(arrived.event, first.event)):
                self._reset_candidate = arrived
        super().on_event(connection, arrived)

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

    def _handle(self, arrived: ArrivedEvent) -> None:
        if self.state == ModelState.BREAK:
            self.state = ModelState.SYNCING
        super()._handle(arrived)

    def _joins(self, event: Event) -> bool:
        return super()._joins(event) or self.update_id == UNOPENED

    # ── snapshots ───────────────────────────────────────────────────────────────────────────

    def _is_stale(self, answer: Answer) -> bool:
        """With no events held, the third answer below the last book's id is believed.

        Then the exchange counts from lower ids again, and the arbiter forgets the old ones.
        """
        is_behind = super()._is_stale(answer)
        if self.held or not is_behind:
            return is_behind
        if not self.epoch:
            return False
        self._stale_answers += 1
        if self._stale_answers <= _STALE_MAX:
            return True
        self.arbiter.reset()
        self._reset_candidate = None
        return False

    def _advance_arbiter(self, answer: Answer) -> None:
        if answer.last != UNOPENED:
            super()._advance_arbiter(answer)

    def on_audit_answer(self, *, is_low: bool) -> None:
        """An audit's answer has come. `is_low`: its id is below that of the book when it was requested.

        Three low answers in a row are believed, if the book has not changed meanwhile.
        """
        count, at = self._low
        count = count + 1 if count and at == self.update_id else 1
        self._low = (count, self.update_id) if is_low else (0, 0)
        if is_low and count == _LOW_MAX:
            self._on_ids_reset()

    # ── statuses ────────────────────────────────────────────────────────────────────────────

    def on_listing(self, status: str, stamp_ns: int) -> None:
        """In a break orders can be cancelled without an event: the book is not known."""
        super().on_listing(status, stamp_ns)
        if status in _NO_MARKET_DATA:
            if self.live:
                self._lose_book(self._known_until(), IN_BREAK)
            if self.state == ModelState.SYNCING:
                self.state, self.held = ModelState.BREAK, []
        elif self.state == ModelState.BREAK:
            self.state = ModelState.SYNCING

    def _drop_book(self) -> None:
        super()._drop_book()
        self._stale_answers, self._low = 0, (0, 0)
        self.age_ns, self.marker = 0, None


def _follows(first: Event, second: Event) -> bool:
    return second.first == first.last + 1 and second.time_us >= first.time_us


def _lies_in(event: Event, other: Event) -> bool:
    return other.first <= event.first and event.last <= other.last
