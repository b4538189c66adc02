"""The whole archive: chosen segments, several cores, and what the command line makes of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from booktape.cli import app
from booktape.errors import UsageError
from booktape.verify.findings import Kind
from booktape.verify.report import SHOWN_MAX, as_json, render
from booktape.verify.run import Scope, tape_bytes, time_us, verdict, verify
from verify.small import BTC, ETH, copy, look, remove_segment, rows_of, sealed


def shown(report: object) -> str:
    console = Console(width=80)
    with console.capture() as captured:
        console.print(report)
    return captured.get()


def run(*arguments: str) -> int:
    """The exit code of the command."""
    with pytest.raises(SystemExit) as ended:
        app(["verify", *arguments], exit_on_error=False, print_error=False)
    return int(ended.value.code or 0)


def test_several_cores_find_the_same(archive: Path, tmp_path: Path) -> None:
    """In the same order, and every byte of tape is counted once."""
    root = copy(archive, tmp_path / "copy")
    rows_of(root, BTC, 1).unlink()
    counted: list[int] = []
    many = verify(root, Scope(), 2, counted.append)
    assert as_json(many) == as_json(look(root))
    assert sum(counted) == tape_bytes(root, Scope())


def test_one_symbol(archive: Path, tmp_path: Path) -> None:
    """What is wrong with others is not asked about, but for whole files."""
    root = copy(archive, tmp_path / "copy")
    assert set(look(root, symbols=frozenset({ETH})).found.symbols) == {ETH, None}, "None: for all"
    with pytest.raises(UsageError, match="no snapshots of X"):
        look(root, symbols=frozenset({"X"}))


def test_a_stretch_of_time(archive: Path) -> None:
    """Its beginning is taken as right, and said to be."""
    found = look(archive, from_us=35 * 10**6, to_us=61 * 10**6)
    assert found.segments == 2
    assert found.clean
    assert "Taken as right" in shown(render(found))
    assert "after --to" in shown(render(found))
    assert look(archive, from_us=10**15).segments == 1, "the last one has no end that is known"
    with pytest.raises(UsageError, match="no segment between"):
        look(archive, to_us=-1)


def test_nothing_to_verify(tmp_path: Path) -> None:
    """One sentence."""
    with pytest.raises(UsageError, match="holds no recording"):
        look(tmp_path / "nothing")


def test_what_is_not_sealed_yet(archive: Path, tmp_path: Path) -> None:
    """Is named, and no difference."""
    root = copy(archive, tmp_path / "copy")
    name = "19700101T000500.000000Z-next"
    (root / "unsealed" / name).mkdir(parents=True)
    found = look(root)
    assert found.clean
    assert f"Not sealed yet, and not verified: {name}" in " ".join(shown(render(found)).split())


def test_a_segment_goes_on_in_one_that_is_not_sealed(archive: Path, tmp_path: Path) -> None:
    """Then none is missing."""
    root = copy(archive, tmp_path / "copy")
    for index in (4, 3, 2):
        name = remove_segment(root, index)
    (root / "unsealed" / name).mkdir(parents=True)
    assert look(root).clean


def test_times() -> None:
    """UTC unless they say otherwise."""
    assert time_us("1970-01-02") == 86_400 * 10**6
    assert time_us("1970-01-01T00:00:01.5") == 1_500_000
    assert time_us("1970-01-01T01:00:00+01:00") == 0
    assert time_us("soon") is None


def test_the_report_shows_both_sides(archive: Path, tmp_path: Path) -> None:
    """Where a difference is, what the tape says, and what is stored; only the first ones."""
    root = copy(archive, tmp_path / "copy")
    shutil.copy(sealed(root, "gaps")[1], sealed(root, "gaps")[0])
    text = " ".join(shown(render(look(root))).split())
    assert f"{sealed(root, 'gaps')[0].name}, BTCUSDT, row 0, epoch:" in text
    assert "due: 1 stored: 2" in text
    for path in sealed(root, "snapshots"):
        path.unlink()
    report = look(root)
    assert report.found.count[Kind.DIFFERENT] > SHOWN_MAX
    assert "more (different)" in shown(render(report))
    assert verdict(report).startswith("Not verified: ")


def test_the_command(archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 0 when clean, 1 when not, JSON for machines."""
    assert run(str(archive)) == 0
    assert "Verified: everything stored in 5 segments" in capsys.readouterr().out
    root = copy(archive, tmp_path / "copy")
    sealed(root, "tape")[0].unlink()
    assert run(str(root), "--json") == 1
    said = json.loads(capsys.readouterr().out)
    assert said["clean"] is False
    assert said["counts"]["unverifiable"] == 2
    assert said["symbols"][BTC]["unverifiable"] == 4
    assert run(str(archive), "--symbol", "ethbtc", "--from", "1970-01-01") == 0


def test_a_time_that_is_none(archive: Path) -> None:
    """Is the user's mistake."""
    with pytest.raises(UsageError, match="--from soon is no time"):
        app(["verify", str(archive), "--from", "soon"], exit_on_error=False, print_error=False)
