"""Whether something still proves a book current: the answer to silence.

A stream can be dead while its connection answers every ping, so no event is no proof that nothing
changed. Two clocks of tape time run for each book that is live. One counts since its last evidence,
of whatever kind, and has a bound. The other runs while something that the exchange said is ahead of
the book: the events that lead there must come soon.

Tape time is what the ticks tell, and each tells 2 s at most: while this process stood still it could
not see what arrived, and so cannot call it silent.
"""

from __future__ import annotations

from typing import Final

from booktape.core.sync import SymbolSync

AHEAD_NS: Final = 3 * 10**9
"""How long the event may take that leads to what a witness has shown. It comes within 0.1 s."""

PULSES: Final = 5
"""A book may miss so many pulses. Five of 30 s are longer than the exchange's shortest ban (2 min)."""

AUDITS: Final = 2

AGEING: Final = 3 / 5
"""From this part of its bound on a book is asked for by itself: the pulse may not be served here."""


def bound_ns(pulse_s: float, audit_s: float) -> int | None:
    """How old the last evidence of a known book may become; None when nothing looks at quiet books."""
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
        """Tape time since the tick that followed the last evidence; 0 where there is newer evidence."""
        return self._age_ns if self._evidence == self._newest_evidence() else 0

    @property
    def is_ageing(self) -> bool:
        """Whether the last evidence is so old that the book should be looked at by itself."""
        return self._bound_ns is not None and self.age_ns > AGEING * self._bound_ns

    def begin_segment(self, age_ns: int) -> None:
        """Go on with what a checkpoint tells: the age; 0 where it is to be counted afresh."""
        self.reset()
        self._evidence, self._age_ns = (self._newest_evidence() if age_ns else None), age_ns

    def reset(self) -> None:
        """The book is not known: what was ahead of it no longer counts."""
        self._first_id = self._ahead_ns = None
        self._newest_id = 0

    def step_clock(self, step_ns: int) -> None:
        """Our clock was set back. What was proved moves with it, which is no new evidence."""
        if self._evidence and self._evidence[2]:
            epoch, update_id, proved_ns = self._evidence
            self._evidence = epoch, update_id, proved_ns + step_ns

    def on_newer_id(self, update_id: int) -> None:
        """The exchange is known to have come as far as this id, which is above the book's."""
        if self._first_id is None or self._first_id <= self._sync.update_id:
            self._first_id, self._ahead_ns = update_id, None
        self._newest_id = max(self._newest_id, update_id)

    def on_tick(self, passed_ns: int, *, waits: bool) -> bool:
        """So much tape time has passed: whether the stream is silent.

        While an event waits for the one before it (`waits`), the stream is not: that decides itself.
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
