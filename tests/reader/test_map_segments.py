"""A user's own function over all segments: the results do not depend on who calls it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import booktape
from booktape.errors import DamagedFile, FolderNotShared, UsageError
from booktape.reader import Recording, Step
from reader.day import SYMBOLS, write

SEGMENT_S = 10
SECONDS = 60


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six segments, one event a second; ten seconds are missing. Never written to."""
    root = tmp_path_factory.mktemp("mapped") / "data"
    write(root, SECONDS, segment_s=SEGMENT_S, cuts=(25,))
    return root


def summary(part: Recording) -> tuple[str | None, list[str], list[Any], int, int]:
    """The contents of a segment, by every way of reading."""
    rows = part.snapshots("BTCUSDT").to_arrow()
    steps = [step for step in part.replay("BTCUSDT") if isinstance(step, Step)]
    assert [step.book.update_id for step in steps] == rows["update_id"].to_pylist()
    return (
        part.segment,
        part.symbols(),
        rows["update_id"].to_pylist(),
        len(part.gaps("BTCUSDT")),
        part.coverage()[0].rows,
    )


def broken(part: Recording) -> None:
    raise LookupError(part.segment)


def test_each_segment_is_a_recording_of_its_own(archive: Path) -> None:
    """Together they are the whole: every row once, in order."""
    rec = booktape.open(archive)
    found = [summary(part) for part in rec.segments()]
    whole = rec.snapshots("BTCUSDT").to_arrow()["update_id"].to_pylist()
    assert [number for _, _, ids, _, _ in found for number in ids] == whole
    assert all(symbols == sorted(SYMBOLS) for _, symbols, _, _, _ in found)
    assert [gaps for _, _, _, gaps, _ in found] == [0, 0, 1, 0, 0, 0]
    assert rec.segment is None


def test_every_executor_gives_the_same(archive: Path) -> None:
    """Processes, threads, or the user's own loop."""
    rec = booktape.open(archive)
    expected = {part.segment: summary(part) for part in rec.segments()}
    assert len(expected) == SECONDS // SEGMENT_S
    assert booktape.map_segments(summary, rec, jobs=1) == expected
    found = booktape.map_segments(summary, rec, jobs=2)
    assert list(found.items()) == list(expected.items())
    with ThreadPoolExecutor(3) as threads:
        assert booktape.map_segments(summary, rec, executor=threads) == expected


def test_a_range_of_time_selects_segments(archive: Path) -> None:
    """All segments that it touches, complete."""
    rec = booktape.open(archive)
    start, end = "2026-06-09T00:00:15Z", "2026-06-09T00:00:30Z"
    found = booktape.map_segments(summary, rec, start, end, jobs=1)
    assert list(found) == [part.segment for part in rec.segments()[1:3]]


def test_an_error_of_the_function_names_the_segment(archive: Path) -> None:
    """The error itself is the function's own."""
    with ThreadPoolExecutor(1) as threads, pytest.raises(LookupError, match="synthetic") as raised:
        booktape.map_segments(broken, booktape.open(archive), executor=threads)
    assert raised.value.__notes__ == [f"It happened in {raised.value.args[0]}."]


def test_a_function_that_cannot_be_sent_to_a_process_is_refused(archive: Path) -> None:
    """The error suggests an alternative; threads of this process can call it."""
    rec = booktape.open(archive)
    with pytest.raises(UsageError, match="at the top of a module"):
        booktape.map_segments(lambda part: part.segment, rec)
    with ThreadPoolExecutor(1) as threads:
        found = booktape.map_segments(lambda part: part.segment, rec, executor=threads)
    assert list(found) == list(found.values())


def test_files_that_a_worker_cannot_read_are_reported_here(tmp_path: Path) -> None:
    """Each damaged file once, with a warning, and the results of the other segments."""
    root = tmp_path / "damaged"
    write(root, SECONDS, segment_s=SEGMENT_S)
    rows = sorted(root.glob("snapshots/symbol=BTCUSDT/*/*"))[2]
    rows.write_bytes(b"")
    rec = booktape.open(root)
    with pytest.warns(DamagedFile, match=rows.name) as warned:
        found = booktape.map_segments(count, rec, jobs=1)
    assert list(rec.damaged) == [str(rows)]
    assert len(warned) == 1
    assert list(found.values())[2] == 0
    assert sum(found.values()) == SECONDS - SEGMENT_S


def count(part: Recording) -> int:
    return part.snapshots("BTCUSDT").to_arrow().num_rows


def test_a_missing_recording_is_named(tmp_path: Path) -> None:
    """On a machine without the folder, or with a different one under the same name."""
    root = tmp_path / "gone"
    write(root, 20, segment_s=10)
    rec = booktape.open(root)

    def lose(part: Recording) -> int:
        for tape in root.glob("tape/*/*"):
            tape.unlink()
        return len(part.symbols())

    with ThreadPoolExecutor(1) as threads, pytest.raises(FolderNotShared, match="does not see"):
        booktape.map_segments(lose, rec, executor=threads)
