"""Our clock was set back between two recordings: what each query by time then shows."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pytest

import booktape
from booktape.core.gap_reasons import STOPPED
from booktape.core.tape_records import FORMAT
from booktape.errors import BookNotKnown
from booktape.reader.archive_files import ArchiveFiles
from booktape.reader.summary import render, summarize
from e2e.commands import run_here
from reader.day import BEGIN_S, opening, opening_book, tick, write_set_back
from reader.truth import moment
from support.archives import open_archive
from support.oracle import SECOND, connected, lost, stream
from support.rotation import finish, follow

BTC: Final = "BTCUSDT"
DAYS: Final = 2 * 86_400


class Scene(NamedTuple):
    """Recordings of some seconds each: their starts by our clock, and whether the last one is sealed."""

    recordings: tuple[tuple[int, int], ...]
    seal: bool = True

    def epoch_at(self, second: float) -> int | None:
        """The epoch of the recording that knew the book then; of several, the latest recording's."""
        known = [
            number
            for number, (begin, seconds) in enumerate(self.recordings, 1)
            if begin <= second <= begin + seconds - 1
        ]
        return max(known, default=None)

    @property
    def is_set_back(self) -> bool:
        """Whether a recording begins before the one made before it ends."""
        return any(later[0] < sum(one) for one, later in pairwise(self.recordings))

    def seconds(self) -> list[int]:
        """Every second of each recording, and some around them."""
        around = (range(begin - 3, begin + n + 3) for begin, n in self.recordings)
        return sorted({second for seconds in around for second in seconds})

    def cuts(self) -> list[float]:
        """Where to cut: at rows and between them, in and around each recording."""
        places = ((begin, (-2, 7.5, 12, n)) for begin, n in self.recordings)
        return sorted({begin + add for begin, some in places for add in some})


SCENES: Final = {
    "two days back": Scene(((0, 30), (40 - DAYS, 30))),
    "and set right again": Scene(((0, 30), (40 - DAYS, 20), (80, 30))),
    "a minute back": Scene(((0, 30), (20, 30))),
    "into a time before the last": Scene(((0, 60), (80, 30), (20, 20))),
    "it runs": Scene(((0, 60), (80, 30), (20, 20)), seal=False),
    "to 1970, as a machine without a battery": Scene(((0, 30), (100 - BEGIN_S, 5), (40, 30))),
    "never": Scene(((0, 30), (40, 30))),
}


@pytest.fixture(scope="module", params=SCENES)
def scene(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Scene, booktape.Recording]:
    found = SCENES[request.param]
    root = tmp_path_factory.mktemp("set-back")
    write_set_back(root, found.recordings, seal=found.seal)
    return found, booktape.open(root)


def test_at_finds_every_book_that_was_known(scene: tuple[Scene, booktape.Recording]) -> None:
    """None is found where no recording knew it: a gap between two others hides nothing."""
    made, rec = scene
    edges = {begin + add for begin, n in made.recordings for add in (-1, 0, n - 1, n)}
    for second in {*edges, *made.seconds()[::11]}:
        epoch = made.epoch_at(second)
        if epoch is None:
            with pytest.raises(BookNotKnown):
                rec.at(BTC, moment(second))
        else:
            begin, _ = made.recordings[epoch - 1]
            book = rec.at(BTC, moment(second))
            assert (book.epoch, book.update_id) == (epoch, 1_000 * (epoch - 1) + second - begin)
            assert book.receive_time == moment(second)


@pytest.mark.parametrize("back_s", [0, DAYS])
def test_at_knows_nothing_after_the_last_evidence(tmp_path: Path, back_s: int) -> None:
    """A book may be lost before its tape ends. The gap says so by its own clock, whenever the next recording began."""
    eth = "ETHUSDT"
    with open_archive(tmp_path) as archive:
        for number, begin in enumerate((BEGIN_S, BEGIN_S + 100 - back_s)):
            opened = replace(opening(BTC, eth), received_ns=begin * SECOND, format=FORMAT)
            recording = archive.begin(opened, f"run{number}")
            for record in (
                connected(begin, 1, (BTC,)),
                connected(begin, 2, (eth,)),
                *(replace(opening_book(s, number), received_ns=begin * SECOND) for s in (BTC, eth)),
                stream(tick(eth, number + 1), begin + 20, 2),
                stream(tick(BTC, number + 1), begin + 10, 1),
                lost(begin + 30, 1),
                stream(tick(eth, number + 2), begin + 40, 2),
            ):
                follow(recording, record)
            finish(recording, STOPPED).result()
    rec = booktape.open(tmp_path)
    for second in (0, 10):
        assert rec.at(BTC, moment(second)).epoch == 1
    for after in (10.5, 20, 35):
        with pytest.raises(BookNotKnown):
            rec.at(BTC, moment(after))


