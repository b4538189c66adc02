"""Segments that need not be kept are removed once they are verified, and nothing else is; what is left says what was
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


def test_old_tapes_go_and_rows_stay(archive: Path) -> None:
    """Every row can be read as before, verify is clean, and says which tapes are gone and what that means."""
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


def test_what_took_the_name_of_a_removed_tape_stays_and_is_named(archive: Path) -> None:
    """A folder, say: it is none of booktape's, and no pass ends there."""
    first = names(archive)[0]
    path = Layout(archive).tape(sealed_tapes(Layout(archive))[0])
    prune(archive, ALL_TAPES, LATER_US)
    path.mkdir(parents=True)
    outcome = prune(archive, ALL_TAPES, LATER_US)
    assert path.is_dir()
    assert outcome.tapes == []
    assert list(outcome.unverified) == [first]


def test_all_of_old_segments_goes_but_for_receipts(archive: Path) -> None:
    """Only the last one is left, which the next start continues from; verify is clean, and names what is gone."""
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


def test_tapes_first_and_the_rest_later(archive: Path) -> None:
    """The two limits follow each other, as they do in an archive that grows old."""
    first, second, *others = names(archive)
    assert prune(archive, ALL_TAPES, LATER_US).tapes == [first, second, *others[:-1]]
    age_s = 20.0
    now_us = 60 * 10**6 + 20 * 10**6
    outcome = prune(archive, Rules(everything=Limit(age_s=age_s)), now_us)
    assert (outcome.tapes, outcome.segments) == ([], [first, second])
    assert verified(archive).exit_code == 0
    assert prune(archive, ALL, LATER_US).segments == others[:-1]
    assert verified(archive).exit_code == 0


def test_a_limit_of_age_keeps_all_of_that_time(archive: Path) -> None:
    """A segment goes when it ended that long ago: until then it holds something younger."""
    first, second, *_ = names(archive)
    rules = Rules(tapes=Limit(age_s=100.0))
    assert prune(archive, rules, (100 + 30) * 10**6 - 1).tapes == []
    assert prune(archive, rules, (100 + 30) * 10**6).tapes == [first]
    assert prune(archive, rules, (100 + 60) * 10**6).tapes == [second]


def test_a_limit_of_size_keeps_the_newest(archive: Path) -> None:
    """As many as fit into it, and none that has an older one behind it."""
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


def test_what_is_not_verified_stays_with_all_that_continue_it(archive: Path) -> None:
    """A file that is not as it was sealed, a row that does not follow from its tape."""
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
    """Manifests that fit do not help: the rows must follow from the tape."""
    edit_tape(
        archive / "tape" / "date=1970-01-01" / f"{names(archive)[0]}.jsonl.zst",
        lambda lines: lines.pop(6),
    )
    reseal(archive)
    first = names(archive)[0]
    assert list(prune(archive, ALL_TAPES, LATER_US).unverified) == [first]
    assert first in names(archive)


def test_a_segment_stays_while_the_next_one_does_not_begin_as_it_ended(archive: Path) -> None:
    """It can be compared only as long as the tape is there."""
    first, second, *_ = names(archive)

    def change(lines: list[dict[str, object]]) -> None:
        book = next(line for line in lines if line["k"] == "checkpoint" and line["symbol"] == BTC)
        book["updates"] = 77

    edit_tape(archive / "tape" / "date=1970-01-01" / f"{second}.jsonl.zst", change)
    reseal(archive)
    outcome = prune(archive, ALL_TAPES, LATER_US)
    assert "does not begin as" in outcome.unverified[first]
    assert not outcome.tapes


def test_a_segment_stays_while_the_next_one_cannot_be_read(archive: Path) -> None:
    """Likewise."""
    first, second, *_ = names(archive)
    path = archive / "tape" / "date=1970-01-01" / f"{second}.jsonl.zst"
    path.write_bytes(path.read_bytes()[:40])
    outcome = prune(archive, ALL_TAPES, LATER_US)
    assert first in names(archive)
    assert not outcome.tapes


def test_what_was_unproven_stays_so(archive: Path) -> None:
    """Rows that rest on a checkpoint without a tape before it: verify counts them after as before."""
    remove_segment(archive, 0)
    before = verified(archive)
    trusted = [before.found.counts_of(symbol).trusted for symbol in (BTC, ETH)]
    assert all(trusted)
    prune(archive, ALL_TAPES, LATER_US)
    after = verified(archive)
    assert after.found.count == before.found.count
    assert [after.found.counts_of(symbol).trusted for symbol in (BTC, ETH)] == trusted


