"""A copy with a file for each day has the same rows, gaps, checks and notes, and records how they were verified."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, Final

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import booktape
from booktape.errors import UsageError, WriteFailed
from booktape.retention import compact as compact_module
from booktape.retention.compact import CompactOutcome, compact
from booktape.retention.limits import Limit
from booktape.retention.prune import Rules, prune
from booktape.retention.stored import StoredSegment, stored_segments
from booktape.store.layout import Layout
from booktape.store.lock import lock_directory
from booktape.store.removals import Removal, write_removal
from booktape.store.session import RecordingSession
from retention.week import EVERY, SYMBOLS, Market
from store.contents import digests, final_files
from store.fragile import Disk
from store.small_recording import record
from support.archives import open_archive
from support.oracle import SECOND, connected, start
from support.rotation import finish, follow, rotate
from verify.small import (
    BTC,
    FIRST,
    SECOND_RUN,
    opening,
    remove_segment,
    rows_of,
    sealed,
    verified,
)

DAY_S: Final = 86_400
READERS: Final[dict[str, Callable[[Path], list[Any]]]] = {
    "pandas": lambda root: sorted(pd.read_parquet(root / "snapshots")["update_id"].tolist()),
    "polars": lambda root: sorted(pl.read_parquet(root / "snapshots")["update_id"].to_list()),
    "DuckDB": lambda root: sorted(
        one
        for (one,) in duckdb.read_parquet(f"{root}/snapshots/**/*.parquet")
        .project("update_id")
        .fetchall()
    ),
    "booktape": lambda root: sorted(
        one
        for symbol in booktape.open(root).symbols()
        for one in booktape.open(root).snapshots(symbol).to_arrow().column("update_id").to_pylist()
    ),
}


@pytest.fixture(scope="module")
def compacted(built: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, CompactOutcome]:
    out = tmp_path_factory.mktemp("compacted") / "days"
    return out, compact(built, out)


def test_each_recording_has_one_file_a_day(compacted: tuple[Path, CompactOutcome]) -> None:
    """The segments of the first recording have become one; there is no tape."""
    out, outcome = compacted
    assert len(outcome.days) == 3
    assert not outcome.left_out
    assert not outcome.young
    assert len(list(out.glob(f"snapshots/symbol={BTC}/*/*"))) == 3
    assert not list(out.glob("tape/*/*"))
    assert sorted(path.name for path in out.iterdir() if path.is_dir()) == [
        *("checks", "gaps", "manifests", "notes", "removed", "snapshots")
    ]


@pytest.mark.parametrize("reader", READERS)
def test_all_readers_see_each_row_once(
    built: Path, compacted: tuple[Path, CompactOutcome], reader: str
) -> None:
    """The same rows as before."""
    found = READERS[reader](compacted[0])
    assert found == READERS[reader](built)
    assert len(found) > 10


def test_the_copy_equals_the_source(built: Path, compacted: tuple[Path, CompactOutcome]) -> None:
    """In each column of each row, gap, check and note, and in everything computed from them."""
    before, after = booktape.open(built), booktape.open(compacted[0])
    assert after.symbols() == before.symbols()
    for symbol in before.symbols():
        assert after.snapshots(symbol).to_arrow() == before.snapshots(symbol).to_arrow()
    assert after.gaps() == before.gaps()
    assert after.checks() == before.checks()
    assert after.notes() == before.notes()
    assert not after.damaged


def test_verify_compares_the_copy_with_what_was_verified(
    compacted: tuple[Path, CompactOutcome], tmp_path: Path
) -> None:
    """It is clean, and says that there are no tapes; a row changed later is found."""
    out = shutil.copytree(compacted[0], tmp_path / "days")
    report = verified(out)
    assert (report.exit_code, len(report.removed_tapes)) == (0, 3)
    file = rows_of(out, BTC, 0)
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    assert verified(out).exit_code == 1


def test_existing_days_are_not_copied_again(built: Path, tmp_path: Path) -> None:
    """A second run changes nothing; the days of a newer recording are added."""
    source, out = shutil.copytree(built, tmp_path / "source"), tmp_path / "days"
    compact(source, out)
    before = digests(out)
    assert compact(source, out).there == 3
    assert digests(out) == before
    record(source, (), opening=start(BTC, received_ns=300 * SECOND, every=2), tag="fourth")
    outcome = compact(source, out)
    assert (len(outcome.days), outcome.there) == (1, 3)
    assert before.items() < digests(out).items()


def test_a_restart_after_a_copy_is_proved_to_continue_it(tmp_path: Path) -> None:
    """The recorder was stopped while its day was copied. Nothing later is unproven, and the day may be removed."""
    source, out = tmp_path / "source", tmp_path / "days"
    record(source, FIRST, opening=opening(0), tag="first")
    assert len(compact(source, out).days) == 1
    record(source, SECOND_RUN, opening=opening(100), tag="second")
    again = compact(source, out)
    assert (len(again.days), again.there, again.left_out) == (1, 1, {})
    report = verified(out)
    assert report.exit_code == 0, report.found.kept
    assert len(prune(out, Rules(everything=Limit(age_s=0))).segments) == 1
    assert verified(out).exit_code == 0


def test_a_restart_that_does_not_continue_a_copied_day_is_named(tmp_path: Path) -> None:
    """Here it continues a tape other than the one that was copied."""
    source, out = tmp_path / "source", tmp_path / "days"
    record(source, FIRST, opening=opening(0), tag="first")
    compact(source, out)
    record(source, SECOND_RUN, opening=opening(100), tag="second")
    tape = sealed(source, "tape")[2]
    tape.write_bytes(tape.read_bytes()[:-1])
    (why,) = compact(source, out).left_out.values()
    assert tape.name in why


def test_days_are_copied_without_their_tapes(built: Path, tmp_path: Path) -> None:
    """Files that were verified when their tape was removed are copied like the rest, if they are unchanged since."""
    source = shutil.copytree(built, tmp_path / "source")
    prune(source, Rules(tapes=Limit(age_s=0)))
    outcome = compact(source, tmp_path / "days")
    assert len(outcome.days) == 3
    assert READERS["booktape"](tmp_path / "days") == READERS["booktape"](built)
    file = rows_of(source, BTC, 0)
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    outcome = compact(source, tmp_path / "again")
    assert [why.rpartition(" is ")[2] for why in outcome.left_out.values()] == [
        "not as it was sealed (SHA-256)"
    ]


def test_a_file_that_came_after_the_tape_went_is_not_copied(built: Path, tmp_path: Path) -> None:
    """It is not among the verified files, so the receipt of the copy must not say that it was."""
    source = shutil.copytree(built, tmp_path / "source")
    prune(source, Rules(tapes=Limit(age_s=0)))
    file = rows_of(source, BTC, 0)
    added = file.parents[2] / "symbol=ADDED" / file.parent.name / file.name
    added.parent.mkdir(parents=True)
    shutil.copy(file, added)
    (why,) = compact(source, tmp_path / "days").left_out.values()
    assert "is not among the files that were sealed" in why


def test_a_receipt_that_names_a_missing_segment_is_named(built: Path, tmp_path: Path) -> None:
    """Whether the segment was removed since, or never existed."""
    source = shutil.copytree(built, tmp_path / "source")
    segment = stored_segments(Layout(source))[0].segment
    gone = f"20300101T000000.000000Z-{segment.tag}"
    write_removal(Layout(source), segment, Removal(segment.name, "tape", "", continued_by=(gone,)))
    outcome = compact(source, tmp_path / "days")
    assert list(outcome.left_out.values()) == [
        f"{gone}, which continues {segment.name}, is missing"
    ]


def test_an_unverified_day_is_left_out(built: Path, tmp_path: Path) -> None:
    """A file was changed since it was sealed; a segment is missing. Other days are copied."""
    source = shutil.copytree(built, tmp_path / "source")
    file = rows_of(source, BTC, 1)
    file.write_bytes(file.read_bytes() + b"?")
    outcome = compact(source, tmp_path / "days")
    assert len(outcome.days) == 2
    (why,) = outcome.left_out.values()
    assert "has not the size" in why
    sealed_tape = next((built / "tape").glob("*/*.zst"))
    lost = shutil.copytree(built, tmp_path / "lost")
    (lost / sealed_tape.relative_to(built)).unlink()
    (why,) = compact(lost, tmp_path / "no tape").left_out.values()
    name = sealed_tape.name.partition(".jsonl")[0]
    assert why == f"{name} has no tape, and no receipt says that it had been verified"
    lacking = shutil.copytree(built, tmp_path / "lacking")
    remove_segment(lacking, 1)
    assert "is missing" in str(compact(lacking, tmp_path / "others").left_out)


@contextmanager
def recorded_before_midnight(source: Path) -> Iterator[RecordingSession]:
    """A recording of one symbol that began a minute before midnight, with a book."""
    with open_archive(source) as archive:
        opening = start(SYMBOLS[0], every=EVERY, received_ns=(DAY_S - 60) * SECOND)
        session = archive.begin(opening, "run")
        follow(session, connected(DAY_S - 60, 1, SYMBOLS[:1]))
        follow(session, Market(Random(1)).book(SYMBOLS[0], DAY_S - 60))
        yield session


def test_a_day_whose_last_segment_is_sealed_during_the_listing_is_copied_whole_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recorder stops at that moment. A copy without the segment would lack it for ever."""
    source, out = tmp_path / "source", tmp_path / "days"
    with recorded_before_midnight(source) as session:
        rotate(session, (DAY_S - 30) * SECOND).result()

        def list_and_then_stop(layout: Layout) -> list[StoredSegment]:
            found = stored_segments(layout)
            finish(session, "stopped").result()
            return found

        with monkeypatch.context() as patched:
            patched.setattr(compact_module, "stored_segments", list_and_then_stop)
            assert len(compact(source, out).young) == 1
    assert len(compact(source, out).days) == 1
    assert READERS["booktape"](out) == READERS["booktape"](source)


