"""Segments past their limit are removed once they are verified, and nothing else is; what remains says what was
removed."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import pytest

import booktape
from booktape.core.tape_records import SegmentStart
from booktape.errors import NotRecorded, UsageError
from booktape.retention.limits import Limit
from booktape.retention.prune import AFTER_ONE_THAT_STAYS, LAST, WAITS, Rules, prune
from booktape.ship.receipts import open_receipts, write_receipt
from booktape.store.catalog import sealed_tapes
from booktape.store.layout import Layout, Segment
from booktape.store.lock import lock_directory
from booktape.store.removals import read_removal
from booktape.store.session import RecordingSession
from booktape.verify.findings import Kind
from booktape.verify.report import render
from booktape.verify.run import verdict
from store.contents import digests, final_files
from store.fragile import Disk
from store.small_recording import record
from support.archives import open_archive, past_of
from support.oracle import SECOND, connected, rest, snapshot
from verify.small import (
    BTC,
    ETH,
    edit_tape,
    opening,
    remove_segment,
    reseal,
    rows_of,
    verified,
)

LATER_US = 10**15
NOTHING = Limit(age_s=0)
ALL_TAPES, ALL = Rules(tapes=NOTHING), Rules(everything=NOTHING)


def names(root: Path) -> list[str]:
    return [segment.name for segment in sealed_tapes(Layout(root))]


def files(root: Path, name: str) -> list[Path]:
    return [path for path in final_files(root) if path.name.startswith(name)]


def shown(root: Path) -> str:
    return " ".join(str(part) for part in render(verified(root)).renderables)


def test_old_tapes_are_removed_and_rows_stay(archive: Path) -> None:
    """Every row can be read as before; verify is clean, and says which tapes are gone and what that means."""
    first, second, third, fourth, last = names(archive)
    before = {path: digest for path, digest in digests(archive).items() if "tape" not in path.parts}
    outcome = prune(archive, ALL_TAPES, LATER_US)
    assert outcome.tapes == [first, second, third, fourth]
    assert outcome.stays == {last: LAST}
    assert not outcome.unverified
    assert names(archive) == [last]
    assert {path: d for path, d in digests(archive).items() if "tape" not in path.parts} == before
    report = verified(archive)
    assert (report.exit_code, report.removed_tapes) == (0, [first, second, third, fourth])
    assert verdict(report).endswith("As it was when its tape was removed, verified: 4 segments.")
    assert "was verified: 4 tapes" in shown(archive)
    assert prune(archive, ALL_TAPES, LATER_US).tapes == []


def test_something_else_under_the_name_of_a_removed_tape_stays_and_is_named(archive: Path) -> None:
    """A folder, for example: it is not booktape's, and no pass stops at it."""
    first = names(archive)[0]
    path = Layout(archive).tape(sealed_tapes(Layout(archive))[0])
    prune(archive, ALL_TAPES, LATER_US)
    path.mkdir(parents=True)
    outcome = prune(archive, ALL_TAPES, LATER_US)
    assert path.is_dir()
    assert outcome.tapes == []
    assert list(outcome.unverified) == [first]


def test_old_segments_are_removed_except_their_receipts(archive: Path) -> None:
    """Only the last segment is left, which the next start continues; verify is clean, and names the removed ones."""
    *old, last = names(archive)
    outcome = prune(archive, ALL, LATER_US)
    assert (outcome.tapes, outcome.segments) == (old, old)
    assert {
        path.name.partition(".parquet")[0].partition(".jsonl")[0] for path in final_files(archive)
    } == {last}
    assert [len(list(archive.glob(f"manifests/*/{name}.json"))) for name in (*old, last)] == [
        0
    ] * 4 + [1]
    report = verified(archive)
    assert (report.exit_code, report.segments, report.removed) == (0, 1, old)
    assert "Removed on purpose: 4 segments" in shown(archive)


