"""Names say when a segment began, sort by it, and keep readers away from what is not whole."""

from __future__ import annotations

import errno
from datetime import UTC, datetime, timedelta
from itertools import combinations
from pathlib import Path, PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from booktape.store.layout import (
    TAPE,
    Layout,
    Segment,
    can_be_stored,
    segment_end_ns,
    symbol_folder,
    symbol_of,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST_US = (datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC) - EPOCH) // timedelta(
    microseconds=1
)
SECOND, DAY = 10**9, 86_400 * 10**9
MOMENT_NS = 1_795_342_380_123_456_789  # 2026-11-22 10:13:00.123456789

segments = st.builds(Segment, st.integers(0, LAST_US), st.text("0123456789abcdef", min_size=1))
layout = Layout(Path("/archive"))


def test_a_name_shows_the_time_and_the_recorder() -> None:
    """The start in UTC to the microsecond, then the recorder's tag."""
    segment = Segment.at(MOMENT_NS, "3f9a2c81")
    assert segment.name == "20261122T101300.123456Z-3f9a2c81"
    assert segment.date == "date=2026-11-22"


@pytest.mark.parametrize(("tag", "run"), [("aw1", "a"), ("aw12", "a"), ("3f9a2c81", "3f9a2c81")])
def test_the_workers_of_one_recorder_are_one_run(tag: str, run: str) -> None:
    """Their tags have the same beginning; a recorder that works alone has its own tag."""
    assert Segment(1, tag).run == run


@given(segments)
def test_a_name_is_read_back_as_its_segment(segment: Segment) -> None:
    """Both as the name of a folder and with the suffix that a file should have."""
    assert Segment.parse(segment.name) == segment
    assert Segment.parse(segment.name + TAPE, TAPE) == segment
    for name, ending in ((segment.name, TAPE), (segment.name + TAPE, "")):
        assert Segment.parse(name, ending) is None


@given(st.lists(segments))
def test_names_sort_by_time(found: list[Segment]) -> None:
    """Sorting names sorts segments, whichever recorder they are from."""
    assert sorted(segment.name for segment in found) == [s.name for s in sorted(found)]


@pytest.mark.parametrize(
    "name",
    [
        *("", "lost+found", "notes.txt", "20261122-3f9a2c81", ".DS_Store"),
        "20261122T101300.123456Z",
        "20261122T101300.123456Z-",
        "20261122T101300.123456Z-3f9a2c81.bak",
        "20261122T101300.123Z-3f9a2c81",
        "20261122T101300.123456-3f9a2c81",
        "20261122T101300.123456+0100-3f9a2c81",
        "2026-11-22T10:13:00.123456Z-3f9a2c81",
        "20261332T101300.123456Z-3f9a2c81",
    ],
)
def test_other_names_are_not_segments(name: str) -> None:
    """A name that we did not give, or would write differently, is not ours."""
    assert Segment.parse(name) is None
    assert Segment.parse(name + TAPE, TAPE) is None


@given(st.integers(0, LAST_US * 1_000), st.integers(1, 2 * DAY))
def test_a_segment_ends_on_the_clock_and_within_its_day(start_ns: int, length_ns: int) -> None:
    """After its start, at most its length later, at a multiple of its length or at midnight."""
    end_ns = segment_end_ns(start_ns, length_ns)
    assert start_ns < end_ns <= start_ns + length_ns
    assert end_ns % length_ns == 0 or end_ns % DAY == 0
    assert start_ns // DAY == (end_ns - 1) // DAY


@pytest.mark.parametrize(
    ("length_s", "end"),
    [(60, "10:14:00"), (3_600, "11:00:00"), (6 * 3_600, "12:00:00"), (7 * 86_400, "00:00:00")],
)
def test_segments_end_where_people_expect(length_s: int, end: str) -> None:
    """One of a minute ends on the minute, of an hour on the hour, of six hours at noon, of a week at midnight."""
    end_ns = segment_end_ns(MOMENT_NS, length_s * SECOND)
    assert f"{EPOCH + timedelta(seconds=end_ns // SECOND):%H:%M:%S}" == end


@given(st.text(min_size=1))
def test_every_symbol_has_its_own_folder(symbol: str) -> None:
    """Its name is plain ASCII that is safe for paths and readers, and the symbol can be read back."""
    folder = symbol_folder(symbol)
    assert folder.isascii()
    assert PurePath(folder).name == folder
    assert symbol_of(folder) == symbol


def test_folders_of_known_symbols() -> None:
    """An ordinary symbol is unchanged, any other is percent-encoded."""
    assert symbol_folder("BTCUSDT") == "symbol=BTCUSDT"
    assert symbol_folder("币安/USDT") == "symbol=%E5%B8%81%E5%AE%89%2FUSDT"


def test_final_files_are_where_the_format_says() -> None:
    """Their paths are those of the contract, each under the day on which its segment began."""
    segment = Segment.at(MOMENT_NS, "3f9a2c81")
    name = "date=2026-11-22/20261122T101300.123456Z-3f9a2c81"
    assert layout.tape(segment) == Path(f"/archive/tape/{name}.jsonl.zst")
    assert layout.table(segment, "gaps") == Path(f"/archive/gaps/{name}.parquet")
    assert layout.manifest(segment) == Path(f"/archive/manifests/{name}.json")
    rows = layout.rows(segment, "BTCUSDT")
    assert rows == Path(f"/archive/snapshots/symbol=BTCUSDT/{name}.parquet")


def test_unsealed_files_are_out_of_every_readers_sight() -> None:
    """All have different paths, and none is in a folder that a reader opens."""
    first, second = Segment.at(MOMENT_NS, "a"), Segment.at(MOMENT_NS, "b")
    paths = [
        path
        for segment in (first, second)
        for path in (
            layout.starting_tape(segment),
            layout.writing_tape(segment),
            layout.torn_tape(segment),
            *(layout.writing_table(segment, name) for name in ("gaps", "checks", "notes")),
            layout.writing_manifest(segment),
            layout.writing_rows(segment, "BTCUSDT"),
            layout.writing_rows(segment, "gaps"),
            layout.writing_rows(segment, "币安USDT"),
        )
    ]
    assert len(set(paths)) == len(paths)
    for path in paths:
        assert path.parent.parent == layout.unsealed
    rooms = ("tape", "gaps", "checks", "notes", "manifests")
    readers = [layout.snapshots, *(layout.root / room for room in rooms)]
    ours = [layout.unsealed, layout.lock, layout.workers_lock]
    for one, other in combinations([*ours, *readers], 2):
        assert not one.is_relative_to(other)
        assert not other.is_relative_to(one)


@pytest.mark.parametrize(
    ("symbol", "fits"),
    [
        ("BTCUSDT", True),
        ("A" * 240, True),
        ("A" * 241, False),
        ("币" * 26, True),
        ("币" * 27, False),
    ],
)
def test_a_symbol_can_be_stored_if_all_its_file_names_are_possible(
    tmp_path: Path, symbol: str, fits: bool
) -> None:
    """A real file system decides that; a Chinese character takes nine bytes."""
    layout, segment = Layout(tmp_path), Segment.at(MOMENT_NS, "a")
    made = all(
        _made(path) for path in (layout.rows(segment, symbol), layout.writing_rows(segment, symbol))
    )
    assert can_be_stored(symbol) == made == fits


def _made(path: Path) -> bool:
    try:
        path.parent.mkdir(parents=True)
        path.touch()
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        return False
    return True
