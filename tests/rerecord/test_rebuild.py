"""A rebuilt archive equals the one that a recorder with that N would have left, or says what is missing."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from booktape.core.tape_records import TapeRecord
from booktape.errors import DirectoryInUse, FolderNotShared, NotRecorded, UsageError
from booktape.processes.task_map import Shard
from booktape.reader.archive_files import ArchiveFiles
from booktape.rerecord.rebuild import (
    RebuildLayout,
    RebuildOutcome,
    RebuildRequest,
    rebuild,
    rebuild_segment,
)
from booktape.rerecord.rebuild import _clear_unsealed as clear
from booktape.retention.limits import Limit
from booktape.retention.prune import Rules, prune
from booktape.store.layout import Layout
from booktape.store.lock import lock_directory
from booktape.store.tape_reader import read_tape
from reader.day import SYMBOLS, write_by_workers
from retention.test_command import call
from store.contents import digests, stored
from store.small_recording import YUAN, record
from support.archives import open_archive, past_of
from support.oracle import SECOND
from verify.small import BTC, ETH, build, copy, edit_tape, rows_of, sealed, verified


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A row after every second update; five segments of three recordings. Never written to."""
    root = tmp_path_factory.mktemp("rebuild") / "archive"
    build(root, every=2)
    return root


def order(source: Path, out: Path, every: int = 1, *symbols: str, **stretch: int) -> RebuildRequest:
    return RebuildRequest(
        ArchiveFiles.find(source), out, every, frozenset(symbols) or None, **stretch
    )


def again(
    source: Path,
    out: Path,
    every: int = 1,
    *symbols: str,
    jobs: int = 1,
    **stretch: int,
) -> list[RebuildOutcome]:
    return rebuild(order(source, out, every, *symbols, **stretch), jobs)


def tables(root: Path) -> dict[Path, str]:
    """The content of each Parquet file, byte for byte."""
    return {path: digest for path, digest in digests(root).items() if path.suffix == ".parquet"}


def lines(root: Path) -> list[list[TapeRecord]]:
    """The content of each tape. Its compression depends on when it was flushed."""
    return [list(read_tape(path)) for path in sealed(root, "tape")]


@pytest.mark.parametrize(
    ("every", "jobs"),
    [(1, 1), (2, 1), (1_000, 1), pytest.param(3, 2, marks=pytest.mark.long)],
)
def test_a_rebuilt_archive_equals_that_of_a_recorder_with_the_same_n(
    archive: Path, tmp_path: Path, every: int, jobs: int
) -> None:
    """Every Parquet file to the byte, every line of every tape; and it is proved like any other."""
    build(tmp_path / "recorded", every=every)
    outcomes = again(archive, tmp_path / "rebuilt", every, jobs=jobs)
    assert outcomes == [
        RebuildOutcome(path.name.removesuffix(".jsonl.zst")) for path in sealed(archive, "tape")
    ]
    assert tables(tmp_path / "rebuilt") == tables(tmp_path / "recorded")
    assert lines(tmp_path / "rebuilt") == lines(tmp_path / "recorded")
    assert verified(tmp_path / "rebuilt").clean
    assert not (tmp_path / "rebuilt" / "rebuilding").exists()


def test_one_symbol_can_be_rebuilt(archive: Path, tmp_path: Path) -> None:
    """As if nothing else had been recorded: no row, gap, check or note of another symbol."""
    again(archive, tmp_path / "rebuilt", 2, ETH)
    whole, found = stored(archive), stored(tmp_path / "rebuilt")
    assert found.rows == {ETH: whole.rows[ETH]}
    for table in ("gaps", "checks", "notes"):
        # A note without a symbol concerns all of them.
        of_it = [row for row in getattr(whole, table) if row[0] in {ETH, None}]
        assert list(getattr(found, table)) == of_it, table
    assert verified(tmp_path / "rebuilt").clean


def test_some_symbols_can_be_rebuilt(tmp_path: Path) -> None:
    """Also one with a name beyond plain ASCII."""
    record(tmp_path / "recorded")
    again(tmp_path / "recorded", tmp_path / "rebuilt", 2, YUAN, ETH)
    whole, found = stored(tmp_path / "recorded"), stored(tmp_path / "rebuilt")
    assert found.rows == {symbol: whole.rows[symbol] for symbol in (ETH, YUAN)}
    assert found.gaps == [row for row in whole.gaps if row[0] != BTC]
    assert verified(tmp_path / "rebuilt").clean