def test_tapes_are_removed_first_and_the_rest_later(archive: Path) -> None:
    """The two limits take effect one after the other, as in an archive that grows old."""
    first, second, *others = names(archive)
    assert prune(archive, ALL_TAPES, LATER_US).tapes == [first, second, *others[:-1]]
    age_s = 20.0
    now_us = 60 * 10**6 + 20 * 10**6
    outcome = prune(archive, Rules(everything=Limit(age_s=age_s)), now_us)
    assert (outcome.tapes, outcome.segments) == ([], [first, second])
    assert verified(archive).exit_code == 0
    assert prune(archive, ALL, LATER_US).segments == others[:-1]
    assert verified(archive).exit_code == 0


def test_a_limit_of_age_keeps_everything_younger(archive: Path) -> None:
    """A segment is removed once its end is that old: until then it holds something younger."""
    first, second, *_ = names(archive)
    rules = Rules(tapes=Limit(age_s=100.0))
    assert prune(archive, rules, (100 + 30) * 10**6 - 1).tapes == []
    assert prune(archive, rules, (100 + 30) * 10**6).tapes == [first]
    assert prune(archive, rules, (100 + 60) * 10**6).tapes == [second]


def test_a_limit_of_size_keeps_the_newest(archive: Path) -> None:
    """As many segments as fit into it, and none that is older than a removed one."""
    tapes = names(archive)
    sizes = [
        Layout(archive).tape(segment).stat().st_size for segment in sealed_tapes(Layout(archive))
    ]
    assert prune(archive, Rules(tapes=Limit(size_bytes=sum(sizes[2:]) - 1))).tapes == tapes[:3]
    assert names(archive) == tapes[3:]
    left = sum(path.stat().st_size for path in final_files(archive))
    assert prune(archive, Rules(everything=Limit(size_bytes=left))).segments == []
    outcome = prune(archive, Rules(everything=Limit(size_bytes=left - 1)))
    assert outcome.segments == tapes[:1]
    assert sum(path.stat().st_size for path in final_files(archive)) == left - outcome.freed_bytes


def test_an_unverified_segment_and_all_that_continue_it_stay(archive: Path) -> None:
    """A file changed since it was sealed, or a row that does not follow from its tape."""
    first, second, *others, last = names(archive)
    file = rows_of(archive, BTC, 1)
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    for _ in range(2):
        outcome = prune(archive, ALL, LATER_US)
        assert list(outcome.unverified) == [second]
        assert "size" in outcome.stays[second] or "SHA-256" in outcome.stays[second]
        assert {outcome.stays[name] for name in others} == {AFTER_ONE_THAT_STAYS}
        assert outcome.stays[last] in {LAST, AFTER_ONE_THAT_STAYS}
    assert not files(archive, first)
    assert names(archive) == [second, *others, last]


def test_a_tape_whose_rows_differ_stays(archive: Path) -> None:
    """Even if the manifest fits: the rows must follow from the tape."""
    edit_tape(
        archive / "tape" / "date=1970-01-01" / f"{names(archive)[0]}.jsonl.zst",
        lambda lines: lines.pop(6),
    )
    reseal(archive)
    first = names(archive)[0]
    assert list(prune(archive, ALL_TAPES, LATER_US).unverified) == [first]
    assert first in names(archive)


def test_a_segment_stays_if_the_next_one_does_not_begin_as_it_ended(archive: Path) -> None:
    """The two can be compared only while the tape is there."""
    first, second, *_ = names(archive)

    def change(lines: list[dict[str, object]]) -> None:
        book = next(line for line in lines if line["k"] == "checkpoint" and line["symbol"] == BTC)
        book["updates"] = 77

    edit_tape(archive / "tape" / "date=1970-01-01" / f"{second}.jsonl.zst", change)
    reseal(archive)
    outcome = prune(archive, ALL_TAPES, LATER_US)
    assert "does not begin as" in outcome.unverified[first]
    assert not outcome.tapes


def test_a_segment_stays_if_the_next_one_cannot_be_read(archive: Path) -> None:
    """For the same reason."""
    first, second, *_ = names(archive)
    path = archive / "tape" / "date=1970-01-01" / f"{second}.jsonl.zst"
    path.write_bytes(path.read_bytes()[:40])
    outcome = prune(archive, ALL_TAPES, LATER_US)
    assert first in names(archive)
    assert not outcome.tapes


