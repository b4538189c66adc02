"""The one state machine: it decides when a symbol's book is known.

    COLD ──connected──▶ SYNCING ──snapshot that joins──▶ LIVE
      ▲                    │  ▲                            │
      └──── all connections lost ◀──── ids do not chain ───┘      any ──not listed──▶ ENDED

`TABLE`, at the end of this file, is the machine: for each state and input the first rule whose
condition holds is followed. Quotes are from "How to manage a local order book correctly" in the
exchange's WebSocket documentation; docs/protocol.md is checked against the table.

Only a LIVE book is ever shown. There is no clock here: every input carries its own time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from enum import StrEnum
from typing import Any, ClassVar, Final, NamedTuple, TypeAlias

from booktape.core.book import Book
from booktape.core.events import (
    WHOLE_DEPTH,
    Applied,
    BookRow,
    DepthEvent,
    DepthSnapshot,
    Disproved,
    FetchSnapshot,
    Gap,
    Held,
    Lost,
    Synced,
    Unreadable,
    Urgency,
)
from booktape.core.frames import DELISTED, TRADING, Connected, Disconnected, Listed

Input: TypeAlias = (
    Connected | Disconnected | DepthEvent | DepthSnapshot | Unreadable | Disproved | Listed
)
Output: TypeAlias = FetchSnapshot | Applied | Lost | Synced | Gap
Outputs: TypeAlias = tuple[Output, ...]

HELD_MAX: Final = 3_000  # events held for a snapshot: five minutes of the busiest symbol
ID_GAP: Final = "id_gap"
DISPROVED: Final = "disproved"
RELISTED: Final = "delisted"


class State(StrEnum):
    """What is known of a book. A text: the machine looks it up for every event, and those hash fast."""

    COLD = "cold"  # nothing, and no connection to learn from
    SYNCING = "syncing"  # events arrive and are held; a snapshot has been asked for
    LIVE = "live"  # every level inside the horizon
    ENDED = "ended"  # the exchange does not list the symbol any more


class SymbolSync:
    """One symbol's machine and book. `take` is its only way in.

    `update_id` stays at the last known state while the book is lost; so does `epoch`.
    """

    rules: ClassVar[dict[tuple[State, type], list[Rule]]]

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self.limit = WHOLE_DEPTH  # of the snapshots it asks for
        self.state = State.COLD
        self.book = Book()
        self.epoch = 0
        self.update_id = 0
        self.updates = 0
        self.event_time_us: int | None = None
        self.known_ns = 0
        self.attempt = 0
        self.gap: Gap | None = None
        self.held: list[Held] = []
        self.status = TRADING

    def take(self, item: Input, received_ns: int) -> Outputs:
        """Follow the table. Never raises, whatever arrives in whatever order."""
        # No branch: a test shows that the last rule of every state and input always applies.
        for rule in self.rules[self.state, type(item)]:  # pragma: no branch
            if rule.when(self, item):
                self.state = rule.becomes
                return rule.do(self, item, received_ns)
        raise AssertionError((self.state, item))  # pragma: no cover

    def row(self, received_ns: int) -> BookRow:
        """The whole book as it is now; `received_ns` is the stamp of the frame that made it so."""
        row = (self.symbol, self.event_time_us, received_ns, self.update_id, self.epoch)
        return BookRow(*(*row, self.updates, *self.book.columns()))

    # ── what the rules ask ──────────────────────────────────────────────────────────────────

    def _always(self, _: Input) -> bool:
        return True

    def _is_full(self, _: DepthEvent) -> bool:
        return len(self.held) >= HELD_MAX

    def _is_stale(self, snapshot: DepthSnapshot) -> bool:
        if self.held:
            return snapshot.last_id < self.held[0].event.first_id - 1
        return snapshot.last_id < self.update_id

    def _is_old(self, event: DepthEvent) -> bool:
        return event.last_id <= self.update_id

    def _chains(self, event: DepthEvent) -> bool:
        return event.first_id <= self.update_id + 1 <= event.last_id

    def _is_over(self, listed: Listed) -> bool:
        return listed.status == DELISTED

    # ── what the rules do ───────────────────────────────────────────────────────────────────

    def _ignore(self, _: Input, __: int) -> Outputs:
        return ()

    def _ask(self, _: Input, __: int) -> Outputs:
        self.attempt += 1
        urgency = Urgency.LOST if self.epoch else Urgency.NEW
        return (FetchSnapshot(self.symbol, self.attempt, urgency, self.limit),)

    def _hold(self, event: DepthEvent, received_ns: int) -> Outputs:
        self.held.append(Held(received_ns, event))
        return ()

    def _start_over(self, event: DepthEvent, received_ns: int) -> Outputs:
        self.held = [Held(received_ns, event)]
        return self._ask(event, received_ns)

    def _join(self, snapshot: DepthSnapshot, received_ns: int) -> Outputs:
        self.book = Book.of(snapshot)
        self.epoch += 1
        self.update_id = snapshot.last_id
        self.updates = self.attempt = 0
        self.event_time_us = None
        # Never before the end of the gap, or two gaps could overlap in time.
        self.known_ns = max(self.known_ns, received_ns)
        closed = self._close_gap(received_ns, snapshot.last_id)
        held, self.held = tuple(self.held), []
        return (Synced(self.symbol, self.epoch, snapshot.last_id, closed, held),)

    def _apply(self, event: DepthEvent, received_ns: int) -> Outputs:
        self.book.apply(event)
        self.update_id = event.last_id
        self.updates += 1
        self.event_time_us = event.event_time_us
        self.known_ns = max(self.known_ns, received_ns)
        return (Applied(event),)

    def _lose(self, event: DepthEvent, received_ns: int) -> Outputs:
        lost = self._open_gap(self.known_ns, ID_GAP)
        return lost + self._start_over(event, received_ns)

    def _disown(self, found: Disproved, at_ns: int) -> Outputs:
        return self._open_gap(self.known_ns, DISPROVED) + self._ask(found, at_ns)

    def _finish(self, _: Listed, received_ns: int) -> Outputs:
        self.book, self.held, self.attempt = Book(), [], 0
        # Should it come back all the same, the gap begins here.
        self.known_ns = max(self.known_ns, received_ns)
        closed = self._close_gap(received_ns, None)
        return (closed,) if closed else ()

    def _revive(self, event: DepthEvent, received_ns: int) -> Outputs:
        return self._open_gap(self.known_ns, RELISTED) + self._start_over(event, received_ns)

    def _go_cold(self, gone: Disconnected, _: int) -> Outputs:
        return self._open_gap(max(self.known_ns, gone.alive_ns), gone.reason)

    def _forget(self, _: Disconnected, __: int) -> Outputs:
        self.held, self.attempt = [], 0
        return ()

    def _open_gap(self, start_ns: int, reason: str) -> Outputs:
        self.book = Book()
        self.gap = Gap(self.symbol, self.epoch, start_ns, self.update_id, reason)
        return (Lost(self.gap),)

    def _close_gap(self, end_ns: int, next_id: int | None) -> Gap | None:
        gap, self.gap = self.gap, None
        # It never ends before it began, even if our clock was set back.
        return gap and replace(gap, end_ns=max(gap.start_ns, end_ns), next_update_id=next_id)


class Rule(NamedTuple):
    """One row of the table: in `state`, on `input`, if `when` holds, become `becomes` and `do`."""

    state: State
    input: type
    # Any: each rule knows the type of its own input, which a table of rules cannot say.
    when: Callable[[SymbolSync, Any], bool]
    becomes: State
    do: Callable[[SymbolSync, Any, int], Outputs]


def index(table: Iterable[Rule]) -> dict[tuple[State, type], list[Rule]]:
    """The rules of each state and input, in the table's order."""
    rules: dict[tuple[State, type], list[Rule]] = {}
    for rule in table:
        rules.setdefault((rule.state, rule.input), []).append(rule)
    return rules


