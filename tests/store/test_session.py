"""A recording writes the outputs of the pure function; each segment is readable alone; the tape comes first."""

from __future__ import annotations

from dataclasses import replace
from itertools import takewhile
from pathlib import Path

import pytest

from booktape.core.events import BookRow, FetchSnapshot, GapInterval
from booktape.core.gap_reasons import STOPPED
from booktape.core.tape_records import (
    ROTATED,
    Checkpoint,
    Connected,
    SegmentEnd,
    SegmentStart,
    TapeRecord,
)
from booktape.reconstruct import Reconstruction
from booktape.store import parquet_file
from booktape.store.layout import Layout, Segment
from booktape.store.segment_writer import SegmentWriter
from booktape.store.session import RecordingSession
from booktape.store.tape_reader import read_tape
from store.contents import final_files, records_on_tape, stored, table_rows, tapes
from store.fragile import Disk, SameThread
from store.small_recording import (
    BTC,
    ETH,
    OPENING,
    RECORDS,
    SCENES,
    YUAN,
    Rotate,
    Stored,
    expected,
    record,
)
from support.oracle import SECOND, connected, rest, snapshot, start
from support.rotation import finish


def test_a_recording_stores_the_outputs_of_the_pure_function(tmp_path: Path) -> None:
    """Rows, gaps and tape of a recording with a rotation are as if there had been no disk."""
    record(tmp_path)
    assert stored(tmp_path) == expected(RECORDS)
    assert records_on_tape(tmp_path) == list(RECORDS)


def test_every_output_is_handed_on(tmp_path: Path) -> None:
    """The caller gets all of them, above all requests for snapshots."""
    books, recording = (
        Reconstruction(),
        RecordingSession(Layout(tmp_path), Segment(0, "a"), SameThread(), OPENING),
    )
    books.apply(OPENING)
    heard: list[type] = []
    for tape_record in RECORDS:
        outputs = recording.handle(tape_record)
        assert [type(o) for o in outputs] == [type(o) for o in books.apply(tape_record)]
        heard += [type(output) for output in outputs]
    finish(recording, STOPPED).result()
    assert {BookRow, GapInterval, FetchSnapshot} <= set(heard)


def test_each_segment_can_be_read_alone(tmp_path: Path) -> None:
    """From the second tape alone the function gives exactly the rows and gaps of the second segment."""
    record(tmp_path)
    first, second = tapes(tmp_path)
    found = Stored()
    for tape_record in read_tape(second):
        for output in found.books.apply(tape_record):
            found.add(output)
    for path in final_files(tmp_path):
        if path.name.startswith(first.name.partition(".jsonl")[0]):
            path.unlink()
    assert stored(tmp_path) == found
    assert len(found.gaps) == 3


def test_how_a_tape_begins_and_ends(tmp_path: Path) -> None:
    """It begins with who records what and all that is known; it ends with the reason and the final state."""
    record(tmp_path)
    first, second = ([*read_tape(path)] for path in tapes(tmp_path))
    opening = replace(OPENING, continues=())  # an archive that was empty before
    assert [first[0], first[-1]] == [opening, SegmentEnd(30 * SECOND, ROTATED)]
    start, *head = takewhile(lambda f: isinstance(f, SegmentStart | Checkpoint | Connected), second)
    assert isinstance(start, SegmentStart)
    assert (start.received_ns, start.symbols) == (30 * SECOND, OPENING.symbols)
    assert [type(tape_record) for tape_record in head[:-3]] == [Checkpoint] * 3
    # Two connections were open; the recording itself writes the last record.
    assert head[-3:-1] == [Connected(30 * SECOND, n, s) for n, s in ((1, (BTC, ETH)), (5, (BTC,)))]
    assert head[-1] == connected(31, 3, (YUAN,))
    assert second[-4] == SegmentEnd(43 * SECOND, STOPPED)
    ends = [tape_record for tape_record in second[-3:] if isinstance(tape_record, Checkpoint)]
    assert [(end.symbol, end.state, end.epoch) for end in ends] == [
        (BTC, "cold", 3),
        (ETH, "cold", 1),
        (YUAN, "cold", 2),
    ]


