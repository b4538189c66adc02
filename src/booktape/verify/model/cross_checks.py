"""Compares one symbol's book with its witnesses, in the order in which the recorder must.

On a tape of format 2 that also proves a book current, or shows that it is behind.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from booktape.verify.model.audit import ModelAudit, learn
from booktape.verify.model.checks import (
    BOOK,
    BOOK_TICKER,
    DEPTH20,
    PULSE,
    REST,
    ModelCheck,
    ModelSummary,
    Verdict,
    crossing,
)
from booktape.verify.model.decode import Answer, Event, Levels, Ticker, Top
from booktape.verify.model.side_streams import (
    BookTickerComparison,
    Depth20Comparison,
    compare_touch,
    touch_of,
)
from booktape.verify.model.sync import ModelSync
from booktape.verify.model.tape_time import SECOND_NS

_AHEAD_NS: Final = 3 * SECOND_NS
_QUIET_NS: Final = SECOND_NS
_TICKS_AFTER_PULSE: Final = 2


class Ahead:
    """Ids that a witness has shown and the book has not reached.

    The first one starts a clock at the next tick; `waited_ns` is None while the clock does not run.
    """

    def __init__(self, sync: ModelSync) -> None:
        self._sync = sync
        self._first: int | None = None
        self._newest = 0
        self._waited_ns: int | None = None

    def reset(self) -> None:
        """Forget all ids."""
        self._first, self._newest, self._waited_ns = None, 0, None

    def on_newer_id(self, update_id: int) -> None:
        """The exchange has shown this id."""
        now = self._sync.update_id
        if update_id <= now:
            return
        if self._first is None or self._first <= now:
            self._first, self._waited_ns = update_id, None
        self._newest = max(self._newest, update_id)

    def on_tick(self, passed_ns: int) -> bool:
        """`passed_ns` of tape time have passed. Whether the missing event is overdue."""
        now = self._sync.update_id
        if self._sync.arbiter.buffered:
            self._waited_ns = None  # the hold of the arbiter decides
            return False
        if self._first is not None and self._first <= now:
            self._first = self._newest if self._newest > now else None
            self._waited_ns = None
        if self._first is None:
            return False
        self._waited_ns = 0 if self._waited_ns is None else self._waited_ns + passed_ns
        return self._waited_ns >= _AHEAD_NS


class _Pulse(NamedTuple):
    """Best levels that wait for two ticks without an event."""

    asked_ns: int
    state: tuple[int, int]
    bids: Levels
    asks: Levels
    ticks: int = 0


class CrossChecks:
    """Compares the book with each witness when both have the same id.

    `bound_ns` is how old the evidence of a known book may become; None: without bound.
    """

    def __init__(
        self, sync: ModelSync, put: Callable[[ModelCheck], None], bound_ns: int | None
    ) -> None:
        self._sync = sync
        self._put = put
        self._bound_ns = bound_ns
        self._audit: ModelAudit | None = None
        self._ahead = Ahead(sync)
        self._pulse: _Pulse | None = None
        self._depth20 = Depth20Comparison(sync)
        self._book_ticker = BookTickerComparison(sync)
        names = (DEPTH20, BOOK_TICKER, PULSE)
        self._summaries = {name: ModelSummary(sync.symbol, name, put) for name in names}
        sync.listener = self

    # ── what happens to the book ────────────────────────────────────────────────────────────

    def on_applied(self, event: Event, stamp_ns: int) -> None:
        """The book has changed by one event: streams are compared first, then an audit."""
        if self._audit and not self._audit.keep(event):
            self._audit = None
        self._record(DEPTH20, self._depth20.on_applied(), stamp_ns)
        for verdict in self._book_ticker.on_applied():
            self._record(BOOK_TICKER, verdict, stamp_ns)
        self._conclude(stamp_ns)

    def on_row(self, stamp_ns: int) -> None:
        """A row whose best bid is not below its best ask is noted; recorders of format 1 did not look."""
        crossed = crossing(self._sync.book) if self._sync.timed else ()
        if crossed:
            at = self._sync.symbol, stamp_ns, self._sync.update_id
            self._put(ModelCheck(*at, BOOK, len(crossed), crossed))

    def on_lost(self) -> None:
        """The book is not known any more."""
        self._audit = self._pulse = None
        self._depth20.reset()
        self._book_ticker.reset()
        self._ahead.reset()

    def on_connections_changed(self) -> None:
        """A connection was added or lost: tickers may be missing."""
        self._book_ticker.reset()

    def close(self) -> None:
        """The segment ends."""
        self.on_lost()
        for summary in self._summaries.values():
            summary.close()

    def step_clock(self, step_ns: int) -> None:
        """Our clock was set back by `step_ns`, which is negative."""
        self._sync.step_clock(step_ns)
        self._depth20.step_clock(step_ns)
        if self._audit:
            self._audit.asked_ns += step_ns
        if self._pulse:
            self._pulse = self._pulse._replace(asked_ns=self._pulse.asked_ns + step_ns)

    # ── what it is compared with ────────────────────────────────────────────────────────────

    def on_request_sent(self, stamp_ns: int) -> None:
        """A request for a snapshot was sent."""
        self._audit = ModelAudit(self._sync, stamp_ns) if self._sync.live else None

    def on_answer(self, answer: Answer | None, limit: int, stamp_ns: int) -> None:
        """A snapshot, or an unreadable answer (None): an epoch begins, or it is an audit.

        An audit's answer may be ahead of the book, or show that the exchange counts from lower ids again.
        """
        audit = self._audit
        if not self._sync.live:
            if answer:
                self._sync.on_answer(answer, limit, stamp_ns)
        elif audit and answer:
            self._ahead.on_newer_id(answer.last)
            if audit.answer(answer, limit):
                self._conclude(stamp_ns)
            else:
                self._audit = None
            if self._sync.timed:
                self._sync.on_audit_answer(is_low=answer.last < audit.since)
        else:
            self._audit = None

    def on_witness(self, message: Top | Ticker, connection: int, stamp_ns: int) -> None:
        """A message of a witness. It is not used while the book is not known.

        Tickers of every connection prove the book current, if they have its own id. A message that waited in the socket
        was stamped after the pause, and proves nothing about it.
        """
        if not self._sync.live:
            return
        shown_ns = None if self._sync.messages_waited else stamp_ns
        if isinstance(message, Top):
            self._ahead.on_newer_id(message.answer.last)
            self._record(DEPTH20, self._depth20.on_levels(message.answer, shown_ns), stamp_ns)
            return
        self._ahead.on_newer_id(message.last)
        if message.last == self._sync.update_id and shown_ns is not None:
            verdict = compare_touch(touch_of(self._sync), message.bids, message.asks)
            if not verdict.mismatches:
                self._sync.on_agreement(shown_ns)
        for verdict in self._book_ticker.on_ticker(message, connection):
            self._record(BOOK_TICKER, verdict, stamp_ns)

    def on_pulse(self, best: tuple[Levels, Levels], asked_ns: int) -> None:
        """A pulse shows the best levels. It is used if the book was quiet when it was requested."""
        if self._sync.live and self._sync.stamp_ns + _QUIET_NS <= asked_ns:
            self._pulse = _Pulse(asked_ns, self._state(), *best)

    def _state(self) -> tuple[int, int]:
        return self._sync.epoch, self._sync.update_id

    def _record(self, witness: str, verdict: Verdict | None, stamp_ns: int) -> None:
        if verdict:
            self._summaries[witness].add(verdict, stamp_ns)

    def _conclude(self, stamp_ns: int) -> None:
        audit, found = self._audit, self._audit.verdict() if self._audit else None
        if not audit or not found:
            return
        self._audit = None
        verdict, fresh = found
        self._put(ModelCheck(self._sync.symbol, stamp_ns, verdict.update_id, REST, *verdict[1:]))
        if verdict.mismatches:
            self._sync.on_check_failed()
            return
        self._sync.on_agreement(audit.asked_ns)
        learn(self._sync.book.bids, fresh.bids)
        learn(self._sync.book.asks, fresh.asks)
        if self._sync.updates % self._sync.every:
            self.on_row(stamp_ns)  # between two rows the book is looked at here

    # ── ticks ───────────────────────────────────────────────────────────────────────────────

    def on_tick(self, passed_ns: int, stamp_ns: int) -> None:
        """`passed_ns` of tape time have passed; `stamp_ns` is the tick's own stamp."""
        self._sync.on_hold_tick(passed_ns)
        if self._sync.live:
            is_silent = self._ahead.on_tick(passed_ns)
            self._sync.on_age_tick(passed_ns)
            is_old = self._bound_ns is not None and self._sync.age_ns > self._bound_ns
            if is_silent or is_old:
                self._sync.on_silent()
        self._compare_pulse(stamp_ns)

    def _compare_pulse(self, stamp_ns: int) -> None:
        pulse = self._pulse
        if not pulse:
            return
        self._pulse = pulse._replace(ticks=pulse.ticks + 1)
        if pulse.ticks + 1 < _TICKS_AFTER_PULSE:
            return
        self._pulse = None
        # While an event waits for the one before it, the book is not quiet.
        if pulse.state == self._state() and not self._sync.arbiter.buffered:
            verdict = compare_touch(touch_of(self._sync), pulse.bids, pulse.asks)
            self._record(PULSE, verdict, stamp_ns)
            if not verdict.mismatches:
                self._sync.on_agreement(pulse.asked_ns)
