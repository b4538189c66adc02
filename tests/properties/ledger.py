"""What booktape promises, checked after every frame against the truth.

Every row shows the truth at its id; rows stay N events apart; epochs grow by one, with exactly one
gap between two; a LIVE book is the truth at its id and never behind what was delivered; without a
connection nothing is LIVE; and in the end every update since the first sync is known or in a gap.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from booktape.core.events import BookRow, FetchSnapshot, Gap, Lost, Synced
from booktape.core.frames import Frame, StreamFrame
from booktape.core.sync import State, SymbolSync
from booktape.reconstruct import Output, Reconstruction
from oracle import Side, differences

Truth: TypeAlias = Callable[[int], tuple[Side, Side]]


class Violation(Exception):
    """A promise was broken."""


def promise(kept: object, words: str) -> None:
    if not kept:
        raise Violation(words)


@dataclass
class Page:
    """What was seen of one symbol so far."""

    truth: Truth
    every: int
    epoch: int = 0
    row: BookRow | None = None
    gap: Gap | None = None
    closed: Gap | None = None
    synced: Synced | None = None
    delivered: int = 0
    reflected: set[int] = field(default_factory=set)
    missed: set[int] = field(default_factory=set)

    def see(self, output: Output) -> None:
        if isinstance(output, Lost):
            self._see_lost(output.gap)
        elif isinstance(output, Gap) and output.end_ns is None:
            promise(output == self.gap, "the ending tells a gap that is not open")
        elif isinstance(output, Gap):
            self._see_closed(output)
        elif isinstance(output, Synced):
            self._see_synced(output)
        elif isinstance(output, BookRow):
            self._see_row(output)

    def _see_lost(self, gap: Gap) -> None:
        promise(self.gap is None, "a gap opens while another is open")
        promise(self.epoch and gap.epoch == self.epoch, "a gap ends an epoch that was not there")
        promise(not self.closed or gap.start_ns >= (self.closed.end_ns or 0), "gaps overlap")
        last_shown = self.row.update_id if self.row else 0
        promise(gap.last_update_id >= last_shown, "a gap begins before a row that was written")
        if self.every == 1:
            promise(gap.last_update_id == last_shown, "the last known state has no row")
        if self.synced:
            self.reflected |= set(range(self.synced.update_id, gap.last_update_id + 1))
        self.gap = gap

    def _see_closed(self, gap: Gap) -> None:
        promise(self.gap, "a gap closes that was not open")
        opened = replace(gap, end_ns=None, next_update_id=None)
        promise(opened == self.gap, "a gap closes as another than it opened")
        promise((gap.end_ns or 0) >= gap.start_ns, "a gap ends before it begins")
        self.missed |= set(range(gap.last_update_id + 1, gap.next_update_id or 0))
        self.gap, self.closed = None, gap

    def _see_synced(self, synced: Synced) -> None:
        promise(synced.epoch == self.epoch + 1, "an epoch does not follow the one before")
        promise(self.gap is None, "a new epoch begins inside a gap")
        before = self.closed.epoch if self.closed else 0
        promise(before == self.epoch, "a new epoch begins, and no gap ended the one before")
        promise(synced.closed == self.closed or not synced.closed, "Synced names another gap")
        self.epoch, self.synced, self.row = synced.epoch, synced, None

    def _see_row(self, row: BookRow) -> None:
        promise(self.synced and not self.gap, "a row in a gap")
        promise(row.epoch == self.epoch, "a row of another epoch")
        if self.row is None:
            assert self.synced
            first_id = self.synced.update_id
            promise((row.update_id, row.updates) == (first_id, 0), "the first row is no snapshot")
            joined = self.closed.next_update_id if self.closed else first_id
            promise(joined == first_id, "a gap ends elsewhere than the next epoch begins")
        else:
            promise(row.update_id > self.row.update_id, "ids do not grow within an epoch")
            promise(row.updates == self.row.updates + self.every, "rows are not N events apart")
        self.row = row
        self.compare(row)

    def compare(self, row: BookRow) -> None:
        wrong = differences(row, *self.truth(row.update_id))
        promise(not wrong, "; ".join(wrong))

    def agree(self, sync: SymbolSync, *, carried: bool) -> None:
        """What the machine holds must be what it said."""
        live = sync.state is State.LIVE
        promise((sync.state is State.COLD) != carried, f"{sync.state} while carried is {carried}")
        promise(sync.gap == self.gap, "the machine has another open gap than it told")
        promise((self.gap is not None) == (self.epoch > 0 and not live), "lost without a gap")
        if live:
            promise(sync.update_id >= self.delivered, "LIVE, and behind what was delivered")
            self.compare(sync.row(0))
            assert self.synced
            self.reflected |= set(range(self.synced.update_id, sync.update_id + 1))
        if self.gap:
            promise(self.gap.last_update_id == sync.update_id, "a gap begins at another state")


class Ledger:
    """A page for each symbol, and which connections are up."""

    def __init__(self, truths: dict[str, Truth], every: int) -> None:
        self.pages = {symbol: Page(truth, every) for symbol, truth in truths.items()}

    def check(self, frame: Frame, outputs: list[Output], machine: Reconstruction) -> None:
        for output in outputs:
            symbol = output.gap.symbol if isinstance(output, Lost) else _symbol(output)
            if symbol is not None:
                self.pages[symbol].see(output)
        self._count_delivered(frame, outputs, machine)
        carried = {symbol for symbols in machine.merge.open.values() for symbol in symbols}
        for symbol, page in self.pages.items():
            page.agree(machine.syncs[symbol], carried=symbol in carried)

    def _count_delivered(
        self, frame: Frame, outputs: list[Output], machine: Reconstruction
    ) -> None:
        """The newest id each machine was given since it last started over."""
        for symbol, page in self.pages.items():
            if machine.syncs[symbol].state is State.COLD:
                page.delivered = 0
        if not isinstance(frame, StreamFrame):
            return
        try:
            event = json.loads(frame.payload)
        except ValueError:
            return
        page = self.pages[event["s"]]
        if any(isinstance(output, FetchSnapshot) for output in outputs):
            page.delivered = event["u"]
        elif machine.syncs[event["s"]].state is not State.COLD:
            page.delivered = max(page.delivered, event["u"])

    def close(self, sync: SymbolSync, newest_id: int) -> None:
        """After the world behaved again: all is known, and nothing is left uncovered."""
        page = self.pages[sync.symbol]
        promise(sync.state is State.LIVE, "never LIVE again")
        promise(sync.update_id == newest_id, "LIVE, and behind the exchange")
        first_id = min(page.reflected)
        uncovered = set(range(first_id, newest_id + 1)) - page.reflected - page.missed
        promise(not uncovered, f"updates {sorted(uncovered)} are neither known nor in a gap")


def _symbol(output: Output) -> str | None:
    return getattr(output, "symbol", None)
