"""What a killed recorder left is sealed as it would have done it, and files that are not ours are left alone."""

from __future__ import annotations

import errno
import itertools
import json
import sys
import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from structlog.testing import capture_logs

import booktape
from booktape.core.arbitration import SymbolFeed
from booktape.core.checkpoint import save
from booktape.core.events import BookRow
from booktape.core.gap_reasons import KILLED, STOPPED
from booktape.core.sync import SymbolSync
from booktape.core.tape_records import ROTATED, SegmentEnd, TapeRecord
from booktape.errors import NotRecorded, WriteFailed
from booktape.reader.archive_files import ArchiveFiles
from booktape.rerecord.rebuild import RebuildRequest, rebuild
from booktape.store import parquet_file, recovery
from booktape.store import segment_writer as writer_module
from booktape.store import tape_writer as tape_module
from booktape.store.archive import lock_archive
from booktape.store.layout import Layout, Segment
from booktape.store.recovery import Recovered, recover
from booktape.store.segment_writer import SegmentWriter
from booktape.store.tape_codec import encode_record
from booktape.store.tape_reader import read_tape
from booktape.store.tape_writer import TapeWriter
from store.contents import digests, end_of_tape, final_files, stored, tapes
from store.fragile import Disk, SameThread
from store.small_recording import OPENING, RECORDS, expected, record, standing
from support.archives import open_archive, past_of
from support.oracle import SECOND, connected, rest, snapshot

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

FIRST, NEXT = Segment(0, "first"), Segment(30 * 10**6, "first")
JUNK = Segment(20 * 10**6, "junk")


def _checkpoint(**changed: object) -> bytes:
    sync, feed = SymbolSync("BTCUSDT"), SymbolFeed()
    fields = json.loads(encode_record(save(sync, feed, 0)))
    return json.dumps({**fields, **changed}, separators=(",", ":")).encode() + b"\n"


LONG: Final = "X" * 300
_ROW: Final = (
    encode_record(connected(1, 1, ("BTCUSDT",))),
    encode_record(rest(snapshot(10, {"100": "1"}, {"101": "1"}), 2)),
)
CRAFTED: Final = {
    "a state that there is not": (_checkpoint(state="nonsense"),),
    "an epoch beyond 64 bits": (_checkpoint(epoch=2**63 - 1), *_ROW, *_ROW),
    "a time beyond 64 bits": (_ROW[0], _ROW[1].replace(b":2000000000,", b":%d," % 10**27)),
    "a symbol that no file can be named after": (
        encode_record(connected(1, 1, (LONG,))),
        encode_record(rest(snapshot(10, {"100": "1"}, {"101": "1"}, symbol=LONG), 2)),
    ),
}

TOLD_BY_A_READER: Final = ("a state that there is not", "a time beyond 64 bits")


def kill(
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    at: str,
    which: Callable[[Iterable[int]], int] = max,
) -> None:
    """Record and die at the last operation of this name, or at the first one of a seal."""
    with monkeypatch.context() as patch:
        disk = Disk(patch)
        record(root.with_name("rehearsal"))
        # The first rename begins the first segment, the second the next: then the first is sealed.
        begun = [number for number, name in enumerate(disk.log) if name == "rename"][1]
        steps = enumerate(disk.log)
        chosen = which(number for number, name in steps if name == at and number > begun)
        with disk.dies_at(chosen):
            record(root)
        assert disk.failed


def leave(root: Path, segment: Segment, records: Iterable[TapeRecord]) -> None:
    """Leaves the files of a recorder that was killed after its last flush."""
    writer = TapeWriter(Layout(root).writing_tape(segment))
    for tape_record in records:
        writer.write(tape_record)
    writer.flush()


def leave_first_again(root: Path) -> list[TapeRecord]:
    """As if the first segment had not been sealed, and its end had not reached the tape."""
    layout = Layout(root)
    lines = text(layout.tape(FIRST))[:-1]
    for path in final_files(root):
        if path.name.startswith(FIRST.name):
            path.unlink()
    leave(root, FIRST, lines)
    return lines


def recovered(root: Path) -> list[Recovered]:
    """The segments that the next start finds and seals."""
    return recover(Layout(root), SameThread())


def text(path: Path) -> list[TapeRecord]:
    return list(read_tape(path))


