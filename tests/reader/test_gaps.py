"""Every gap once, closed when it is closed, wherever it is stored."""

from __future__ import annotations

import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import booktape
from booktape.core.tape_records import DELISTED, TRADING
from booktape.reader.archive_files import ArchiveFile, ArchiveFiles
from booktape.reader.gaps import gap_list
from booktape.store.layout import TAPE
from booktape.store.schema import GAPS
from reader.day import BEGIN_S, SYMBOLS
from reader.truth import moment
from store.small_recording import ETH, OPENING, perform, record
from support.archives import open_archive
from support.oracle import (
    SECOND,
    SYMBOL,
    connected,
    event,
    listed,
    lost,
    rest,
    snapshot,
    start,
    stream,
)
from support.rotation import finish, rotate

DELISTED_AMID_A_GAP = (
    connected(1),
    rest(snapshot(10), 2),
    stream(event(20, 20), 3),
    listed(DELISTED, 5),
    stream(event(21, 21), 9),
)
"""Ids leave a hole; then the symbol is delisted, but an event still comes."""

CLOSING = (connected(51, 1, (ETH,)), rest(snapshot(40, {"1": "1"}, {}, symbol=ETH), 55))


def test_all_gaps_of_all_symbols(rec: booktape.Recording, running: Path) -> None:
    """The earliest first, with the columns of the files; sealed or not."""
    table = rec.gaps()
    assert table.schema == GAPS
    assert table["symbol"].to_pylist() == [*SYMBOLS, *SYMBOLS]
    assert table["start_time"].to_pylist() == [moment(s) for s in (40, 40, 150, 150)]
    assert table["end_time"].to_pylist() == [moment(s) for s in (50, 50, 160, 160)]
    assert booktape.open(running).gaps() == table
    assert rec.gaps("ETHUSDT")["symbol"].to_pylist() == ["ETHUSDT", "ETHUSDT"]


def test_a_gap_that_is_closed_later_is_shown_once(tmp_path: Path) -> None:
    """It is open after the first run, and closed by the second, while that runs and after it is sealed."""
    with open_archive(tmp_path) as archive:
        perform(archive)

        def eth() -> list[tuple[object, ...]]:
            rows = booktape.open(tmp_path).gaps(ETH).to_pylist()
            return [(row["epoch"], row["reason"], row["next_update_id"]) for row in rows]

        assert eth() == [(1, "disconnected", None)]
        recording = archive.begin(replace(OPENING, received_ns=50 * SECOND), "second")
        recording.writer.flush()
        assert eth() == [(1, "disconnected", None)]
        for record in CLOSING:
            recording.handle(record)
        recording.writer.flush()
        assert eth() == [(1, "disconnected", 40)]
        finish(recording, "stopped").result()
        assert eth() == [(1, "disconnected", 40)]


def test_an_open_row_that_is_read_late_does_not_reopen_a_closed_gap(tmp_path: Path) -> None:
    """A tape was read while the gap was open, a file once it was closed."""
    with open_archive(tmp_path) as archive:
        perform(archive)
        recording = archive.begin(replace(OPENING, received_ns=50 * SECOND), "second")
        recording.writer.flush()
        shutil.copytree(tmp_path / "unsealed", tmp_path / "aside")
        for record in CLOSING:
            recording.handle(record)
        finish(recording, "stopped").result()
    shutil.rmtree(tmp_path / "unsealed")
    (tmp_path / "aside").rename(tmp_path / "unsealed")
    (row,) = booktape.open(tmp_path).gaps(ETH).to_pylist()
    assert row["next_update_id"] == 40


def test_a_gap_that_began_earlier_and_ends_on_an_unsealed_tape(tmp_path: Path) -> None:
    """A query for an earlier time still finds it: the checkpoint has its start, the tape its end."""
    start_s = BEGIN_S
    opening = replace(OPENING, received_ns=start_s * SECOND)
    with open_archive(tmp_path) as archive:
        recording = archive.begin(opening, "run")
        for record in (
            connected(start_s, 1, (ETH,)),
            rest(snapshot(1, {"1": "1"}, {}, symbol=ETH), start_s + 1),
            stream(b"?", start_s + 5, 1),
        ):
            recording.handle(record)
        recording.handle(lost(start_s + 8, 1))
        rotate(recording, (start_s + 10) * SECOND).result()
        for record in (
            connected(start_s + 11, 2, (ETH,)),
            rest(snapshot(9, {"1": "1"}, {}, symbol=ETH), start_s + 20),
            stream(event(10, 10, {"1": "2"}, symbol=ETH), start_s + 21, 2),
        ):
            recording.handle(record)
        recording.writer.flush()
        gap = gap_list(ArchiveFiles.find(tmp_path), ETH, before_us=(start_s + 9) * 10**6)
        assert [(g.start_time, g.end_time) for g in gap] == [(moment(8), moment(20))]
        assert gap_list(ArchiveFiles.find(tmp_path, unsealed=False), ETH) == []


