"""A symbol's state machine and feed as a `Checkpoint`, and back: how one segment continues another."""

from __future__ import annotations

from dataclasses import replace

from booktape.core.arbitration import SymbolFeed
from booktape.core.book import OrderBook
from booktape.core.lag import UsualLag
from booktape.core.sync import State, SymbolSync
from booktape.core.tape_records import FORMAT, Checkpoint


def save(sync: SymbolSync, feed: SymbolFeed, received_ns: int) -> Checkpoint:
    """Everything `restore` needs to continue as if nothing had happened."""
    saved = Checkpoint(
        received_ns=received_ns,
        symbol=sync.symbol,
        state=sync.state.value,
        epoch=sync.epoch,
        update_id=sync.update_id,
        updates=sync.updates,
        event_time_us=sync.event_time_us,
        known_ns=sync.known_ns,
        attempt=sync.attempt,
        gap=sync.gap,
        bid_horizon=sync.book.bid_horizon,
        ask_horizon=sync.book.ask_horizon,
        bids=sync.book.bids.levels(),
        asks=sync.book.asks.levels(),
        held=list(sync.held),
        passed=feed.last_released,
        reached=dict(feed.last_by_connection),
        ahead=list(feed.buffered),
        status=sync.status,
    )
    if sync.tape_format == 1:
        return saved
    return replace(
        saved,
        tick_size=sync.tick_size,
        lot_size=sync.lot_size,
        synced_ns=sync.synced_ns,
        stamp_ns=sync.stamp_ns,
        newest_us=feed.newest_us,
        newest_id=feed.newest_id,
    )


def restore(
    saved: Checkpoint, tape_format: int = FORMAT, lag: UsualLag | None = None
) -> tuple[SymbolSync, SymbolFeed]:
    """The state machine that `save` was given, and the feed in front of it."""
    sync = SymbolSync(saved.symbol, tape_format, lag)
    sync.state = State(saved.state)
    sync.book = OrderBook(saved.bids, saved.asks, saved.bid_horizon, saved.ask_horizon)
    sync.epoch, sync.update_id, sync.updates = saved.epoch, saved.update_id, saved.updates
    sync.event_time_us = saved.event_time_us
    # A checkpoint of format 1 holds only one moment.
    sync.stamp_ns, sync.synced_ns = saved.stamp_ns or saved.known_ns, saved.synced_ns
    sync.proved_ns = saved.known_ns
    sync.attempt, sync.gap, sync.held = saved.attempt, saved.gap, list(saved.held)
    sync.status, sync.tick_size, sync.lot_size = saved.status, saved.tick_size, saved.lot_size
    feed = SymbolFeed(
        last_released=saved.passed,
        last_by_connection=dict(saved.reached),
        buffered=list(saved.ahead),
        newest_id=saved.newest_id,
        newest_us=saved.newest_us,
        sees_resets=tape_format != 1,
    )
    return sync, feed
