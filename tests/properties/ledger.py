"""What booktape promises, checked after every frame against the truth.

Every row shows the truth at its id, and its horizon never shrinks within an epoch; no witness of an
honest exchange ever differs; rows stay N events apart; epoch numbers grow by one, with exactly one
gap between two; a LIVE book is the truth at its id, and lags behind what was delivered only while a connection may
still deliver what is missing; no gap is reported that could have been avoided; without a
connection nothing is LIVE; and in the end every update since the first sync is known or in a gap.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from booktape.core.checks import Check
from booktape.core.events import BookLost, BookRow, BookSynced, GapInterval
from booktape.core.gap_reasons import ID_GAP
from booktape.core.sync import State, SymbolSync
from booktape.core.tape_records import TapeRecord
from booktape.reconstruct import Output, Reconstruction
from properties.arrivals import Arrivals
from support.oracle import Side, differences

Truth: TypeAlias = Callable[[int], tuple[Side, Side]]


class Violation(Exception):
    """A promise was broken."""


class Avoidable(Violation):
    """An avoidable gap was reported: honest, but not as good as possible."""


def promise(kept: object, words: str) -> None:
    if not kept:
        raise Violation(words)


@dataclass
class Page:
    """The observations of one symbol so far."""

    truth: Truth
    every: int
    has_ticks: bool
    epoch: int = 0
    row: BookRow | None = None
    gap: GapInterval | None = None
    closed: GapInterval | None = None
    synced: BookSynced | None = None
    avoidable: str = ""
    at_ns: int = 0
    reflected: set[int] = field(default_factory=set)
    missed: set[int] = field(default_factory=set)

    def see(self, output: Output, arrivals: Arrivals) -> None:
        if isinstance(output, BookLost):
            self._see_lost(output.gap)
            if output.gap.reason == ID_GAP:
                self.avoidable = self.avoidable or arrivals.could_avoid(output.gap)
        elif isinstance(output, GapInterval) and output.end_ns is None:
            promise(output == self.gap, "the ending tells a gap that is not open")
        elif isinstance(output, GapInterval):
            self._see_closed(output)
        elif isinstance(output, BookSynced):
            self._see_synced(output)
        elif isinstance(output, BookRow):
            self._see_row(output)
        elif isinstance(output, Check):
            promise(not output.differences, f"a false alarm of {output.witness}: {output}")

    def _see_lost(self, gap: GapInterval) -> None:
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

    def _see_closed(self, gap: GapInterval) -> None:
        promise(self.gap, "a gap closes that was not open")
        opened = replace(gap, end_ns=None, next_update_id=None)
        promise(opened == self.gap, "a gap closes as another than it opened")
        promise((gap.end_ns or 0) >= gap.start_ns, "a gap ends before it begins")
        self.missed |= set(range(gap.last_update_id + 1, gap.next_update_id or 0))
        self.gap, self.closed = None, gap

    def _see_synced(self, synced: BookSynced) -> None:
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
            ended_ns = self.closed.end_ns if self.closed else row.received_ns
            promise(row.received_ns == ended_ns, "a gap ends at another time than its next row")
        else:
            promise(row.update_id > self.row.update_id, "ids do not grow within an epoch")
            promise(row.updates == self.row.updates + self.every, "rows are not N events apart")
            promise(grew(self.row, row), "a horizon shrank within an epoch")
        promise(not self.has_ticks or row.received_ns >= self.at_ns, "row times go back")
        self.row, self.at_ns = row, row.received_ns
        self.compare(row)

    def compare(self, row: BookRow) -> None:
        wrong = differences(row, *self.truth(row.update_id))
        promise(not wrong, "; ".join(wrong))

    def agree(self, sync: SymbolSync, *, carried: bool) -> None:
        """The machine's state must agree with its outputs."""
        live = sync.state is State.LIVE
        promise((sync.state is State.COLD) != carried, f"{sync.state} while carried is {carried}")
        promise(sync.gap == self.gap, "the machine has another open gap than it told")
        promise((self.gap is not None) == (self.epoch > 0 and not live), "lost without a gap")
        ids = [held.event.last_id for held in sync.held]
        promise(ids == sorted(set(ids)), "events are held twice, or out of order")
        if live:
            self.compare(sync.row(0))
            assert self.synced
            self.reflected |= set(range(self.synced.update_id, sync.update_id + 1))
        if self.gap:
            promise(self.gap.last_update_id == sync.update_id, "a gap begins at another state")


def grew(before: BookRow, row: BookRow) -> bool:
    """Whether the horizon reaches at least as far as before; None means without limit."""
    bids, asks = (before.bid_horizon, row.bid_horizon), (before.ask_horizon, row.ask_horizon)
    return all(
        new is None or (old is not None and sign * new <= sign * old)
        for sign, (old, new) in ((1, bids), (-1, asks))
    )


class Ledger:
    """A page for each symbol, and the events of it that arrived."""

    def __init__(self, truths: Mapping[str, Truth], every: int, *, has_ticks: bool) -> None:
        self.pages = {symbol: Page(truth, every, has_ticks) for symbol, truth in truths.items()}
        self.arrivals = {symbol: Arrivals(symbol) for symbol in truths}

    def check(self, frame: TapeRecord, outputs: list[Output], machine: Reconstruction) -> None:
        for arrivals in self.arrivals.values():
            arrivals.note(frame)
        for output in outputs:
            symbol = output.gap.symbol if isinstance(output, BookLost) else _symbol(output)
            if symbol is not None:
                self.pages[symbol].see(output, self.arrivals[symbol])
        carried = {symbol for symbols in machine.arbiter.connections.values() for symbol in symbols}
        waiting = {symbol for symbol, feed in machine.arbiter.feeds.items() if feed.buffered}
        for symbol, page in self.pages.items():
            sync = machine.syncs[symbol]
            page.agree(sync, carried=symbol in carried)
            behind = self.arrivals[symbol].compare(sync)
            promise(not behind, behind)
            idle = sync.state is State.LIVE and not self.arrivals[symbol].events
            promise(not idle or symbol not in waiting, "said to wait, and nothing is missing")

    def close(self, sync: SymbolSync, newest_id: int) -> None:
        """After everything works again: all is known, and nothing is left uncovered."""
        page = self.pages[sync.symbol]
        promise(sync.state is State.LIVE, "never LIVE again")
        promise(sync.update_id == newest_id, "LIVE, and behind the exchange")
        first_id = min(page.reflected)
        uncovered = set(range(first_id, newest_id + 1)) - page.reflected - page.missed
        promise(not uncovered, f"updates {sorted(uncovered)} are neither known nor in a gap")
        if page.avoidable:
            raise Avoidable(page.avoidable)


def _symbol(output: Output) -> str | None:
    return getattr(output, "symbol", None)
