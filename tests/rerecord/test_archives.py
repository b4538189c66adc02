"""Which recordings are merged, which are left out and named, and which are refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from booktape.errors import CannotMerge, DamagedArchive, DirectoryInUse, NotRecorded, UsageError
from booktape.retention.limits import Limit
from booktape.retention.prune import Rules, prune
from booktape.store.layout import Layout
from booktape.store.lock import lock_directory
from booktape.verify.order import Scope
from booktape.verify.run import verify
from booktape.verify.stored_files import FolderFiles
from e2e.promises import check_archive, gaps_of, rows_of, truth_of
from rerecord.twins import END_S, SYMBOLS, Plan, lost_in_merge, merge_folders, record_twins, unknown
from retention.test_command import call
from store.contents import digests
from store.small_recording import record
from support.archives import open_archive, past_of
from support.truth import TracedMarket
from support.virtual_time import START_NS
from verify.small import FIRST, copy, edit_tape, opening, remove_segment, reseal, sealed


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, TracedMarket]:
    """Two recorders of one market, with outages in turn; the second one's clock is 40 s ahead. Never written to."""
    root = tmp_path_factory.mktemp("twins")
    first, second = Plan(((0, 25), (35, END_S))), Plan(((0, 15), (22, 50), (60, END_S)), ahead_s=40)
    return root / "a", root / "b", record_twins(first, second, (root / "a", root / "b"))


def renamed(archive: Path, to: Path) -> Path:
    """The same recordings as if made by another machine: every tag is different."""
    copy(archive, to)
    tags = sorted({path.name.split("-")[1].split(".")[0] for path in sealed(to, "tape")})
    for tape in sealed(to, "tape"):
        edit_tape(tape, lambda lines: lines[0].update(_with_other_tags(lines[0], tags)))
    for path in sorted(p for p in to.rglob("*.*") if "Z-" in p.name):
        tag = next(tag for tag in tags if tag in path.name)
        path.rename(path.with_name(path.name.replace(tag, tag[::-1] + "0")))
    reseal(to)
    return to


def _with_other_tags(start: dict[str, object], tags: list[str]) -> dict[str, object]:
    text = json.dumps(start["continues"])
    for tag in tags:
        text = text.replace(tag, tag[::-1] + "0")
    return {"continues": json.loads(text)}


def known_rows(root: Path) -> dict[str, list[tuple[object, ...]]]:
    """Every row, with all its columns."""
    return {symbol: [tuple(row.items()) for row in rows] for symbol, rows in rows_of(root).items()}


def test_clocks_that_differ_by_seconds_are_aligned(
    twins: tuple[Path, Path, TracedMarket], tmp_path: Path
) -> None:
    """The result lacks only what both missed, by the right clock; the inputs are not changed."""
    a, b, market = twins
    before = digests(a) | digests(b)
    outcome = merge_folders(a, b, out=tmp_path / "m")
    check_archive(tmp_path / "m", truth_of(market), every=2)
    assert outcome.damaged == outcome.unsealed == []
    for symbol in SYMBOLS:
        of_b = [(start_s - 40, end_s - 40) for start_s, end_s in unknown(b, symbol)]
        assert unknown(tmp_path / "m", symbol)[1:] == []
        assert lost_in_merge(unknown(tmp_path / "m", symbol), [unknown(a, symbol), of_b]) == []
    assert digests(a) | digests(b) == before
    assert not (tmp_path / "m.merging").exists()


def test_the_order_of_the_archives_does_not_matter(
    twins: tuple[Path, Path, TracedMarket], tmp_path: Path
) -> None:
    """The result is the same to the byte."""
    a, b, _ = twins
    merge_folders(a, b, out=tmp_path / "ab")
    merge_folders(b, a, a, out=tmp_path / "ba")
    assert digests(tmp_path / "ab") == digests(tmp_path / "ba")


