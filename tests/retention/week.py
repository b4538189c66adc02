"""A recording as long as one likes, in virtual time: sealed by the clock, restarted once, pruned after each segment.

Two quiet symbols, an event of each every 20 s, a tick every two seconds, books of some 100 levels a side that do not
grow. The recorder's own session writes it, and `prune` removes from it, as beside a recorder.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

from booktape.core.gap_reasons import STOPPED
from booktape.core.tape_records import FORMAT, SegmentStart, TapeRecord, Tick
from booktape.retention.prune import Rules, prune
from booktape.store.archive import Archive
from booktape.store.session import RecordingSession
from support.archives import open_archive
from support.oracle import SECOND, connected, event, rest, snapshot, start, stream
from support.rotation import finish, follow, rotate

SYMBOLS: Final = ("BTCUSDT", "ETHUSDT")
BEGIN_S: Final = 1_780_000_000 // 86_400 * 86_400
TICK_S: Final = 2
EVENT_S: Final = 20
EVERY: Final = 2


class Sample(NamedTuple):
    """The archive and this process after a pass. `rows` of what was removed so far, all of them verified before."""

    disk_bytes: int
    files: int
    resident_mb: float
    removed_tapes: int
    removed_segments: int


@dataclass
class Market:
    """Books whose levels come and go between the same prices."""

    chance: Random
    last_id: int = 1_000

    def book(self, symbol: str, at: int) -> TapeRecord:
        levels = {
            side: {f"{first + step}": "1" for step in range(100)}
            for side, first in (("bids", 1_000), ("asks", 1_100))
        }
        return rest(snapshot(self.last_id, levels["bids"], levels["asks"], symbol=symbol), at)

    def change(self, symbol: str, at: int) -> TapeRecord:
        self.last_id += 1
        size = self.chance.choice(("0", "1", "2.5", "7"))
        bids = {f"{self.chance.randrange(1_000, 1_100)}": size}
        asks = {f"{self.chance.randrange(1_100, 1_200)}": "3"}
        known = event(self.last_id, self.last_id, bids, asks, symbol=symbol)
        return stream(known, at, 1)


def record_and_prune(root: Path, segments: int, segment_s: int, rules: Rules) -> Iterator[Sample]:
    """Record this many segments, and prune after each; a sample of each pass. The recorder restarts in the middle."""
    first, second = segments // 2, segments - segments // 2
    tapes = whole = 0
    begin_s = BEGIN_S
    for count in (first, second):
        with open_archive(root) as archive:
            markets = {symbol: Market(Random(symbol)) for symbol in SYMBOLS}
            session = _begin(archive, markets, begin_s)
            for number in range(1, count + 1):
                until_s = begin_s + segment_s
                _record(session, markets, begin_s, until_s)
                sealed = (
                    finish(session, STOPPED)
                    if number == count
                    else rotate(session, until_s * SECOND)
                )
                sealed.result()
                begin_s = until_s
                outcome = prune(root, rules, until_s * 10**6)
                assert not outcome.unverified, outcome.unverified
                tapes += len(outcome.tapes)
                whole += len(outcome.segments)
                yield _sample(root, tapes, whole)
        begin_s += segment_s


def _begin(archive: Archive, markets: dict[str, Market], at: int) -> RecordingSession:
    begins: SegmentStart = start(
        *SYMBOLS, every=EVERY, received_ns=at * SECOND, format=FORMAT, pulse_s=30.0
    )
    session = archive.begin(begins, f"run{at}")
    follow(session, connected(at, 1, SYMBOLS))
    for symbol, market in markets.items():
        market.last_id += at
        follow(session, market.book(symbol, at))
    return session


def _record(
    session: RecordingSession, markets: dict[str, Market], begin_s: int, until_s: int
) -> None:
    for at in range(begin_s + TICK_S, until_s, TICK_S):
        follow(session, Tick(at * SECOND, TICK_S * SECOND))
        if at % EVENT_S == 0:
            for symbol, market in markets.items():
                follow(session, market.change(symbol, at))


def _sample(root: Path, tapes: int, whole: int) -> Sample:
    """Receipts are counted apart: they stay."""
    files = [
        path
        for path in root.rglob("*")
        if path.is_file() and "removed" not in path.relative_to(root).parts
    ]
    status = Path("/proc/self/status").read_text()
    resident = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert resident
    size = sum(path.stat().st_size for path in files)
    return Sample(size, len(files), int(resident[1]) / 1_024, tapes, whole)
