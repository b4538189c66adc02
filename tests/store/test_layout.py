"""Names say when a segment began, sort by it, and keep readers away from what is not whole."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import combinations
from pathlib import Path, PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from booktape.store.layout import Layout, Segment, segment_end_ns, symbol_folder, symbol_of

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST_US = (datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC) - EPOCH) // timedelta(
    microseconds=1
)
SECOND, DAY = 10**9, 86_400 * 10**9
MOMENT_NS = 1_795_342_380_123_456_789  # 2026-11-22 10:13:00.123456789

segments = st.builds(Segment, st.integers(0, LAST_US), st.text("0123456789abcdef", min_size=1))
layout = Layout(Path("/archive"))


def test_a_name_tells_when_and_who() -> None:
    """The start in UTC to the microsecond, then the recorder's tag."""
    segment = Segment.at(MOMENT_NS, "3f9a2c81")
    assert segment.name == "20261122T101300.123456Z-3f9a2c81"
    assert segment.date == "date=2026-11-22"


@given(segments)
def test_a_name_reads_back(segment: Segment) -> None:
    """A segment's name, as a folder or with any ending, is that segment."""
    assert Segment.parse(segment.name) == segment
    assert Segment.parse(f"{segment.name}.jsonl.zst") == segment
    assert Segment.parse(f"{segment.name}.parquet") == segment


@given(st.lists(segments))
def test_names_sort_by_time(found: list[Segment]) -> None:
    """Sorting names is sorting segments, of whatever recorder."""
    assert sorted(segment.name for segment in found) == [s.name for s in sorted(found)]


@pytest.mark.parametrize("name", ["", "lost+found", "notes.txt", "20261122-3f9a2c81", ".DS_Store"])
def test_other_names_are_no_segments(name: str) -> None:
    """What we did not name is refused."""
    with pytest.raises(ValueError, match="does not match"):
        Segment.parse(name)


@given(st.integers(0, LAST_US * 1_000), st.integers(1, 2 * DAY))
def test_a_segment_ends_on_the_clock_and_within_its_day(start_ns: int, length_ns: int) -> None:
    """After its start, at most its length later, on a multiple of it or at midnight."""
    end_ns = segment_end_ns(start_ns, length_ns)
    assert start_ns < end_ns <= start_ns + length_ns
    assert end_ns % length_ns == 0 or end_ns % DAY == 0
    assert start_ns // DAY == (end_ns - 1) // DAY


@pytest.mark.parametrize(
    ("length_s", "end"),
    [(60, "10:14:00"), (3_600, "11:00:00"), (6 * 3_600, "12:00:00"), (7 * 86_400, "00:00:00")],
)
def test_ends_that_people_expect(length_s: int, end: str) -> None:
    """A minute's segment ends on the minute, an hour's on the hour, six hours' at noon, a week's at midnight."""
    end_ns = segment_end_ns(MOMENT_NS, length_s * SECOND)
    assert f"{EPOCH + timedelta(seconds=end_ns // SECOND):%H:%M:%S}" == end


@given(st.text(min_size=1))
def test_any_symbol_has_a_folder_of_its_own(symbol: str) -> None:
    """Plain ASCII that no path or reader trips over, and the symbol can be read back."""
    folder = symbol_folder(symbol)
    assert folder.isascii()
    assert PurePath(folder).name == folder
    assert symbol_of(folder) == symbol


def test_folders_of_known_symbols() -> None:
    """The ordinary symbol stands as it is, any other is percent-encoded."""
    assert symbol_folder("BTCUSDT") == "symbol=BTCUSDT"
    assert symbol_folder("币安/USDT") == "symbol=%E5%B8%81%E5%AE%89%2FUSDT"


def test_final_files_stand_where_the_format_says() -> None:
    """The paths of the contract, each under the day on which its segment began."""
    segment = Segment.at(MOMENT_NS, "3f9a2c81")
    name = "date=2026-11-22/20261122T101300.123456Z-3f9a2c81"
    assert layout.tape(segment) == Path(f"/archive/tape/{name}.jsonl.zst")
    assert layout.gaps(segment) == Path(f"/archive/gaps/{name}.parquet")
    assert layout.checks(segment) == Path(f"/archive/checks/{name}.parquet")
    assert layout.notes(segment) == Path(f"/archive/notes/{name}.parquet")
    assert layout.manifest(segment) == Path(f"/archive/manifests/{name}.json")
    rows = layout.rows(segment, "BTCUSDT")
    assert rows == Path(f"/archive/snapshots/symbol=BTCUSDT/{name}.parquet")


