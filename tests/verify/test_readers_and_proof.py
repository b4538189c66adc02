"""Whatever any reader shows of an archive is proved by `verify`, or `verify` reports it.

Each case puts rows that were never recorded where some reader finds them; then four readers are asked for
their rows: ours, DuckDB, polars, pandas (which is pyarrow).
"""

from __future__ import annotations

import os
import shutil
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeAlias

import duckdb
import pandas as pd
import polars as pl
import pytest

import booktape
from booktape.store.layout import Layout
from verify.small import BTC, ETH, copy, rows_of, sealed, verified

Rows: TypeAlias = Counter[tuple[str, int, int]]
"""Symbol, epoch and number of updates, which no two rows have in common."""


def by_duckdb(root: Path) -> Rows:
    found = duckdb.sql(f"FROM '{root}/snapshots/**/*.parquet'")
    assert found is not None
    return Counter(found.select("symbol", "epoch", "updates").fetchall())


def by_polars(root: Path) -> Rows:
    return Counter(pl.read_parquet(f"{root}/snapshots")["symbol", "epoch", "updates"].rows())


def by_pandas(root: Path) -> Rows:
    frame = pd.read_parquet(f"{root}/snapshots")[["symbol", "epoch", "updates"]]
    return Counter(frame.itertuples(index=False, name=None))


def by_us(root: Path) -> Rows:
    recording, found = booktape.open(root), []
    for symbol in recording.symbols():
        found += recording.snapshots(symbol).to_arrow().to_pylist()
    return Counter((row["symbol"], row["epoch"], row["updates"]) for row in found)


READERS: Final = (by_duckdb, by_polars, by_pandas, by_us)
Forgery: TypeAlias = Callable[[Path], Any]


def rows_under(place: str) -> Forgery:
    """A copy of a file of rows, somewhere below `snapshots`."""

    def put(root: Path) -> None:
        source = rows_of(root, BTC, 0)
        path = root / "snapshots" / place.format(day=source.parent.name, name=source.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, path)

    return put


