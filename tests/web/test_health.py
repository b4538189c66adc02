"""A recorder is ready while it keeps every promise; otherwise it says which one it does not keep."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import pytest

from booktape.recorder.status import Blocked, BookStatus, RecorderStatus, RetentionStatus
from booktape.web.health import FREE_MIN_BYTES, LAG_MAX_MS, why_not_ready

NOW_NS: Final = 10**18
KNOWN: Final = BookStatus("BTCUSDT", "live", 1, 20, 30, 5, evidence_ns=NOW_NS)
WELL: Final = RecorderStatus(
    *(NOW_NS, NOW_NS - 3_600 * 10**9, (KNOWN,), 5_000, 7, 1.25, 2, 31, 9_000_000), segment="first"
)
WIDE: Final = 1 << 40


def reasons(
    status: RecorderStatus | None,
    free_bytes: int | None = WIDE,
    pulse_s: float = 30.0,
    audit_s: float = 900.0,
) -> list[str]:
    return [each.what for each in why_not_ready(status, free_bytes, pulse_s, audit_s)]


def test_a_healthy_recorder_is_ready() -> None:
    """Past gaps do not matter: the book is known now."""
    assert reasons(WELL) == []


def test_blocked_retention_does_not_make_it_unready() -> None:
    """A rollout would wait for a person to look at an old segment. It is an alert, until the disk is nearly full."""
    blocked = replace(WELL, retention=RetentionStatus(1, {Blocked.UNVERIFIED: "first: damaged"}))
    assert reasons(blocked) == []
    assert reasons(blocked, FREE_MIN_BYTES - 1) == ["disk"]


def test_it_is_not_ready_before_it_records() -> None:
    """Nor while it ends."""
    assert reasons(None) == ["not_recording"]


@pytest.mark.parametrize(
    ("state", "expected"),
    [("cold", ["not_known"]), ("syncing", ["not_known"]), ("break", []), ("ended", [])],
)
def test_an_unknown_book_is_named(state: str, expected: list[str]) -> None:
    """A book that the exchange itself does not have is not a fault of the recorder."""
    status = replace(WELL, books=(KNOWN, replace(KNOWN, symbol="XRPUSDT", state=state)))
    found = why_not_ready(status, WIDE, 30.0, 900.0)
    assert [each.what for each in found] == expected
    assert [each.symbols for each in found] == [("XRPUSDT",)] * len(expected)


def test_the_first_of_many_symbols_are_named_and_all_are_counted() -> None:
    """An answer for 1,400 symbols stays small."""
    books = tuple(replace(KNOWN, symbol=f"S{n:04}", state="cold") for n in range(1_400))
    (found,) = why_not_ready(replace(WELL, books=books), WIDE, 30.0, 900.0)
    assert (len(found.symbols), found.count) == (20, 1_400)


@pytest.mark.parametrize(
    ("pulse_s", "audit_s", "least_s"),
    # Three fifths of the limit: five periods of the pulse, or two of the audit, or no limit.
    [(30.0, 900.0, 90.0), (0.0, 900.0, 1_080.0), (0.0, 0.0, math.inf)],
)
def test_evidence_is_old_once_the_recorder_itself_would_request_some(
    pulse_s: float, audit_s: float, least_s: float
) -> None:
    """The limit follows the periods of the pulse and of audits."""
    for age_s in (60, 91, 1_000, 1_081, 10**6):
        status = replace(WELL, books=(replace(KNOWN, evidence_ns=NOW_NS - age_s * 10**9),))
        expected = ["old_evidence"] if age_s > least_s else []
        assert reasons(status, WIDE, pulse_s, audit_s) == expected


def test_a_growing_queue_is_a_reason() -> None:
    """A short one is not."""
    assert reasons(replace(WELL, lag_ms=LAG_MAX_MS)) == []
    assert reasons(replace(WELL, lag_ms=LAG_MAX_MS + 1)) == ["lag"]


def test_a_nearly_full_disk_is_a_reason() -> None:
    """The limit is a gibibyte or the size of one hour, whichever is more. So is a disk that does not answer."""
    assert reasons(WELL, FREE_MIN_BYTES) == []
    assert reasons(WELL, FREE_MIN_BYTES - 1) == ["disk"]
    busy = replace(WELL, written_bytes=2 * FREE_MIN_BYTES)
    assert reasons(busy, 2 * FREE_MIN_BYTES - 1) == ["disk"]
    assert reasons(WELL, None) == ["disk"]
