"""All checks of one symbol's live book: whether it is right, current and deep enough.

A snapshot for an audit is requested when
- the last answer was cut off before `depth` levels: more levels are requested at once, all of `depth`
  if the levels are dense;
- a side is narrow: fewer than half of `depth` levels are left inside its horizon, so the best price has
  moved half-way to where the book is not known (checked every `NARROW_CHECK_EVENTS` events);
- `audit_s` seconds have passed since the last audit; each symbol has its own moment in that period
  (checked at every tick, however quiet the book is);
- a witness differs.

Requests for the last three reasons are at least `SPACING_NS` apart. Each asks for as many levels as the
book has, so that the audit of a small book costs little. When a pulse differs, a few levels are requested
at once: their update id shows whether the book is behind.

A check that passes is evidence that the book is current. An update id ahead of the book must be followed
by the events that lead there. `freshness` explains both.
"""

from __future__ import annotations

import math
from typing import Final, TypeAlias
from zlib import crc32

from booktape.checks.audit import Audit, compare, learn
from booktape.checks.book_ticker import BookTickerCheck
from booktape.checks.compare import Comparison
from booktape.checks.depth20 import LEVELS, Depth20Check
from booktape.checks.freshness import Freshness, bound_ns
from booktape.checks.pulse import PulseCheck
from booktape.checks.summary import CheckSummary
from booktape.core.book import OrderBook
from booktape.core.checks import BestLevels, BookTicker, Check, TopLevels
from booktape.core.events import (
    BookTooLarge,
    CheckFailed,
    DepthEvent,
    DepthSnapshot,
    FetchSnapshot,
    IdsReset,
    LossCause,
    StreamSilent,
    UnreadableAnswer,
    Urgency,
)
from booktape.core.sync import SymbolSync
from booktape.wire.limits import deeper_limit, fitting_limit
from booktape.wire.witness import BOOK_TICKER, DEPTH20, WitnessMessage

CheckOutput: TypeAlias = Check | FetchSnapshot | LossCause

REST: Final = "rest"
PULSE: Final = "pulse"
SPACING_NS: Final = 10 * 10**9
NARROW_CHECK_EVENTS: Final = 64
NEVER_NS: Final = 2**63 - 1

LEVELS_MAX: Final = 1_000_000
"""Levels of one book, both sides together: the fullest real ones have some 20,000. A level takes 16 bytes, and
about 110 until it is sorted in. So a book that the exchange lets grow without end takes some 110 MB at most."""

DOUBT_LIMIT: Final = 100
"""Levels requested when a pulse differs: the cheapest request, since only the update id counts."""

LOW_MAX: Final = 3
"""After this number of answers in a row with ids below the book's, and no event between them, the exchange
is taken to count from lower ids again. A single old answer may come from a cache."""