def test_each_row_is_in_one_part(scene: tuple[Scene, booktape.Recording]) -> None:
    """For every kind of read, the rows of all parts are those of the whole, in order of recording."""
    made, rec = scene
    whole = identities(rec.quotes(BTC))
    assert whole == sorted(whole)
    assert len(whole) == sum(seconds for _, seconds in made.recordings)
    cuts = [moment(cut) for cut in made.cuts()]
    for read in (rec.quotes, rec.snapshots):
        parts = [identities(read(BTC, start, end)) for start, end in pairwise(cuts)]
        assert Counter(row for part in parts for row in part) == Counter(whole)
        assert all(part == sorted(part) for part in parts)


def identities(rows: booktape.Quotes | booktape.Snapshots) -> list[tuple[int, int]]:
    return [
        (row["epoch"], row["update_id"])
        for batch in rows.batches(["epoch", "update_id"])
        for row in batch.to_pylist()
    ]


def test_a_grid_keeps_the_times_of_what_was_recorded_first(
    scene: tuple[Scene, booktape.Recording],
) -> None:
    """Each second once and in order, however far a later clock is behind: it neither hides nor adds any of them."""
    made, rec = scene
    grid = rec.quotes(BTC).resample("1s").to_arrow()
    assert (np.diff(grid["time"].cast(pa.int64()).to_numpy()) == 1_000_000).all()
    latest = max(begin + seconds for begin, seconds in made.recordings)
    assert grid["time"][0].as_py() == moment(0)
    assert grid["time"][-1].as_py() < moment(latest)
    rows = grid.filter(grid["epoch"].is_valid())
    shown = {row["time"]: row["epoch"] for row in rows.select(["time", "epoch"]).to_pylist()}
    _, seconds = made.recordings[0]
    for second in range(
        seconds - 1
    ):  # later rows that are stamped too early count from the last one on
        assert shown[moment(second)] == 1
    if not made.is_set_back:
        known = {moment(second): made.epoch_at(second) for second in made.seconds()}
        assert shown == {time: epoch for time, epoch in known.items() if epoch}


def test_the_spread_in_parts_has_the_seconds_of_the_whole(
    scene: tuple[Scene, booktape.Recording],
) -> None:
    """If the clock was never set back: each known second once, also where a part begins within a row's time."""
    made, rec = scene
    whole = known_s(rec.spread(BTC, interval="1d"))
    assert whole >= made.recordings[0][1] - 1
    if made.is_set_back:
        return
    assert whole == sum(seconds - 1 for _, seconds in made.recordings)
    cuts = [moment(cut) for cut in made.cuts()]
    parts = sum(known_s(rec.spread(BTC, *both, interval="1d")) for both in pairwise(cuts))
    assert parts == pytest.approx(whole)


def known_s(table: pa.Table) -> float:
    return float(table["known_s"].to_numpy().sum())


def test_no_gap_ends_before_it_begins(scene: tuple[Scene, booktape.Recording]) -> None:
    """A gap that began by one clock and ended by another lies where the rows are."""
    _, rec = scene
    gaps = rec.snapshots(BTC).gaps()
    assert all(gap.end_time is None or gap.start_time <= gap.end_time for gap in gaps)


def test_info_names_the_recordings_around_a_clock_step(tmp_path: Path) -> None:
    """Those before which our clock was set back, and those with wrong stamps: here those of the shorter one."""
    write_set_back(tmp_path, ((0, 30), (40 - DAYS, 40)))
    first, second = sorted((path.name for path in tmp_path.glob("tape/*/*")), reverse=True)
    code, out, _ = run_here("info", tmp_path)
    text = " ".join(out.split())
    assert code == 0
    assert f"Warning: our clock was set back before or in {second.partition('.jsonl')[0]}." in text
    assert f"by more than a day: 30 rows of segment {first.partition('.jsonl')[0]}." in text


def test_info_reports_nothing_for_a_right_clock(rec: booktape.Recording, sealed: Path) -> None:
    """Segments that follow each other, with gaps."""
    found = summarize(ArchiveFiles.find(sealed), rec)
    assert not any(own.set_back or own.stray_segments for own in found.symbols)
    assert "clock" not in str(render(found).renderables)