def test_what_is_unproven_at_an_end_is_unproven_at_the_next_beginning(archive: Path) -> None:
    """Also when only some of the tapes are gone, and when all else of them is."""
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


def test_what_is_not_in_its_bucket_stays(archive: Path) -> None:
    """In each bucket that this archive is shipped to, and in that of a recorder that has just begun."""
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
    """A row that is changed later is found, also where a manifest was made to fit."""
    prune(archive, ALL_TAPES, LATER_US)
    file = rows_of(archive, BTC, 0)
    file.write_bytes(file.read_bytes() + b"?")
    assert verified(archive).exit_code == 1
    reseal(archive)
    (finding, *_) = [one for one in verified(archive).found.kept if "manifest" in one.what]
    assert finding.kind == Kind.DIFFERENT


def test_a_tape_that_is_lost_is_not_one_that_was_removed(archive: Path) -> None:
    """Without a receipt its rows have no proof, and stay."""
    first = names(archive)[0]
    Layout(archive).tape(sealed_segment(first)).unlink()
    outcome = prune(archive, ALL, LATER_US)
    assert "its tape is gone" in outcome.unverified[first]
    assert files(archive, first)
    assert verified(archive).found.count[Kind.UNVERIFIABLE]


def test_a_receipt_that_says_something_else_is_a_difference(archive: Path) -> None:
    """It is what the proof of rows without a tape rests on."""
    first, second, *_ = names(archive)
    prune(archive, Rules(tapes=NOTHING), 60 * 10**6)
    receipts = [Layout(archive).removal(sealed_segment(name)) for name in (first, second)]
    receipts[0].write_bytes(receipts[1].read_bytes())
    report = verified(archive)
    assert report.exit_code == 1
    assert any(one.file.startswith("removed/") for one in report.found.kept)


@pytest.mark.parametrize("apart", [19, pytest.param(1, marks=pytest.mark.long)])
@pytest.mark.parametrize("rules", [ALL_TAPES, ALL])
def test_killed_at_any_step_it_is_completed_by_the_next_pass(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rules: Rules, apart: int
) -> None:
    """At each step verify is clean, every file is whole, and the next pass leaves what one alone would have left."""
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


def test_a_receipt_is_there_before_anything_is_gone(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each step: else what was removed on purpose would look like what was lost."""
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


def test_a_recording_goes_on_as_if_nothing_had_been_removed(archive: Path) -> None:
    """The next start finds each symbol's epoch, gap and book in the last segment."""
    with open_archive(archive) as opened:
        before = past_of(opened, (BTC, ETH), 10**6 * SECOND)
    prune(archive, ALL, LATER_US)
    with open_archive(archive) as opened:
        assert past_of(opened, (BTC, ETH), 10**6 * SECOND) == before


def test_the_running_segment_is_not_touched(archive: Path) -> None:
    """Nor the one before it, as long as the running one is not sealed."""
    last = names(archive)[-1]
    with open_archive(archive) as opened:
        start = SegmentStart(300 * SECOND, "test", "sim", 2, 3, (BTC,))
        session: RecordingSession = opened.begin(start, "fourth")
        session.writer.flush()
        unsealed = sorted((archive / "unsealed").rglob("*"))
        outcome = prune(archive, ALL, LATER_US)
        assert outcome.stays == {last: LAST}
        assert sorted((archive / "unsealed").rglob("*")) == unsealed


def test_siblings_wait_for_each_other(tmp_path: Path) -> None:
    """What continues the segments of two workers is compared with both, so the first goes with the second."""
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


def test_one_pass_at_a_time(archive: Path) -> None:
    """A second one is told to wait, in a sentence; where nothing is recorded, that is said."""
    with (
        lock_directory(Layout(archive).prune_lock),
        pytest.raises(UsageError, match="Another process"),
    ):
        prune(archive, ALL, LATER_US)
    with pytest.raises(NotRecorded):
        prune(archive.parent / "elsewhere", ALL, LATER_US)


def test_the_reader_shows_the_rows_as_before(archive: Path) -> None:
    """All rows, gaps and checks of what is kept."""
    before = booktape.open(archive)
    rows, gaps = before.snapshots(BTC).to_arrow(), before.gaps()
    prune(archive, ALL_TAPES, LATER_US)
    after = booktape.open(archive)
    assert after.snapshots(BTC).to_arrow() == rows
    assert after.gaps() == gaps
