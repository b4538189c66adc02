"""Archives that were copied: those of several recorders in one folder, or without some of their files."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

import booktape
from booktape.reader.records import Gap, Step
from booktape.sim.market.market import Market
from booktape.sim.replay.source import ReplaySource
from booktape.sim.server.server import SimServer
from booktape.store.catalog import lineage_of
from booktape.store.layout import Layout
from booktape.verify.order import Scope
from booktape.verify.run import verify
from booktape.verify.stored_files import FolderFiles
from e2e.archives import record
from e2e.commands import run
from e2e.inside import recording
from verify.small import edit_tape, reseal

ONE: Final = ("BTCUSDT", "ETHUSDT")
OTHER: Final = ("BNBUSDT", "ADAUSDT")  # each belongs to another worker


def put(root: Path, into: Path) -> Path:
    """As people do it: one whole folder over another."""
    return Path(shutil.copytree(root, into, dirs_exist_ok=True))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two recorders at the same time, one of them with two workers; the first is started twice."""
    folder = tmp_path_factory.mktemp("recorded")
    one, other = folder / "one", folder / "other"

    async def work() -> None:
        workers = ("--workers", "2")
        await asyncio.gather(record(one, *ONE), record(other, *OTHER, more=workers))
        await record(one, *ONE, segments=1)

    asyncio.run(work())
    return one, other


