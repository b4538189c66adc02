"""Figures that characterise a stream of changes, the same ones for a real minute and for made ones.

Every minute is measured separately, as the one real minute has to be. "Levels that differ after ten events" is what a
row at N = 10 has to store; how close together they are decides what that costs.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from math import log2
from typing import Final, TypeAlias

import numpy as np

from bench.minute import Minute, whole
from booktape.core.events import DepthEvent
from booktape.core.tape_records import DepthAnswer, StreamMessage, TapeRecord
from booktape.sim.market.order_flow import Ladder
from booktape.wire.binance import decode_depth, decode_event
from docs.generated import table

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

EVENTS: Final = 593
"""A minute: as many events as follow the snapshot of the real one."""

EVENTS_PER_S: Final = 10
FAR: Final = 0.08
PARTS: Final = (10, 50, 90, 99)
QUARTERS: Final = (25, 50, 75, 90)

Figures: TypeAlias = dict[str, float]


def minutes(frames: Iterable[TapeRecord]) -> Iterator[Figures]:
    """The figures of every full minute of events after a snapshot."""
    snapshot_id = 0
    for frame in frames:
        if isinstance(frame, DepthAnswer):
            snapshot = decode_depth(frame.payload, frame.symbol, frame.limit)
            ladders = Ladder(is_bid=True), Ladder(is_bid=False)
            for ladder, levels in zip(ladders, (snapshot.bids, snapshot.asks), strict=True):
                for ticks, lots in whole(levels):
                    ladder.put(ticks, lots)
            minute, snapshot_id = Minute(ladders), snapshot.last_id
        elif isinstance(frame, StreamMessage):
            event = decode_event(frame.payload)
            assert isinstance(event, DepthEvent)
            if event.last_id > snapshot_id:
                minute.take(event, frame.payload)
                if len(minute.payloads) == EVENTS:
                    yield figures(minute)
                    minute = Minute(ladders)


def beside(real: Figures, made: Sequence[Figures]) -> str:
    """A table: the real minute, the mean of the made ones, and their least and most."""
    rows = []
    for name, figure in real.items():
        values = [each[name] for each in made]
        least_most = f"{min(values):,.1f} - {max(values):,.1f}"
        rows.append([name, f"{figure:,.1f}", f"{np.mean(values):,.1f}", least_most])
    return table(["", "real minute", "lifelike minutes, mean", "least - most"], rows)


def figures(minute: Minute) -> Figures:
    """By the words of the table."""
    return {
        **_changes(minute),
        **_places(minute),
        **_repetition(minute),
        **_book(minute),
        **_bytes(minute),
    }


def _changes(minute: Minute) -> Figures:
    logs = np.log(minute.named_in)
    return {
        "prices in an event: mean": float(np.mean(minute.named_in)),
        **_percentiles("prices in an event", minute.named_in, PARTS),
        "ln of it: correlation with the event before": float(
            np.corrcoef(logs[:-1], logs[1:])[0, 1]
        ),
        **{
            f"{kind}, %": 100 * minute.kinds[kind] / minute.kinds.total()
            for kind in (
                *("inserted", "deleted", "deleted, though not there"),
                *("another size", "the same size"),
            )
        },
    }


def _places(minute: Minute) -> Figures:
    far = minute.ladders[0].best * FAR
    moves = [ticks for ticks in minute.moves if ticks]
    return {
        **_percentiles("ticks behind the touch", minute.behind, QUARTERS),
        "ahead of the touch, %": _share(ticks < 0 for ticks in minute.behind),
        "at the touch, %": _share(not ticks for ticks in minute.behind),
        "more than 8 % away, %": _share(ticks > far for ticks in minute.behind),
        "no level left between a change and the next, %": _share(not n for n in minute.between),
        "events that move the touch, %": _share(bool(ticks) for ticks in minute.moves),
        **_percentiles("ticks that it moves", moves, (50, 90)),
        "events that leave a spread above one tick, %": 100 * minute.wide / EVENTS,
    }


def _repetition(minute: Minute) -> Figures:
    lives_s = [events / EVENTS_PER_S for events in minute.lives]
    inserted = minute.inserted
    return {
        **{
            f"prices named before, in the last {events / EVENTS_PER_S:g} s, %": _share(
                age <= events for age in minute.ages
            )
            for events in (1, 10, 100, 600)
        },
        "inserted at a price named in the last 10 s, %": _share(
            age <= 100 for age in minute.ages_of_inserted
        ),
        "a size that the price had before, %": 100 * minute.sizes_had_before / len(minute.sizes),
        "inserted with a size deleted in the same event, %": (
            100 * minute.inserted_for_deleted / len(inserted)
        ),
        "inserted sizes: entropy in bits": _entropy(inserted),
        "inserted sizes: different ones, %": 100 * len(set(inserted)) / len(inserted),
        **_percentiles("s that a level born and gone in the minute lives", lives_s, QUARTERS),
    }


def _book(minute: Minute) -> Figures:
    return {
        "levels at the beginning": float(minute.levels_before),
        "levels gained": float(minute.levels() - minute.levels_before),
        **{f"levels within {t:,} ticks": float(np.mean(n)) for t, n in minute.near.items()},
        **{
            f"levels that differ after {n} events": float(np.mean(c)) for n, c in minute.net.items()
        },
    }


def _bytes(minute: Minute) -> Figures:
    packed = zstd.compress(b"\n".join(minute.payloads), level=9)
    return {
        "prices that are a multiple of 10 ticks, %": _share(not p % 10 for _, p in minute.named),
        "digits of a size": float(np.mean([len(str(n).rstrip("0")) for n in minute.sizes])),
        "bytes of a message": float(np.mean([len(payload) for payload in minute.payloads])),
        "bytes of a message in zstd-9": len(packed) / EVENTS,
    }


def _percentiles(name: str, values: Sequence[float], parts: Sequence[int]) -> Figures:
    return {f"{name}: p{part}": float(np.percentile(values, part)) for part in parts}


def _share(values: Iterable[bool]) -> float:
    found = list(values)
    return 100 * sum(found) / len(found)


def _entropy(values: Sequence[int]) -> float:
    shares = [count / len(values) for count in Counter(values).values()]
    return -sum(share * log2(share) for share in shares)
