"""Several archives of different symbols are read as one; the same symbol in two of them must be merged first."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import booktape
from booktape.errors import BookNotKnown, CannotMerge, NotRecorded, UsageError
from reader.day import SYMBOLS, day, drive, opening, write
from reader.truth import moment
from store.contents import final_files
from support.archives import open_archive
from support.rotation import finish

SECONDS, CUT = 120, 60


def write_one(root: Path, symbol: str) -> None:
    """Like `write`, for one symbol."""
    with open_archive(root) as archive:
        recording = archive.begin(opening(symbol), f"of{symbol}".lower())
        sealing = drive(recording, day(SECONDS, (CUT,), (symbol,)), 50)
        for sealed in [*sealing, finish(recording, "stopped")]:
            sealed.result()


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """An archive for each symbol, and one for both."""
    root = tmp_path_factory.mktemp("several")
    for symbol in SYMBOLS:
        write_one(root / symbol, symbol)
    write(root / "both", SECONDS, segment_s=50, cuts=(CUT,))
    return [*(root / symbol for symbol in SYMBOLS), root / "both"]


def everything(recording: Any) -> dict[str, Any]:
    """The results of every method of a recording."""
    found: dict[str, Any] = {
        "symbols": recording.symbols(),
        "coverage": [
            (each.symbol, each.rows, each.epochs, each.lost_s) for each in recording.coverage()
        ],
        "gaps": recording.gaps().to_pylist(),
        "checks": recording.checks().to_pylist(),
        "notes": recording.notes().to_pylist(),
    }
    for symbol in SYMBOLS:
        rows = recording.snapshots(symbol, moment(10), moment(100), depth=3)
        steps = list(recording.replay(symbol, moment(50), moment(80), depth=2))
        found[symbol] = (
            rows.to_arrow().to_pylist(),
            [str(item) for item in rows],
            rows.resample("5s").to_arrow().to_pylist(),
            recording.quotes(symbol, moment(10), moment(100)).to_arrow().to_pylist(),
            recording.spread(symbol, moment(10), moment(100), interval="7s").to_pylist(),
            recording.gaps(symbol).to_pylist(),
            str(recording.at(symbol, moment(30), depth=4)),
            [str(step) for step in steps],
        )
    return found


def test_every_method_gives_the_same_as_one_archive_of_all(roots: list[Path]) -> None:
    """In whichever order they are named."""
    *parts, both = roots
    whole = everything(booktape.open(both))
    assert whole["gaps"]
    assert everything(booktape.open(parts)) == whole
    assert everything(booktape.open([str(part) for part in reversed(parts)])) == whole
    with pytest.raises(BookNotKnown):
        booktape.open(parts).at(SYMBOLS[1], moment(CUT) + timedelta(seconds=5))


def rows_of(part: booktape.Recording) -> int:
    return sum(part.snapshots(symbol).to_arrow().num_rows for symbol in part.symbols())


def test_a_function_over_all_segments(roots: list[Path]) -> None:
    """The segments of every part, by name."""
    recording = booktape.open(roots[:2])
    names = [part.segment for part in recording.segments()]
    with ThreadPoolExecutor() as executor:
        found = booktape.map_segments(rows_of, recording, executor=executor)
    assert sorted(found) == sorted(name for name in names if name)
    assert sum(found.values()) == len(SYMBOLS) * (SECONDS - 10)


def test_a_symbol_in_two_archives_must_be_merged_first(roots: list[Path], tmp_path: Path) -> None:
    """It is refused on opening, or when a recorder adds it later; the sentence has the command."""
    first, second, both = roots
    with pytest.raises(
        CannotMerge, match=f"BTCUSDT is in .*booktape merge {first} {both} --out DIR"
    ):
        booktape.open([first, both])
    later = tmp_path / "later"
    (later / "tape").mkdir(parents=True)
    recording = booktape.open([first, later])
    write_one(later, SYMBOLS[0])
    with pytest.raises(CannotMerge, match="BTCUSDT is in"):
        recording.snapshots(SYMBOLS[0])
    assert booktape.open([first, second]).symbols() == list(SYMBOLS)


def test_something_missing_is_reported_in_one_sentence(roots: list[Path], tmp_path: Path) -> None:
    """Missing from all parts; and a part that holds nothing is named."""
    recording = booktape.open(roots[:2])
    with pytest.raises(NotRecorded, match=r"data for XRPUSDT\. They have: BTCUSDT, ETHUSDT"):
        recording.snapshots("XRPUSDT")
    with pytest.raises(NotRecorded, match="holds no recording"):
        booktape.open([roots[0], tmp_path])
    with pytest.raises(UsageError, match="no archive to open"):
        booktape.open([])


def test_damage_is_named_by_its_own_path(roots: list[Path], tmp_path: Path) -> None:
    """Whichever part it is in; the other one is read as before."""
    write_one(tmp_path / "other", SYMBOLS[1])
    damaged = next(path for path in final_files(tmp_path / "other") if "snapshots" in path.parts)
    damaged.write_bytes(b"")
    recording = booktape.open([roots[0], tmp_path / "other"])
    with pytest.warns(Warning, match="cannot be read"):
        recording.check_files()
    assert list(recording.damaged) == [str(damaged)]
    assert recording.snapshots(SYMBOLS[0]).to_arrow().num_rows == SECONDS - 10
