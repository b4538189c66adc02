"""A size that the exchange caps means "this much, or more": no double equals it, and that is not a fault of a row."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from rich.console import Console

from booktape.verify.model.decimals import as_double, from_double, number
from booktape.verify.report import as_json, render
from verify.by_hand import (
    X,
    check,
    checkpoint,
    event,
    line,
    row,
    snapshot,
    start,
    stopped,
    top,
    up,
    write,
)
from verify.replayed_in_seconds import ns
from verify.small import verified

CAP, DOUBLE = "92233720368.54775807", 92233720368.54776
LISTED = {"status": "", "tick_size": "", "lot_size": ""}


def build(root: Path, size: str, double: float) -> None:
    """A size that comes with an event, is in a checkpoint, and is audited behind it."""
    times = {"known_ns": ns(3), "synced_ns": ns(2), "stamp_ns": ns(3)}
    book = {"update_id": 11, "updates": 1, "event_time_us": 2_900_000}
    seen = {"passed": 11, "reached": {"1": 11}, "newest_us": 2_900_000, "newest_id": 11}
    write(
        root,
        0,
        [
            *(start(0), up(1), snapshot(2, 10, "1"), event(3, (11, 11), size)),
            *(top(4, 11, size), line("end", 5, reason="rotated")),
        ],
        [row(2, 10, (1, 0), 1), row(3, 11, (1, 1), double, 2.9)],
        checks=[check(4, 11, "depth20", "1 comparisons")],
    )
    known = {**times, "known_ns": ns(4)}
    last = {**book, "epoch": 1, **times, "known_ns": ns(6), **LISTED}
    write(
        root,
        5,
        [
            start(5),
            checkpoint(5, **book, **known, **seen, **LISTED, bids=[[100, double]]),
            *(up(5), line("asked", 6, symbol=X, limit=5), snapshot(7, 11, size)),
            *(line("end", 8, reason="stopped"), stopped(8, "stopped", **last)),
        ],
        [],
        checks=[check(7, 11, "rest", "")],
    )


def shown(root: Path) -> str:
    console = Console(width=80)
    with console.capture() as captured:
        console.print(render(verified(root)))
    return " ".join(captured.get().split())


def test_a_capped_size_is_right(tmp_path: Path) -> None:
    """In rows, in checkpoints and in audits; the report calls it capped."""
    build(tmp_path, CAP, DOUBLE)
    report = verified(tmp_path)
    assert report.found.kept == []
    assert report.found.counts_of(X).equal == {"rows": 2, "checks": 2}
    assert as_json(report)["symbols"][X]["capped"] == 1
    assert f"{X}: 1 row with a capped size: the exchange writes {CAP}" in shown(tmp_path)


@pytest.mark.parametrize("size", ["92233720368.54775806", "9007199254740993"])
def test_any_other_value_that_is_not_a_double_is_a_difference(tmp_path: Path, size: str) -> None:
    """It is examined value by value: the row that contains it is wrong."""
    build(tmp_path, size, float(size))
    (found,) = verified(tmp_path).found.kept
    assert (found.what, found.row) == ("no double is this number", 1)
    assert (found.expected, found.stored) == (size, repr(float(size)))


@pytest.mark.parametrize("size", ["46116860414.00", "67108863.99999999", "100000000.12345678"])
def test_a_large_value_that_is_a_double_is_right(tmp_path: Path, size: str) -> None:
    """Nothing is called capped."""
    build(tmp_path, size, float(size))
    report = verified(tmp_path)
    assert (report.clean, report.found.counts_of(X).capped) == (True, 0)
    assert "capped" not in shown(tmp_path)


def test_another_double_is_not_the_cap(tmp_path: Path) -> None:
    """Only the nearest double represents the cap."""
    build(tmp_path, CAP, 92233720368.54778)
    assert not verified(tmp_path).clean


def test_the_double_of_the_cap_stands_for_it() -> None:
    """Where only doubles are stored."""
    assert from_double(Decimal("92233720368.54776")) == number(CAP)
    assert number(CAP).is_capped
    assert not number(CAP).exact
    assert as_double(Decimal(CAP)) == Decimal("92233720368.54776")