def test_unproven_rows_stay_unproven(archive: Path) -> None:
    """Rows that rest on a checkpoint without an earlier tape: verify counts the same number afterwards."""
    remove_segment(archive, 0)
    before = verified(archive)
    trusted = [before.found.counts_of(symbol).trusted for symbol in (BTC, ETH)]
    assert all(trusted)
    prune(archive, ALL_TAPES, LATER_US)
    after = verified(archive)
    assert after.found.count == before.found.count
    assert [after.found.counts_of(symbol).trusted for symbol in (BTC, ETH)] == trusted


def test_an_unproven_end_makes_the_next_beginning_unproven(archive: Path) -> None:
    """Also if only some of the tapes are gone, or everything else of these segments."""
    remove_segment(archive, 0)
    before = verified(archive).found.count
    second, third, *_ = names(archive)
    assert prune(archive, Rules(tapes=Limit(age_s=0)), 60 * 10**6).tapes == [second]
    assert verified(archive).found.count == before
    rows = verified(archive).found.symbols[ETH].trusted
    prune(archive, Rules(everything=Limit(age_s=0)), 60 * 10**6)
    report = verified(archive)
    assert 0 < report.found.symbols[ETH].trusted < rows
    assert report.found.count[Kind.DIFFERENT] == 0
    receipt = read_removal(Layout(archive), sealed_segment(second))
    assert receipt is not None
    assert ETH in receipt.unproven
    assert receipt.continued_by == (third,)


def sealed_segment(name: str) -> Segment:
    segment = Segment.parse(name)
    assert segment
    return segment


def test_segments_not_in_their_bucket_stay(archive: Path) -> None:
    """In each bucket that this archive is shipped to, and in that of a recorder that has just started."""
    layout, bucket = Layout(archive), "s3://bucket/prefix"
    first, *_ = sealed_tapes(layout)
    required = Rules(tapes=NOTHING, buckets=(bucket,))
    assert not prune(archive, required, LATER_US).tapes
    open_receipts(layout, bucket)
    outcome = prune(archive, ALL, LATER_US)
    assert not outcome.tapes
    assert outcome.stays[first.name] == f"it is not in {bucket} yet"
    write_receipt(layout, bucket, first)
    assert prune(archive, required, LATER_US).tapes == [first.name]


def test_rows_of_a_removed_tape_are_compared_with_what_was_verified(archive: Path) -> None:
    """A row changed later is found, even if a manifest was made to fit."""
    prune(archive, ALL_TAPES, LATER_US)
    file = rows_of(archive, BTC, 0)
    file.write_bytes(file.read_bytes() + b"?")
    assert verified(archive).exit_code == 1
    reseal(archive)
    (finding, *_) = [one for one in verified(archive).found.kept if "manifest" in one.what]
    assert finding.kind == Kind.DIFFERENT


def test_a_lost_tape_is_not_a_removed_one(archive: Path) -> None:
    """Without a receipt its rows have no proof, and stay."""
    first = names(archive)[0]
    Layout(archive).tape(sealed_segment(first)).unlink()
    outcome = prune(archive, ALL, LATER_US)
    assert "its tape is gone" in outcome.unverified[first]
    assert files(archive, first)
    assert verified(archive).found.count[Kind.UNVERIFIABLE]


def test_a_receipt_with_other_content_is_a_difference(archive: Path) -> None:
    """The proof of rows without a tape rests on it."""
    first, second, *_ = names(archive)
    prune(archive, Rules(tapes=NOTHING), 60 * 10**6)
    receipts = [Layout(archive).removal(sealed_segment(name)) for name in (first, second)]
    receipts[0].write_bytes(receipts[1].read_bytes())
    report = verified(archive)
    assert report.exit_code == 1
    assert any(one.file.startswith("removed/") for one in report.found.kept)