def test_an_archive_merged_with_itself_has_its_rows(
    twins: tuple[Path, Path, TracedMarket], tmp_path: Path
) -> None:
    """Both with the same files, and with a copy that looks like another machine's: every row, every gap."""
    a, _, _ = twins
    merge_folders(a, a, out=tmp_path / "same")
    merge_folders(a, renamed(a, tmp_path / "other"), out=tmp_path / "twice")
    assert len(gaps_of(a)) >= len(SYMBOLS)
    for merged in ("same", "twice"):
        assert known_rows(tmp_path / merged) == known_rows(a)
        assert gaps_of(tmp_path / merged) == gaps_of(a)
        assert verify(FolderFiles(tmp_path / merged), Scope(), 1).clean


def test_consecutive_recordings_become_one_with_a_gap_between_them(tmp_path: Path) -> None:
    """They do not overlap at all; the result has another N."""
    folders = tmp_path / "a", tmp_path / "b"
    market = record_twins(Plan(((0, 20),)), Plan(((30, 50),)), folders)
    merge_folders(*folders, out=tmp_path / "m", every=3)
    check_archive(tmp_path / "m", truth_of(market), every=3)
    for symbol in SYMBOLS:
        (gap,) = (gap for gap in gaps_of(tmp_path / "m") if gap["symbol"] == symbol)
        assert gap["reason"] == "stopped"
        assert gap["epoch"] == 1


def test_recordings_of_other_symbols_stand_side_by_side(tmp_path: Path) -> None:
    """As shards do; everything that each recorded of its own symbols is there."""
    folders = tmp_path / "a", tmp_path / "b"
    one, other = (Plan(((0, 30),), settings={"symbols": s}) for s in (SYMBOLS[:1], SYMBOLS[1:]))
    market = record_twins(one, other, folders)
    merge_folders(*folders, out=tmp_path / "m")
    check_archive(tmp_path / "m", truth_of(market), every=2)
    assert known_rows(tmp_path / "m") == known_rows(folders[0]) | known_rows(folders[1])


# ── what is damaged or missing ──────────────────────────────────────────────────────────────


def nothing(content: bytes) -> bytes:
    return content[:0]


def half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def one_bit_flipped(content: bytes) -> bytes:
    at = len(content) - 3
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


LONG = pytest.mark.long


@pytest.mark.parametrize(
    "kept", [half, *(pytest.param(each, marks=LONG) for each in (nothing, one_bit_flipped, None))]
)
def test_an_unreadable_tape_is_named_and_the_other_machine_fills_it(
    twins: tuple[Path, Path, TracedMarket],
    tmp_path: Path,
    kept: Callable[[bytes], bytes] | None,
) -> None:
    """Its recorder counts as stopped for that time, even if the tape is missing and its rows are not."""
    a, b, market = twins
    damaged = copy(a, tmp_path / "damaged")
    tape = sealed(damaged, "tape")[-2]
    tape.write_bytes(kept(tape.read_bytes())) if kept else tape.unlink()
    outcome = merge_folders(damaged, b, out=tmp_path / "m")
    (sentence,) = outcome.damaged
    assert tape.name.removesuffix(".jsonl.zst") in sentence
    check_archive(tmp_path / "m", truth_of(market), every=2)
    for symbol in SYMBOLS:
        times = [row["receive_time"].timestamp() - START_NS / 1e9 for row in rows_of(a)[symbol]]
        last_row_s = max(time_s for time_s in times if time_s < 60)
        without = [*unknown(a, symbol), (last_row_s, 80.2)]
        of_b = [(start_s - 40, end_s - 40) for start_s, end_s in unknown(b, symbol)]
        assert lost_in_merge(unknown(tmp_path / "m", symbol), [without, of_b]) == []
    # The other copy of the same tape serves as well.
    outcome = merge_folders(damaged, b, a, out=tmp_path / "whole")
    merge_folders(a, b, out=tmp_path / "ab")
    assert digests(tmp_path / "whole") == digests(tmp_path / "ab")


