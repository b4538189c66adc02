"""A recording as long as you like, in virtual time: sealed by the clock, restarted once, pruned after each segment.

Two quiet symbols, each with an event every 20 s, a tick every two seconds, books of some 100 levels a side that do
not grow. The recorder's own session writes it, and `prune` removes from it, as beside a recorder. `compact` copies each
day that is over into one file for each symbol, and `prune` removes old days from the copy, as a timer would have them
do.
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
from booktape.retention.compact import compact
from booktape.retention.prune import PruneOutcome, Rules, prune
from booktape.store.archive import Archive
from booktape.store.session import RecordingSession
from support.archives import open_archive
from support.oracle import SECOND, connected, event, rest, snapshot, start, stream
from support.rotation import finish, follow, rotate

SYMBOLS: Final = ("BTCUSDT", "ETHUSDT")
BEGIN_S: Final = 1_780_000_000 // 86_400 * 86_400
DAY_S: Final = 86_400
EVERY: Final = 2


class Folders(NamedTuple):
    """The archive of a recorder, and the copy of its days."""

    archive: Path
    days: Path

    @classmethod
    def under(cls, root: Path) -> Folders:
        return cls(root / "archive", root / "days")


class Plan(NamedTuple):
    """How long it records, how often events come, and how much is kept in the archive and in the copy.

    The times between two ticks, and two pulses, follow from the time between two events.
    """

    segments: int
    segment_s: int
    event_s: int
    rules: Rules
    days: Rules


class Sample(NamedTuple):
    """Both folders and this process after a pass, and everything removed and copied up to then."""

    disk_bytes: int
    files: int
    resident_mb: float
    removed_tapes: int
    removed_segments: int
    copied_days: int
    removed_days: int


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


def record_and_prune(folders: Folders, plan: Plan) -> Iterator[Sample]:
    """Record all segments, and prune after each; a sample of each pass. The recorder restarts in the middle."""
    first, second = plan.segments // 2, plan.segments - plan.segments // 2
    tapes = whole = copied = removed = 0
    begin_s = BEGIN_S
    for count in (first, second):
        with open_archive(folders.archive) as archive:
            markets = {symbol: Market(Random(symbol)) for symbol in SYMBOLS}
            session = _begin(archive, markets, begin_s, plan.event_s)
            for number in range(1, count + 1):
                until_s = begin_s + plan.segment_s
                _record(session, markets, begin_s, until_s, plan.event_s)
                sealed = (
                    finish(session, STOPPED)
                    if number == count
                    else rotate(session, until_s * SECOND)
                )
                sealed.result()
                if begin_s % DAY_S == 0 and begin_s > BEGIN_S:  # the first segment of a day
                    compacted = compact(*folders)
                    assert not compacted.left_out, compacted.left_out
                    copied += len(compacted.days)
                    removed += len(_prune(folders.days, plan.days, until_s).segments)
                begin_s = until_s
                outcome = _prune(folders.archive, plan.rules, until_s)
                tapes += len(outcome.tapes)
                whole += len(outcome.segments)
                yield Sample(*_measured(folders), tapes, whole, copied, removed)
        begin_s += plan.segment_s


def _prune(root: Path, rules: Rules, now_s: int) -> PruneOutcome:
    outcome = prune(root, rules, now_s * 10**6)
    assert not outcome.unverified, outcome.unverified
    return outcome


def _begin(archive: Archive, markets: dict[str, Market], at: int, event_s: int) -> RecordingSession:
    begins: SegmentStart = start(
        *SYMBOLS, every=EVERY, received_ns=at * SECOND, format=FORMAT, pulse_s=1.5 * event_s
    )
    session = archive.begin(begins, f"run{at}")
    follow(session, connected(at, 1, SYMBOLS))
    for symbol, market in markets.items():
        market.last_id += at
        follow(session, market.book(symbol, at))
    return session


def _record(
    session: RecordingSession, markets: dict[str, Market], begin_s: int, until_s: int, event_s: int
) -> None:
    tick_s = event_s // 10
    for at in range(begin_s + tick_s, until_s, tick_s):
        follow(session, Tick(at * SECOND, tick_s * SECOND))
        if at % event_s == 0:
            for symbol, market in markets.items():
                follow(session, market.change(symbol, at))


def _measured(folders: Folders) -> tuple[int, int, float]:
    """Bytes on the disk, number of files, and resident megabytes. Receipts are not counted: they stay."""
    files = [
        path
        for root in folders
        for path in root.rglob("*")
        if path.is_file() and "removed" not in path.relative_to(root).parts
    ]
    status = Path("/proc/self/status").read_text()
    resident = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert resident
    return sum(path.stat().st_size for path in files), len(files), int(resident[1]) / 1_024