_COLD, _SYNCING, _LIVE, _ENDED = State.COLD, State.SYNCING, State.LIVE, State.ENDED
_USELESS: Final = (DepthSnapshot, Unreadable, Connected, Disconnected)  # to one that has ended
_S = SymbolSync
# ruff: noqa: SLF001 the rules are the class's own, written down as data
TABLE: Final = (
    # "Open a stream … Get a depth snapshot". Not after the first event: a quiet symbol sends none
    # for many seconds, and once the subscription stands a snapshot is a valid book.
    Rule(_COLD, Connected, _S._always, _SYNCING, _S._ask),
    Rule(_COLD, DepthEvent, _S._always, _COLD, _S._ignore),
    Rule(_COLD, DepthSnapshot, _S._always, _COLD, _S._ignore),
    Rule(_COLD, Unreadable, _S._always, _COLD, _S._ignore),
    Rule(_COLD, Disconnected, _S._always, _COLD, _S._ignore),
    # "Buffer the events received from the stream." Bounded: if no answer comes, start over.
    Rule(_SYNCING, DepthEvent, _S._is_full, _SYNCING, _S._start_over),
    Rule(_SYNCING, DepthEvent, _S._always, _SYNCING, _S._hold),
    # "If the lastUpdateId from the snapshot is strictly less than the U [of the first event],
    # go back": at U - 1 it joins exactly, so only less than that is stale. Nor may a cached answer
    # take us back behind the book we had. Both save a false gap; neither is a safety rule.
    Rule(_SYNCING, DepthSnapshot, _S._is_stale, _SYNCING, _S._ask),
    # "Set your local order book to the retrieved snapshot. Its update ID is lastUpdateId."
    # What was held goes through the LIVE rules: those alone decide what chains.
    Rule(_SYNCING, DepthSnapshot, _S._always, _LIVE, _S._join),
    Rule(_SYNCING, Unreadable, _S._always, _SYNCING, _S._ask),
    Rule(_SYNCING, Connected, _S._always, _SYNCING, _S._ignore),
    Rule(_SYNCING, Disconnected, _S._always, _COLD, _S._forget),
    # "If the event u (last update ID) is < the update ID of your local order book, ignore the
    # event." Equal adds nothing either. Stale events go on coming after the snapshot.
    Rule(_LIVE, DepthEvent, _S._is_old, _LIVE, _S._ignore),
    # "The U of the next event should be the update ID + 1"; the first one after a snapshot may
    # also begin before it. An event that overlaps is applied whole: its sizes are absolute.
    Rule(_LIVE, DepthEvent, _S._chains, _LIVE, _S._apply),
    # "If the event U is > the update ID of your local order book [+ 1], something went wrong.
    # Discard your local order book and restart the process from the beginning."
    Rule(_LIVE, DepthEvent, _S._always, _SYNCING, _S._lose),
    # It is compared elsewhere (booktape/proof); here it changes nothing, unless it proves us wrong.
    Rule(_LIVE, DepthSnapshot, _S._always, _LIVE, _S._ignore),
    Rule(_LIVE, Unreadable, _S._always, _LIVE, _S._ignore),
    Rule(_LIVE, Connected, _S._always, _LIVE, _S._ignore),
    Rule(_LIVE, Disconnected, _S._always, _COLD, _S._go_cold),
    Rule(_LIVE, Disproved, _S._always, _SYNCING, _S._disown),
    *(Rule(state, Disproved, _S._always, state, _S._ignore) for state in (_COLD, _SYNCING, _ENDED)),
    # HALT, BREAK and the like change no book. A symbol that is not listed any more ends, and that
    # is no gap; unless an event comes all the same: then the list was wrong.
    *(Rule(state, Listed, _S._is_over, _ENDED, _S._finish) for state in (_COLD, _SYNCING, _LIVE)),
    *(Rule(state, Listed, _S._always, state, _S._ignore) for state in State),
    Rule(_ENDED, DepthEvent, _S._is_old, _ENDED, _S._ignore),
    Rule(_ENDED, DepthEvent, _S._always, _SYNCING, _S._revive),
    *(Rule(_ENDED, kind, _S._always, _ENDED, _S._ignore) for kind in _USELESS),
)
SymbolSync.rules = index(TABLE)
