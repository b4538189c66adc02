"""The tape of a merge: the records of all tracks by the time of their arrival, as if one machine had received them.

**The idea.** A recorder derives the same from connections of several machines as from several connections of one
machine. core/arbitration.py makes one ordered stream of them: the first copy of an event counts, and a hole on one
connection is filled by another. So a merge needs no rules of its own about books. It needs a tape that has the
connections of all machines side by side; recovery, rebuild, the reader and `verify` treat that tape like any other. A
recorder that was not running is a connection that was not there.

**What follows from it.** A book is lost when no connection of any machine carries the symbol any more, or when all
remaining connections have passed an event that none of them delivered. It is known again with the first snapshot that
joins, whichever machine had requested it. So the gaps of a merge are the times in which no input knew the book, and
every row is proved from the tape.

**How each kind of record is treated.**

- *Messages, snapshots, requests, pulses and statuses* are copied. Connections get new numbers, in the order in which
  they appear, because each machine counts from 1.
- *The start and the checkpoints of a segment* are left out. A merge begins with nothing and has segments of its own, so
  nothing in it rests on a checkpoint. If an input begins in the middle of a recording, or a tape is damaged or missing,
  the books of that machine begin with the next snapshot on its tape (an audit, at most 15 minutes later).
- *Connections that a segment took over* from the previous one are left out, unless the previous one is missing.
- *The end of a recording* is the end of its connections: each is `disconnected`, for the reason of the end. If the
  tape of the next segment is missing or damaged, the reason is `no_tape`.
- *Ticks.* Each machine wrote one a second, and tape time is their sum, so it must not pass once for each machine. A
  tick is left out if less than `SPACING_NS` has passed since the previous one. A tick that reports a pause of its
  machine stays, because that machine's messages waited.
- *Steps and offsets of a clock:* see rerecord/clocks.py. A clock that was set back by a second or more moves all
  moments with it (reconstruct.py). Here it was the clock of one machine, and its stamps are corrected, so that record
  is left out.

**What is not done.** The market is not compared: recordings of two markets that call themselves the same exchange
give books that the audits disprove. If the network of a machine was slow, its witnesses arrived late; they are
believed, as those of a slow connection of a single machine are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from heapq import heapify, heappop, heapreplace
from itertools import count
from typing import Final, NamedTuple

from booktape.core.gap_reasons import NO_TAPE
from booktape.core.tape_records import (
    ROTATED,
    Checkpoint,
    ClockOffset,
    ClockStep,
    Connected,
    Disconnected,
    SegmentEnd,
    SegmentStart,
    StreamMessage,
    TapeRecord,
    Tick,
)
from booktape.reader.tape_query import read_records
from booktape.reconstruct import PAUSE_NS, STEP_BACK_NS
from booktape.rerecord.clocks import corrected
from booktape.rerecord.tracks import Advance, Track

SPACING_NS: Final = 750_000_000
"""The least time between two ticks of the merge: each machine's ticks are a second apart, or a little more."""


class PlacedRecord(NamedTuple):
    """A record, its place in time, and the tape that it comes from.

    `at_ns` is the record's stamp, or the latest stamp before it: within a track it never decreases.
    """

    at_ns: int
    tape: str
    record: TapeRecord


def interleave(tracks: Iterable[Track], advance: Advance) -> Iterator[PlacedRecord]:
    """The records of all tracks in the order of their places; records at the same place in the order of their tags.

    Each track keeps its own order. A track is opened only when its first record is due.
    """
    # A number for each connection of each track, in the order of their first appearance.
    numbers: defaultdict[tuple[str, int], int] = defaultdict(count(1).__next__)
    ticks = _Ticks()
    waiting: list[tuple[int, str, PlacedRecord | None, Iterator[PlacedRecord]]] = [
        (track.begins_ns, track.tag, None, read_track(track, advance)) for track in tracks
    ]
    heapify(waiting)
    while waiting:
        _, tag, placed, following = waiting[0]
        next_one = next(following, None)
        if next_one is None:
            heappop(waiting)
        else:
            heapreplace(waiting, (next_one.at_ns, tag, next_one, following))
        if placed is None:
            continue
        record: TapeRecord | None = placed.record
        if isinstance(record, StreamMessage):
            number = numbers[tag, record.connection]
            record = StreamMessage(record.received_ns, number, record.payload)
        elif isinstance(record, Connected | Disconnected):
            record = replace(record, connection=numbers[tag, record.connection])
        elif isinstance(record, Tick):
            record = ticks.spaced(tag, record, placed.at_ns)
        if record:
            yield placed._replace(record=record)


def read_track(track: Track, advance: Advance) -> Iterator[PlacedRecord]:
    """One track's share of the merge, with the numbers that its own connections have. Raises DamagedTape."""
    state, at_ns = _TrackState(iter(track.shifts_ns)), track.begins_ns
    for tape in track.tapes:
        end: SegmentEnd | None = None
        for record in read_records(tape.archive, tape.file, None):
            if isinstance(record, SegmentEnd):
                end = record
                break
            if state.admits(record):
                moved = corrected(record, state.shift_ns)
                at_ns = max(at_ns, moved.received_ns)
                yield PlacedRecord(at_ns, tape.file.path, moved)
        advance(tape.file.bytes)
        if end and not tape.is_continued:
            at_ns = max(at_ns, end.received_ns - state.shift_ns)
            for connection in state.connections:
                why = NO_TAPE if end.reason == ROTATED else end.reason
                gone = Disconnected(at_ns, connection, at_ns, why)
                yield PlacedRecord(at_ns, tape.file.path, gone)
            state.connections.clear()


class _TrackState:
    """The state of a track that is being read: its open connections, and how far its clock is ahead."""

    def __init__(self, shifts_ns: Iterator[int]) -> None:
        self._shifts_ns = shifts_ns
        self.shift_ns = next(shifts_ns)
        self.connections: dict[int, tuple[str, ...]] = {}

    def admits(self, record: TapeRecord) -> bool:
        """Note what a record changes. Returns whether it belongs on the tape of the merge."""
        match record:
            case SegmentStart() | Checkpoint():
                return False
            case Connected():
                # Each segment names the connections that it took over.
                known = self.connections.get(record.connection)
                self.connections[record.connection] = record.symbols
                return known != record.symbols
            case Disconnected():
                self.connections.pop(record.connection, None)
            case ClockOffset():
                self.shift_ns = next(self._shifts_ns)
            case ClockStep():
                self.shift_ns = next(self._shifts_ns)
                return record.step_ns > -STEP_BACK_NS
        return True


@dataclass(slots=True)
class _Ticks:
    """The last tick of the merge: its time, its track, and whether it reported a pause."""

    _at_ns: int = 0
    _tag: str = ""
    _was_late: bool = False

    def spaced(self, tag: str, tick: Tick, at_ns: int) -> Tick | None:
        """The tick as it is in the merge; None if it is left out.

        The time since a machine's own last tick is exact. Between ticks of two machines it is the difference of their
        stamps. If that would be a pause, no machine was running, and the tick keeps its own time.
        """
        is_late = tick.elapsed_ns >= PAUSE_NS
        since_ns = at_ns - self._at_ns
        if since_ns < SPACING_NS and (self._was_late or not is_late):
            return None
        if tag != self._tag and not is_late and since_ns < PAUSE_NS:
            tick = Tick(tick.received_ns, since_ns)
        self._at_ns, self._tag, self._was_late = at_ns, tag, is_late
        return tick
