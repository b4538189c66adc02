"""The state machine of one symbol: it decides when the book is known.

    COLD      connected → SYNCING
    SYNCING   a snapshot joins → LIVE
    LIVE      ids do not chain, a check failed, silent, ids reset, too large → SYNCING
    BREAK     it trades again → SYNCING
    ENDED     an event comes → SYNCING

    any but ENDED: all connections lost → COLD, no longer listed → ENDED
    SYNCING, LIVE: the list shows a break → BREAK (COLD: once it is connected)

`TABLE`, at the end of this file, is the machine. For each state and input, the first rule whose condition
holds is followed; if none holds, nothing changes. Quotes are from "How to manage a local order book
correctly" in the exchange's WebSocket documentation; the table in docs/protocol.md is generated
from this one.

Rows are made only from a LIVE book, and a book is LIVE only while something proves it current. When that
ends, the gap begins at the last evidence (docs/proofs.md, "Now: evidence"). There is no clock here:
every input carries its own time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, ClassVar, Final, TypeAlias, get_args

from booktape.core.book import OrderBook
from booktape.core.events import (
    WHOLE_DEPTH,
    BookLost,
    BookRow,
    BookSynced,
    BookTooLarge,
    CheckFailed,
    DepthEvent,
    DepthSnapshot,
    FetchSnapshot,
    GapInterval,
    IdsReset,
    LossCause,
    StreamSilent,
    UnreadableAnswer,
    Urgency,
    WaitingEvent,
)
from booktape.core.gap_reasons import (
    DISPROVED,
    ID_GAP,
    IDS_RESET,
    IN_BREAK,
    SENT_AFTER_DELISTING,
    SILENT,
    TOO_LARGE,
)
from booktape.core.lag import LATE_NS, UsualLag
from booktape.core.tape_records import (
    DELISTED,
    FORMAT,
    NO_MARKET_DATA,
    TRADING,
    Connected,
    Disconnected,
    SymbolListing,
)

SyncInput: TypeAlias = (
    Connected
    | Disconnected
    | DepthEvent
    | DepthSnapshot
    | UnreadableAnswer
    | LossCause
    | SymbolListing
)
AppliedEvent: TypeAlias = DepthEvent
"""The event that has just changed the book. It is the object that went in: a wrapper for each event costs too much."""

SyncOutput: TypeAlias = FetchSnapshot | AppliedEvent | BookLost | BookSynced | GapInterval
"""A `GapInterval` here is always closed."""
SyncOutputs: TypeAlias = tuple[SyncOutput, ...]

HELD_MAX: Final = 3_000  # events held for a snapshot: five minutes of the busiest symbol

STALE_MAX: Final = 2
"""A snapshot of a quiet symbol may come from a cache, and be older than the book that was lost. After
more than this number of them in a row, the exchange is taken to count from lower ids again."""

NOT_OPENED: Final = -1
"""`lastUpdateId` of a symbol that has not opened yet: its book is known to be empty."""


class State(StrEnum):
    """How much is known about a book. A string enum: strings hash fast, and rules are looked up for every event."""

    COLD = "cold"  # not known, and no connection carries the symbol
    SYNCING = "syncing"  # events arrive and are held; a snapshot has been requested
    LIVE = "live"  # every level inside the horizon is known
    BREAK = "break"  # connected, but no market data is generated: orders may vanish unseen
    ENDED = "ended"  # the exchange no longer lists the symbol


class SymbolSync:
    """One symbol's state machine and book.

    While records are applied, only the rules of `TABLE` change its `state`, through `handle`. When a recording
    is continued, `checkpoint.restore` and `Archive` set it.

    `update_id` stays at the last known state while the book is lost; so does `epoch`.

    `stamp_ns` is the latest stamp of the snapshot and the events that made the book; `synced_ns` is what
    it was when the epoch began; `proved_ns` is the latest moment at which anything else proved the book
    current (`note_proof`). `usual_lag` is shared by all symbols.
    """

    # `index(TABLE)`, set at the end of this file.
    rules: ClassVar[dict[tuple[State, type], list[Rule]]]

    def __init__(self, symbol: str, tape_format: int = FORMAT, lag: UsualLag | None = None) -> None:
        self.symbol = symbol
        self.tape_format = tape_format
        self.usual_lag = lag or UsualLag()
        self.snapshot_limit = WHOLE_DEPTH  # of the snapshots it requests
        self.state = State.COLD
        self.book = OrderBook()
        self.epoch = 0
        self.update_id = 0
        self.updates = 0
        self.event_time_us: int | None = None
        self.stamp_ns = self.synced_ns = self.proved_ns = 0
        self.attempt = 0
        self.stale_answers = 0
        self.gap: GapInterval | None = None
        self.held: list[WaitingEvent] = []
        # From the exchange's list; "" until it has been read.
        self.status = TRADING if tape_format == 1 else ""
        self.tick_size = self.lot_size = ""

    @property
    def known_ns(self) -> int:
        """Until when the book is known: the last moment at which it is proved to equal the exchange's."""
        return max(self.stamp_ns, self.proved_ns)

    @property
    def rests_on_event(self) -> bool:
        """Whether the last evidence is an event, so that its lag counts."""
        return self.stamp_ns > self.synced_ns and self.proved_ns <= self.stamp_ns

    @property
    def lag_ns(self) -> int:
        """How late the last event was, by our clock and the exchange's. It means nothing before an event."""
        return self.stamp_ns - (self.event_time_us or 0) * 1_000

    def handle(self, item: SyncInput, received_ns: int) -> SyncOutputs:
        """Follow the table. No input, in any order, makes it raise."""
        # No branch: a test shows that the last rule of every state and input always applies.
        for rule in self.rules[self.state, type(item)]:  # pragma: no branch
            if rule.condition(self, item):
                self.state = rule.next_state
                return rule.action(self, item, received_ns)
        raise AssertionError((self.state, item))  # pragma: no cover

    def note_proof(self, at_ns: int) -> None:
        """Something other than an event proves the book current at this moment."""
        self.proved_ns = max(self.proved_ns, at_ns)

    def step_clock(self, step_ns: int) -> None:
        """Our clock was set back: all moments that still count move back with it."""
        # 0: there is none.
        self.stamp_ns += step_ns if self.stamp_ns else 0
        self.synced_ns += step_ns if self.synced_ns else 0
        self.proved_ns += step_ns if self.proved_ns else 0
        self.held = [held.shifted(step_ns) for held in self.held]
        if self.gap:
            self.gap = replace(self.gap, start_ns=self.gap.start_ns + step_ns)

    def begin_segment(self) -> None:
        """Forget what a checkpoint does not hold: the next segment must be readable on its own."""
        self.stale_answers = 0
        # A checkpoint holds only the later of the two moments.
        self.proved_ns = self.known_ns

    def known_since(self, received_ns: int) -> int:
        """Since when the present book has been known; `received_ns` is the stamp of the record that completed it.

        An event may have an earlier stamp than the event or the snapshot that it waited for, and a book is
        not known before its last part has arrived. So the latest of these stamps counts. On tapes of format 1
        it is the stamp of the last record.
        """
        return received_ns if self.tape_format == 1 else self.stamp_ns

    def row(self, received_ns: int) -> BookRow:
        """The whole book as it is now. `received_ns` is the stamp of the record that completed it."""
        return BookRow(
            self.symbol,
            self.event_time_us,
            self.known_since(received_ns),
            self.update_id,
            self.epoch,
            self.updates,
            *self.book.columns(),
        )

    # ── conditions of rules ──────────────────────────────────────────────────────────────────

    def _always(self, _: SyncInput) -> bool:
        return True

    def _is_full(self, _: DepthEvent) -> bool:
        return len(self.held) >= HELD_MAX

    def _is_stale(self, snapshot: DepthSnapshot) -> bool:
        if self.held:
            return snapshot.last_id < self.held[0].event.first_id - 1
        ids_were_reset = self.tape_format != 1 and self.stale_answers >= STALE_MAX
        return bool(self.epoch) and snapshot.last_id < self.update_id and not ids_were_reset

    def _is_old(self, event: DepthEvent) -> bool:
        return event.last_id <= self.update_id

    def _chains(self, event: DepthEvent) -> bool:
        return event.first_id <= self.update_id + 1 <= event.last_id

    def _opens_the_symbol(self, _: DepthEvent) -> bool:
        return self.update_id == NOT_OPENED

    def _is_delisted(self, listing: SymbolListing) -> bool:
        return listing.status == DELISTED

    def _has_no_data(self, listing: SymbolListing) -> bool:
        return self.tape_format != 1 and listing.status in NO_MARKET_DATA

    def _is_in_a_break(self, _: Connected) -> bool:
        return self.tape_format != 1 and self.status in NO_MARKET_DATA

    # ── actions of rules ───────────────────────────────────────────────────────────────────

    def _ignore(self, _: SyncInput, __: int) -> SyncOutputs:
        return ()

    def _request_snapshot(self, _: SyncInput, __: int) -> SyncOutputs:
        self.attempt += 1
        urgency = Urgency.LOST if self.epoch else Urgency.NEW
        return (FetchSnapshot(self.symbol, self.attempt, urgency, self.snapshot_limit),)

    def _on_stale_answer(self, stale: DepthSnapshot, received_ns: int) -> SyncOutputs:
        # While events are held, their ids decide what is stale.
        self.stale_answers += not self.held
        return self._request_snapshot(stale, received_ns)

    def _hold(self, event: DepthEvent, received_ns: int) -> SyncOutputs:
        self.held.append(WaitingEvent(received_ns, event))
        return ()

    def _start_over(self, event: DepthEvent, received_ns: int) -> SyncOutputs:
        self.held = [WaitingEvent(received_ns, event)]
        return self._request_snapshot(event, received_ns)

    def _join(self, snapshot: DepthSnapshot, received_ns: int) -> SyncOutputs:
        self.book = OrderBook.from_snapshot(snapshot)
        counts_anew = bool(self.epoch) and not self.held and snapshot.last_id < self.update_id
        self.epoch += 1
        self.update_id = snapshot.last_id
        self.updates = self.attempt = self.stale_answers = 0
        self.event_time_us = None
        # Never before the last known moment, or two gaps could overlap in time.
        self.stamp_ns = self.synced_ns = max(self.known_ns, received_ns)
        closed = self._close_gap(self.known_since(received_ns), snapshot.last_id)
        held, self.held = tuple(self.held), []
        return (BookSynced(self.symbol, self.epoch, snapshot.last_id, closed, held, counts_anew),)

    def _apply(self, event: DepthEvent, received_ns: int) -> SyncOutputs:
        self.book.apply(event)
        self.update_id = event.last_id
        self.updates += 1
        self.event_time_us = event.event_time_us
        if received_ns > self.stamp_ns:  # noqa: PLR1730 max() takes three times as long
            self.stamp_ns = received_ns
        return (event,)

    def _on_id_gap(self, event: DepthEvent, received_ns: int) -> SyncOutputs:
        lost = self._open_gap(self._last_evidence_ns(), ID_GAP)
        return lost + self._start_over(event, received_ns)

    def _on_check_failed(self, found: CheckFailed, at_ns: int) -> SyncOutputs:
        lost = self._open_gap(self._last_evidence_ns(), DISPROVED)
        return lost + self._request_snapshot(found, at_ns)

    def _on_silent(self, found: StreamSilent, at_ns: int) -> SyncOutputs:
        lost = self._open_gap(self._last_evidence_ns(), SILENT)
        return lost + self._request_snapshot(found, at_ns)

    def _on_too_large(self, found: BookTooLarge, at_ns: int) -> SyncOutputs:
        lost = self._open_gap(self._last_evidence_ns(), TOO_LARGE)
        return lost + self._request_snapshot(found, at_ns)

    def _on_ids_reset(self, found: IdsReset, at_ns: int) -> SyncOutputs:
        lost = self._open_gap(self._last_evidence_ns(), IDS_RESET)
        self._expect_lower_ids(found, at_ns)
        return lost + self._request_snapshot(found, at_ns)

    def _expect_lower_ids(self, _: IdsReset, __: int) -> SyncOutputs:
        # As if enough stale answers had come: the next answer is believed, whatever its id.
        self.held, self.stale_answers = [], STALE_MAX
        return ()

    def _on_break(self, _: SymbolListing, __: int) -> SyncOutputs:
        return self._open_gap(self._last_evidence_ns(), IN_BREAK)

    def _on_delisted(self, _: SymbolListing, received_ns: int) -> SyncOutputs:
        self.book, self.held, self.attempt = OrderBook(), [], 0
        # Not evidence: this moves `known_ns`, where a gap begins if the symbol comes back after all.
        self.note_proof(received_ns)
        closed = self._close_gap(received_ns, None)
        return (closed,) if closed else ()

    def _on_event_after_end(self, event: DepthEvent, received_ns: int) -> SyncOutputs:
        return self._open_gap(self.known_ns, SENT_AFTER_DELISTING) + self._start_over(
            event, received_ns
        )

    def _on_disconnect(self, gone: Disconnected, _: int) -> SyncOutputs:
        # The connection's sign of life proves nothing: one of its streams can still be dead.
        alive_ns = max(self.known_ns, gone.alive_ns)
        start_ns = alive_ns if self.tape_format == 1 else self._last_evidence_ns()
        return self._open_gap(start_ns, gone.reason)

    def _drop_held(self, _: Disconnected | SymbolListing, __: int) -> SyncOutputs:
        self.held, self.attempt = [], 0
        return ()

    def _last_evidence_ns(self) -> int:
        """When the book was last proved current. If the last event came late, the time at which it was due counts.

        Messages that waited while we, or the network, stood still prove nothing about that time.
        """
        usual_ns = self.usual_lag.usual_ns
        if usual_ns is None or not self.rests_on_event or self.lag_ns <= usual_ns + LATE_NS:
            return self.known_ns
        due_ns = (self.event_time_us or 0) * 1_000 + usual_ns
        return max(due_ns, self.synced_ns)

    def _open_gap(self, start_ns: int, reason: str) -> SyncOutputs:
        self.book = OrderBook()
        self.gap = GapInterval(self.symbol, self.epoch, start_ns, self.update_id, reason)
        return (BookLost(self.gap),)

    def _close_gap(self, end_ns: int, next_id: int | None) -> GapInterval | None:
        gap, self.gap = self.gap, None
        # A gap never ends before it began, even if our clock was set back.
        return gap and replace(gap, end_ns=max(gap.start_ns, end_ns), next_update_id=next_id)


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table: in `state`, on `input`, if `condition` holds, go to `next_state` and do `action`."""

    state: State
    input: type
    # Any: each rule knows the type of its own input, which a table of rules cannot express.
    condition: Callable[[SymbolSync, Any], bool]
    next_state: State
    action: Callable[[SymbolSync, Any, int], SyncOutputs]


def index(table: Iterable[Rule]) -> dict[tuple[State, type], list[Rule]]:
    """The rules of each state and input, in the table's order; the last one is that nothing changes."""
    rules: dict[tuple[State, type], list[Rule]] = {}
    for rule in (*table, *_nothing_changes()):
        rules.setdefault((rule.state, rule.input), []).append(rule)
    return rules