@pytest.mark.parametrize("apart", [19, pytest.param(1, marks=pytest.mark.long)])
@pytest.mark.parametrize("rules", [ALL_TAPES, ALL])
def test_a_pass_killed_at_any_step_is_completed_by_the_next_one(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rules: Rules, apart: int
) -> None:
    """At each step verify is clean, every file is whole, and the next pass gives the result of an undisturbed one."""
    wanted = shutil.copytree(archive, tmp_path / "wanted")
    prune(wanted, rules, LATER_US)
    disk = Disk(monkeypatch)
    for chosen in itertools.count(step=apart):
        root = shutil.copytree(archive, tmp_path / str(chosen))
        with disk.dies_at(chosen):
            prune(root, rules, LATER_US)
        report = verified(root)
        assert report.exit_code == 0, report.found.kept
        prune(root, rules, LATER_US)
        assert digests(root) == digests(wanted)
        assert verified(root).removed == verified(wanted).removed
        shutil.rmtree(root)
        if not disk.failed:
            break
    assert chosen > 20


def test_a_receipt_is_written_before_anything_is_removed(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each step: otherwise files removed on purpose would look lost."""
    layout, looks = Layout(archive), 0
    before = {segment: files(archive, segment.name) for segment in sealed_tapes(layout)}
    disk = Disk(monkeypatch)

    def look(_: str) -> None:
        nonlocal looks
        for segment, own in before.items():
            assert layout.removal(segment).exists() or all(path.exists() for path in own)
        looks += 1

    disk.watch = look
    prune(archive, ALL, LATER_US)
    assert looks > 50


def test_a_recording_continues_as_if_nothing_had_been_removed(archive: Path) -> None:
    """The next start finds each symbol's epoch, gap and book in the last segment."""
    with open_archive(archive) as opened:
        before = past_of(opened, (BTC, ETH), 10**6 * SECOND)
    prune(archive, ALL, LATER_US)
    with open_archive(archive) as opened:
        assert past_of(opened, (BTC, ETH), 10**6 * SECOND) == before


def test_the_running_segment_is_not_touched(archive: Path) -> None:
    """Nor is the previous one, until the running one is sealed."""
    last = names(archive)[-1]
    with open_archive(archive) as opened:
        start = SegmentStart(300 * SECOND, "test", "sim", 2, 3, (BTC,))
        session: RecordingSession = opened.begin(start, "fourth")
        session.writer.flush()
        unsealed = sorted((archive / "unsealed").rglob("*"))
        outcome = prune(archive, ALL, LATER_US)
        assert outcome.stays == {last: LAST}
        assert sorted((archive / "unsealed").rglob("*")) == unsealed


def test_segments_of_parallel_workers_wait_for_each_other(tmp_path: Path) -> None:
    """The segments that continue those of two workers are compared with both, so both are removed together."""
    for tag, symbol in (("runw0", BTC), ("runw1", ETH)):
        scenes = connected(1, 1, (symbol,)), rest(snapshot(10, {"9": "1"}, {}, symbol=symbol), 2)
        record(tmp_path, scenes, opening=opening(0, symbol), tag=tag)
    record(tmp_path, (connected(11, 1),), opening=opening(10), tag="next")
    layout = Layout(tmp_path)
    first, second, _ = sealed_tapes(layout)
    sizes = [layout.tape(segment).stat().st_size for segment in sealed_tapes(layout)]
    outcome = prune(tmp_path, Rules(tapes=Limit(size_bytes=sum(sizes) - 1)))
    assert outcome.stays == {first.name: WAITS}
    assert not outcome.tapes
    outcome = prune(tmp_path, Rules(tapes=Limit(size_bytes=sum(sizes[1:]) - 1)))
    assert outcome.tapes == [first.name, second.name]
    assert verified(tmp_path).exit_code == 0


def test_only_one_pass_runs_at_a_time(archive: Path) -> None:
    """A second one is told to wait, in a sentence; if there is no recording, the sentence says so."""
    with (
        lock_directory(Layout(archive).prune_lock),
        pytest.raises(UsageError, match="Another process"),
    ):
        prune(archive, ALL, LATER_US)
    with pytest.raises(NotRecorded):
        prune(archive.parent / "elsewhere", ALL, LATER_US)


def test_the_reader_shows_the_rows_as_before(archive: Path) -> None:
    """All rows, gaps and checks of the remaining segments."""
    before = booktape.open(archive)
    rows, gaps = before.snapshots(BTC).to_arrow(), before.gaps()
    prune(archive, ALL_TAPES, LATER_US)
    after = booktape.open(archive)
    assert after.snapshots(BTC).to_arrow() == rows
    assert after.gaps() == gaps
