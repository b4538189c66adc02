"""A symbol's machine, written down and set up again: how one segment hands over to the next."""

from __future__ import annotations

from booktape.core.book import Book
from booktape.core.frames import Checkpoint
from booktape.core.merge import Lane
from booktape.core.sync import State, SymbolSync


def save(sync: SymbolSync, lane: Lane, received_ns: int) -> Checkpoint:
    """Everything `restore` needs to go on as if nothing had happened."""
    return Checkpoint(
        received_ns,
        sync.symbol,
        sync.state.value,
        sync.epoch,
        sync.update_id,
        sync.updates,
        sync.event_time_us,
        sync.known_ns,
        sync.attempt,
        sync.gap,
        sync.book.bid_horizon,
        sync.book.ask_horizon,
        sync.book.bids.pairs(),
        sync.book.asks.pairs(),
        list(sync.held),
        lane.passed,
        dict(lane.reached),
        list(lane.ahead),
        sync.status,
    )


def restore(saved: Checkpoint) -> tuple[SymbolSync, Lane]:
    """The machine, and the lane before it, that `save` wrote down."""
    sync = SymbolSync(saved.symbol)
    sync.state = State(saved.state)
    sync.book = Book(saved.bids, saved.asks, saved.bid_horizon, saved.ask_horizon)
    sync.epoch, sync.update_id, sync.updates = saved.epoch, saved.update_id, saved.updates
    sync.event_time_us, sync.known_ns = saved.event_time_us, saved.known_ns
    sync.attempt, sync.gap, sync.held = saved.attempt, saved.gap, list(saved.held)
    sync.status = saved.status
    return sync, Lane(saved.passed, dict(saved.reached), list(saved.ahead))