@pytest.mark.parametrize(
    ("at", "which", "segments"),
    [
        ("pwrite", max, [FIRST, NEXT]),
        ("fsync", max, [FIRST, NEXT]),
        ("rename", max, [FIRST, NEXT]),
        ("rmdir", max, [FIRST, NEXT]),
        # The worker seals the first segment when the next one has just begun.
        # Its first write is the end of its tape.
        ("pwrite", lambda numbers: sorted(numbers)[1], [FIRST]),
        ("fsync", min, [FIRST]),
    ],
)
def test_recovery_writes_what_the_recorder_would_have_written(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    at: str,
    which: Callable[[Iterable[int]], int],
    segments: list[Segment],
) -> None:
    """After a kill while sealing, every Parquet file is byte-equal, and every tape holds the same lines."""
    record(tmp_path / "whole")
    kill(tmp_path / "killed", monkeypatch, at, which)
    recovered(tmp_path / "killed")
    names = tuple(segment.name for segment in segments)
    whole, found = (
        {path: digest for path, digest in digests(root).items() if path.name.startswith(names)}
        for root in (tmp_path / "whole", tmp_path / "killed")
    )
    assert found.keys() == whole.keys()
    for path in whole:
        if path.suffix == ".parquet":
            assert found[path] == whole[path]
        else:
            assert text(tmp_path / "killed" / path) == text(tmp_path / "whole" / path)


def test_both_segments_of_a_rotation_are_recovered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the two unsealed segments the older had only been rotated; the recorder was killed in the newer."""
    kill(tmp_path / "killed", monkeypatch, "pwrite")
    lines = leave_first_again(tmp_path / "killed")
    found = recovered(tmp_path / "killed")
    assert [one.segment for one in found] == [FIRST.name, NEXT.name]
    assert found[0].records == len(lines)
    assert stored(tmp_path / "killed") == expected(RECORDS)
    last = text(Layout(tmp_path / "killed").tape(FIRST))[-1]
    assert last == SegmentEnd(18 * SECOND, ROTATED)


def test_a_sealed_successor_counts_too(tmp_path: Path) -> None:
    """Only the older segment was left unsealed: its books continued, so nothing ended there."""
    record(tmp_path)
    leave_first_again(tmp_path)
    assert [found.segment for found in recovered(tmp_path)] == [FIRST.name]
    assert stored(tmp_path) == expected(RECORDS)


@pytest.mark.parametrize(
    ("end", "reason"), [([], KILLED), ([SegmentEnd(12 * SECOND, STOPPED)], STOPPED)]
)
def test_the_recovered_tape_says_why_it_ended(
    tmp_path: Path, end: list[TapeRecord], reason: str
) -> None:
    """If the tape has no end record, the reason is `killed`; otherwise it is the recorder's."""
    leave(tmp_path, FIRST, [OPENING, *RECORDS[:10], *end])
    assert recovered(tmp_path) == [Recovered(FIRST.name, 11)]
    assert end_of_tape(tmp_path) == reason
    assert stored(tmp_path) == expected(RECORDS[:10], reason)


def test_a_recovery_that_was_killed_starts_over(tmp_path: Path) -> None:
    """The tape that was set aside counts, not the output of the killed recovery."""
    layout = Layout(tmp_path)
    leave(tmp_path, FIRST, [OPENING, *RECORDS[:10]])
    layout.writing_tape(FIRST).rename(layout.torn_tape(FIRST))
    leave(tmp_path, FIRST, [OPENING, *RECORDS[:3]])
    layout.writing_rows(FIRST, "BTCUSDT").write_bytes(b"PAR1 half of it")
    assert recovered(tmp_path) == [Recovered(FIRST.name, 11)]
    assert stored(tmp_path) == expected(RECORDS[:10], KILLED)


def test_a_sealed_segment_is_not_recovered_again(tmp_path: Path) -> None:
    """A recorder or a recovery died between its last rename and the removal of its folder."""
    record(tmp_path)
    before = digests(tmp_path)
    leave(tmp_path, FIRST, text(Layout(tmp_path).tape(FIRST))[:4])
    Layout(tmp_path).writing_tape(FIRST).rename(Layout(tmp_path).torn_tape(FIRST))
    assert recovered(tmp_path) == []
    assert digests(tmp_path) == before
    assert not list((tmp_path / "unsealed").iterdir())


def set_aside(root: Path) -> list[str]:
    """The names of files that no start touches any more."""
    return sorted(path.name for path in (root / "set-aside").glob("*/*"))