def test_unsealed_files_are_out_of_every_readers_sight() -> None:
    """No two of them are one file, and none is in a folder that a reader opens."""
    first, second = Segment.at(MOMENT_NS, "a"), Segment.at(MOMENT_NS, "b")
    paths = [
        path
        for segment in (first, second)
        for path in (
            layout.starting_tape(segment),
            layout.writing_tape(segment),
            layout.torn_tape(segment),
            layout.writing_gaps(segment),
            layout.writing_checks(segment),
            layout.writing_notes(segment),
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


def test_tapes_are_found_in_order_of_time(tmp_path: Path) -> None:
    """Oldest first over all days, without what somebody else put there."""
    found = Layout(tmp_path)
    assert found.sealed_tapes() == []
    ours = [found.tape(Segment(us, "f")) for us in (5 * 86_400 * 10**6, 10, 9, 86_400 * 10**6)]
    for path in (*ours, ours[0].with_name("zzz.jsonl.zst"), ours[0].with_name("notes.txt")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert found.sealed_tapes() == [ours[2], ours[1], ours[3], ours[0]]


def test_only_our_folders_are_unsealed_segments(tmp_path: Path) -> None:
    """Oldest first; stray files and folders with other names are not ours to touch."""
    found = Layout(tmp_path)
    assert found.unsealed_segments() == []
    old, new = Segment(1, "b"), Segment(2, "a")
    for name in (new.name, old.name, "lost+found", f"{new.name}.bak", "20261122T1Z-a"):
        (found.unsealed / name).mkdir(parents=True)
    (found.unsealed / Segment(3, "c").name).touch()
    (found.unsealed / "notes.txt").touch()
    assert found.unsealed_segments() == [old, new]


def test_the_newest_rows_of_a_symbol(tmp_path: Path) -> None:
    """The last by time over all days, of this symbol alone."""
    found = Layout(tmp_path)
    assert found.newest_rows("BTCUSDT") is None
    for us, symbol in ((1, "BTCUSDT"), (86_400 * 10**6, "BTCUSDT"), (2 * 86_400 * 10**6, "ETHBTC")):
        path = found.rows(Segment(us, "f"), symbol)
        path.parent.mkdir(parents=True)
        path.touch()
    assert found.newest_rows("BTCUSDT") == found.rows(Segment(86_400 * 10**6, "f"), "BTCUSDT")


def test_the_newest_segment_is_the_last_by_name(tmp_path: Path) -> None:
    """Whatever the order of the folders or of the files' ages."""
    layout = Layout(tmp_path)
    assert layout.newest() is None
    late, early = Segment.at(9 * 10**18, "b"), Segment.at(10**18, "a")
    for segment in (late, early):
        layout.tape(segment).parent.mkdir(parents=True)
        layout.tape(segment).touch()
    assert layout.newest() == late


def test_the_last_tapes_are_those_of_all_workers_of_the_last_run(tmp_path: Path) -> None:
    """The last one of each; a run before it says nothing any more."""
    layout = Layout(tmp_path)
    assert layout.last_tapes() == []
    segments = [Segment(1, "aw1"), Segment(2, "bw1"), Segment(3, "bw2"), Segment(4, "bw1")]
    for segment in segments:
        layout.tape(segment).parent.mkdir(parents=True, exist_ok=True)
        layout.tape(segment).touch()
    assert {segment.run for segment in segments} == {"a", "b"}
    assert sorted(layout.last_tapes()) == [layout.tape(segments[2]), layout.tape(segments[3])]
    alone = Segment(5, "c")
    layout.tape(alone).touch()
    assert (alone.run, layout.last_tapes()) == ("c", [layout.tape(alone)])


def test_a_name_is_always_behind_the_one_before() -> None:
    """Also when the clock was set back, or stands still."""
    before = Segment.at(5_000_000, "a")
    assert Segment.at(9_000_000, "b", before) == Segment(9_000, "b")
    assert Segment.at(1_000_000, "b", before) == Segment(5_001, "b")
    assert Segment.at(5_000_000, "b", before) > before
