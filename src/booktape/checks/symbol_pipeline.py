"""One symbol's pipeline: its state machine, and the checks of every state of its book.

An applied event is checked before a row is made. A failed check drops the book, and then there is no row.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final, TypeAlias

from booktape.checks.book_checks import REST, BookChecks, CheckOutput
from booktape.checks.crossed import crossed
from booktape.core import checkpoint
from booktape.core.arbitration import SymbolFeed
from booktape.core.checks import BestLevels, Check
from booktape.core.events import (
    BookLost,
    BookRow,
    BookSynced,
    DepthEvent,
    DepthSnapshot,
    FetchSnapshot,
    ForgetFeedIds,
    GapInterval,
    IdsReset,
    LossCause,
    UnreadableAnswer,
)
from booktape.core.sync import State, SymbolSync, SyncInput
from booktape.core.tape_records import Checkpoint
from booktape.wire.witness import WitnessMessage

_LIVE: Final = State.LIVE
"""A module constant, because looking up a member of the enum costs more than the rest of `_is_live`."""

PipelineOutput: TypeAlias = (
    BookRow | GapInterval | Check | BookLost | BookSynced | FetchSnapshot | ForgetFeedIds
)


def is_row_due(updates: int, every: int) -> bool:
    """Whether a row is due after `updates` events of an epoch, with one row every `every` events.

    The first row of an epoch is the snapshot itself (`updates` is 0). Only the count decides, so rows stay
    exactly `every` events apart across segments and recoveries.
    """
    return updates % every == 0


class SymbolPipeline:
    """`handle` takes the inputs of the state machine; other methods take what the book is compared with.

    Each method returns what follows, in order: nearly always nothing.
    """

    def __init__(
        self, sync: SymbolSync, every: int, audit_s: float, depth: int, pulse_s: float = 0.0
    ) -> None:
        self.sync = sync
        self.checks = BookChecks(sync, audit_s, depth, pulse_s)
        self._every = every
        self._ticked_id = sync.update_id

    # ── from one segment to the next ────────────────────────────────────────────────────────

    def save(self, feed: SymbolFeed, received_ns: int) -> Checkpoint:
        """Everything the next segment needs."""
        saved = checkpoint.save(self.sync, feed, received_ns)
        return replace(
            saved,
            audit_due_ns=self.checks.due_ns,
            asked_ns=self.checks.asked_ns,
            evidence_age_ns=self._evidence_age_ns(),
        )

    def restore(self, saved: Checkpoint) -> None:
        """Restore what `save` adds to the state machine's own values."""
        self.checks.due_ns, self.checks.asked_ns = saved.audit_due_ns, saved.asked_ns
        self.checks.freshness.begin_segment(saved.evidence_age_ns)

    def begin_segment(self) -> None:
        """Forget what a checkpoint does not hold: the next segment must be readable on its own."""
        age_ns = self._evidence_age_ns()
        self.sync.begin_segment()
        self.checks.freshness.begin_segment(age_ns)
        self._ticked_id = self.sync.update_id

    def _evidence_age_ns(self) -> int:
        return self.checks.freshness.age_ns if self._is_live() else 0

    # ── time ────────────────────────────────────────────────────────────────────────────────

    def on_tick(self, now_ns: int, passed_ns: int, *, waits: bool) -> list[PipelineOutput]:
        """`passed_ns` of tape time have passed. `waits`: an event waits for the one before it."""
        if not self._is_live():
            return []
        out: list[PipelineOutput] = []
        self._act_on(self.checks.on_tick(now_ns, passed_ns, waits=waits), now_ns, out)
        return out

    def lag_ns(self) -> int | None:
        """How late the last event was, if the book moved since the last tick and rests on an event."""
        sync, before = self.sync, self._ticked_id
        self._ticked_id = sync.update_id
        moved = sync.update_id != before and self._is_live()
        return sync.lag_ns if moved and sync.rests_on_event else None

    def step_clock(self, step_ns: int) -> None:
        """Our clock was set back."""
        self.sync.step_clock(step_ns)
        self.checks.step_clock(step_ns)

    # ── what the exchange sends ─────────────────────────────────────────────────────────────

    def handle(self, item: SyncInput, received_ns: int) -> list[PipelineOutput]:
        """Let the state machine decide, and check the book that results."""
        out: list[PipelineOutput] = []
        for output in self.sync.handle(item, received_ns):
            if isinstance(output, DepthEvent):
                self._on_applied(output, received_ns, out)
            elif isinstance(output, BookSynced):
                self._on_synced(output, received_ns, out)
            else:
                out.append(output)
        if self.sync.state is not _LIVE:
            self.checks.on_lost()
        return out

    def on_request_sent(self, at_ns: int) -> None:
        """The request for a snapshot was sent. If the book is known, the answer will be an audit."""
        if self._is_live():
            self.checks.on_request_sent(at_ns)

    def on_snapshot(
        self, answer: DepthSnapshot | UnreadableAnswer, received_ns: int
    ) -> list[PipelineOutput]:
        """A snapshot: the state machine waits for it, or it is an audit of a known book."""
        was_live = self._is_live()
        out = self.handle(answer, received_ns)
        if was_live:
            self._act_on(self.checks.on_answer(answer, received_ns), received_ns, out)
        return out

    def on_pulse(self, asked_ns: int, best: BestLevels) -> None:
        """An answer shows the best levels of this symbol."""
        if self._is_live():
            self.checks.on_pulse(asked_ns, best)

    def on_witness(
        self, message: WitnessMessage, connection: int, received_ns: int
    ) -> list[PipelineOutput]:
        """Another stream of the symbol, on this connection, shows its best levels."""
        out: list[PipelineOutput] = []
        if self._is_live():
            found = self.checks.on_witness(message, connection, received_ns)
            self._act_on(found, received_ns, out)
        return out

    # ── what follows ────────────────────────────────────────────────────────────────────────

    def _on_applied(self, event: DepthEvent, received_ns: int, out: list[PipelineOutput]) -> None:
        since_ns = self.sync.known_since(received_ns)
        found = self.checks.on_applied(event, since_ns)
        if found:
            self._act_on(found, since_ns, out)
        # A check may have failed. Then the book is lost, and there is no row.
        if is_row_due(self.sync.updates, self._every) and self._is_live():
            self._add_row(received_ns, out)

    def _on_synced(self, synced: BookSynced, received_ns: int, out: list[PipelineOutput]) -> None:
        if synced.closed:
            out.append(synced.closed)
        out.append(synced)
        self._add_row(received_ns, out)
        self._act_on(self.checks.on_synced(received_ns), received_ns, out)
        for held in synced.held:
            out += self.handle(held.event, held.received_ns)

    def _add_row(self, received_ns: int, out: list[PipelineOutput]) -> None:
        row = self.sync.row(received_ns)
        out.append(row)
        out += crossed(self.sync, row.received_ns)

    def _act_on(
        self, found: Iterable[CheckOutput], received_ns: int, out: list[PipelineOutput]
    ) -> None:
        """Hand failed checks to the state machine; pass on the other outputs."""
        for output in found:
            if isinstance(output, IdsReset):
                out.append(ForgetFeedIds())
            if isinstance(output, LossCause):
                out += self.handle(output, received_ns)
            else:
                out.append(output)
            if isinstance(output, Check) and self._audited_between_rows(output):
                out += crossed(self.sync, output.received_ns)

    def _audited_between_rows(self, check: Check) -> bool:
        """Whether an audit of a state that is not a row has passed: rows are examined anyway."""
        passed = check.witness == REST and not check.differences
        return passed and not is_row_due(self.sync.updates, self._every)

    def _is_live(self) -> bool:
        return self.sync.state is _LIVE
