"""Is the recorder alive, and is all of it well? `/healthz` and `/readyz`, for people, containers and load balancers.

*Alive* means that the process answers: if it does not, a restart is the cure. *Ready* means that every promise is
kept now: each book known, its evidence fresh, the queue short, the disk not full. A restart cures none of these, so
no container should be restarted because it is not ready.

Blocked retention is not a reason: what is recorded now is whole, and a rollout that waits for readiness should not have
to wait until a person has looked at a segment of last month. It has a metric and an alert; once little room is left,
`disk` is a reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from booktape.checks.freshness import AGEING, bound_ns
from booktape.core.sync import State
from booktape.recorder.status import RecorderStatus

LAG_MAX_MS: Final = 1_000.0
"""Stamps are taken at the socket, so lag makes no row wrong; but a queue that grows ends in lost connections."""

FREE_MIN_BYTES: Final = 1 << 30
FREE_MIN_HOURS: Final = 1.0
"""The disk must have room for FREE_MIN_BYTES, and for FREE_MIN_HOURS of recording."""

_NAMED: Final = 20
"""How many symbols a reason names; the others are only counted."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a recorder is not ready. It concerns `count` symbols, the first of which are in `symbols`."""

    what: str
    detail: str
    symbols: tuple[str, ...] = ()
    count: int = 0


def why_not_ready(
    status: RecorderStatus | None, disk_free_bytes: int | None, pulse_s: float, audit_s: float
) -> list[Reason]:
    """Every reason; none when the recorder is ready. `disk_free_bytes` is None if it could not be read.

    A symbol in a break is not a reason: the exchange then has no book to record. Nor is a symbol that has ended.
    """
    if status is None:
        return [Reason("not_recording", "The recorder has not begun to record, or is ending.")]
    return [*_books(status, pulse_s, audit_s), *_machine(status, disk_free_bytes)]


def _books(status: RecorderStatus, pulse_s: float, audit_s: float) -> list[Reason]:
    excused = (State.BREAK, State.ENDED)
    unknown = [
        book.symbol for book in status.books if not book.is_known and book.state not in excused
    ]
    bound = bound_ns(pulse_s, audit_s)
    old = [
        book.symbol
        for book in status.books
        if bound and book.is_known and status.at_ns - book.evidence_ns > AGEING * bound
    ]
    return [
        *_named("not_known", "These books are not known.", unknown),
        *_named("old_evidence", "For too long, nothing has proved these books current.", old),
    ]


def _machine(status: RecorderStatus, disk_free_bytes: int | None) -> list[Reason]:
    found: list[Reason] = []
    if status.lag_ms > LAG_MAX_MS:
        found.append(
            Reason(
                "lag",
                f"Records wait {status.lag_ms:.0f} ms; at most {LAG_MAX_MS:.0f} ms is allowed.",
            )
        )
    if disk_free_bytes is None:
        found.append(Reason("disk", "The free space on the disk cannot be read."))
    elif disk_free_bytes < max(FREE_MIN_BYTES, FREE_MIN_HOURS * status.bytes_an_hour):
        found.append(Reason("disk", f"The disk has {disk_free_bytes / 1e6:,.0f} MB left."))
    return found


def _named(what: str, detail: str, symbols: list[str]) -> list[Reason]:
    return [Reason(what, detail, tuple(symbols[:_NAMED]), len(symbols))] if symbols else []