class BookChecks:
    """The checks of one symbol, and its audit if one is under way."""

    def __init__(self, sync: SymbolSync, audit_s: float, depth: int, pulse_s: float = 0.0) -> None:
        self.due_ns = NEVER_NS
        self.asked_ns = 0
        self.freshness = Freshness(sync, bound_ns(pulse_s, audit_s))
        self._sync = sync
        self._audit_ns = round(audit_s * 1e9)
        self._depth = depth
        self._audit: Audit | None = None
        self._audit_asked_ns = 0
        self._tries = 0
        # How many levels can still be added before they must be counted.
        self._room = 0
        self._low_answers = 0
        self._low_at_id = 0
        self._depth20 = Depth20Check(LEVELS)
        self._book_ticker = BookTickerCheck()
        self._pulse = PulseCheck()
        self._summaries = {
            name: CheckSummary(sync.symbol, name) for name in (DEPTH20, BOOK_TICKER, PULSE)
        }

    # ── what happens to the book ────────────────────────────────────────────────────────────

    def on_synced(self, received_ns: int) -> list[CheckOutput]:
        """A new epoch begins: the first audit is due at the symbol's own moment in the period."""
        self._tries = self._room = 0
        if not self._audit_ns:
            return []
        part = crc32(self._sync.symbol.encode()) / 2**32
        self.due_ns = received_ns + round(self._audit_ns * part)
        return self._deepen(self._sync.snapshot_limit, received_ns)

    def on_lost(self) -> None:
        """The book is no longer known: messages and answers that are waiting to be compared are dropped."""
        self._audit = None
        self._low_answers = 0
        self._depth20.reset()
        self._book_ticker.reset()
        self._pulse.reset()
        self.freshness.reset()

    def on_connections_changed(self) -> None:
        """A connection that carries the symbol was added or lost: tickers may be missing."""
        self._book_ticker.reset()

    def close(self) -> list[Check]:
        """The segment ends. The next one must be readable on its own, so nothing is carried over."""
        self.on_lost()
        return [check for summary in self._summaries.values() for check in summary.close()]

    def on_applied(self, event: DepthEvent, received_ns: int) -> list[CheckOutput]:
        """One event has changed the book. Called for every event, so a check that waits for none costs nothing."""
        self._room -= len(event.bids) + len(event.asks)
        if self._room < 0 and self._is_too_large():
            return [BookTooLarge()]
        out: list[CheckOutput] = []
        if self._depth20.waiting:
            compared = self._depth20.on_applied(self._sync)
            if compared:
                out += self._record(DEPTH20, compared, received_ns)
        if self._audit and not self._audit.on_applied(event):
            self._audit = None
        if self._book_ticker.tickers:
            for found in self._book_ticker.on_applied(self._sync):
                out += self._record(BOOK_TICKER, found, received_ns)
        if self._audit:
            concluded = self._conclude(received_ns)
            out += concluded
            if any(isinstance(output, CheckFailed) for output in concluded):
                return out  # the book is lost, so a snapshot is requested anyway
        if self._is_due(received_ns):
            out += self._request_if_spaced(received_ns)
        return out

    def on_tick(self, now_ns: int, passed_ns: int, *, waits: bool) -> list[CheckOutput]:
        """`passed_ns` of tape time have passed. `waits`: an event waits for the one before it."""
        if self.freshness.on_tick(passed_ns, waits=waits):
            return [StreamSilent()]
        out: list[CheckOutput] = []
        found = self._pulse.on_tick(self._sync, waits=waits)
        if found:
            asked_ns, comparison = found
            out += self._summaries[PULSE].add(comparison, now_ns)
            if not comparison.differences:
                self._prove(asked_ns)
            elif not self._audit:
                out.append(self._request(now_ns, DOUBT_LIMIT, Urgency.DOUBT))
        if now_ns >= self.due_ns:
            out += self._request_if_spaced(now_ns)
        elif self.freshness.is_ageing and not self._audit and self._is_spaced(now_ns):
            # Without a pulse (not every exchange has one) a few levels prove as much: if they have the book's
            # own id and are equal, the whole book is current.
            out.append(self._request(now_ns, DOUBT_LIMIT))
        return out

    def step_clock(self, step_ns: int) -> None:
        """Our clock was set back."""
        # 0: there was none.
        self.asked_ns += step_ns if self.asked_ns else 0
        self._audit_asked_ns += step_ns
        if self.due_ns != NEVER_NS:
            self.due_ns += step_ns
        self._pulse.step_clock(step_ns)
        self.freshness.step_clock(step_ns)

    # ── what the book is compared with ──────────────────────────────────────────────────────

    def on_request_sent(self, at_ns: int) -> None:
        """A request was sent: from now on events are kept for its answer."""
        self._audit, self._audit_asked_ns = Audit(self._sync.update_id), at_ns

    def on_answer(
        self, answer: DepthSnapshot | UnreadableAnswer, received_ns: int
    ) -> list[CheckOutput]:
        """A snapshot of a known book. It is not compared unless it was requested in this segment."""
        if self._audit and isinstance(answer, DepthSnapshot):
            if self._audit.on_answer(answer):
                self._low_answers = 0
                if answer.last_id > self._sync.update_id:
                    self.freshness.on_newer_id(answer.last_id)
                return self._conclude(received_ns)
            if self._is_reset():
                return [IdsReset()]
        self._audit = None
        if not self._audit_ns:
            return []
        self._tries += 1
        return [self._request(received_ns)]

    def on_pulse(self, asked_ns: int, best: BestLevels) -> None:
        """An answer shows the best levels of a known book."""
        self._pulse.on_answer(asked_ns, best, self._sync)

    def on_witness(
        self, message: WitnessMessage, connection: int, received_ns: int
    ) -> list[CheckOutput]:
        """Another stream shows the best levels of a known book."""
        if isinstance(message, TopLevels):
            return self._on_depth20(message, received_ns)
        return self._on_book_ticker(message, connection, received_ns)

    def _on_depth20(self, top: TopLevels, received_ns: int) -> list[CheckOutput]:
        found = self._depth20.on_levels(top, self._sync)
        if top.last_id > self._sync.update_id:
            self.freshness.on_newer_id(top.last_id)
        elif self._depth20.confirms(top, self._sync):
            self._add_evidence(received_ns)
        return self._record(DEPTH20, found, received_ns) if found else []

    def _on_book_ticker(
        self, ticker: BookTicker, connection: int, received_ns: int
    ) -> list[CheckOutput]:
        if ticker.update_id > self._sync.update_id:
            self.freshness.on_newer_id(ticker.update_id)
        elif self._book_ticker.confirms(ticker, self._sync):
            self._add_evidence(received_ns)
        out: list[CheckOutput] = []
        for found in self._book_ticker.on_ticker(ticker, connection):
            out += self._record(BOOK_TICKER, found, received_ns)
        return out

    def _add_evidence(self, received_ns: int) -> None:
        """A witness agreed. It carries no time of its own, so one that waited does not prove the book current."""
        if not self._sync.usual_lag.messages_waited:
            self._prove(received_ns)

    def _prove(self, at_ns: int) -> None:
        """A check found the book right at this moment. On tapes of format 1 a gap still begins at the last event."""
        if self._sync.tape_format != 1:
            self._sync.note_proof(at_ns)

    def _record(self, name: str, found: Comparison, received_ns: int) -> list[CheckOutput]:
        out: list[CheckOutput] = [*self._summaries[name].add(found, received_ns)]
        if found.differences:
            out += self._request_if_spaced(received_ns)
        return out

    def _conclude(self, received_ns: int) -> list[CheckOutput]:
        """Compare the book and the answer, once the book has reached the answer's update id."""
        book, update_id = self._sync.book, self._sync.update_id
        audit = self._audit
        witness = audit.book_of_answer(update_id) if audit else None
        if not audit or not witness:
            return []
        self._audit, self._tries = None, 0
        found = compare(update_id, book, witness)
        check = Check(
            self._sync.symbol, received_ns, update_id, REST, found.levels, found.differences
        )
        if found.differences:
            return [check, CheckFailed()]
        self._prove(self._audit_asked_ns)
        learn(book, witness)
        self._room = 0
        return [check, *self._deepen(audit.limit, received_ns)]

    # ── when to request a snapshot ──────────────────────────────────────────────────────────

    def _is_reset(self) -> bool:
        """Another answer has an id below the book's: whether the exchange counts from lower ids again.

        While events still arrive, it does not: the answers are old.
        """
        if self._sync.tape_format == 1:
            return False
        if self._low_at_id != self._sync.update_id:
            self._low_at_id, self._low_answers = self._sync.update_id, 0
        self._low_answers += 1
        return self._low_answers >= LOW_MAX

    def _is_due(self, received_ns: int) -> bool:
        """Whether an audit is due at this event. The period ends at a tick, or here if there are none (format 1)."""
        if self._sync.tape_format == 1 and received_ns >= self.due_ns:
            return True
        return self._sync.updates % NARROW_CHECK_EVENTS == 0 and self._is_narrow(self._sync.book)

    def _is_too_large(self) -> bool:
        """Whether the book has more than LEVELS_MAX levels. Counting sorts it: only call this without `_room` left."""
        self._room = LEVELS_MAX - self._sync.book.count()
        return self._room < 0

    def _is_narrow(self, book: OrderBook) -> bool:
        sides = ((book.bids, book.bid_horizon), (book.asks, book.ask_horizon))
        return any(
            horizon is not None and 2 * side.count_to(horizon) < self._depth
            for side, horizon in sides
        )

    def _request_if_spaced(self, received_ns: int) -> list[CheckOutput]:
        if self._audit_ns and not self._audit and self._is_spaced(received_ns):
            return [self._request(received_ns)]
        return []

    def _is_spaced(self, now_ns: int) -> bool:
        return now_ns >= self.asked_ns + SPACING_NS

    def _deepen(self, limit: int, received_ns: int) -> list[CheckOutput]:
        """After an answer of `limit` levels, request more, unless these were all levels or all that are wanted."""
        book = self._sync.book
        if limit >= self._depth or not self._is_narrow(book):
            return []
        levels = max(limit, len(book.bids), len(book.asks))
        more = deeper_limit(levels, _span_bps(book, limit) * levels / limit, self._depth)
        return [self._request(received_ns, more, Urgency.DEEPER)]

    def _request(
        self, received_ns: int, limit: int = 0, urgency: Urgency = Urgency.AUDIT
    ) -> FetchSnapshot:
        self.asked_ns = received_ns
        if received_ns >= self.due_ns:
            self.due_ns = received_ns + self._audit_ns
        book = self._sync.book
        limit = limit or fitting_limit(max(len(book.bids), len(book.asks)), self._depth)
        return FetchSnapshot(self._sync.symbol, self._tries + 1, urgency, limit)


def _span_bps(book: OrderBook, levels: int) -> float:
    """How far the best `levels` of the denser side reach, in basis points; infinite if neither side has as many."""
    prices = (side.best_first()[0] for side in (book.bids, book.asks))
    spans = (abs(own[levels - 1] / own[0] - 1) for own in prices if len(own) >= levels)
    return float(min(spans, default=math.inf)) * 10_000