def test_an_unfinished_day_is_not_copied(tmp_path: Path) -> None:
    """Neither today nor a part of it; once the next day has begun it is copied whole."""
    source, out = tmp_path / "source", tmp_path / "days"
    with recorded_before_midnight(source) as session:
        rotate(session, (DAY_S - 30) * SECOND).result()
        assert len(compact(source, out).young) == 1
        rotate(session, DAY_S * SECOND).result()
        rotate(session, (DAY_S + 30) * SECOND).result()
        outcome = compact(source, out)
        assert (len(outcome.days), len(outcome.young)) == (1, 1)
        assert verified(out).exit_code == 0
        session.writer.flush()


@pytest.mark.parametrize("copied", [False, True])
def test_a_day_that_a_clock_went_back_to_is_named(tmp_path: Path, *, copied: bool) -> None:
    """Across midnight: the previous day gets one more segment, perhaps after its copy. Nothing is left out silently."""
    source, out = tmp_path / "source", tmp_path / "days"
    with recorded_before_midnight(source) as session:
        rotate(session, (DAY_S + 5) * SECOND).result()
        rotate(session, (DAY_S - 30) * SECOND).result()
        if copied:
            assert len(compact(source, out).days) == 1
        finish(session, "stopped").result()
    (why,) = compact(source, out).left_out.values()
    assert "the clock was set back across midnight" in why


