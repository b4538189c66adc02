"""One symbol: its machine, and the examiner who looks at every state of its book.

What either says goes to the other: an event that was applied is examined before it becomes a row, a
book that is disproved is lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TypeAlias

from booktape.core import cadence, checkpoint
from booktape.core.events import (
    Applied,
    BookRow,
    DepthEvent,
    DepthSnapshot,
    Disproved,
    FetchSnapshot,
    Gap,
    IdsReset,
    Lost,
    Silent,
    Synced,
    Unreadable,
)
from booktape.core.frames import Checkpoint
from booktape.core.merge import Lane
from booktape.core.proving import BestLevels, Check
from booktape.core.sync import Input, Outputs, State, SymbolSync
from booktape.proof.examiner import Examiner
from booktape.proof.examiner import Output as Finding
from booktape.wire.witness import Statement

Output: TypeAlias = BookRow | Gap | Check | Lost | Synced | FetchSnapshot | IdsReset
"""`IdsReset` is for the lane before the machine: it must forget the old ids, too."""


class ExaminedSync:
    """`take` is the only way in for what the machine knows; the others are the examiner's."""

    def __init__(
        self, sync: SymbolSync, every: int, audit_s: float, depth: int, pulse_s: float = 0.0
    ) -> None:
        self.sync = sync
        self.examiner = Examiner(sync, audit_s, depth, pulse_s)
        self._every = every
        self._ticked_id = sync.update_id

    def save(self, lane: Lane, received_ns: int) -> Checkpoint:
        """Everything the next segment needs."""
        saved = checkpoint.save(self.sync, lane, received_ns)
        due_ns, asked_ns = self.examiner.due_ns, self.examiner.asked_ns
        live = self.sync.state is State.LIVE
        age_ns = self.examiner.freshness.age_ns if live else 0
        return replace(saved, audit_due_ns=due_ns, asked_ns=asked_ns, evidence_age_ns=age_ns)

    def restore(self, saved: Checkpoint) -> None:
        """What `save` wrote down beside the machine."""
        self.examiner.due_ns, self.examiner.asked_ns = saved.audit_due_ns, saved.asked_ns
        self.examiner.freshness.begin_segment(saved.evidence_age_ns)

    def begin_segment(self) -> None:
        """What a checkpoint does not tell is forgotten: the next segment can be read alone."""
        freshness = self.examiner.freshness
        age_ns = freshness.age_ns if self.sync.state is State.LIVE else 0
        self.sync.begin_segment()
        freshness.begin_segment(age_ns)
        self._ticked_id = self.sync.update_id

    def tick(self, now_ns: int, passed_ns: int, *, waits: bool) -> Iterable[Output]:
        """So much tape time has passed. `waits`: an event of the symbol runs ahead."""
        if self.sync.state is not State.LIVE:
            return ()
        return self._follow(self.examiner.tick(now_ns, passed_ns, waits=waits), now_ns)

    def lag_ns(self) -> int | None:
        """How late the last event was, if the book moved since the last tick and rests on an event."""
        sync, before = self.sync, self._ticked_id
        self._ticked_id = sync.update_id
        moved = sync.update_id != before and sync.state is State.LIVE
        return sync.lag_ns if moved and sync.rests_on_event else None

    def step_clock(self, step_ns: int) -> None:
        """Our clock was set back."""
        self.sync.step_clock(step_ns)
        self.examiner.step_clock(step_ns)

    def pulse(self, asked_ns: int, best: BestLevels) -> None:
        """An answer shows the best levels of this symbol."""
        if self.sync.state is State.LIVE:
            self.examiner.pulse(asked_ns, best)

    def asked(self, at_ns: int) -> None:
        """The request for a snapshot has left; of a book that is known it will be an audit."""
        if self.sync.state is State.LIVE:
            self.examiner.asked(at_ns)

    def answered(self, answer: DepthSnapshot | Unreadable, received_ns: int) -> Iterator[Output]:
        """A snapshot: what the machine waits for, or an audit of what it knows."""
        known = self.sync.state is State.LIVE
        yield from self.take(answer, received_ns)
        if known:
            yield from self._follow(self.examiner.answered(answer, received_ns), received_ns)

    def told(self, said: Statement, connection: int, received_ns: int) -> Iterable[Output]:
        """Another stream spoke, on this connection."""
        live = self.sync.state is State.LIVE
        found = self.examiner.told(said, connection, received_ns) if live else ()
        return self._follow(found, received_ns) if found else ()

    def take(self, item: Input, received_ns: int) -> Iterable[Output]:
        """Let the machine decide, and say what follows."""
        said = self.sync.take(item, received_ns)
        if len(said) == 1 and isinstance(said[0], Applied):
            # Nearly always so: then an event costs no generator.
            return self._applied(said[0].event, self._known_at(received_ns))
        return self._said(said, received_ns)

    def _known_at(self, received_ns: int) -> int:
        """Since when an event is part of the book: on tapes of format 1 its own stamp stands for that."""
        return received_ns if self.sync.tape_format == 1 else self.sync.stamp_ns

    def _applied(self, event: DepthEvent, received_ns: int) -> Iterable[Output]:
        found = self.examiner.applied(event, received_ns)
        if found:
            return self._found(found, received_ns)
        return (self.sync.row(received_ns),) if self._is_due() else ()

    def _found(self, found: Iterable[Finding], received_ns: int) -> Iterator[Output]:
        """What disproves the book comes first: then there is no row any more."""
        yield from self._follow(found, received_ns)
        if self.sync.state is State.LIVE and self._is_due():
            yield self.sync.row(received_ns)

    def _is_due(self) -> bool:
        return cadence.is_due(self.sync.updates, self._every)

    def _said(self, said: Outputs, received_ns: int) -> Iterator[Output]:
        for output in said:
            if isinstance(output, Applied):
                yield from self._applied(output.event, self._known_at(received_ns))
            elif isinstance(output, Synced):
                yield from self._synced(output, received_ns)
            else:
                yield output
        if self.sync.state is not State.LIVE:
            self.examiner.lost()

    def _synced(self, synced: Synced, received_ns: int) -> Iterator[Output]:
        if synced.closed:
            yield synced.closed
        yield synced
        yield self.sync.row(received_ns)
        yield from self._follow(self.examiner.known(received_ns), received_ns)
        for held in synced.held:
            yield from self.take(held.event, held.received_ns)

    def _follow(self, found: Iterable[Finding], received_ns: int) -> Iterator[Output]:
        for finding in found:
            if isinstance(finding, IdsReset):
                yield finding
            if isinstance(finding, Disproved | Silent | IdsReset):
                yield from self.take(finding, received_ns)
            else:
                yield finding
