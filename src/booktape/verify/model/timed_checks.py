"""The checks of one symbol on a tape of format 2: they prove a book current, or show that it is behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from booktape.verify.model.checks import BOOK, PULSE, ModelCheck, crossing
from booktape.verify.model.cross_checks import CrossChecks
from booktape.verify.model.decode import Answer, Levels, Ticker, Top
from booktape.verify.model.side_streams import compare_touch, touch_of
from booktape.verify.model.tape_time import SECOND_NS
from booktape.verify.model.timed_sync import TimedModelSync

_AHEAD_NS: Final = 3 * SECOND_NS
_QUIET_NS: Final = SECOND_NS
_TICKS_AFTER_PULSE: Final = 2


class Ahead:
    """Ids that a witness has shown and the book has not reached.

    The first one starts a clock at the next tick; `waited_ns` is None while the clock does not run.
    """

    def __init__(self, sync: TimedModelSync) -> None:
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


class TimedCrossChecks(CrossChecks):
    """`bound_ns` is how old the evidence of a known book may become; None: without bound."""

    def __init__(
        self, sync: TimedModelSync, put: Callable[[ModelCheck], None], bound_ns: int | None
    ) -> None:
        super().__init__(sync, put)
        self.timed = sync
        self._bound_ns = bound_ns
        self._ahead = Ahead(sync)
        self._pulse: _Pulse | None = None

    def on_lost(self) -> None:
        """The book is not known any more."""
        super().on_lost()
        self._ahead.reset()
        self._pulse = None

    def on_row(self, stamp_ns: int) -> None:
        """A row whose best bid is not below its best ask is noted."""
        crossed = crossing(self.timed.book)
        if crossed:
            at = self.timed.symbol, stamp_ns, self.timed.update_id
            self._put(ModelCheck(*at, BOOK, len(crossed), crossed))

    def _on_audited(self, stamp_ns: int) -> None:
        """Between two rows the book is looked at here."""
        if self.timed.updates % self.timed.every:
            self.on_row(stamp_ns)

    def step_clock(self, step_ns: int) -> None:
        """Our clock was set back by `step_ns`, which is negative."""
        self.timed.step_clock(step_ns)
        self._depth20.step_clock(step_ns)
        if self._audit:
            self._audit.asked_ns += step_ns
        if self._pulse:
            self._pulse = self._pulse._replace(asked_ns=self._pulse.asked_ns + step_ns)

    # ── what it is compared with ───────────────────────────────────────────────────────────

    def on_answer(self, answer: Answer | None, limit: int, stamp_ns: int) -> None:
        """An audit's answer may be ahead of the book, or show that the exchange counts from lower ids again."""
        audit = self._audit if self.timed.live else None
        if audit and answer:
            self._ahead.on_newer_id(answer.last)
        super().on_answer(answer, limit, stamp_ns)
        if audit and answer:
            self.timed.on_audit_answer(is_low=answer.last < audit.since)

    def on_witness(self, message: Top | Ticker, connection: int, stamp_ns: int) -> None:
        """Tickers of every connection count here, if they have the book's own id."""
        if self.timed.live:
            self._ahead.on_newer_id(
                message.answer.last if isinstance(message, Top) else message.last
            )
            if isinstance(message, Ticker) and message.last == self.timed.update_id:
                self._compare_best(message.bids, message.asks, self._shown_at(stamp_ns))
        super().on_witness(message, connection, stamp_ns)

    def _compare_best(self, bids: Levels, asks: Levels, shown_ns: int | None) -> None:
        differ = compare_touch(touch_of(self.timed), bids, asks).mismatches
        if shown_ns is not None and not differ:
            self.timed.on_agreement(shown_ns)

    def _shown_at(self, stamp_ns: int) -> int | None:
        """A message that waited in the socket was stamped after the pause, and proves nothing about it."""
        return None if self.timed.messages_waited else stamp_ns

    def on_pulse(self, best: tuple[Levels, Levels], asked_ns: int) -> None:
        """A pulse shows the best levels. It is used if the book was quiet when it was requested."""
        if self.timed.live and self.timed.stamp_ns + _QUIET_NS <= asked_ns:
            self._pulse = _Pulse(asked_ns, self._state(), *best)

    def _state(self) -> tuple[int, int]:
        return self.timed.epoch, self.timed.update_id

    # ── ticks ───────────────────────────────────────────────────────────────────────────────

    def on_tick(self, passed_ns: int, stamp_ns: int) -> None:
        """`passed_ns` of tape time have passed; `stamp_ns` is the tick's own stamp."""
        self.timed.on_hold_tick(passed_ns)
        if self.timed.live:
            is_silent = self._ahead.on_tick(passed_ns)
            self.timed.on_age_tick(passed_ns)
            is_old = self._bound_ns is not None and self.timed.age_ns > self._bound_ns
            if is_silent or is_old:
                self.timed.on_silent()
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
        if pulse.state == self._state() and not self.timed.arbiter.buffered:
            verdict = compare_touch(touch_of(self.timed), pulse.bids, pulse.asks)
            self._record(PULSE, verdict, stamp_ns)
            if not verdict.mismatches:
                self.timed.on_agreement(pulse.asked_ns)