def test_a_copy_that_lacks_a_row_is_not_published(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The written file is compared with the sources, not with the rows that were to be written."""
    regrouped = compact_module._regrouped

    def swapped(found: Iterable[pa.RecordBatch], most: int) -> Iterator[list[pa.RecordBatch]]:
        for group in regrouped(found, most):
            yield group[::-1]

    monkeypatch.setattr(compact_module, "_regrouped", swapped)
    with pytest.raises(WriteFailed, match="does not hold the values"):
        compact(built, tmp_path / "days")
    assert not list((tmp_path / "days").glob("removed/*/*"))


def test_rows_of_many_groups_are_regrouped_by_size() -> None:
    """However they come: no group has more rows than requested, none is lost, and the order stays."""
    whole = pa.RecordBatch.from_pydict({"n": list(range(1_000))})
    for step in (1, 7, 600, 1_000):
        parts = [whole.slice(start, step) for start in range(0, 1_000, step)]
        groups = list(compact_module._regrouped(parts, 600))
        assert all(sum(one.num_rows for one in group) <= 600 for group in groups)
        values = pa.Table.from_batches([one for group in groups for one in group])
        assert values.column("n").to_pylist() == list(range(1_000))


def test_only_a_copy_is_continued(built: Path, tmp_path: Path) -> None:
    """Nothing is written into an archive with tapes, least of all into the source; two copies at once are refused."""
    with lock_directory(Layout(built).lock), pytest.raises(UsageError, match="the archive itself"):
        compact(built, built / "tape" / "..")
    with pytest.raises(UsageError, match="holds a recording"):
        compact(built, shutil.copytree(built, tmp_path / "other"))
    with (
        lock_directory(Layout(tmp_path / "days").lock, folder=True),
        pytest.raises(UsageError, match="in use"),
    ):
        compact(built, tmp_path / "days")


@pytest.mark.parametrize("apart", [31, pytest.param(1, marks=pytest.mark.long)])
def test_no_reader_sees_a_row_twice_after_a_kill_at_any_step_and_the_next_run_completes_it(
    built: Path,
    compacted: tuple[Path, CompactOutcome],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    apart: int,
) -> None:
    """Only whole files of the copy are visible; the source is never touched."""
    disk = Disk(monkeypatch)
    wanted, source = digests(compacted[0]), digests(built)
    for chosen in itertools.count(step=apart):
        out = tmp_path / str(chosen)
        with disk.dies_at(chosen):
            compact(built, out)
        seen = digests(out) if out.exists() else {}
        assert seen.items() <= wanted.items()
        compact(built, out)
        assert digests(out) == wanted
        assert len(final_files(out)) == len(wanted)
        assert not verified(out).found.kept
        if not disk.failed:
            break
    assert chosen > 60
    assert digests(built) == source