def _nothing_changes() -> Iterator[Rule]:
    for state in State:
        for kind in get_args(SyncInput):
            yield Rule(state, kind, SymbolSync._always, state, SymbolSync._ignore)


_COLD, _SYNCING, _LIVE = State.COLD, State.SYNCING, State.LIVE
_BREAK, _ENDED = State.BREAK, State.ENDED
_S = SymbolSync
# ruff: noqa: SLF001 the rules are the class's own, written down as data
TABLE: Final = (
    # A symbol that the list shows in a break has no book to request.
    Rule(_COLD, Connected, _S._is_in_a_break, _BREAK, _S._ignore),
    # "Open a stream … Get a depth snapshot". We do not wait for the first event: a quiet symbol sends
    # none for many seconds, and once we are subscribed a snapshot is a valid book.
    Rule(_COLD, Connected, _S._always, _SYNCING, _S._request_snapshot),
    # "Buffer the events received from the stream." Bounded: if no answer comes, start over.
    Rule(_SYNCING, DepthEvent, _S._is_full, _SYNCING, _S._start_over),
    Rule(_SYNCING, DepthEvent, _S._always, _SYNCING, _S._hold),
    # "If the lastUpdateId from the snapshot is strictly less than the U [of the first event],
    # go back": at U - 1 it joins exactly, so only a lower id is stale. Nor may a cached answer take us
    # back behind the book we had, unless such answers keep coming while nothing else does.
    # Both conditions avoid a false gap; neither is a safety rule.
    Rule(_SYNCING, DepthSnapshot, _S._is_stale, _SYNCING, _S._on_stale_answer),
    # "Set your local order book to the retrieved snapshot. Its update ID is lastUpdateId."
    # The held events then go through the LIVE rules, which alone decide what chains.
    Rule(_SYNCING, DepthSnapshot, _S._always, _LIVE, _S._join),
    Rule(_SYNCING, UnreadableAnswer, _S._always, _SYNCING, _S._request_snapshot),
    Rule(_SYNCING, IdsReset, _S._always, _SYNCING, _S._expect_lower_ids),
    Rule(_SYNCING, Disconnected, _S._always, _COLD, _S._drop_held),
    # "The U of the next event should be the update ID + 1"; the first one after a snapshot may
    # also begin before it. An event that overlaps is applied whole: its sizes are absolute.
    Rule(_LIVE, DepthEvent, _S._chains, _LIVE, _S._apply),
    # "If the event u (last update ID) is < the update ID of your local order book, ignore the
    # event." An equal id adds nothing either. Stale events keep coming after the snapshot.
    Rule(_LIVE, DepthEvent, _S._is_old, _LIVE, _S._ignore),
    # A symbol that is opening may begin at any id.
    Rule(_LIVE, DepthEvent, _S._opens_the_symbol, _LIVE, _S._apply),
    # "If the event U is > the update ID of your local order book [+ 1], something went wrong.
    # Discard your local order book and restart the process from the beginning."
    Rule(_LIVE, DepthEvent, _S._always, _SYNCING, _S._on_id_gap),
    # Snapshots are compared elsewhere (booktape/checks) and change nothing here, unless a snapshot, a
    # witness or the passing of time shows that the book is wrong or old.
    Rule(_LIVE, CheckFailed, _S._always, _SYNCING, _S._on_check_failed),
    Rule(_LIVE, StreamSilent, _S._always, _SYNCING, _S._on_silent),
    Rule(_LIVE, IdsReset, _S._always, _SYNCING, _S._on_ids_reset),
    # A real book has some 10,000 levels a side; one that grew without end would take all memory.
    Rule(_LIVE, BookTooLarge, _S._always, _SYNCING, _S._on_too_large),
    Rule(_LIVE, Disconnected, _S._always, _COLD, _S._on_disconnect),
    # A symbol that is no longer listed ends, which is not a gap. If an event still comes, the list
    # was wrong.
    *(
        Rule(state, SymbolListing, _S._is_delisted, _ENDED, _S._on_delisted)
        for state in (_COLD, _SYNCING, _LIVE, _BREAK)
    ),
    Rule(_ENDED, DepthEvent, _S._is_old, _ENDED, _S._ignore),
    Rule(_ENDED, DepthEvent, _S._always, _SYNCING, _S._on_event_after_end),
    # BREAK: "no market data is generated, and orders can be cancelled meanwhile". A HALT is different:
    # its events continue.
    Rule(_LIVE, SymbolListing, _S._has_no_data, _BREAK, _S._on_break),
    Rule(_SYNCING, SymbolListing, _S._has_no_data, _BREAK, _S._drop_held),
    Rule(_BREAK, SymbolListing, _S._has_no_data, _BREAK, _S._ignore),
    # The symbol trades again: the list says so, or an event comes, which may be sooner.
    Rule(_BREAK, SymbolListing, _S._always, _SYNCING, _S._request_snapshot),
    Rule(_BREAK, DepthEvent, _S._always, _SYNCING, _S._start_over),
    Rule(_BREAK, Disconnected, _S._always, _COLD, _S._drop_held),
)
SymbolSync.rules = index(TABLE)
