"""One symbol: its machine, and the checks who looks at every state of its book.

What either says goes to the other: an event that was applied is pipeline before it becomes a row, a
book that is disproved is lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TypeAlias

from booktape.checks.book_checks import BookChecks
from booktape.checks.book_checks import CheckOutput as Finding
from booktape.core import cadence, checkpoint
from booktape.core.arbitration import SymbolFeed
from booktape.core.checks import BestLevels, Check
from booktape.core.events import (
    BookLost,
    BookRow,
    BookSynced,
    CheckFailed,
    DepthEvent,
    DepthSnapshot,
    EventApplied,
    FetchSnapshot,
    GapInterval,
    IdsReset,
    StreamSilent,
    UnreadableAnswer,
)
from booktape.core.sync import State, SymbolSync, SyncInput, SyncOutputs
from booktape.core.tape_records import Checkpoint
from booktape.wire.witness import WitnessMessage

PipelineOutput: TypeAlias = (
    BookRow | GapInterval | Check | BookLost | BookSynced | FetchSnapshot | IdsReset
)
"""`IdsReset` is for the feed before the machine: it must forget the old ids, too."""


class SymbolPipeline:
    """`handle` is the only way in for what the machine knows; the others are the checks's."""

    def __init__(
        self, sync: SymbolSync, every: int, audit_s: float, depth: int, pulse_s: float = 0.0
    ) -> None:
        self.sync = sync
        self.checks = BookChecks(sync, audit_s, depth, pulse_s)
        self._every = every
        self._ticked_id = sync.update_id

    def save(self, feed: SymbolFeed, received_ns: int) -> Checkpoint:
        """Everything the next segment needs."""
        saved = checkpoint.save(self.sync, feed, received_ns)
        due_ns, asked_ns = self.checks.due_ns, self.checks.asked_ns
        live = self.sync.state is State.LIVE
        age_ns = self.checks.freshness.age_ns if live else 0
        return replace(saved, audit_due_ns=due_ns, asked_ns=asked_ns, evidence_age_ns=age_ns)

    def restore(self, saved: Checkpoint) -> None:
        """What `save` wrote down beside the machine."""
        self.checks.due_ns, self.checks.asked_ns = saved.audit_due_ns, saved.asked_ns
        self.checks.freshness.begin_segment(saved.evidence_age_ns)

    def begin_segment(self) -> None:
        """What a checkpoint does not tell is forgotten: the next segment can be read alone."""
        freshness = self.checks.freshness
        age_ns = freshness.age_ns if self.sync.state is State.LIVE else 0
        self.sync.begin_segment()
        freshness.begin_segment(age_ns)
        self._ticked_id = self.sync.update_id

    def on_tick(self, now_ns: int, passed_ns: int, *, waits: bool) -> Iterable[PipelineOutput]:
        """So much tape time has passed. `waits`: an event of the symbol runs ahead."""
        if self.sync.state is not State.LIVE:
            return ()
        return self._act_on(self.checks.on_tick(now_ns, passed_ns, waits=waits), now_ns)

    def lag_ns(self) -> int | None:
        """How late the last event was, if the book moved since the last tick and rests on an event."""
        sync, before = self.sync, self._ticked_id
        self._ticked_id = sync.update_id
        moved = sync.update_id != before and sync.state is State.LIVE
        return sync.lag_ns if moved and sync.rests_on_event else None

    def step_clock(self, step_ns: int) -> None:
        """Our clock was set back."""
        self.sync.step_clock(step_ns)
        self.checks.step_clock(step_ns)

    def on_pulse(self, asked_ns: int, best: BestLevels) -> None:
        """An answer shows the best levels of this symbol."""
        if self.sync.state is State.LIVE:
            self.checks.on_pulse(asked_ns, best)

    def on_request_sent(self, at_ns: int) -> None:
        """The request for a snapshot has left; of a book that is known it will be an audit."""
        if self.sync.state is State.LIVE:
            self.checks.on_request_sent(at_ns)

    def on_snapshot(
        self, answer: DepthSnapshot | UnreadableAnswer, received_ns: int
    ) -> Iterator[PipelineOutput]:
        """A snapshot: what the machine waits for, or an audit of what it knows."""
        known = self.sync.state is State.LIVE
        yield from self.handle(answer, received_ns)
        if known:
            yield from self._act_on(self.checks.on_answer(answer, received_ns), received_ns)

    def on_witness(
        self, said: WitnessMessage, connection: int, received_ns: int
    ) -> Iterable[PipelineOutput]:
        """Another stream spoke, on this connection."""
        live = self.sync.state is State.LIVE
        found = self.checks.on_witness(said, connection, received_ns) if live else ()
        return self._act_on(found, received_ns) if found else ()

    def handle(self, item: SyncInput, received_ns: int) -> Iterable[PipelineOutput]:
        """Let the machine decide, and say what follows."""
        said = self.sync.handle(item, received_ns)
        if len(said) == 1 and isinstance(said[0], EventApplied):
            # Nearly always so: then an event costs no generator.
            return self._on_applied(said[0].event, self._known_at(received_ns))
        return self._emit_all(said, received_ns)

    def _known_at(self, received_ns: int) -> int:
        """Since when an event is part of the book: on tapes of format 1 its own stamp stands for that."""
        return received_ns if self.sync.tape_format == 1 else self.sync.stamp_ns

    def _on_applied(self, event: DepthEvent, received_ns: int) -> Iterable[PipelineOutput]:
        found = self.checks.on_applied(event, received_ns)
        if found:
            return self._emit_after_checks(found, received_ns)
        return (self.sync.row(received_ns),) if self._is_due() else ()

    def _emit_after_checks(
        self, found: Iterable[Finding], received_ns: int
    ) -> Iterator[PipelineOutput]:
        """What disproves the book comes first: then there is no row any more."""
        yield from self._act_on(found, received_ns)
        if self.sync.state is State.LIVE and self._is_due():
            yield self.sync.row(received_ns)

    def _is_due(self) -> bool:
        return cadence.is_due(self.sync.updates, self._every)

    def _emit_all(self, said: SyncOutputs, received_ns: int) -> Iterator[PipelineOutput]:
        for output in said:
            if isinstance(output, EventApplied):
                yield from self._on_applied(output.event, self._known_at(received_ns))
            elif isinstance(output, BookSynced):
                yield from self._on_synced(output, received_ns)
            else:
                yield output
        if self.sync.state is not State.LIVE:
            self.checks.on_lost()

    def _on_synced(self, synced: BookSynced, received_ns: int) -> Iterator[PipelineOutput]:
        if synced.closed:
            yield synced.closed
        yield synced
        yield self.sync.row(received_ns)
        yield from self._act_on(self.checks.on_synced(received_ns), received_ns)
        for held in synced.held:
            yield from self.handle(held.event, held.received_ns)

    def _act_on(self, found: Iterable[Finding], received_ns: int) -> Iterator[PipelineOutput]:
        for finding in found:
            if isinstance(finding, IdsReset):
                yield finding
            if isinstance(finding, CheckFailed | StreamSilent | IdsReset):
                yield from self.handle(finding, received_ns)
            else:
                yield finding