def test_files_of_gaps_are_read_once(
    sealed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many queries need them; a changed file is read again."""
    root = tmp_path / "copy"
    shutil.copytree(sealed, root)
    rec = booktape.open(root)
    opened: list[str] = []
    really = rec._archive.open

    def opening(file: ArchiveFile) -> pa.NativeFile:
        opened.append(file.path)
        return really(file)

    monkeypatch.setattr(rec._archive, "open", opening)
    files = [path.as_posix() for path in sorted(root.glob("gaps/*/*"))]
    known = rec.gaps()
    assert rec.gaps() == known
    assert rec.quotes("BTCUSDT").resample("1s").to_arrow()["epoch"].null_count == 20
    assert [path for path in opened if "/gaps/" in path] == files
    pq.write_table(pa.concat_tables([known, known]), files[-1])
    assert rec.gaps().num_rows == known.num_rows
    assert [path for path in opened if "/gaps/" in path] == [*files, files[-1]]


def test_files_are_read_as_they_are(rec: booktape.Recording, sealed: Path) -> None:
    """The rows are those that any Parquet reader finds."""
    files = sorted(sealed.glob("gaps/*/*.parquet"))
    rows = [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]
    assert rec.gaps().to_pylist() == rows


def test_a_symbol_delisted_during_a_gap_and_relisted_has_two_gaps(tmp_path: Path) -> None:
    """The first ends at the delisting, the second begins at the event that still came."""
    record(tmp_path, (*DELISTED_AMID_A_GAP, rest(snapshot(30), 11)), opening=start(SYMBOL))
    gaps = booktape.open(tmp_path).gaps().to_pylist()
    assert [(gap["epoch"], gap["reason"]) for gap in gaps] == [
        (1, "id_gap"),
        (1, "delisted"),
    ]
    assert gaps[0]["end_time"] <= gaps[1]["start_time"]


def test_a_symbol_delisted_twice_during_a_gap_has_three_gaps(tmp_path: Path) -> None:
    """Two with the same epoch and reason; the second is open at first, and closed by the next recording."""
    scenes = (
        *DELISTED_AMID_A_GAP,
        listed(TRADING, 11),
        listed(DELISTED, 13),
        stream(event(22, 22), 15),
    )
    with open_archive(tmp_path) as archive:
        recording = archive.begin(start(SYMBOL), "first")
        for scene in scenes:
            recording.handle(scene)
        finish(recording, "stopped").result()
        assert spans(tmp_path) == [("id_gap", 2, 5), ("delisted", 5, 13), ("delisted", 13, None)]
        recording = archive.begin(start(SYMBOL, received_ns=20 * SECOND), "second")
        for scene in (listed(TRADING, 21), connected(22), rest(snapshot(30), 23)):
            recording.handle(scene)
        finish(recording, "stopped").result()
    assert spans(tmp_path) == [("id_gap", 2, 5), ("delisted", 5, 13), ("delisted", 13, 23)]


def spans(root: Path) -> list[tuple[str, float, float | None]]:
    """For each gap: the reason, and from when until when the book was not known, in seconds."""
    return [
        (
            gap["reason"],
            gap["start_time"].timestamp(),
            gap["end_time"] and gap["end_time"].timestamp(),
        )
        for gap in booktape.open(root).gaps().to_pylist()
    ]


def test_an_undeclared_gap_lies_between_two_rows(sealed: Path, tmp_path: Path) -> None:
    """Its file is missing, but the epoch changes."""
    root = tmp_path / "copy"
    shutil.copytree(sealed, root)
    shutil.rmtree(root / "gaps")
    rec = booktape.open(root)
    rows = rec.snapshots("BTCUSDT").to_arrow().select(["receive_time", "epoch", "update_id"])
    between = [both for both in pairwise(rows.to_pylist()) if both[0]["epoch"] != both[1]["epoch"]]
    found = rec.gaps("BTCUSDT").to_pylist()
    assert [gap["reason"] for gap in found] == ["undeclared", "undeclared"]
    assert [(gap["epoch"], gap["start_time"], gap["end_time"]) for gap in found] == [
        (last["epoch"], last["receive_time"], first["receive_time"]) for last, first in between
    ]
    assert [(gap["last_update_id"], gap["next_update_id"]) for gap in found] == [
        (last["update_id"], first["update_id"]) for last, first in between
    ]


def test_a_segment_being_sealed_may_have_rows_before_gaps(sealed: Path, tmp_path: Path) -> None:
    """Its tape is sealed after its rows and gaps: until then a change of epoch is not an undeclared gap."""
    root = tmp_path / "copy"
    shutil.copytree(sealed, root)
    for gaps in root.glob("gaps/*/*.parquet"):
        gaps.unlink()
    for tape in sorted(root.glob("tape/*/*")):
        folder = root / "unsealed" / tape.name.removesuffix(TAPE)
        folder.mkdir(parents=True)
        tape.rename(folder / f"tape{TAPE}")
    assert booktape.open(root, unsealed=False).gaps().num_rows == 0


def test_a_symbol_delisted_between_two_recordings_has_no_gap(tmp_path: Path) -> None:
    """The epoch changes and nothing declares it, but there was no book."""
    with open_archive(tmp_path) as archive:
        for start_s, listing in ((0, DELISTED), (100, TRADING)):
            recording = archive.begin(start(SYMBOL, received_ns=start_s * SECOND), f"from{start_s}")
            recording.handle(connected(start_s + 1, 1))
            recording.handle(rest(snapshot(start_s + 10), start_s + 2))
            recording.handle(stream(event(start_s + 11, start_s + 11), start_s + 3))
            recording.handle(listed(listing, start_s + 5))
            finish(recording, "stopped").result()
    rec = booktape.open(tmp_path)
    assert set(rec.snapshots(SYMBOL).epochs()) == {1, 2}
    assert rec.gaps().num_rows == 0
    shutil.rmtree(tmp_path / "notes")
    assert rec.gaps()["reason"].to_pylist() == ["undeclared"]
