"""The state of a symbol between two segments: that of a checkpoint, and that of the model.

Both are brought into one form, a text for each part. So they can be compared, shown side by side, and sent
from one process to another however large the books are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from decimal import Decimal
from typing import TypeAlias

from booktape.errors import DamagedTape
from booktape.verify.model.arbitration import ArrivedEvent
from booktape.verify.model.book import DecimalBook, DecimalSide
from booktape.verify.model.decimals import NoNumber, Number, as_double, from_double, price, whole
from booktape.verify.model.decode import Event, Levels, Object
from booktape.verify.model.sync import ModelState, ModelSync, OpenGap
from booktape.verify.model.tape import Line
from booktape.verify.model.timed_sync import TimedModelSync
from booktape.verify.model.trades import Missing, ModelTrades

CheckpointTexts: TypeAlias = dict[str, str]


def checkpoint_of(sync: ModelSync) -> CheckpointTexts:
    """The state with which the next segment must begin."""
    arbiter = sync.arbiter
    gap = sync.gap
    state = {
        "state": sync.state.value,
        "epoch": sync.epoch,
        "update_id": sync.update_id,
        "updates": sync.updates,
        "event_time_us": sync.event_time_us,
        "known_ns": sync.known_ns,
        "status": sync.status,
        "gap": gap and (gap.epoch, gap.start_ns, gap.last_update_id, gap.reason),
        "bids": _side(sync.book.bids),
        "asks": _side(sync.book.asks),
        "held": _events(sync.held),
        "passed": arbiter.last_released,
        "reached": sorted(arbiter.last_by_connection.items()),
        "ahead": _events(arbiter.buffered),
        "trades": _trades(sync.trades),
    }
    if isinstance(sync, TimedModelSync):
        state |= {
            "tick_size": sync.tick_size,
            "lot_size": sync.lot_size,
            "synced_ns": sync.synced_ns,
            # A book that was never known has no stamp. Its checkpoint has `known_ns` in this place.
            "stamp_ns": sync.stamp_ns if sync.epoch else sync.known_ns,
            "evidence_age_ns": sync.evidence_age_ns(),
            "newest_us": arbiter.newest_us,
            "newest_id": arbiter.newest_id,
        }
    return {name: str(value) for name, value in state.items()}


def cold(saved: CheckpointTexts, tape_format: int, now_ns: int | None) -> CheckpointTexts:
    """The state of the same symbol without connections, as a recording that begins at `now_ns` restores it.

    A symbol that has ended is cold like any other: a recording that begins with it has found it listed. A
    recording of format 1 has fewer values than one of format 2 begins with. A book was known no later
    than now, whatever the clock was then; `now_ns` is None on tapes from before that rule.
    """
    without = {"held": "0", "passed": "None", "reached": "[]", "ahead": "0"}
    ended = saved.get("state") == ModelState.ENDED.value
    found = {**saved, **without, **({"state": ModelState.COLD.value} if ended else {})}
    if tape_format > 1:
        if "stamp_ns" not in saved:
            found |= {"tick_size": "", "lot_size": "", "status": ""}
            found |= {"synced_ns": "0", "stamp_ns": found["known_ns"]}
        found |= {"evidence_age_ns": "0", "newest_us": "0", "newest_id": "0"}
    if now_ns is not None:
        moments = found.keys() & {"known_ns", "stamp_ns", "synced_ns"}
        found |= {name: str(min(int(found[name]), now_ns)) for name in moments}
    return found


def _trades(trades: ModelTrades | None) -> str | None:
    if trades is None or trades.newest is None:
        return None
    missing = ";".join(str(one[:-1]) for one in trades.missing)
    return f"{trades.newest} at {trades.newest_us}, {len(trades.missing)} holes {_digest(missing)}"


def _side(side: DecimalSide) -> str:
    horizon = "all" if side.horizon is None else f"known to {_plain(side.horizon.value)}"
    text = " ".join(f"{_double(p)}x{_double(size)}" for p, size in side.levels())
    return f"{len(side.sizes)} levels, {horizon}, {_digest(text)}"


def _events(arrived: Iterable[ArrivedEvent]) -> str:
    texts = [f"{a.stamp_ns} {_event(a.event)}" for a in arrived]
    return f"{len(texts)} {_digest(';'.join(texts))}" if texts else "0"


def _event(event: Event) -> str:
    sides = ("".join(f" {_double(p)}x{_double(s)}" for p, s in side) for side in event[4:])
    return f"{event.symbol} {event.time_us} {event.first} {event.last}{'|'.join(sides)}"


def _double(number: Number) -> str:
    """As in a checkpoint, which is written with doubles."""
    return _plain(number.value if number.exact else as_double(number.value))


def _plain(value: Decimal) -> str:
    return str(value.normalize())


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


# ── from a checkpoint ───────────────────────────────────────────────────────────────────────


def restore(sync: ModelSync, line: Line) -> None:
    """Restore a checkpoint without any proof that it is right. Raises DamagedTape."""
    try:
        _restore(sync, line.fields, line)
    except (NoNumber, KeyError, TypeError, ValueError, AttributeError) as error:
        raise DamagedTape(f"a checkpoint of {sync.symbol} cannot be restored: {error!r}") from error


def _restore(sync: ModelSync, fields: Object, line: Line) -> None:
    sync.state = ModelState(line.text("state"))
    sync.epoch, sync.update_id = line.whole("epoch"), line.whole("update_id")
    sync.updates, sync.known_ns = line.whole("updates"), line.whole("known_ns")
    sync.event_time_us = _optional(fields["event_time_us"])
    sync.status = fields.get("status", sync.status)
    sync.book = DecimalBook(
        DecimalSide(1, _levels(fields["bids"]), _horizon(fields["bid_horizon"])),
        DecimalSide(-1, _levels(fields["asks"]), _horizon(fields["ask_horizon"])),
    )
    gap = fields["gap"]
    if gap is not None:
        known = gap["epoch"], gap["start_ns"], gap["last_update_id"], gap["reason"]
        sync.gap = OpenGap(*known, inherited=True)
    sync.held = [_arrived(held) for held in fields["held"]]
    sync.inherited = sync.live
    arbiter = sync.arbiter
    arbiter.last_released = _optional(fields["passed"])
    arbiter.last_by_connection = {int(c): _optional(at) for c, at in fields["reached"].items()}
    arbiter.buffered = [_arrived(held) for held in fields["ahead"]]
    saved = fields.get("trades")
    if sync.trades is not None and saved is not None:
        _restore_trades(sync.trades, saved)
    if isinstance(sync, TimedModelSync):
        _restore_timed(sync, line)
    elif sync.state == ModelState.BREAK:
        raise ValueError(sync.state)


def _restore_timed(sync: TimedModelSync, line: Line) -> None:
    sync.tick_size, sync.lot_size = line.text("tick_size"), line.text("lot_size")
    sync.stamp_ns = line.whole("stamp_ns") or sync.known_ns
    sync.synced_ns = line.whole("synced_ns")
    # It does not show which of the two moments was the later one, and that makes no difference.
    sync.proved_ns = sync.known_ns
    sync.arbiter.newest_us = line.whole("newest_us")
    sync.arbiter.newest_id = line.whole("newest_id")
    sync.on_restored(line.whole("evidence_age_ns"))


def _restore_trades(trades: ModelTrades, saved: Object) -> None:
    trades.newest, trades.newest_us = whole(saved["last_id"]), whole(saved["newest_us"])
    names = ("first_id", "last_id", "after_us", "before_us", "opened_ns")
    holes = (tuple(whole(hole[name]) for name in names) for hole in saved["holes"])
    trades.missing = [Missing._make((*hole, True)) for hole in holes]


def _optional(value: object) -> int | None:
    return None if value is None else whole(value)


def _horizon(value: object) -> Number | None:
    return None if value is None else price(value)


def _levels(pairs: object) -> Levels:
    if not isinstance(pairs, list):
        raise TypeError(pairs)
    return [(price(p), from_double(s)) for p, s in pairs]


def _arrived(held: Object) -> ArrivedEvent:
    event = held["event"]
    read = Event(
        event["symbol"],
        whole(event["event_time_us"]),
        whole(event["first_id"]),
        whole(event["last_id"]),
        _levels(event["bids"]),
        _levels(event["asks"]),
    )
    return ArrivedEvent(held["received_ns"], read, inherited=True)
