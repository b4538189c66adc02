"""`checks` and `notes` exist whether or not anything was checked."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import booktape
from booktape.core.tape_records import SymbolListing
from booktape.errors import DamagedFile
from booktape.reader import recording
from booktape.reader.tape_query import unsealed_outputs
from booktape.store.schema import CHECKS, NOTES
from store.small_recording import BTC, OPENING
from support.archives import open_archive
from support.oracle import SECOND
from support.rotation import finish

HALT = SymbolListing(55 * SECOND, BTC, "HALT")


def test_an_archive_without_them_has_empty_ones(sealed: Path, tmp_path: Path) -> None:
    """With their columns: an archive from before they existed reads like any other."""
    root = tmp_path / "copy"
    shutil.copytree(sealed, root)
    for name in ("checks", "notes"):
        shutil.rmtree(root / name)
    rec = booktape.open(root)
    assert rec.checks() == CHECKS.empty_table()
    assert rec.notes() == NOTES.empty_table()


@pytest.mark.parametrize("seal", [True, False])
def test_a_note_is_read_before_and_after_it_is_sealed(tmp_path: Path, *, seal: bool) -> None:
    """It is the same row, once."""
    with open_archive(tmp_path) as archive:
        recording = archive.begin(replace(OPENING, received_ns=50 * SECOND), "run")
        recording.handle(HALT)
        if seal:
            finish(recording, "stopped").result()
        else:
            recording.writer.flush()
    rec = booktape.open(tmp_path)
    (note,) = rec.notes().to_pylist()
    assert (note["symbol"], note["kind"], note["detail"]) == (BTC, "status", "HALT")
    assert rec.checks().num_rows == 0
    left_out = booktape.open(tmp_path, unsealed=False)
    assert left_out.notes().num_rows == (1 if seal else 0)


def test_a_segment_that_is_sealed_while_its_tape_is_read_counts_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its notes then come from the tape, and its file is left for the next query."""
    with open_archive(tmp_path) as archive:
        running = archive.begin(replace(OPENING, received_ns=50 * SECOND), "run")
        running.handle(HALT)
        running.writer.flush()

        def outputs_and_then_seal(*query: Any, **options: Any) -> Any:
            found = list(unsealed_outputs(*query, **options))
            finish(running, "stopped").result()
            return found

        monkeypatch.setattr(recording, "unsealed_outputs", outputs_and_then_seal)
        rec = booktape.open(tmp_path)
        assert [note["detail"] for note in rec.notes().to_pylist()] == ["HALT"]
        assert list(tmp_path.glob("notes/*/*"))
        assert [note["detail"] for note in rec.notes().to_pylist()] == ["HALT"]


def test_a_table_with_other_columns_is_damaged(sealed: Path, tmp_path: Path) -> None:
    """A table in another one's place is named, and hides no other."""
    root = tmp_path / "copy"
    shutil.copytree(sealed, root)
    checks = min(root.glob("checks/*/*"))
    for name in ("gaps", "notes"):
        victim = min(root.glob(f"{name}/*/*"))
        victim.write_bytes(checks.read_bytes())
        rec = booktape.open(root)
        with pytest.warns(DamagedFile, match=f"{victim.name} cannot be read .it has no column"):
            getattr(rec, name)()