def link(place: str, target: str) -> Forgery:
    """A link below the archive; `target` lies beside the archive, or in it."""

    def put(root: Path) -> None:
        day, name = rows_of(root, BTC, 0).parent.name, rows_of(root, BTC, 0).name
        shutil.copytree(root / "snapshots" / f"symbol={BTC}", root.parent / "outside")
        path = root / place.format(day=day, name=name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(root / target.format(day=day, name=name))

    return put


def moved_behind_a_link(root: Path) -> None:
    """The very file that was sealed, but only as long as another one keeps it."""
    path = rows_of(root, BTC, 0)
    path.rename(root.parent / "outside")
    path.symlink_to(root.parent / "outside")


def unsealed_link(root: Path) -> None:
    """Our own reader shows the content of an unsealed tape."""
    tape = sealed(root, "tape")[0]
    (root.parent / "outside").mkdir()
    shutil.copy(tape, root.parent / "outside" / "tape.jsonl.zst")
    (root / "unsealed").mkdir(exist_ok=True)
    (root / "unsealed" / "20300101T000000.000000Z-x").symlink_to(root.parent / "outside")


def fifo(root: Path) -> None:
    """Opening it would wait for ever."""
    os.mkfifo(rows_of(root, BTC, 0).with_suffix(".fifo"))


FORGERIES: Final[dict[str, Forgery]] = {
    "another spelling of a symbol": rows_under("symbol=%42TCUSDT/{day}/{name}"),
    "a symbol in lower case": rows_under("symbol=btcusdt/{day}/{name}"),
    "a key in capitals": rows_under("SYMBOL=BTCUSDT/{day}/{name}"),
    "a second symbol": rows_under(f"symbol={BTC}/symbol={ETH}/{{day}}/{{name}}"),
    "no symbol": rows_under("{day}/{name}"),
    "no folder": rows_under("{name}"),
    "no day": rows_under(f"symbol={BTC}/{{name}}"),
    "another day": rows_under(f"symbol={BTC}/date=1970-01-02/{{name}}"),
    "no such day": rows_under(f"symbol={BTC}/date=1970-1-1/{{name}}"),
    "a deeper folder": rows_under(f"symbol={BTC}/{{day}}/more/{{name}}"),
    "a hidden folder": rows_under(f"symbol={BTC}/.hidden/{{day}}/{{name}}"),
    "a hidden symbol": rows_under(f".hidden/symbol={BTC}/{{day}}/{{name}}"),
    "a folder of litter": rows_under(f"symbol={BTC}/{{day}}/lost+found/{{name}}"),
    "a hidden file": rows_under(f"symbol={BTC}/{{day}}/.{{name}}"),
    "a file of macOS": rows_under(f"symbol={BTC}/{{day}}/._{{name}}"),
    "a file of Windows": rows_under(f"symbol={BTC}/{{day}}/Thumbs.db"),
    "a file with a line before its name": rows_under(f"symbol={BTC}/{{day}}/_{{name}}"),
    "an ending in capitals": rows_under(f"symbol={BTC}/{{day}}/x.PARQUET"),
    "another ending": rows_under(f"symbol={BTC}/{{day}}/x.pq"),
    "no ending": rows_under(f"symbol={BTC}/{{day}}/x"),
    "a folder named as a file": rows_under(f"symbol={BTC}/{{day}}/x.parquet/{{name}}"),
    "a linked symbol": link("snapshots/symbol=X", f"snapshots/symbol={BTC}"),
    "a linked symbol from outside": link("snapshots/symbol=X", "../outside"),
    "a linked day": link(f"snapshots/symbol={BTC}/date=1970-01-02", "../outside/{day}"),
    "a linked file": link(f"snapshots/symbol={BTC}/{{day}}/x.parquet", "../outside/{day}/{name}"),
    "a hidden link": link(f"snapshots/symbol={BTC}/{{day}}/.x", "../outside/{day}/{name}"),
    "a sealed file behind a link": moved_behind_a_link,
    "a linked unsealed tape": unsealed_link,
    "a FIFO": fifo,
}


def proved(root: Path) -> tuple[bool, int]:
    """Whether `verify` is clean, and how many rows it has proved."""
    report = verified(root)
    return report.clean, sum(counts.equal["rows"] for counts in report.found.symbols.values())


def test_every_row_that_the_readers_show_is_proved(archive: Path) -> None:
    """Each reader shows the same rows, and `verify` has proved the same number."""
    clean, count = proved(archive)
    assert clean
    for read in READERS:
        assert read(archive) == by_us(archive)
        assert read(archive).total() == count > 0


@pytest.mark.parametrize("forgery", FORGERIES)
def test_unproven_files_are_reported(archive: Path, tmp_path: Path, forgery: str) -> None:
    """Whatever is there that booktape would not have written in that way."""
    root = copy(archive, tmp_path / "copy")
    FORGERIES[forgery](root)
    clean, _ = proved(root)
    assert not clean


def shows_more(root: Path, read: Callable[[Path], Rows], truth: Rows) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return read(root) != truth
        except (OSError, ValueError, pl.exceptions.PolarsError, duckdb.Error):
            return False  # it shows nothing


def test_most_of_the_forgeries_are_shown_by_some_reader(archive: Path, tmp_path: Path) -> None:
    """So the test above proves something."""
    truth, shown = by_us(archive), Counter[str]()
    for number, (name, forge) in enumerate(FORGERIES.items()):
        root = copy(archive, tmp_path / str(number) / "copy")
        forge(root)
        if name == "a FIFO":
            continue  # no reader comes back from it
        shown[name] = sum(shows_more(root, read, truth) for read in READERS)
    hidden = {name for name, readers in shown.items() if not readers}
    assert hidden <= {"a sealed file behind a link", "a hidden link"}


def test_our_reader_shows_only_files_in_their_proper_place(archive: Path, tmp_path: Path) -> None:
    """Nothing from folders and names that are not ours; rows behind a link are shown, and `verify` reports the link."""
    truth = by_us(archive)
    for number, (name, forge) in enumerate(FORGERIES.items()):
        if "link" in name or name == "a symbol in lower case":
            continue
        root = copy(archive, tmp_path / str(number))
        forge(root)
        assert by_us(root) == truth, name


def test_litter_that_no_reader_takes_for_rows_is_no_difference(
    archive: Path, tmp_path: Path
) -> None:
    """As operating systems leave it."""
    root = copy(archive, tmp_path / "copy")
    folder = rows_of(root, BTC, 0).parent
    (folder / ".DS_Store").write_bytes(b"litter")
    (folder / "lost+found").mkdir()
    (folder / "lost+found" / "#12").write_bytes(b"litter")
    assert verified(root).clean
    (folder / "lost+found" / "#12").write_bytes(b"PAR1")
    assert not verified(root).clean


def test_a_folder_may_be_a_link(archive: Path, tmp_path: Path) -> None:
    """A whole folder of an archive may be elsewhere: its content is proved file by file."""
    root = copy(archive, tmp_path / "copy")
    Layout(root).snapshots.rename(tmp_path / "elsewhere")
    Layout(root).snapshots.symlink_to(tmp_path / "elsewhere")
    assert verified(root).clean
    rows_under("symbol=%42TCUSDT/{day}/{name}")(root)
    assert not verified(root).clean
