"""Aligns the clocks of several machines.

**Why.** The books do not need it, because update ids order the events of all machines. But where ids say nothing, a
merge goes by time: an event waits at most 3 s for another connection to bring the event before it
(core/arbitration.py), a witness that is ahead of the book is believed for 3 s (checks/freshness.py), and a pulse is
compared with a book that was quiet for 1 s. If two clocks were seconds apart, the events of one machine would come too
late to fill the holes of the other.

**What is done.** Every quarter of an hour each recorder measures how far its clock is ahead of the exchange's
(`ClockOffset`). The recorder with the smallest first measurement has the *reference* clock. A clock that differs from
the reference by more than `TOLERANCE_NS` is corrected: all of its stamps move by the measured difference, until a
measurement differs from that by more than `TOLERANCE_NS` again. If a clock was set by `TOLERANCE_NS` or more, a new
stretch begins, which is corrected by its own first measurement. In a stretch without a measurement, a clock that was
set back is assumed to be as wrong as before, less the step. A clock that went forward counts as unchanged, because a
machine that slept looks the same.

**What is not done.** A difference up to `TOLERANCE_NS` is not corrected. The stamps are those of the machines, so the
stamps of two events may contradict their order by that much. A recorder that never measured its clock (it lived for
less than two seconds, or the exchange gave no answer) is assumed to be right.
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
"""The most by which two clocks may differ: a twelfth of the 3 s for which events wait. Public time servers keep clocks
within a tenth of this."""

ClockMark: TypeAlias = ClockOffset | ClockStep
"""A record that says something about the clock of a tape."""


def reference_ns(clocks: Iterable[Sequence[ClockMark]]) -> int:
    """How far the best of these clocks is ahead of the exchange's; 0 where none was measured."""
    firsts = (_first_offset(marks) for marks in clocks)
    offsets = (first.offset_ns for first in firsts if first)
    return min(offsets, key=lambda offset_ns: (abs(offset_ns), offset_ns), default=0)


def shifts_ns(marks: Sequence[ClockMark], reference: int) -> tuple[int, ...]:
    """How far stamps are ahead of the reference, at the beginning and after each of the marks."""
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
    """The shift after a measurement. It does not change if the measurement allows that."""
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
    """The record as it would be if the machine's clock were not `shift` nanoseconds ahead."""
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
