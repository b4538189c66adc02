"""After a wrong clock: every row is still found, and later recordings have the right date again."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

import booktape
from booktape.reader.records import Gap, Step
from booktape.sim.market.market import Market
from booktape.sim.server.server import SimServer
from booktape.store.catalog import lineage_of
from booktape.store.layout import Layout
from e2e.archives import record
from e2e.commands import run
from e2e.inside import recording
from support.virtual_time import WallClock
from verify.small import edit_tape, reseal

BTC: Final = "BTCUSDT"
AHEAD: Final = timedelta(days=400)
A_WHILE: Final = timedelta(hours=1)
"""Longer than a recording lasts, even on a busy machine."""

WRONG_CLOCK: Final = """
import time
_true = time.time_ns
time.time_ns = lambda: _true() + {ahead_ns}
"""


@dataclass(frozen=True)
class Recorded:
    """Three recordings one after the other; the second one's clock was 400 days ahead."""

    root: Path
    last: datetime
    log: str


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    folder = tmp_path_factory.mktemp("clocks")
    ahead_ns = AHEAD // timedelta(microseconds=1) * 1_000
    (folder / "sitecustomize.py").write_text(WRONG_CLOCK.format(ahead_ns=ahead_ns))
    wrong = {
        "PYTHONPATH": os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    }
    root = folder / "data"

    async def work() -> tuple[datetime, str]:
        for environment in ({}, wrong):
            log = await record(root, BTC, environment=environment)
            assert "ahead of the clock" not in log
        last = datetime.now(UTC)
        # Longer than the wrong one: if times contradict each other, those of the most rows count.
        segments = len(lineage_of(Layout(root)).order)
        return last, await record(root, BTC, segments=segments)

    return Recorded(root, *asyncio.run(work()))


