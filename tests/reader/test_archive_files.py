"""Where an archive may be, and which of its files count."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

import booktape
from booktape.errors import NotRecorded, UsageError
from booktape.reader.archive_files import ArchiveFiles
from reader.day import SYMBOLS


def test_a_folder_a_uri_and_a_file_system_give_the_same(
    sealed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows, gaps and tapes are found wherever pyarrow can read; a relative path works too."""
    monkeypatch.chdir(sealed.parent)
    elsewhere = SubTreeFileSystem(str(sealed.parent), LocalFileSystem())
    for rec in (
        booktape.open(sealed),
        booktape.open(sealed.name),
        booktape.open(sealed.as_uri()),
        booktape.open(sealed.name, filesystem=elsewhere),
    ):
        assert rec.symbols() == list(SYMBOLS)
        assert rec.gaps().num_rows == 4
        assert rec.snapshots("BTCUSDT").to_arrow().num_rows == 280
        assert sum(1 for _ in rec.replay("BTCUSDT")) == 283


def test_a_missing_recording_is_reported_at_once(tmp_path: Path) -> None:
    """Before any query, and with the name as it was given."""
    for where in (tmp_path, tmp_path / "missing"):
        with pytest.raises(NotRecorded, match=f"^{where} holds no recording"):
            booktape.open(where)


def test_an_unknown_kind_of_address_is_refused() -> None:
    """In one sentence, without a traceback from pyarrow."""
    with pytest.raises(UsageError, match=r"^gopher://data cannot be opened"):
        booktape.open("gopher://data")


def test_only_our_own_files_count(sealed: Path, tmp_path: Path) -> None:
    """Foreign files in the folders are ignored."""
    root = tmp_path / "copy"
    shutil.copytree(sealed, root)
    folder = root / "snapshots" / "symbol=BTCUSDT" / "date=2026-06-09"
    for name in ("notes.txt", "x.parquet", "20260609T000000Z.parquet"):
        (folder / name).write_text("not ours")
    (root / "snapshots" / "README").write_text("not ours")
    (root / "unsealed" / "junk").mkdir(parents=True)
    (root / "unsealed" / "junk" / "tape.jsonl.zst").write_text("not ours")
    place = ArchiveFiles.find(root)
    assert place.symbols() == list(SYMBOLS)
    assert len(place.rows("BTCUSDT")) == 3
    assert place.unsealed() == []


def test_a_torn_tape_counts_like_one_being_written(running: Path, tmp_path: Path) -> None:
    """While a dead recorder's rows are being recovered, they can be read all the same."""
    root = tmp_path / "copy"
    shutil.copytree(running, root)
    (tape,) = root.glob("unsealed/*/tape.jsonl.zst")
    before = booktape.open(root).snapshots("BTCUSDT").to_arrow()
    tape.rename(tape.with_name("torn.jsonl.zst"))
    assert booktape.open(root).snapshots("BTCUSDT").to_arrow() == before


def test_a_tape_that_is_sealed_meanwhile_is_found(sealed: Path, running: Path) -> None:
    """It was listed as unsealed, but has its final name when it is opened."""
    (listed,) = ArchiveFiles.find(running).unsealed()
    moved = ArchiveFiles.find(sealed)
    gone = type(listed)(listed.segment, f"{sealed}/unsealed/gone/tape.jsonl.zst", 0)
    with moved.open_tape(gone) as opened:
        assert opened.read(1)
    missing = type(listed)(listed.segment, f"{running}/unsealed/gone/tape.jsonl.zst", 0)
    with pytest.raises(FileNotFoundError):
        ArchiveFiles.find(running).open_tape(missing)


def test_a_segment_that_is_sealed_between_two_listings_is_not_missed(
    sealed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is found once, either as an unsealed tape or as a sealed file."""
    root, hidden = tmp_path / "copy", tmp_path / "hidden.parquet"
    shutil.copytree(sealed, root)
    rows, tape = max(root.glob("snapshots/symbol=BTCUSDT/*/*")), max(root.glob("tape/*/*"))
    unsealed = root / "unsealed" / tape.name.removesuffix(".jsonl.zst") / "tape.jsonl.zst"
    unsealed.parent.mkdir(parents=True)
    rows.rename(hidden)
    tape.rename(unsealed)
    place = ArchiveFiles.find(root)
    listed = place._list

    def sealed_after_the_first(folder: str, *, recursive: bool = False) -> Any:
        found = listed(folder, recursive=recursive)
        if hidden.exists():
            hidden.rename(rows)
            unsealed.rename(tape)
        return found

    monkeypatch.setattr(place, "_list", sealed_after_the_first)
    files, tapes = place.with_tail(lambda: place.rows("BTCUSDT"))
    assert len({file.segment for file in [*files, *tapes]}) == len(files) + len(tapes) == 3