def test_an_end_is_never_before_its_beginning(tmp_path: Path) -> None:
    """A segment in which nothing arrived ends when it began, not at the time of the previous record."""
    record(tmp_path, [connected(1), Rotate(30)])
    second = list(read_tape(tapes(tmp_path)[1]))
    assert SegmentEnd(30 * SECOND, STOPPED) in second


def test_a_gap_is_stored_once(tmp_path: Path) -> None:
    """It is stored when it closes, even after a rotation; if the recorder ends first, then, with nulls."""
    record(tmp_path)
    second = 10**6
    assert stored(tmp_path).gaps == [
        (BTC, 1, 4 * second, 11 * second, 14, 21, 6, "id_gap"),
        (YUAN, 1, 13 * second, 34 * second, 75, 90, 14, "disconnected"),
        (BTC, 2, 39 * second, 41 * second, 25, 30, 4, "disconnected"),
        (ETH, 1, 39 * second, None, 9, None, None, "disconnected"),
    ]


def test_passed_checks_are_reported_in_their_own_segment(tmp_path: Path) -> None:
    """The minute of a witness ends with the segment, and the next segment begins without checks."""
    record(tmp_path)
    files = sorted(tmp_path.glob("checks/*/*"))
    assert [[row[3] for row in table_rows(file)] for file in files] == [
        ["rest", "depth20"],
        ["rest"],
    ]
    notes = [row[2:] for file in sorted(tmp_path.glob("notes/*/*")) for row in table_rows(file)]
    assert notes == [("clock_step", "-5.000000"), ("status", "HALT")]


def test_a_recording_continues_from_an_earlier_one(tmp_path: Path) -> None:
    """It begins with the past it is given: epochs continue, and open gaps close."""
    gap = GapInterval(BTC, 7, 100, 40, "stopped")
    past = Checkpoint(0, BTC, "cold", 7, 40, 3, None, 100, 0, gap, None, None, [], [], [])
    layout, segment = Layout(tmp_path), Segment(0, "a")
    recording = RecordingSession(layout, segment, SameThread(), start(BTC), [past])
    for tape_record in (connected(1), rest(snapshot(50), 2)):
        recording.handle(tape_record)
    finish(recording, ROTATED).result()
    assert stored(tmp_path).gaps == [(BTC, 7, 0, 2 * 10**6, 40, 50, 9, "stopped")]
    assert [row[3] for row in stored(tmp_path).rows[BTC]] == [8]
    *_, last = read_tape(layout.tape(segment))
    assert last == SegmentEnd(2 * SECOND, ROTATED), "the next segment knows the state of the books"


@pytest.mark.parametrize("scenes", [SCENES, [s for s in SCENES if not isinstance(s, Rotate)]])
def test_the_tape_is_written_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scenes: list[TapeRecord]
) -> None:
    """Whenever rows are written, the record behind the last of them is already on the disk."""
    monkeypatch.setattr(parquet_file, "GROUP_ROWS", 2)
    really_write = SegmentWriter._write_groups
    checked = 0

    def check(self: SegmentWriter, count: int) -> None:
        nonlocal checked
        for _, group in [self._queue[n] for n in range(count)]:
            last_ns = group.rows[-1].received_ns
            assert last_ns in {f.received_ns for f in records_on_tape(tmp_path)}
            checked += len(group.rows)
        really_write(self, count)

    monkeypatch.setattr(SegmentWriter, "_write_groups", check)
    record(tmp_path, scenes)
    assert checked == sum(map(len, expected(RECORDS).rows.values()))


def test_a_new_tape_contains_no_more_than_the_old_one_has_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the next tape gets its name, every record behind its checkpoints is on the disk."""
    disk = Disk(monkeypatch)
    at_rename: list[int] = []

    def look(name: str) -> None:
        if name == "rename":
            at_rename.append(len(records_on_tape(tmp_path)))

    disk.watch = look
    record(tmp_path)
    before = len([s for s in SCENES[: SCENES.index(Rotate(30))] if s in RECORDS])
    assert at_rename[:2] == [0, before]
