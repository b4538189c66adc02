"""Whether something still proves a book current: the theory of evidence.

**Why.** What arrives can be checked; what does not arrive cannot. A subscription can be dead while its
connection answers every ping. So the absence of events does not prove that nothing changed, and a book
counts as known only while its last evidence is younger than a bound.

**Evidence** shows that the book equalled the exchange's at some moment:

    an event was applied                                                   the event's stamp
    `@depth20` or `@bookTicker` has the book's update id and its levels    the message's stamp
    an audit's answer, carried to the book's update id, has its levels     when the request was sent
    the pulse shows the best levels of a book that was quiet               when the request was sent

An answer is dated by its request, because the exchange may have made it at any moment after that. A witness
message carries no time of its own, so one that waited in the socket proves nothing about the moment at which
it was read (`UsualLag.messages_waited`). An event does carry a time. If it came late, the moment at which it
was due counts (`SymbolSync`, core/lag.py).

**Every gap begins at the last evidence**, whatever ended the epoch: lost ids, a lost connection, a failed
check, silence, a break, the end of the recording.

**Two clocks** run for each live book. Both count tape time.

- The *age* counts since the last evidence. When it exceeds its bound, the stream is silent. The bound is
  `PULSES` periods of the pulse; without a pulse, `AUDITS` periods of the audit; without either there is no
  bound, and silence is believed. From `AGEING` of the bound on, the book is requested individually.
- The *ahead* clock runs while the exchange has shown an update id above the book's. The event that leads to
  that id comes within 0.1 s. If it has not come after `AHEAD_NS`, the stream is silent. When the book has
  reached the first such id, the newest one takes its place and the clock starts at 0 again. So a busy book,
  of which a witness is always a little ahead, is never called silent. While an event of the symbol waits
  in the arbiter, this clock is held at its start: there the arbiter's own `HOLD_NS` decides.

**Tape time** is the sum of the ticks, each at most 2 s (reconstruct.py). While this process stood still it
could not see what arrived, so it cannot call that time silent. Setting our clock back moves the moments but
is not evidence: the age keeps growing.

**A segment can be read on its own.** A checkpoint holds the age, so the next segment continues counting. Ids
ahead of the book are forgotten at the end of a segment and when the book is lost.

docs/proofs.md, "Now: evidence", has the resulting bounds in seconds, and the weaknesses.
"""

from __future__ import annotations

from typing import Final

from booktape.core.sync import SymbolSync

AHEAD_NS: Final = 3 * 10**9
"""How long the event that leads to an update id may take once the exchange has shown that id."""

PULSES: Final = 5
"""Pulse periods without evidence. Five of 30 s are longer than the exchange's shortest ban (2 min)."""

AUDITS: Final = 2
"""Audit periods without evidence, if there is no pulse."""

AGEING: Final = 3 / 5
"""From this fraction of its bound on, a book is requested individually: the exchange may have no pulse."""


def bound_ns(pulse_s: float, audit_s: float) -> int | None:
    """How old the last evidence of a known book may become; None when nothing checks quiet books."""
    if pulse_s:
        return round(PULSES * pulse_s * 1e9)
    return round(AUDITS * audit_s * 1e9) if audit_s else None


class Freshness:
    """The two clocks of one symbol."""

    def __init__(self, sync: SymbolSync, bound: int | None) -> None:
        self._sync = sync
        self._bound_ns = bound
        self._first_id: int | None = None
        self._newest_id = 0
        self._ahead_ns: int | None = None
        self._evidence: tuple[int, int, int] | None = None
        self._age_ns = 0

    @property
    def age_ns(self) -> int:
        """Tape time since the tick that followed the last evidence; 0 if newer evidence has come since."""
        return self._age_ns if self._evidence == self._newest_evidence() else 0

    @property
    def is_ageing(self) -> bool:
        """Whether the last evidence is so old that the book should be requested individually."""
        return self._bound_ns is not None and self.age_ns > AGEING * self._bound_ns

    def begin_segment(self, age_ns: int) -> None:
        """Continue from the age in a checkpoint; if that is 0, count from the next tick."""
        self.reset()
        self._evidence, self._age_ns = (self._newest_evidence() if age_ns else None), age_ns

    def reset(self) -> None:
        """The book is not known: ids ahead of it no longer count."""
        self._first_id = self._ahead_ns = None
        self._newest_id = 0

    def step_clock(self, step_ns: int) -> None:
        """Our clock was set back. The moment of the last evidence moves with it, which is not new evidence."""
        if self._evidence and self._evidence[2]:
            epoch, update_id, proved_ns = self._evidence
            self._evidence = epoch, update_id, proved_ns + step_ns

    def on_newer_id(self, update_id: int) -> None:
        """The exchange has shown this id, which is above the book's."""
        if self._first_id is None or self._first_id <= self._sync.update_id:
            self._first_id, self._ahead_ns = update_id, None
        self._newest_id = max(self._newest_id, update_id)

    def on_tick(self, passed_ns: int, *, waits: bool) -> bool:
        """`passed_ns` of tape time have passed. Whether the stream is silent.

        `waits`: an event waits in the arbiter for the one before it.
        """
        return self._is_overdue(passed_ns, waits=waits) or self._is_stale(passed_ns)

    def _is_overdue(self, passed_ns: int, *, waits: bool) -> bool:
        if self._first_id is None:
            return False
        if waits:
            self._ahead_ns = None
            return False
        at_id = self._sync.update_id
        if self._first_id <= at_id:
            self._first_id = self._newest_id if self._newest_id > at_id else None
            self._ahead_ns = None
        if self._first_id is None:
            return False
        self._ahead_ns = 0 if self._ahead_ns is None else self._ahead_ns + passed_ns
        return self._ahead_ns >= AHEAD_NS

    def _is_stale(self, passed_ns: int) -> bool:
        evidence = self._newest_evidence()
        if evidence != self._evidence:
            self._evidence, self._age_ns = evidence, 0
            return False
        self._age_ns += passed_ns
        return self._bound_ns is not None and self._age_ns > self._bound_ns

    def _newest_evidence(self) -> tuple[int, int, int]:
        sync = self._sync
        return sync.epoch, sync.update_id, sync.proved_ns
