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
from booktape.verify.model.decimals import Malformed, Number, as_double, from_double, price, whole
from booktape.verify.model.decode import Event, levels_of
from booktape.verify.model.sync import ModelState, ModelSync, OpenGap
from booktape.verify.model.tape import Line
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
    if sync.timed:
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


def restore(sync: ModelSync, saved: Line) -> None:
    """Restore a checkpoint without any proof that it is right. Raises DamagedTape."""
    try:
        _restore(sync, saved)
    except (Malformed, DamagedTape) as error:
        raise DamagedTape(f"a checkpoint of {sync.symbol} cannot be restored: {error}") from error


def _restore(sync: ModelSync, saved: Line) -> None:
    fields = saved.fields
    sync.state = _state(saved.text("state"))
    sync.epoch, sync.update_id = saved.whole("epoch"), saved.whole("update_id")
    sync.updates, sync.known_ns = saved.whole("updates"), saved.whole("known_ns")
    # It does not show which of the two moments was the later one, and that makes no difference.
    sync.proved_ns = sync.known_ns
    sync.event_time_us = _optional(fields["event_time_us"])
    if "status" in fields:
        sync.status = saved.text("status")
    sync.book = DecimalBook(
        DecimalSide(1, levels_of(fields["bids"], from_double), _horizon(fields["bid_horizon"])),
        DecimalSide(-1, levels_of(fields["asks"], from_double), _horizon(fields["ask_horizon"])),
    )
    if fields["gap"] is not None:
        gap = saved.part("gap")
        numbers = gap.whole("epoch"), gap.whole("start_ns"), gap.whole("last_update_id")
        sync.gap = OpenGap(*numbers, gap.text("reason"), inherited=True)
    sync.held = [_arrived(held) for held in saved.parts("held")]
    sync.inherited = sync.live
    arbiter = sync.arbiter
    arbiter.last_released = _optional(fields["passed"])
    reached = saved.part("reached").fields
    arbiter.last_by_connection = {whole(number): _optional(at) for number, at in reached.items()}
    arbiter.buffered = [_arrived(held) for held in saved.parts("ahead")]
    if sync.trades is not None and fields.get("trades") is not None:
        _restore_trades(sync.trades, saved.part("trades"))
    if sync.timed:
        _restore_timed(sync, saved)
    elif sync.state == ModelState.BREAK:
        raise Malformed("a break on a tape of format 1")


def _state(text: str) -> ModelState:
    if text not in set(ModelState):
        raise Malformed(f"the state {text}")
    return ModelState(text)


def _restore_timed(sync: ModelSync, saved: Line) -> None:
    sync.tick_size, sync.lot_size = saved.text("tick_size"), saved.text("lot_size")
    sync.stamp_ns = saved.whole("stamp_ns") or sync.known_ns
    sync.synced_ns = saved.whole("synced_ns")
    sync.arbiter.newest_us = saved.whole("newest_us")
    sync.arbiter.newest_id = saved.whole("newest_id")
    sync.on_restored(saved.whole("evidence_age_ns"))


def _restore_trades(trades: ModelTrades, saved: Line) -> None:
    trades.newest = whole(saved.fields["last_id"])
    trades.newest_us = whole(saved.fields["newest_us"])
    names = ("first_id", "last_id", "after_us", "before_us", "opened_ns")
    holes = (tuple(whole(hole.fields[name]) for name in names) for hole in saved.parts("holes"))
    trades.missing = [Missing._make((*hole, True)) for hole in holes]


def _optional(value: object) -> int | None:
    return None if value is None else whole(value)


def _horizon(value: object) -> Number | None:
    return None if value is None else price(value)


def _arrived(held: Line) -> ArrivedEvent:
    event = held.part("event")
    fields = event.fields
    time_us, first, last = (whole(fields[n]) for n in ("event_time_us", "first_id", "last_id"))
    bids, asks = (levels_of(fields[name], from_double) for name in ("bids", "asks"))
    read = Event(event.text("symbol"), time_us, first, last, bids, asks)
    return ArrivedEvent(held.whole("received_ns"), read, inherited=True)