def test_a_tape_that_was_removed_on_purpose_is_named_and_is_no_damage(
    twins: tuple[Path, Path, TracedMarket], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 0, with a sentence for each archive. A segment that another archive still has is not missing at all."""
    a, b, _ = twins
    pruned = copy(a, tmp_path / "pruned")
    first, *others = prune(pruned, Rules(tapes=Limit(age_s=0))).tapes
    assert others
    assert call("merge", pruned, b, "--out", tmp_path / "m") == 0
    assert f"{len(others) + 1} segments, {first} to {others[-1]}." in capsys.readouterr().err
    assert verify(FolderFiles(tmp_path / "m"), Scope(), 1).clean
    outcome = merge_folders(pruned, a, out=tmp_path / "whole")
    assert (outcome.removed, outcome.damaged) == ([], [])


def test_a_lost_tape_is_named(
    twins: tuple[Path, Path, TracedMarket], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1, unless another archive has the same segment. Also if only a file of gaps is left of it."""
    a, b, _ = twins
    damaged = copy(a, tmp_path / "damaged")
    first, *_, last = sealed(damaged, "tape")
    first.unlink()
    last.unlink()
    for room in ("manifests", "snapshots"):
        shutil.rmtree(damaged / room)
    assert call("merge", damaged, b, "--out", tmp_path / "m") == 1
    err = capsys.readouterr().err
    assert all(tape.name.removesuffix(".jsonl.zst") in err for tape in (first, last))
    assert merge_folders(damaged, a, out=tmp_path / "whole").damaged == []


@pytest.mark.long
def test_an_archive_that_begins_mid_recording_is_used_from_the_next_snapshot(
    twins: tuple[Path, Path, TracedMarket], tmp_path: Path
) -> None:
    """Rows that rest on a checkpoint without a tape to prove it are not taken over: the whole result is proved."""
    a, b, market = twins
    trimmed = copy(a, tmp_path / "trimmed")
    remove_segment(trimmed, 0)
    assert not verify(FolderFiles(trimmed), Scope(), 1).clean
    assert merge_folders(trimmed, b, out=tmp_path / "m").damaged == []
    check_archive(tmp_path / "m", truth_of(market), every=2)


def test_a_tape_that_no_recorder_writes_ends_the_merge(
    twins: tuple[Path, Path, TracedMarket], tmp_path: Path
) -> None:
    """Every checksum is right, yet its records cannot be applied: nothing appears under the name of the result."""
    a, b, _ = twins
    forged = copy(a, tmp_path / "forged")
    tape = sealed(forged, "tape")[1]
    asked = {"k": "asked", "received_ns": START_NS, "symbol": "X", "limit": 5}
    edit_tape(tape, lambda lines: lines.insert(20, asked))
    with pytest.raises(DamagedArchive, match=tape.name):
        merge_folders(forged, b, out=tmp_path / "m")
    assert not (tmp_path / "m").exists()


@pytest.mark.long
def test_unsealed_segments_are_left_out_and_named(
    twins: tuple[Path, Path, TracedMarket], tmp_path: Path
) -> None:
    """A running recorder has such segments."""
    a, b, market = twins
    running = copy(a, tmp_path / "running")
    last = sealed(running, "tape")[-1]
    name = last.name.removesuffix(".jsonl.zst")
    folder = running / "unsealed" / name
    folder.mkdir(parents=True)
    last.rename(folder / "tape.jsonl.zst")
    for path in [p for p in running.rglob(f"{name}.*") if p.is_file()]:
        path.unlink()
    outcome = merge_folders(running, b, out=tmp_path / "m")
    assert outcome.damaged == []
    assert [Path(path).parent.name for path in outcome.unsealed] == [name]
    check_archive(tmp_path / "m", truth_of(market), every=2)


# ── what is refused ─────────────────────────────────────────────────────────────────────────


def with_starts(archive: Path, to: Path, **values: object) -> Path:
    """A copy whose tapes have another start record."""
    copy(archive, to)
    for tape in sealed(to, "tape"):
        edit_tape(tape, lambda lines: lines[0].update(values))
    return to


def test_archives_that_do_not_fit_together_are_refused(
    twins: tuple[Path, Path, TracedMarket], tmp_path: Path
) -> None:
    """In one sentence, and nothing is written."""
    a, b, _ = twins
    old, out = tmp_path / "old", tmp_path / "m"
    record(old, FIRST, opening=opening(0), tag="first")
    with pytest.raises(CannotMerge, match="format 1"):
        merge_folders(a, old, out=out)
    with pytest.raises(CannotMerge, match="different exchanges: other and test exchange"):
        merge_folders(a, with_starts(b, tmp_path / "exchange", exchange="other"), out=out)
    coarse = with_starts(b, tmp_path / "coarse", every=10)
    with pytest.raises(CannotMerge, match=r"updates a row: 2 and 10.*--every 2"):
        merge_folders(a, coarse, out=out)
    (tmp_path / "empty" / "tape").mkdir(parents=True)
    with pytest.raises(NotRecorded, match="nothing to merge"):
        merge_folders(tmp_path / "empty", tmp_path / "empty", out=out)
    assert not out.exists()
    assert not (tmp_path / "m.merging").exists()
    merge_folders(a, coarse, out=out, every=7)
    assert verify(FolderFiles(out), Scope(), 1).clean


@pytest.mark.long
def test_other_settings_are_no_obstacle(
    twins: tuple[Path, Path, TracedMarket], tmp_path: Path
) -> None:
    """A book that the more generous recorder called known stays so; depth and witness only decided what was requested."""
    a, b, market = twins
    other = with_starts(b, tmp_path / "other", depth=100, witness="none", pulse_s=0, audit_s=0)
    merge_folders(a, other, out=tmp_path / "m")
    check_archive(tmp_path / "m", truth_of(market), every=2)


def test_nothing_is_replaced(twins: tuple[Path, Path, TracedMarket], tmp_path: Path) -> None:
    """Neither an archive, nor the remains of an interrupted merge, nor what another merge is writing."""
    a, b, _ = twins
    for out in (a, a / "inside"):
        with pytest.raises(UsageError, match="Choose another --out"):
            merge_folders(a, b, out=out)
    thesis = tmp_path / "m" / "thesis"
    thesis.parent.mkdir()
    thesis.write_text("a thesis")
    with pytest.raises(UsageError, match="is not empty"):
        merge_folders(a, b, out=tmp_path / "m")
    thesis.rename(tmp_path / "thesis")
    left = tmp_path / "m.merging" / "unsealed"
    left.mkdir(parents=True)
    with lock_directory(Layout(left.parent).lock), pytest.raises(DirectoryInUse):
        merge_folders(a, b, out=tmp_path / "m")
    with pytest.raises(UsageError, match=r"interrupted merge.*Remove that folder"):
        merge_folders(a, b, out=tmp_path / "m")
    shutil.rmtree(left.parent)
    merge_folders(a, b, out=tmp_path / "m")


def test_a_recorder_continues_a_merged_archive(
    twins: tuple[Path, Path, TracedMarket], tmp_path: Path
) -> None:
    """It is an archive like any other."""
    a, b, _ = twins
    merge_folders(a, b, out=tmp_path / "m")
    last = {symbol: rows[-1] for symbol, rows in rows_of(tmp_path / "m").items()}
    with open_archive(tmp_path / "m") as archive:
        past = past_of(archive, SYMBOLS, 2 * 10**18)
    assert {symbol: saved.epoch for symbol, saved in past.items()} == {
        symbol: row["epoch"] for symbol, row in last.items()
    }
    assert all(saved.update_id >= last[symbol]["update_id"] for symbol, saved in past.items())
