"""One symbol's rows compared with the tape: an error is reported once, and everything else stays equal."""

from __future__ import annotations

import shutil
from pathlib import Path

from verify.small import BTC, copy, edit_table, edit_tape, reseal, rows_of, sealed, verified


def test_an_extra_row_is_reported_once(archive: Path, tmp_path: Path) -> None:
    """All others are still matched."""
    root = copy(archive, tmp_path / "copy")
    edit_table(rows_of(root, BTC, 0), lambda rows: rows.insert(1, rows[0]))
    reseal(root)
    report = verified(root)
    (found,) = report.found.kept
    assert found.what == "this row does not follow from the tape"
    assert found.row == 1
    assert report.found.counts_of(BTC).equal["rows"] == 12


def test_a_number_that_is_not_a_double_is_a_difference(archive: Path, tmp_path: Path) -> None:
    """Even if the stored double is the nearest one."""
    root = copy(archive, tmp_path / "copy")
    text = "0.10000000000000000001"

    def lengthen(lines: list[dict[str, object]]) -> None:
        text_lines = [
            line for line in lines if '["97.00000000", "0.10000000"]' in str(line).replace("'", '"')
        ]
        line = next(line for line in text_lines if line["k"] == "ws")
        line["m"]["data"]["b"] = [["97", text]]  # type: ignore[index]

    edit_tape(sealed(root, "tape")[0], lengthen)
    reseal(root)
    found = next(
        found for found in verified(root).found.kept if found.what == "no double is this number"
    )
    assert (found.expected, found.stored) == (text, "0.1")


def test_a_changed_byte_that_no_reader_reads_is_found(archive: Path, tmp_path: Path) -> None:
    """The rows are the same, yet the file is not the one that was sealed."""
    root = copy(archive, tmp_path / "copy")
    path = rows_of(root, BTC, 0)
    content = path.read_bytes()
    assert b"parquet-cpp-arrow" in content
    path.write_bytes(content.replace(b"parquet-cpp-arrow", b"parquet-cpp-arrov"))
    report = verified(root)
    (found,) = report.found.kept
    assert found.what == "is not as it was sealed (SHA-256)"
    assert report.found.counts_of(BTC).equal["rows"] == 12


def test_an_extra_file_of_a_segment_is_named(archive: Path, tmp_path: Path) -> None:
    """With its rows."""
    root = copy(archive, tmp_path / "copy")
    path = rows_of(root, BTC, 0)
    other = root / "snapshots" / "symbol=OTHER" / path.parent.name / path.name
    other.parent.mkdir(parents=True)
    shutil.copy(path, other)
    replayed = {found.what for found in verified(root).found.kept if found.file.endswith(path.name)}
    assert replayed == {
        "is not among the files that were sealed",
        "this row does not follow from the tape",
    }