def test_one_symbol_of_many_workers_can_be_rebuilt(tmp_path: Path) -> None:
    """The other workers' tapes stay, and contain nothing of the symbol."""
    write_by_workers(tmp_path / "recorded", 30, segment_s=10)
    again(tmp_path / "recorded", tmp_path / "rebuilt", 1, SYMBOLS[1])
    wanted = {SYMBOLS[1]: stored(tmp_path / "recorded").rows[SYMBOLS[1]]}
    assert stored(tmp_path / "rebuilt").rows == wanted
    assert verified(tmp_path / "rebuilt").clean


def test_a_range_of_time_can_be_rebuilt(archive: Path, tmp_path: Path) -> None:
    """All segments that it touches, complete, and no others."""
    outcomes = again(archive, tmp_path / "rebuilt", 2, from_us=35 * 10**6, to_us=61 * 10**6)
    assert len(outcomes) == 2
    names = tuple(outcome.segment for outcome in outcomes)
    of_them = {p: d for p, d in tables(archive).items() if p.name.startswith(names)}
    assert tables(tmp_path / "rebuilt") == of_them


def test_files_lost_beside_the_tapes_are_restored(archive: Path, tmp_path: Path) -> None:
    """For example the rows of all symbols; then only the tapes show that there were any."""
    root = copy(archive, tmp_path / "damaged")
    for room in ("snapshots", "gaps", "manifests"):
        shutil.rmtree(root / room)
    again(root, tmp_path / "rebuilt", 2)
    assert tables(tmp_path / "rebuilt") == tables(archive)
    again(root, tmp_path / "one", 2, BTC)
    assert stored(tmp_path / "one").rows == {BTC: stored(archive).rows[BTC]}


def nothing(content: bytes) -> bytes:
    return content[:0]


def half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def all_but_the_last_byte(content: bytes) -> bytes:
    return content[:-1]


def one_bit_flipped(content: bytes) -> bytes:
    at = len(content) - 3
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


@pytest.mark.parametrize("kept", [nothing, half, all_but_the_last_byte, one_bit_flipped])
def test_a_damaged_tape_is_left_out_and_named(
    archive: Path, tmp_path: Path, kept: Callable[[bytes], bytes]
) -> None:
    """Nothing of its segment is there, and nothing of the others is missing."""
    root = copy(archive, tmp_path / "damaged")
    tape = sealed(root, "tape")[1]
    tape.write_bytes(kept(tape.read_bytes()))
    outcomes = again(root, tmp_path / "rebuilt", 2)
    name = tape.name.removesuffix(".jsonl.zst")
    assert [outcome.segment for outcome in outcomes if outcome.damage] == [name]
    assert tape.name in str(outcomes[1].damage)
    others = {p: d for p, d in tables(archive).items() if not p.name.startswith(name)}
    assert tables(tmp_path / "rebuilt") == others


def test_a_segment_rebuilt_before_its_tape_was_damaged_stays(archive: Path, tmp_path: Path) -> None:
    """It is whole, and could not be made again."""
    root = copy(archive, tmp_path / "damaged")
    again(root, tmp_path / "rebuilt", 2)
    sealed(root, "tape")[1].write_bytes(b"")
    assert again(root, tmp_path / "rebuilt", 2)[1].was_there
    assert tables(tmp_path / "rebuilt") == tables(archive)


def test_a_tape_that_does_not_begin_as_one_is_left_out(archive: Path, tmp_path: Path) -> None:
    """Without its first line nothing says what was recorded."""
    root = copy(archive, tmp_path / "damaged")
    edit_tape(sealed(root, "tape")[0], lambda tape: tape.pop(0))
    outcomes = again(root, tmp_path / "rebuilt", 2, BTC)
    assert "does not begin with a start record" in str(outcomes[0].damage)
    assert [outcome.damage for outcome in outcomes[1:]] == [None] * 4


