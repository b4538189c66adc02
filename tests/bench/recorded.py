"""What the benchmarks of files and their readers record, and the recording of it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Final

from bench.lifelike import LIMIT, SLOTS_PER_S, START_NS, SYMBOL, lifelike
from booktape.core.gap_reasons import STOPPED
from booktape.core.tape_records import (
    Connected,
    DepthAnswer,
    SegmentStart,
    StreamMessage,
    TapeRecord,
)
from booktape.sim.market.market import Market
from booktape.sim.messages import Encoding
from booktape.wire.binance import decode_depth
from booktape.wire.encode import encode_depth
from captures.capture import BTCUSDT, frames
from support.archives import open_archive
from support.rotation import finish, follow

SECONDS: Final = int(os.environ.get("BOOKTAPE_BENCH_SECONDS", "3600"))


@cache
def lifelike_hour() -> list[TapeRecord]:
    """Made once, however often it is asked for."""
    return list(lifelike(SECONDS))


def built_in_hour() -> Iterator[TapeRecord]:
    """A snapshot of 5,000 levels a side, and then ten events a second."""
    market = Market((SYMBOL,), seed=1)
    market.want([f"{SYMBOL.lower()}@depth@100ms"])
    market.start(START_NS // 1_000)
    market.advance()
    yield Connected(START_NS, 1, (SYMBOL,))
    yield DepthAnswer(START_NS, SYMBOL, LIMIT, market.depth(SYMBOL, LIMIT, 0.0))
    for slot in range(1, SECONDS * SLOTS_PER_S):
        for message in market.advance():
            payload = message.payload(Encoding(combined=True, microseconds=True))
            yield StreamMessage(START_NS + slot * 10**9 // SLOTS_PER_S, 1, payload)


def real_minute(levels: int = LIMIT) -> Iterator[TapeRecord]:
    """The capture without its other streams, and its snapshot first: earlier events are stale.

    The snapshot keeps the best `levels` a side.
    """
    _, connected, *arrived = frames(*BTCUSDT)
    yield connected
    yield from (_cut(frame, levels) for frame in arrived if isinstance(frame, DepthAnswer))
    events = (frame for frame in arrived if isinstance(frame, StreamMessage))
    yield from (frame for frame in events if b"@depth@" in frame.payload[:60])


def _cut(frame: DepthAnswer, levels: int) -> DepthAnswer:
    """As if no more had been asked for."""
    shown = decode_depth(frame.payload, frame.symbol, frame.limit)
    fewer = replace(shown, limit=levels, bids=shown.bids[:levels], asks=shown.asks[:levels])
    return replace(frame, limit=levels, payload=encode_depth(fewer))


def record(root: Path, arrived: Iterable[TapeRecord], every: int) -> Path:
    """A sealed archive of them, made by the recorder's own store; its file of rows."""
    with open_archive(root) as archive:
        start = SegmentStart(START_NS, "bench", "sim", every, LIMIT, (SYMBOL,), audit_s=0)
        recording = archive.begin(start, "bench")
        for frame in arrived:
            follow(recording, frame)
        finish(recording, STOPPED).result()
    (rows,) = root.glob("snapshots/*/*/*.parquet")
    return rows