@pytest.mark.parametrize("kept", [0, 40, -30])
def test_an_unsealed_tape_replaces_a_sealed_one_that_is_not_whole(
    tmp_path: Path, kept: int
) -> None:
    """A power cut may leave an empty or partial file under a final name: the good copy counts."""
    layout = Layout(tmp_path)
    leave(tmp_path, FIRST, [OPENING, *RECORDS[:10]])
    sealed = layout.tape(FIRST)
    sealed.parent.mkdir(parents=True)
    sealed.write_bytes(layout.writing_tape(FIRST).read_bytes()[:kept])
    assert recovered(tmp_path) == [Recovered(FIRST.name, 11)]
    assert stored(tmp_path) == expected(RECORDS[:10], KILLED)
    assert set_aside(tmp_path) == [sealed.name], "the damaged file is kept too"


def test_a_sealed_tape_that_holds_less_replaces_no_other(tmp_path: Path) -> None:
    """It is whole by itself, but lacks some of what was recorded."""
    layout = Layout(tmp_path)
    leave(tmp_path, FIRST, [OPENING, *RECORDS[:3]])
    recovered(tmp_path)
    leave(tmp_path, FIRST, [OPENING, *RECORDS[:10]])
    assert recovered(tmp_path) == [Recovered(FIRST.name, 11)]
    assert stored(tmp_path) == expected(RECORDS[:10], KILLED)
    assert layout.tape(FIRST).name in set_aside(tmp_path)


def test_a_sealed_file_of_rows_that_is_not_whole_is_replaced(tmp_path: Path) -> None:
    """It is set aside, and the rows that follow from the tape replace it."""
    layout = Layout(tmp_path)
    leave(tmp_path, FIRST, [OPENING, *RECORDS[:10]])
    for path in (layout.rows(FIRST, "BTCUSDT"), layout.table(FIRST, "gaps")):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"")
    recovered(tmp_path)
    assert stored(tmp_path) == expected(RECORDS[:10], KILLED)
    assert len(set_aside(tmp_path)) == 2


def test_a_possible_only_copy_is_not_removed(tmp_path: Path) -> None:
    """Here it is rows beside a sealed tape that cannot be read."""
    layout = Layout(tmp_path)
    layout.tape(FIRST).parent.mkdir(parents=True)
    layout.tape(FIRST).write_bytes(b"")
    layout.unsealed_of(FIRST).mkdir(parents=True)
    layout.writing_rows(FIRST, "BTCUSDT").write_bytes(b"PAR1 rows")
    assert recovered(tmp_path) == []
    assert layout.writing_rows(FIRST, "BTCUSDT").exists()


@pytest.mark.parametrize("torn", [b"", b"no zstd", zstd.compress(encode_record(RECORDS[0]))])
def test_an_unreadable_torn_tape_does_not_replace_a_good_one(tmp_path: Path, torn: bytes) -> None:
    """It is empty or garbage."""
    layout = Layout(tmp_path)
    leave(tmp_path, FIRST, [OPENING, *RECORDS[:10]])
    layout.torn_tape(FIRST).write_bytes(torn)
    assert recovered(tmp_path) == [Recovered(FIRST.name, 11)]
    assert stored(tmp_path) == expected(RECORDS[:10], KILLED)
    assert set_aside(tmp_path) == ([layout.torn_tape(FIRST).name] if torn else [])


def test_of_two_tapes_the_one_that_holds_more_counts(tmp_path: Path) -> None:
    """Whichever name it has; if two differ, neither is removed."""
    layout = Layout(tmp_path)
    leave(tmp_path, FIRST, [OPENING, *RECORDS[:3]])
    layout.writing_tape(FIRST).rename(layout.torn_tape(FIRST))
    leave(tmp_path, FIRST, [OPENING, *RECORDS[:10]])
    assert recovered(tmp_path) == [Recovered(FIRST.name, 11)]
    assert set_aside(tmp_path) == []
    leave(tmp_path, NEXT, [OPENING, *RECORDS[:3]])
    layout.writing_tape(NEXT).rename(layout.torn_tape(NEXT))
    leave(tmp_path, NEXT, [OPENING, *RECORDS[4:9]])
    assert recovered(tmp_path) == [Recovered(NEXT.name, 4)]
    assert set_aside(tmp_path) == [layout.writing_tape(NEXT).name]


