"""Rows of the small tables, as many as a hostile tape can produce: bounded in memory and time."""

from __future__ import annotations

from pathlib import Path

import pytest

from booktape.errors import DamagedTape
from booktape.store import small_table
from booktape.store.schema import NOTES
from booktape.verify.compare_tables import TableComparison
from booktape.verify.findings import Findings
from verify.small import build, edit_tape, sealed, verified

NOTE = {"k": "clock-step", "received_ns": 31_000_000_000, "step_ns": 1}


def test_a_tape_of_endless_notes_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few kilobytes of it can produce gigabytes of rows: no more are kept than a table can have."""
    monkeypatch.setattr(small_table, "GROUP_BYTES_MAX", 64 * 1_000)
    build(tmp_path)
    edit_tape(sealed(tmp_path, "tape")[1], lambda lines: lines.extend([NOTE] * 300))
    edit_tape(sealed(tmp_path, "tape")[1], lambda lines: lines.sort(key=lambda x: x["k"] == "end"))
    kept = [finding.what for finding in verified(tmp_path).found.kept]
    assert any("more rows of notes follow from it than a table can have" in what for what in kept)


def test_a_table_may_have_as_many_rows_as_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not one more."""
    monkeypatch.setattr(small_table, "GROUP_BYTES_MAX", 64 * len(NOTES) * 3)
    table = TableComparison("notes", NOTES)
    for number in range(3):
        table.expect((None, number, "status", ""))
    with pytest.raises(DamagedTape):
        table.expect((None, 3, "status", ""))


def test_thirty_thousand_missing_rows_are_counted_at_once(tmp_path: Path) -> None:
    """Each is looked up, not searched for: that would take minutes."""
    build(tmp_path)
    file = sealed(tmp_path, "notes")[0]
    table, found = TableComparison("notes", NOTES), Findings()
    for number in range(30_000):
        table.expect((None, number, "status", ""))
    table.compare(file.name, file, found, lambda _: True, complete=True)
    assert found.counts_of(None).different["notes"] == 30_000
