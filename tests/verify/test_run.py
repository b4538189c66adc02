"""The whole archive: chosen segments, several cores, and the report."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.console import Console

from booktape.errors import UsageError
from booktape.verify.findings import Kind
from booktape.verify.order import Scope
from booktape.verify.report import SHOWN_MAX, as_json, render
from booktape.verify.run import verdict, verify
from booktape.verify.stored_files import FOLDERS, LISTED, FolderFiles
from reader.day import BEGIN_S, SYMBOLS, write_by_workers
from verify.small import BTC, ETH, copy, remove_segment, rows_of, sealed, verified


def shown(report: object, width: int = 80) -> str:
    console = Console(width=width)
    with console.capture() as captured:
        console.print(report)
    return captured.get()


def test_several_cores_find_the_same(archive: Path, tmp_path: Path) -> None:
    """In the same order; every byte of tape is counted once."""
    root = copy(archive, tmp_path / "copy")
    rows_of(root, BTC, 1).unlink()
    counted: list[int] = []
    totals: list[int] = []

    @contextmanager
    def progress(total_bytes: int) -> Iterator[Callable[[int], None]]:
        totals.append(total_bytes)
        yield counted.append

    many = verify(FolderFiles(root), Scope(), 2, progress)
    assert as_json(many) == as_json(verified(root))
    assert [sum(counted)] == totals
    assert totals == [sum(tape.stat().st_size for tape in sealed(root, "tape"))]


def test_one_symbol_can_be_verified(archive: Path, tmp_path: Path) -> None:
    """Errors of others are not examined, except for whole files."""
    root = copy(archive, tmp_path / "copy")
    assert set(verified(root, symbols=frozenset({ETH})).found.symbols) == {ETH, None}, (
        "None: for all"
    )
    with pytest.raises(UsageError, match="no snapshots of X"):
        verified(root, symbols=frozenset({"X"}))


def test_a_range_of_time_can_be_verified(archive: Path) -> None:
    """Its beginning is assumed to be right, and the report names it."""
    found = verified(archive, from_us=35 * 10**6, to_us=61 * 10**6)
    assert found.segments == 2
    assert found.clean
    assert "is taken as right" in shown(render(found))
    assert "after --to" in shown(render(found))
    for nothing in ({"from_us": 10**15}, {"to_us": -1}):
        with pytest.raises(UsageError, match="no segment between"):
            verified(archive, **nothing)


def test_a_range_of_time_includes_what_every_worker_recorded_in_it(tmp_path: Path) -> None:
    """Each worker's tape ends where its own next one begins; earlier tapes are not required of any of them."""
    write_by_workers(tmp_path, 30, segment_s=10)
    ten, twenty = ((BEGIN_S + second) * 10**6 for second in (10, 20))
    found = verified(tmp_path, from_us=ten + 5, to_us=twenty)
    assert (found.segments, found.clean) == (3, True), "0 to 11, 10 to 20, 11 to 22"
    rows_of(tmp_path, SYMBOLS[0], 1).unlink()
    assert not verified(tmp_path, from_us=ten + 5, to_us=twenty).clean


def test_nothing_to_verify_is_one_sentence(tmp_path: Path) -> None:
    """A user's mistake."""
    with pytest.raises(UsageError, match="holds no recording"):
        verified(tmp_path / "nothing")


def test_unsealed_files_are_named(archive: Path, tmp_path: Path) -> None:
    """They are not a difference."""
    root = copy(archive, tmp_path / "copy")
    name = "19700101T000500.000000Z-next"
    (root / "unsealed" / name).mkdir(parents=True)
    found = verified(root)
    assert found.clean
    assert f"Not sealed yet, and not verified: {name}" in " ".join(shown(render(found)).split())


def test_a_segment_may_continue_in_an_unsealed_one(archive: Path, tmp_path: Path) -> None:
    """Then no segment is missing."""
    root = copy(archive, tmp_path / "copy")
    for index in (4, 3, 2):
        name = remove_segment(root, index)
    (root / "unsealed" / name).mkdir(parents=True)
    assert verified(root).clean


def test_the_report_shows_both_sides(archive: Path, tmp_path: Path) -> None:
    """The place of a difference, the value from the tape, and the stored one; only the first differences."""
    root = copy(archive, tmp_path / "copy")
    shutil.copy(sealed(root, "gaps")[1], sealed(root, "gaps")[0])
    text = " ".join(shown(render(verified(root))).split())
    assert f"{sealed(root, 'gaps')[0].name}, BTCUSDT, row 0, epoch:" in text
    assert "due: 1 stored: 2" in text
    for path in sealed(root, "snapshots"):
        path.unlink()
    report = verified(root)
    assert report.found.count[Kind.DIFFERENT] > SHOWN_MAX
    assert "more (different)" in shown(render(report))
    assert verdict(report).startswith("Not verified: ")


def test_on_80_columns_nothing_is_cut(archive: Path) -> None:
    """For a year with trades too: text that does not fit continues in the next line."""
    report = verified(archive)
    assert "…" not in shown(render(report))
    counts = report.found.symbols[BTC]
    counts.segments = 8_760
    counts.equal |= {"rows": 31_536_000, "trades": 1_577_000_000, "gaps": 1_000, "checks": 525_600}
    narrow, wide = (sorted(shown(render(report), width)) for width in (80, 200))
    assert "…" not in narrow
    assert [each for each in narrow if each.isalnum()] == [each for each in wide if each.isalnum()]


def test_a_bucket_is_listed_with_all_folders_of_an_archive() -> None:
    """A folder missing from the list would be missing there."""
    assert set(FOLDERS) <= set(LISTED)