def test_an_interrupted_rebuild_continues_where_it_stopped(archive: Path, tmp_path: Path) -> None:
    """Sealed files stay; a half-finished segment is no recording, and is done again."""
    out = tmp_path / "rebuilt"
    finished: list[RebuildOutcome] = []

    def interrupt(outcome: RebuildOutcome) -> None:
        finished.append(outcome)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rebuild(order(archive, out, 2), done=interrupt)
    (first,) = finished
    half_done = RebuildLayout(out).unsealed_of(ArchiveFiles.find(archive).tapes()[1].segment)
    half_done.mkdir(parents=True)
    for name in ("starting.jsonl.zst", "tape.jsonl.zst"):
        shutil.copy(sealed(archive, "tape")[1], half_done / name)
    with open_archive(out) as nobodys:
        assert nobodys.recovered == []
    outcomes = again(archive, out, 2)
    assert outcomes[0] == RebuildOutcome(first.segment, was_there=True)
    assert not any(outcome.was_there for outcome in outcomes[1:])
    assert tables(out) == tables(archive)
    assert verified(out).clean


def test_foreign_files_are_never_removed(archive: Path, tmp_path: Path) -> None:
    """Neither in the folder for half-finished work, nor in that of a segment, nor behind a link."""
    out, thesis = tmp_path / "rebuilt", tmp_path / "thesis"
    thesis.mkdir()
    (thesis / "tape.jsonl.zst").write_text("a thesis")
    first, second, third, *_ = (tape.segment for tape in ArchiveFiles.find(archive).tapes())
    half_done = RebuildLayout(out).unsealed_of(first)
    (half_done / "gaps.parquet").mkdir(parents=True)
    for path in (half_done.parent / "thesis", half_done / "thesis", half_done / "gaps.parquet/x"):
        path.write_text("a thesis")
    (half_done / "tape.jsonl.zst").write_bytes(b"half of a tape: this is ours")
    (half_done / "symbol=%41.parquet").write_text("no name that we give")
    RebuildLayout(out).unsealed_of(second).symlink_to(thesis)
    (half_done / "checks.parquet").symlink_to(thesis / "tape.jsonl.zst")
    RebuildLayout(out).unsealed_of(third).mkdir()
    before = {str(path) for path in tmp_path.rglob("*")}
    clear(RebuildLayout(out))
    gone = before - {str(path) for path in tmp_path.rglob("*")}
    assert gone == {str(half_done / "tape.jsonl.zst"), str(RebuildLayout(out).unsealed_of(third))}
    assert (thesis / "tape.jsonl.zst").read_text() == "a thesis"


def test_foreign_files_beside_half_finished_work_outlive_a_rebuild(
    archive: Path, tmp_path: Path
) -> None:
    """Also in the folder of a segment that is rebuilt."""
    out = tmp_path / "rebuilt"
    half_done = RebuildLayout(out).unsealed_of(ArchiveFiles.find(archive).tapes()[0].segment)
    half_done.mkdir(parents=True)
    for folder in (half_done, half_done.parent):
        (folder / "thesis").write_text("a thesis")
    again(archive, out, 2)
    assert tables(out) == tables(archive)
    left = sorted(path for path in (out / "rebuilding").rglob("*") if path.is_file())
    assert left == [half_done / "thesis", half_done.parent / "thesis"]


def test_more_segments_can_be_added_with_the_same_settings(archive: Path, tmp_path: Path) -> None:
    """One range of time after the other, into one archive."""
    again(archive, tmp_path / "rebuilt", 2, to_us=35 * 10**6)
    outcomes = again(archive, tmp_path / "rebuilt", 2)
    assert [outcome.was_there for outcome in outcomes] == [True, True, False, False, False]
    assert verified(tmp_path / "rebuilt").clean


def test_a_mistake_is_reported_in_one_sentence(archive: Path, tmp_path: Path) -> None:
    """Nothing is written."""
    out, empty = tmp_path / "rebuilt", tmp_path / "empty"
    with pytest.raises(UsageError, match="is the archive itself"):
        again(archive, archive)
    with pytest.raises(NotRecorded, match="no segment between"):
        again(archive, out, to_us=-1)
    with pytest.raises(NotRecorded, match="has no data for XRPUSDT"):
        again(archive, out, 1, "XRPUSDT")
    (empty / "tape").mkdir(parents=True)
    with pytest.raises(NotRecorded, match="no sealed tape"):
        again(empty, out)
    assert not out.exists()