@pytest.fixture(scope="module")
def merged(recorded: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both in one folder; never written to."""
    into = tmp_path_factory.mktemp("merged") / "data"
    for root in recorded:
        put(root, into)
    return into


async def verified(root: Path, *more: str | Path) -> None:
    code, out, _ = await run("verify", root, *more, "--json")
    found = json.loads(out)
    assert (code, found["findings"]) == (0, [])


def check_reads_alike(root: Path, apart: tuple[Path, ...]) -> None:
    """Everything that the reader says of a symbol is the same as for that symbol's own archive."""
    both = booktape.open(root)
    coverage = {own.symbol: own for own in both.coverage()}
    assert len(coverage) == len(ONE + OTHER)
    for own in map(booktape.open, apart):
        for one in own.coverage():
            assert coverage[one.symbol] == one
            assert both.gaps(one.symbol) == own.gaps(one.symbol)
            alone, here = own.snapshots(one.symbol), both.snapshots(one.symbol)
            assert here.to_arrow() == alone.to_arrow()
            middle = one.first + (one.last - one.first) / 2
            for start, end in ((None, None), (middle, None), (None, middle)):
                found = [list(rec.replay(one.symbol, start, end)) for rec in (both, own)]
                ids = [
                    [(i.book.epoch, i.book.update_id) if isinstance(i, Step) else i for i in items]
                    for items in found
                ]
                assert ids[0] == ids[1]
                assert any(isinstance(item, Step) for item in found[0])
            for time in (one.first, one.last):
                assert both.at(one.symbol, time).update_id == own.at(one.symbol, time).update_id


async def test_two_archives_in_one_folder_are_two_recordings(tmp_path: Path) -> None:
    """Like the next test, but in virtual time: the first recorder is started twice."""
    one, other, both = (tmp_path / name for name in ("one", "other", "both"))
    async with (
        SimServer(Market((*ONE, *OTHER), seed=5, levels=40)) as server,
        recording(server, OTHER, other, every=10, segment_s=4),
    ):
        for _ in range(2):
            async with recording(server, ONE, one, every=10, segment_s=4):
                await asyncio.sleep(6)
    for root in (one, other):
        put(root, both)
    check_reads_alike(both, (one, other))
    assert verify(FolderFiles(both), Scope()).clean


@pytest.mark.long
@pytest.mark.real_time
async def test_two_archives_in_one_folder_read_like_each_alone(
    merged: Path, recorded: tuple[Path, Path]
) -> None:
    """A segment ends where its own recorder's next one begins."""
    check_reads_alike(merged, recorded)
    await verified(merged)


@pytest.mark.long
def test_a_damaged_tape_of_one_recorder_does_not_affect_the_other(
    merged: Path, recorded: tuple[Path, Path], tmp_path: Path
) -> None:
    """A book is found on the tape that knows it, whatever else is beside it."""
    root = put(merged, tmp_path / "data")
    for segment in lineage_of(Layout(recorded[1])).order:
        Layout(root).tape(segment).write_bytes(b"no tape")
    rec, alone = booktape.open(root), booktape.open(recorded[0])
    for own in alone.coverage():
        assert rec.at(own.symbol, own.first).update_id == alone.at(own.symbol, own.first).update_id


@pytest.mark.long
def test_they_are_replayed_as_one_exchange(merged: Path, recorded: tuple[Path, Path]) -> None:
    """Every message once, in order of arrival."""

    def played(root: Path) -> tuple[Counter[str], list[float]]:
        playback, found, times = ReplaySource(root), Counter[str](), []
        while (due_s := playback.due_s()) is not None:
            streams = [message.stream for message in playback.advance()]
            found.update(streams)
            times += [due_s] * len(streams)
        symbols = [listed.symbol for listed in playback.symbols()]
        assert all(playback.depth(symbol, 5000, 0) for symbol in symbols)
        return found, times

    found, times = played(merged)
    assert times == sorted(times)
    assert found == sum((played(root)[0] for root in recorded), Counter[str]())


@pytest.mark.long
@pytest.mark.real_time
async def test_two_archives_in_one_folder_are_rebuilt_and_continued(
    merged: Path, tmp_path: Path
) -> None:
    """By a recorder that continues all of it: each symbol in its next epoch, with one gap in between."""
    fine = tmp_path / "fine"
    code, out, err = await run("rebuild", merged, "--every", "1", "--out", fine)
    assert (code, err) == (0, ""), out
    await verified(fine)
    root = put(merged, tmp_path / "on")
    before = {own.symbol: own for own in booktape.open(root).coverage()}
    await record(root, *ONE, *OTHER, segments=1)
    await verified(root)
    for own in booktape.open(root).coverage():
        assert own.epochs == before[own.symbol].epochs + 1
        assert own.gaps == Counter(before[own.symbol].gaps) + Counter(stopped=1)


@pytest.mark.long
@pytest.mark.real_time
async def test_an_archive_that_was_continued_elsewhere_is_copied_again(
    recorded: tuple[Path, Path], tmp_path: Path
) -> None:
    """Segments that its own recorder added since continue from its earlier ones."""
    one, other = put(recorded[0], tmp_path / "one"), recorded[1]
    both = put(one, tmp_path / "both")
    put(other, both)
    await record(one, *ONE, segments=1)
    put(one, both)
    check_reads_alike(both, (one, other))
    await verified(both)


@pytest.mark.long
@pytest.mark.real_time
async def test_older_archives_are_kept_apart_too(
    merged: Path, recorded: tuple[Path, Path], tmp_path: Path
) -> None:
    """Their tapes do not name a predecessor; one that began without state continued nothing."""
    root = put(merged, tmp_path / "old")
    for segment in lineage_of(Layout(root)).order:
        edit_tape(Layout(root).tape(segment), lambda lines: lines[0].pop("continues"))
    reseal(root)
    check_reads_alike(root, recorded)
    await verified(root)


@pytest.mark.long
@pytest.mark.real_time
async def test_missing_gaps_are_derived_from_the_epochs(
    recorded: tuple[Path, Path], tmp_path: Path
) -> None:
    """They are called undeclared: by the reader, by `info`, and by `verify`, which names the files."""
    root = put(recorded[0], tmp_path / "one")
    whole = {own.symbol: own for own in booktape.open(root).coverage()}
    shutil.rmtree(root / "gaps")
    rec = booktape.open(root)
    for own in rec.coverage():
        declared = whole[own.symbol]
        assert declared.gaps.pop("stopped") >= 1
        # From row to row, which may be slightly longer than from event to event.
        assert declared.lost_s <= own.lost_s < declared.lost_s + 2
        assert own.gaps["undeclared"] >= 1
        found = [item for item in rec.snapshots(own.symbol) if isinstance(item, Gap)]
        assert {gap.reason for gap in found} == {"undeclared"}
        assert sum(own.gaps.values()) == len(found)
        (first, *_), times = found, rec.snapshots(own.symbol).to_arrow()["receive_time"].to_pylist()
        assert first.start_time in times
        assert first.end_time in times

    async def check_commands() -> None:
        code, out, _ = await run("info", root)
        assert code == 0
        assert "1 undeclared" in out
        code, out, _ = await run("verify", root, "--json")
        assert code == 1
        assert "gaps of" in out
        assert "the file is missing" in out

    await check_commands()


@pytest.mark.long
@pytest.mark.real_time
async def test_two_recordings_of_one_symbol_cannot_share_a_folder(
    recorded: tuple[Path, Path], tmp_path: Path
) -> None:
    """Their epochs have the same numbers: `verify` says so."""
    root = put(recorded[0], tmp_path / "one")
    await record(tmp_path / "again", ONE[0], segments=1)
    put(tmp_path / "again", root)
    code, out, _ = await run("verify", root, "--json")
    assert code == 1
    assert "two recordings of one symbol do not belong into one folder" in out