def test_links_are_not_followed(tmp_path: Path) -> None:
    """Neither a segment that is a link nor a link in it is followed: files behind them stay."""
    layout, other = Layout(tmp_path / "archive"), Layout(tmp_path / "other")
    leave(other.root, FIRST, [OPENING, *RECORDS[:10]])
    leave(layout.root, NEXT, [OPENING, *RECORDS[:10]])
    thesis = tmp_path / "thesis"
    thesis.write_text("a thesis")
    layout.unsealed_of(FIRST).symlink_to(other.unsealed_of(FIRST))
    layout.torn_tape(NEXT).symlink_to(thesis)
    layout.writing_table(NEXT, "gaps").symlink_to(thesis)
    layout.starting_tape(NEXT).mkdir()
    before = digests(other.root)
    assert recovered(layout.root) == [Recovered(NEXT.name, 11)]
    assert digests(other.root) == before
    assert thesis.read_text() == "a thesis"
    assert stored(layout.root) == expected(RECORDS[:10], KILLED)
    assert set_aside(layout.root) == ["gaps.parquet", "starting.jsonl.zst", "torn.jsonl.zst"]
    assert layout.unsealed_of(FIRST).is_symlink()
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "unsealed").symlink_to(other.unsealed)
    assert recovered(linked) == []
    assert digests(other.root) == before


@pytest.mark.parametrize("jobs", ["recovery", "rebuild", "reader"])
@pytest.mark.parametrize("crafted", CRAFTED)
def test_a_tape_that_no_recorder_wrote_stops_nothing(
    tmp_path: Path, crafted: str, jobs: str
) -> None:
    """A start sets it aside and says where; rebuild and reader name it."""
    layout = Layout(tmp_path)
    leave(tmp_path, JUNK, [])
    lines = [encode_record(OPENING), *CRAFTED[crafted]]
    if jobs != "recovery":
        lines.append(encode_record(SegmentEnd(0, STOPPED)))
        layout.tape(JUNK).parent.mkdir(parents=True)
        layout.tape(JUNK).write_bytes(zstd.compress(b"".join(lines)))
    else:
        layout.writing_tape(JUNK).write_bytes(zstd.compress(b"".join(lines)))
    if jobs == "rebuild":
        (outcome,) = rebuild(RebuildRequest(ArchiveFiles.find(tmp_path), tmp_path / "out", 1))
        assert JUNK.name in str(outcome.damage)
        return
    if jobs == "reader":
        (tmp_path / "unsealed" / JUNK.name / "tape.jsonl.zst").unlink()
        rec = booktape.open(tmp_path)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for symbol in ("BTCUSDT", LONG):
                with suppress(NotRecorded):
                    list(rec.replay(symbol))
        # A reader makes no columns and no files: those two cases do not affect it.
        names = [str(each.message) for each in caught]
        assert any(JUNK.name in name for name in names) == (crafted in TOLD_BY_A_READER)
        return
    leave(tmp_path, FIRST, [OPENING, *RECORDS[:10]])
    with capture_logs() as logs, open_archive(tmp_path) as archive:
        assert archive.recovered == [Recovered(FIRST.name, 11)]
    assert stored(tmp_path) == expected(RECORDS[:10], KILLED)
    (line,) = (log for log in logs if log["log_level"] == "error")
    assert Path(line["to"], "torn.jsonl.zst").exists()
    assert set_aside(tmp_path) == [JUNK.name]


def test_a_second_recovery_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nothing to do, and no file is touched."""
    root = tmp_path / "killed"
    kill(root, monkeypatch, "rename")
    assert [found.segment for found in recovered(root)] == [NEXT.name]
    before = digests(root)
    assert recovered(root) == []
    assert digests(root) == before


@pytest.mark.parametrize(
    ("path", "content", "stays"),
    [
        ("notes.txt", b"mine", True),
        ("lost+found/file", b"mine", True),
        (JUNK.name, b"a file named like a segment", True),
        (f"{JUNK.name}.bak/tape.jsonl.zst", b"mine", True),
        (f"{JUNK.name}/tape.jsonl.zst", b"no zstd at all", True),
        (f"{JUNK.name}/torn.jsonl.zst", b"\x28\xb5\x2f\xfd and then garbage", True),
        (f"{JUNK.name}/tape.jsonl.zst", zstd.compress(b'{"k":"end"}\n'), True),
        (f"{JUNK.name}/tape.jsonl.zst", zstd.compress(encode_record(RECORDS[0])), True),
        (f"{JUNK.name}/tape.jsonl.zst", b"", False),
        (f"{JUNK.name}/starting.jsonl.zst", zstd.compress(encode_record(OPENING)), False),
        (f"{JUNK.name}/symbol=X.parquet", b"PAR1", False),
        (JUNK.name, None, False),
    ],
)
def test_junk_does_not_stop_a_start(
    tmp_path: Path, path: str, content: bytes | None, *, stays: bool
) -> None:
    """Foreign or damaged files are left alone, empty ones are removed, and the rest is recovered."""
    leave(tmp_path, FIRST, [OPENING, *RECORDS[:10]])
    junk = tmp_path / "unsealed" / path
    junk.parent.mkdir(exist_ok=True)
    if content is None:
        junk.mkdir()
    else:
        junk.write_bytes(content)
    with open_archive(tmp_path) as archive:
        assert archive.recovered == [Recovered(FIRST.name, 11)]
        past = past_of(archive, OPENING.symbols, 0).values()
    truth = expected(RECORDS[:10], KILLED)
    assert stored(tmp_path) == truth
    assert standing(past) == standing(truth.books.checkpoints(0))
    left = [found for found in (tmp_path / "unsealed").rglob("*") if found.is_file()]
    assert left == ([junk] if stays else [])
    assert stays or not list((tmp_path / "unsealed").iterdir())


class WhenAsked(Executor):
    """Does nothing until it is waited for: a worker that is always behind."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        executor = self

        class Lazy(Future[Any]):
            def result(self, timeout: float | None = None) -> Any:
                while not self.done():
                    executor.waiting.pop(0)()
                return super().result(timeout)

            def exception(self, timeout: float | None = None) -> BaseException | None:
                self.result(timeout)
                return super().exception(timeout)

        done = Lazy()
        self.waiting.append(lambda: done.set_result(fn(*args, **kwargs)))
        return done