def test_segments_rebuilt_with_other_settings_stay_as_they_are(
    archive: Path, tmp_path: Path
) -> None:
    """Another N, or other symbols: one archive cannot hold two different results."""
    out = tmp_path / "rebuilt"
    again(archive, out, 1, BTC)
    before = digests(out)
    for every, symbols in ((2, (BTC,)), (1, (ETH,)), (1, (BTC, ETH)), (1, ())):
        with pytest.raises(UsageError, match="of other symbols, or at another N"):
            again(archive, out, every, *symbols)
    with lock_directory(Layout(out).lock), pytest.raises(DirectoryInUse):
        again(archive, out, 1, BTC)
    assert digests(out) == before


def test_a_rebuild_killed_while_files_are_renamed_can_be_repeated(
    archive: Path, tmp_path: Path
) -> None:
    """The same command makes the same files again; a different one is refused, because some files exist."""
    out = tmp_path / "rebuilt"
    again(archive, out, 2)
    for tape in sealed(out, "tape"):
        half_done = RebuildLayout(out).unsealed / tape.name.removesuffix(".jsonl.zst")
        half_done.mkdir(parents=True)
        tape.rename(half_done / "tape.jsonl.zst")
    rows_of(out, BTC, 1).unlink()
    with pytest.raises(UsageError, match="of other symbols, or at another N"):
        again(archive, out, 1)
    again(archive, out, 2)
    assert tables(out) == tables(archive)
    assert verified(out).clean


@pytest.mark.parametrize("kept", ["tape", "unsealed", "snapshots"])
def test_nothing_is_mixed_with_a_recording(archive: Path, tmp_path: Path, kept: str) -> None:
    """Whatever is left of it: sealed tapes, a running recorder's files, or rows without their tapes."""
    other = tmp_path / "other"
    record(other, tag="other")
    tape = sealed(other, "tape")[0]
    half_done = other / "unsealed" / tape.name.removesuffix(".jsonl.zst")
    half_done.mkdir(parents=True)
    shutil.copy(tape, half_done / "tape.jsonl.zst")
    for room in {"tape", "unsealed", "snapshots"} - {kept}:
        shutil.rmtree(other / room)
    before = digests(other)
    with pytest.raises(UsageError, match="not rebuilt from"):
        again(archive, other)
    assert digests(other) == before


def test_a_recorder_continues_a_rebuilt_archive(archive: Path, tmp_path: Path) -> None:
    """Epochs never fall back there either."""
    again(archive, tmp_path / "rebuilt", 1)
    with open_archive(archive) as old, open_archive(tmp_path / "rebuilt") as new:
        now_ns = 10**6 * SECOND
        assert past_of(new, (BTC, ETH), now_ns) == past_of(old, (BTC, ETH), now_ns)


def test_attempts_at_one_segment_do_not_harm_each_other(archive: Path, tmp_path: Path) -> None:
    """A scheduler may give up a worker that still runs: both make the same bytes, and the first one counts."""
    again(archive, tmp_path / "alone", 2)
    request = order(archive, tmp_path / "rebuilt", 2)
    tapes = request.source.tapes()
    with lock_directory(request.layout.lock), ThreadPoolExecutor(4) as threads:
        attempts = [threads.submit(rebuild_segment, request, tape) for tape in tapes * 4]
        assert {attempt.result() for attempt in attempts} == {
            RebuildOutcome(tape.segment.name) for tape in tapes
        }
    assert digests(tmp_path / "rebuilt") == digests(tmp_path / "alone")
    assert verified(tmp_path / "rebuilt").clean
    assert not list((tmp_path / "rebuilt" / "rebuilding").iterdir())


def test_a_machine_that_does_not_see_the_folder_is_named(archive: Path, tmp_path: Path) -> None:
    """It sees neither the tape nor the run's lock, and nothing is written there."""
    request = order(archive, tmp_path / "rebuilt", 2)
    tape = request.source.tapes()[0]
    with pytest.raises(FolderNotShared, match=r"does not see .*rebuilt\. All workers need"):
        rebuild_segment(request, tape)
    with pytest.raises(FolderNotShared, match=re.escape(tape.path)):
        rebuild_segment(request, replace(tape, bytes=tape.bytes + 1))
    assert not request.out.exists()


# ── tapes that are gone ─────────────────────────────────────────────────────────────────────


def lose(root: Path, *numbers: int) -> list[str]:
    """Delete some tapes; returns the names of their segments."""
    tapes = sealed(root, "tape")
    for number in numbers:
        tapes[number].unlink()
    return [tapes[number].name.removesuffix(".jsonl.zst") for number in numbers]


