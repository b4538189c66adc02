"""A whole archive of format 2, written by hand, is clean; and what a recorder could hide in it is found."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from booktape.store.tape_codec import decode_record
from booktape.verify.findings import Finding, Kind
from verify.by_hand import (
    FIRST,
    SECOND,
    X,
    build,
    event,
    forge,
    gap,
    line,
    row,
    snapshot,
    start,
    stopped,
    tick,
    top,
    up,
    write,
)
from verify.replayed_in_seconds import ns
from verify.small import Lines, copy, edit_tape, reseal, sealed, verified


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("by-hand") / "archive"
    build(root)
    return root


def test_the_archive_is_clean(by_hand: Path) -> None:
    """Rows, gaps, checks, notes, and both ends of each checkpoint are as documented."""
    report = verified(by_hand)
    assert report.found.kept == []
    assert report.found.counts_of(X).equal == {"rows": 5, "gaps": 2, "checks": 1, "notes": 5}
    assert report.found.counts_of(None).equal == {"notes": 2}


def found(root: Path) -> list[Finding]:
    return [one for one in verified(root).found.kept if one.kind == Kind.DIFFERENT]


def sooner(at: int, column: str, by: float) -> Callable[[Lines], Any]:
    """A time of one row, moved some seconds earlier."""

    def edit(rows: Lines) -> None:
        rows[at][column] -= timedelta(seconds=by)

    return edit


def test_a_gap_that_begins_late_is_found(by_hand: Path, tmp_path: Path) -> None:
    """Even by a microsecond."""
    root = forge(by_hand, tmp_path / "x", "gaps", 0, sooner(0, "start_time", -1e-6))
    (one,) = found(root)
    assert (one.column, one.expected, one.stored) == ("start_time", "3500000", "3500001")


def test_a_row_that_is_stamped_too_early_is_found(by_hand: Path, tmp_path: Path) -> None:
    """The book was not known yet."""
    root = forge(by_hand, tmp_path / "x", "snapshots", 0, sooner(2, "receive_time", 0.5))
    (one,) = found(root)
    assert (one.column, one.expected, one.stored) == ("receive_time", "10000000", "9500000")


@pytest.mark.parametrize(
    ("room", "segment", "number"),
    [("gaps", 0, 0), ("gaps", 1, 0), ("checks", 0, 0), *(("notes", 0, at) for at in range(5))],
)
def test_undeclared_facts_are_found(
    by_hand: Path, tmp_path: Path, room: str, segment: int, number: int
) -> None:
    """A gap by silence or by a break, a comparison by a pulse, a note of any kind."""
    root = forge(by_hand, tmp_path / "x", room, segment, lambda rows: rows.pop(number))
    (one,) = found(root)
    assert one.what == "this row is missing"


def edited(by_hand: Path, to: Path, segment: int, change: Callable[[Lines], Any]) -> Path:
    root = copy(by_hand, to)
    edit_tape(sealed(root, "tape")[segment], change)
    reseal(root)
    return root


def index(lines: Lines, kind: str, number: int = 0) -> int:
    return [at for at, one in enumerate(lines) if one["k"] == kind][number]


def drop(kind: str, number: int) -> Callable[[Lines], Any]:
    return lambda lines: lines.pop(index(lines, kind, number))


def change(kind: str, number: int, **fields: Any) -> Callable[[Lines], Any]:
    return lambda lines: lines[index(lines, kind, number)].update(fields)


TAPES: dict[str, tuple[int, Callable[[Lines], Any]]] = {
    "a tick less": (0, drop("tick", 4)),
    "a shorter tick": (0, change("tick", 4, elapsed_ns=ns(0.5))),
    "a pause that was none": (0, change("tick", 11, elapsed_ns=ns(2.5))),
    "the witness less": (0, drop("ws", 1)),
    "a pulse less": (0, drop("pulse", 0)),
    "a pulse that was asked for later": (0, change("pulse", 0, asked_ns=ns(12.3))),
    "a pulse that differs": (0, change("pulse", 0, tops={X: ["100", "2", "101", "1"]})),
    "another offset": (0, change("clock-offset", 0, offset_ns=12_399_999)),
    "another tick size": (0, change("status", 0, tick_size="0.010")),
    "another lot size": (0, change("status", 0, lot_size="0.01")),
    "no break": (1, change("status", 0, status="HALT")),
    "a break that goes on": (1, change("status", 1, status="END_OF_DAY")),
    "format 1": (0, change("start", 0, format=1)),
    "format 3": (0, change("start", 0, format=3)),
    "another bound": (1, change("start", 0, pulse_s=60.0)),
    **{
        f"a checkpoint's {part}": (1, change("checkpoint", 0, **{part: value}))
        for part, value in {
            "known_ns": ns(12.5),
            "synced_ns": ns(9),
            "stamp_ns": ns(11),
            "evidence_age_ns": 0,
            "newest_us": 3_400_001,
            "newest_id": 12,
            "tick_size": "",
            "lot_size": "1",
            "status": "",
        }.items()
    },
    **{
        f"a last checkpoint's {part}": (1, change("checkpoint", 1, **{part: value}))
        for part, value in {"state": "break", "stamp_ns": ns(30), "synced_ns": 0}.items()
    },
}


@pytest.mark.parametrize("what", TAPES)
def test_a_changed_tape_is_found(by_hand: Path, tmp_path: Path, what: str) -> None:
    """The stored rows do not follow from it, or one segment does not follow from another."""
    assert found(edited(by_hand, tmp_path / "x", *TAPES[what]))


def test_a_silence_that_was_accepted_is_found(tmp_path: Path) -> None:
    """A recorder that calls its book known throughout, consistently in all its files."""
    last = {"epoch": 1, "update_id": 11, "updates": 1, "event_time_us": 3_400_000}
    times = {"known_ns": ns(3.5), "synced_ns": ns(2), "stamp_ns": ns(3.5)}
    listed = {"status": "", "tick_size": "", "lot_size": ""}
    lines = [start(0), up(1), snapshot(2, 10, "1"), tick(3), event(3.5, (11, 11), "2")]
    end = [line("end", 30, reason="stopped"), stopped(30, "stopped", **last, **times, **listed)]
    rows = [row(2, 10, (1, 0), 1), row(3.5, 11, (1, 1), 2, 3.4)]
    write(tmp_path / "quiet", 0, [*lines, *(tick(at) for at in range(4, 30)), *end], rows)
    assert verified(tmp_path / "quiet").clean, "nothing says that an event is missing"
    ahead = [top(5.5, 13, "3"), *(tick(at) for at in range(6, 30))]
    write(tmp_path / "dead", 0, [*lines, tick(4), tick(5), *ahead, *end], rows)
    missing, checkpoint = found(tmp_path / "dead")
    assert missing.what == "this row is missing"
    assert missing.expected == f"{X}, 1, 3500000, None, 11, None, None, silent"
    assert "last checkpoint" in checkpoint.what


def test_a_row_stamped_with_an_event_that_ran_ahead_is_found(tmp_path: Path) -> None:
    """With the stamp of the event, the book would be known before the event that it follows."""
    lines = [start(0), up(1), up(1.5, 2), snapshot(2, 10, "1"), tick(3)]
    lines += [event(3.2, (12, 12), "3", connection=2), event(3.5, (11, 11), "2")]
    last = {"epoch": 1, "update_id": 12, "updates": 2, "event_time_us": 3_100_000}
    times = {"known_ns": ns(3.5), "synced_ns": ns(2), "stamp_ns": ns(3.5)}
    listed = {"status": "", "tick_size": "", "lot_size": ""}
    lines += [line("end", 4, reason="stopped"), stopped(4, "stopped", **last, **times, **listed)]
    rows = [row(2, 10, (1, 0), 1), row(3.5, 11, (1, 1), 2, 3.4)]
    write(tmp_path / "right", 0, lines, [*rows, row(3.5, 12, (1, 2), 3, 3.1)])
    assert verified(tmp_path / "right").clean
    write(tmp_path / "early", 0, lines, [*rows, row(3.2, 12, (1, 2), 3, 3.1)])
    (one,) = found(tmp_path / "early")
    assert (one.column, one.expected, one.stored) == ("receive_time", "3500000", "3200000")


def test_a_gap_that_begins_at_a_late_event_is_found(tmp_path: Path) -> None:
    """The event does not prove the four seconds that it took longer than usual."""
    lines = [start(0), up(1), snapshot(2, 10, "1"), event(3, (11, 11), "2"), tick(3.5)]
    lines += [event(9, (12, 12), "3", lag=4.1), event(9.5, (14, 14), "4"), snapshot(10, 14, "5")]
    last = {"epoch": 2, "update_id": 14, "updates": 0, "event_time_us": None}
    times = {"known_ns": ns(10), "synced_ns": ns(10), "stamp_ns": ns(10)}
    listed = {"status": "", "tick_size": "", "lot_size": ""}
    lines += [line("end", 11, reason="stopped"), stopped(11, "stopped", **last, **times, **listed)]
    rows = [row(2, 10, (1, 0), 1), row(3, 11, (1, 1), 2, 2.9), row(9, 12, (1, 2), 3, 4.9)]
    rows.append(row(10, 14, (2, 0), 5))
    write(tmp_path / "right", 0, lines, rows, gaps=[gap(5, 10, (12, 14), 1, "id_gap")])
    assert verified(tmp_path / "right").clean
    write(tmp_path / "late", 0, lines, rows, gaps=[gap(9, 10, (12, 14), 1, "id_gap")])
    (one,) = found(tmp_path / "late")
    assert (one.column, one.expected, one.stored) == ("start_time", "5000000", "9000000")


def test_its_lines_are_those_of_a_tape() -> None:
    """The recorder's own reader understands the lines written by hand here."""
    for one in (*FIRST, *SECOND):
        frame = decode_record(json.dumps(one, separators=(",", ":")).encode() + b"\n")
        assert frame.received_ns == one["received_ns"]