@pytest.fixture(scope="module")
def old(recorded: Recorded, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as written before tapes named their predecessor: names always grew."""
    root = Path(shutil.copytree(recorded.root, tmp_path_factory.mktemp("old") / "data"))
    layout, last_us = Layout(root), 0
    for segment in lineage_of(layout).order:
        edit_tape(layout.tape(segment), lambda lines: lines[0].pop("continues"))
        last_us = max(segment.start_us, last_us + 1)
        renamed = type(segment)(last_us, segment.tag)
        for path in [p for p in root.rglob(f"{segment.name}.*") if p.is_file()]:
            folder = path.parent.parent / renamed.date
            folder.mkdir(exist_ok=True)
            path.rename(folder / path.name.replace(segment.name, renamed.name))
    reseal(root)
    return root


async def test_every_row_of_three_recordings_is_found(tmp_path: Path) -> None:
    """The clock of the second one was 400 days ahead; in virtual time."""
    market = Market((BTC,), seed=5, levels=40)
    async with SimServer(market) as server:
        for ahead, lasts_s in ((timedelta(), 8), (AHEAD, 8), (timedelta(), 24)):
            clock = WallClock()
            last = datetime.fromtimestamp(clock.now_ns() / 1e9, UTC)
            clock.step(ahead.total_seconds())
            async with recording(server, (BTC,), tmp_path, clock, every=25, segment_s=4):
                await asyncio.sleep(lasts_s)
    check_rows(tmp_path, last)
    check_coverage(tmp_path, last)


@pytest.mark.long
def test_the_next_recording_has_its_own_date_and_says_what_lies_ahead(recorded: Recorded) -> None:
    """Names and dates follow the clock; a warning names the newest segment."""
    order = lineage_of(Layout(recorded.root)).order
    ahead = [segment for segment in order if segment.date > f"date={recorded.last:%Y-%m-%d}"]
    assert ahead
    assert f"segment={max(ahead).name}" in recorded.log
    assert "lies ahead of the clock" in recorded.log
    last = order[-1]
    assert last not in ahead
    assert order.index(ahead[0]) < order.index(last)


@pytest.mark.long
def test_every_row_is_found(recorded: Recorded) -> None:
    """By its own time, whatever the date in its file's name."""
    check_rows(recorded.root, recorded.last)


def check_rows(root: Path, since: datetime) -> None:
    rec = booktape.open(root)
    rows: list[dict[str, Any]] = rec.snapshots(BTC, depth=1).to_arrow().to_pylist()
    epochs = [row["epoch"] for row in rows]
    assert epochs == sorted(epochs)
    assert set(epochs) == {1, 2, 3}
    for lasting, epoch in ((A_WHILE, 3), (AHEAD + A_WHILE, 2)):
        start = since if epoch == 3 else since + AHEAD - A_WHILE
        found = rec.snapshots(BTC, start, since + lasting, depth=1).to_arrow()
        wanted = [row["update_id"] for row in rows if row["epoch"] == epoch]
        assert found["update_id"].to_pylist() == wanted
        steps = [s for s in rec.replay(BTC, start, since + lasting) if isinstance(s, Step)]
        assert {step.book.epoch for step in steps} == {epoch}
        assert set(wanted) <= {step.book.update_id for step in steps}
    for row in rows:
        book = rec.at(BTC, row["receive_time"])
        assert (book.epoch, book.update_id) >= (row["epoch"], row["update_id"])
        assert book.epoch == row["epoch"]
    gaps = [item for item in rec.snapshots(BTC) if isinstance(item, Gap)]
    # Only the next recording will tell how long the gap since the last one was.
    assert [gap.epoch for gap in gaps] == [1, 2]


@pytest.mark.long
def test_coverage_counts_only_the_time_that_was_recorded(recorded: Recorded) -> None:
    """Not 0 % of 400 days: rows that a wrong clock stamped are left out, and a warning says so."""
    check_coverage(recorded.root, recorded.last)


def check_coverage(root: Path, last: datetime) -> None:
    (own,) = booktape.open(root).coverage()
    whole = booktape.open(root).snapshots(BTC).to_arrow()
    times: list[Any] = whole["receive_time"].to_pylist()
    ahead = [time for time in times if time > last + AHEAD / 2]
    assert (own.rows, own.stray_rows) == (whole.num_rows, len(ahead))
    assert own.span_s < A_WHILE.total_seconds()
    assert 0 < own.lost_s < own.span_s
    assert own.coverage == pytest.approx(1 - own.lost_s / own.span_s)


@pytest.mark.long
@pytest.mark.real_time
async def test_the_commands_report_a_wrong_clock(recorded: Recorded, tmp_path: Path) -> None:
    """`info`, `export --from` and `verify`, also for a time without any data."""
    code, out, err = await run("info", recorded.root)
    assert (code, err) == (0, "")
    assert "stamped by a clock that was wrong by more than a day" in " ".join(out.split())
    since = recorded.last.isoformat()
    until = (recorded.last + A_WHILE).isoformat()
    way = ("--from", since, "--to", until, "--format", "csv", "--out", tmp_path)
    code, out, _ = await run("export", recorded.root, *way, "--depth", "1")
    assert code == 0
    rows = booktape.open(recorded.root).snapshots(BTC, since, until).to_arrow().num_rows
    assert f"{rows * 2:,} rows" in out
    for more in ((), ("--from", since)):
        code, out, _ = await run("verify", recorded.root, *more, "--json")
        assert (code, json.loads(out)["clean"]) == (0, True), out
    beyond = ("--from", (recorded.last + 2 * AHEAD).isoformat())
    commands: tuple[tuple[str | Path, ...], ...] = (
        ("verify", recorded.root),
        ("rebuild", recorded.root, "--every", "1", "--out", tmp_path / "r"),
        ("export", recorded.root, "--format", "hftbacktest", "--out", tmp_path / "e"),
    )
    for command in commands:
        code, out, err = await run(*command, *beyond)
        assert (code, out) == (2, ""), err
        assert "no data" in err or "nothing" in err or "no segment" in err or "no tape" in err


@pytest.mark.long
def test_an_older_archive_is_read_alike(recorded: Recorded, old: Path) -> None:
    """All its later files have a date in the future."""
    check_rows(old, recorded.last)
    (own,) = booktape.open(old).coverage()
    assert own.span_s < A_WHILE.total_seconds()