def damaged_of(outcomes: list[RebuildOutcome]) -> list[str]:
    return [outcome.segment for outcome in outcomes if outcome.damage]


@pytest.mark.parametrize("which", [(0,), (1,), (4,), (1, 2), (0, 1, 2, 3, 4)])
def test_a_lost_tape_is_named(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], which: tuple[int, ...]
) -> None:
    """With exit code 1, like a damaged one; the others are rebuilt. This holds for any tape, the last, and all of them."""
    root = copy(archive, tmp_path / "damaged")
    names = lose(root, *which)
    assert call("rebuild", root, "--every", "1", "--out", tmp_path / "rebuilt") == 1
    out = capsys.readouterr().out
    assert all(name in out for name in names)
    assert f"{len(names)} left out" in out
    assert len(sealed(tmp_path / "rebuilt", "tape")) == 5 - len(which)


def test_rows_without_a_manifest_belong_to_a_lost_tape(archive: Path, tmp_path: Path) -> None:
    """Any other file of a segment shows that it had a tape."""
    root = copy(archive, tmp_path / "damaged")
    (name,) = lose(root, 1)
    for room in ("manifests", "snapshots", "gaps", "checks"):
        shutil.rmtree(root / room)
    assert damaged_of(again(root, tmp_path / "rebuilt")) == [name]


def test_a_tape_that_was_removed_on_purpose_is_not_lost(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A receipt says so. The tape is named, and the exit code is 0."""
    root = copy(archive, tmp_path / "pruned")
    prune(root, Rules(tapes=Limit(age_s=0)), 60 * 10**6)
    assert call("rebuild", root, "--every", "1", "--out", tmp_path / "rebuilt") == 0
    assert "were removed on purpose (2 segments)" in capsys.readouterr().out


def test_a_segment_that_is_being_sealed_is_not_lost(archive: Path, tmp_path: Path) -> None:
    """Its tape gets its name last."""
    root = copy(archive, tmp_path / "sealing")
    tape = sealed(root, "tape")[-1]
    unsealed = root / "unsealed" / tape.name.removesuffix(".jsonl.zst") / "tape.jsonl.zst"
    unsealed.parent.mkdir(parents=True)
    tape.rename(unsealed)
    assert damaged_of(again(root, tmp_path / "rebuilt")) == []


def test_only_lost_tapes_of_the_requested_time_are_named(archive: Path, tmp_path: Path) -> None:
    """By the names of the segments after them: 0 to 30 s, 30 to 60 s, 60 s, 100 s, 200 s."""
    root = copy(archive, tmp_path / "damaged")
    first, second, third = lose(root, 0, 1, 2)
    later = again(root, tmp_path / "later", from_us=61 * 10**6)
    assert damaged_of(later) == [third]
    between = again(root, tmp_path / "between", from_us=30 * 10**6, to_us=60 * 10**6)
    assert damaged_of(between) == [second]
    assert damaged_of(again(root, tmp_path / "before", to_us=1)) == [first]


def test_each_lost_tape_is_named_by_one_shard(archive: Path, tmp_path: Path) -> None:
    """And by the run over all segments."""
    root = copy(archive, tmp_path / "damaged")
    names = lose(root, 1, 2)
    request = order(root, tmp_path / "rebuilt")
    shards = [rebuild(request, 1, Shard(number, 2)) for number in (1, 2)]
    assert [damaged_of(shard) for shard in shards] == [names[:1], names[1:]]
    assert damaged_of(rebuild(request)) == names


@pytest.mark.filterwarnings("ignore::booktape.errors.TapesRemoved")
@pytest.mark.parametrize("gone", ["lost", "removed"])
def test_a_segment_rebuilt_before_its_tape_was_lost_stays_and_is_continued(
    archive: Path, tmp_path: Path, gone: str
) -> None:
    """It was made from this archive with the same N; another N is refused as before."""
    root = copy(archive, tmp_path / "source")
    again(root, tmp_path / "rebuilt", 2, to_us=31 * 10**6)
    if gone == "lost":
        lose(root, 0)
    else:
        prune(root, Rules(tapes=Limit(age_s=0)), 30 * 10**6)
    assert damaged_of(again(root, tmp_path / "rebuilt", 2)) == []
    assert tables(tmp_path / "rebuilt") == tables(archive)
    with pytest.raises(UsageError, match="at another N"):
        again(root, tmp_path / "rebuilt", 3)