def test_recovery_waits_for_its_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However fast the tape is read, memory holds no more than the backlog, and no row is missing."""
    leave(tmp_path, FIRST, [OPENING, *RECORDS])
    monkeypatch.setattr(parquet_file, "GROUP_ROWS", 1)
    monkeypatch.setattr(writer_module, "BACKLOG_BYTES", 100)
    worker, most = WhenAsked(), 0
    really_add = SegmentWriter.add_row

    def add_row(self: SegmentWriter, row: BookRow) -> None:
        nonlocal most
        really_add(self, row)
        most = max(most, len(self._queue) + len(self._full))

    monkeypatch.setattr(SegmentWriter, "add_row", add_row)
    assert len(recover(Layout(tmp_path), worker)) == 1
    assert stored(tmp_path).rows == expected(RECORDS, KILLED).rows
    assert 1 < most <= 4


def test_recovery_keeps_no_tape_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However few rows follow from it: waiting records are written after each record."""
    leave(tmp_path, FIRST, [replace(OPENING, every=10**6), *RECORDS])
    monkeypatch.setattr(recovery, "STOP_CHECK_RECORDS", 1)
    monkeypatch.setattr(tape_module, "BUFFER_BYTES", 1)
    layout, sizes = Layout(tmp_path), [0]

    def grows() -> bool:
        sizes.append(layout.writing_tape(FIRST).stat().st_size)
        return sizes[-1] <= sizes[-2]

    recover(layout, SameThread(), grows)
    assert len(sizes) == 1 + len(RECORDS)


@pytest.mark.parametrize("records", range(1, len(RECORDS) + 1))
def test_a_recovery_can_be_stopped_after_any_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, records: int
) -> None:
    """As after a kill, the next one starts over, and the result is the same."""
    leave(tmp_path, FIRST, [OPENING, *RECORDS])
    monkeypatch.setattr(recovery, "STOP_CHECK_RECORDS", 1)
    checks = itertools.count(1)
    with lock_archive(tmp_path) as archive:
        archive.repair(lambda: next(checks) == records)
        assert archive.recovered == []
    assert recovered(tmp_path) == [Recovered(FIRST.name, len(RECORDS) + 1)]
    assert stored(tmp_path) == expected(RECORDS, KILLED)


def test_a_failed_removal_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the operating system refuses a removal, there is one sentence, and the next start tries again."""
    (tmp_path / "unsealed" / FIRST.name).mkdir(parents=True)
    disk = Disk(monkeypatch)
    with (
        disk.refuses_at(0, errno.EIO),
        pytest.raises(WriteFailed, match=f"Cannot write .*{FIRST.name}"),
    ):
        recovered(tmp_path)
    assert disk.log == ["rmdir"]
    assert recovered(tmp_path) == []
    assert not list((tmp_path / "unsealed").iterdir())


def test_recovery_may_find_nothing_to_do(tmp_path: Path) -> None:
    """Neither a new directory nor one whose only segment is sealed needs a recovery."""
    assert recovered(tmp_path) == []
    record(tmp_path)
    assert recovered(tmp_path) == []
    assert len(tapes(tmp_path)) == 2
    assert replace(OPENING, continues=()) in text(tapes(tmp_path)[0])
