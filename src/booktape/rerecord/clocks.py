"""The clocks of several machines, brought to one.

**Why.** The books do not need it: update ids order the events of all machines. But a merge goes by time where
ids say nothing: an event waits at most 3 s for another connection to bring the one before it
(core/arbitration.py), a witness that is ahead of the book is believed for 3 s (checks/freshness.py), a pulse is
compared with a book that was quiet for 1 s. With two clocks that are seconds apart the one machine's events
would come too late to fill the other's holes.

**What is done.** Each recorder measures every quarter of an hour how far its clock is ahead of the exchange's
(`ClockOffset`). Of all recorders to be merged the one whose first measurement is the smallest has the
*reference*. Another clock that differs from it by more than `TOLERANCE_NS` is corrected: all of its stamps move
by the difference that was measured, until a measurement differs from that by more than `TOLERANCE_NS` again.
Where a clock was set, by `TOLERANCE_NS` or more, a new stretch begins: it is corrected by its own first measurement.
In a stretch without any, a clock that was set back is taken to be as wrong as before, less the step; one
that went forward counts as unchanged, since a machine that slept looks the same.

**What is not done.** A difference up to `TOLERANCE_NS` stays: the stamps are those of the machines, so two events may
have stamps that differ from their order by that much. A recorder that never measured (it lived for less than two
seconds, or the exchange gave no answer) is taken to be right.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final, TypeAlias

from booktape.core.tape_records import (
    ClockOffset,
    ClockStep,
    Disconnected,
    Pulse,
    StreamMessage,
    TapeRecord,
)

TOLERANCE_NS: Final = 250_000_000
"""By how much two clocks may differ. A twelfth of the 3 s for which events wait; what public time servers keep is
a tenth of this."""

ClockMark: TypeAlias = ClockOffset | ClockStep
"""What a tape tells of its clock."""


def reference_ns(clocks: Iterable[Sequence[ClockMark]]) -> int:
    """How far the best of these clocks is ahead of the exchange's; 0 where none was measured."""
    firsts = (_first_offset(marks) for marks in clocks)
    offsets = (first.offset_ns for first in firsts if first)
    return min(offsets, key=lambda offset_ns: (abs(offset_ns), offset_ns), default=0)


def shifts_ns(marks: Sequence[ClockMark], reference: int) -> tuple[int, ...]:
    """By how much stamps are ahead of the reference: at the beginning, and after each of the marks."""
    shift = _settled(0, _first_offset(marks), reference)
    shifts = [shift]
    for number, mark in enumerate(marks, 1):
        if isinstance(mark, ClockOffset):
            shift = _settled(shift, mark, reference)
        elif abs(mark.step_ns) >= TOLERANCE_NS:
            shift = _settled(shift + min(mark.step_ns, 0), _first_offset(marks[number:]), reference)
        shifts.append(shift)
    return tuple(shifts)


def _settled(shift: int, measured: ClockOffset | None, reference: int) -> int:
    """The shift that holds after a measurement. It stays where the measurement allows that."""
    if measured is None:
        return shift
    ahead_ns = measured.offset_ns - reference
    return ahead_ns if abs(ahead_ns - shift) > TOLERANCE_NS + measured.error_ns else shift


def _first_offset(marks: Iterable[ClockMark]) -> ClockOffset | None:
    """The first measurement before the clock is set."""
    for mark in marks:
        if isinstance(mark, ClockOffset):
            return mark
        if abs(mark.step_ns) >= TOLERANCE_NS:
            return None
    return None


def corrected(record: TapeRecord, shift: int) -> TapeRecord:
    """The record as a machine would have written it whose clock is not ahead by `shift` nanoseconds."""
    if not shift:
        return record
    received_ns = record.received_ns - shift
    match record:
        case StreamMessage():  # nearly all are
            return StreamMessage(received_ns, record.connection, record.payload)
        case Pulse():
            return replace(record, received_ns=received_ns, asked_ns=record.asked_ns - shift)
        case Disconnected():
            return replace(record, received_ns=received_ns, alive_ns=record.alive_ns - shift)
        case ClockOffset():
            return replace(record, received_ns=received_ns, offset_ns=record.offset_ns - shift)
    return replace(record, received_ns=received_ns)
