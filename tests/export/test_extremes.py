"""Extreme values through every export, picture and table: right, or one sentence that says what to do instead."""

from __future__ import annotations

import gzip
import json
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from matplotlib.figure import Figure

import booktape
from booktape.cli import app
from booktape.core.tape_records import DepthAnswer, StreamMessage
from booktape.errors import BooktapeError, NotRecorded, UsageError
from booktape.plot import depth, heatmap, save, spread
from booktape.reader import Recording
from store.small_recording import Scene, record
from support.oracle import SECOND, SYMBOL, connected, start

FORMATS = ("incremental_book_L2", "book_snapshot", "hftbacktest", "csv", "parquet")
PLOTS = ("heatmap", "depth", "spread", "calendar")
YEAR_2300, YEAR_9998 = 10_413_792_000, 253_370_764_700


def written(root: Path, prices: tuple[str, str] = ("100", "101"), **case: Any) -> Path:
    """A book and ten events, in the exchange's own texts."""
    (bid, ask), size = prices, case.get("size", "1")
    ids, at = case.get("ids", 10), case.get("at", 1)
    book = {"lastUpdateId": ids, "bids": [[bid, size]], "asks": [[ask, size]]}
    scenes: list[Scene] = [
        connected(at, 1),
        DepthAnswer((at + 1) * SECOND, SYMBOL, 5_000, json.dumps(book).encode()),
    ]
    for n in range(1, 11):
        event = {"e": "depthUpdate", "E": 10**15 + n, "s": SYMBOL, "U": ids + n, "u": ids + n}
        event |= {"b": [], "a": [[ask, str(1 + n)]]}
        message = {"stream": "btcusdt@depth@100ms", "data": event}
        scenes.append(StreamMessage((at + 1 + n) * SECOND, 1, json.dumps(message).encode()))
    opening = replace(start(format=2), received_ns=at * SECOND)
    record(root, scenes, opening=opening, tag="extreme")
    return root


CASES: dict[str, dict[str, Any]] = {
    "the largest prices": {"prices": ("1e308", "1.5e308")},
    "the smallest prices": {"prices": ("5e-324", "1e-323")},
    "a size that is capped": {"size": "92233720368.54775807"},
    "ids beyond doubles": {"ids": 2**53 + 1},
    "the largest ids": {"ids": 2**63 - 20},
    "a clock in 2300": {"at": YEAR_2300},
    "a clock in 9998": {"at": YEAR_9998},
}


def command(*words: object) -> None:
    """A typed error is an answer; any other error fails the test."""
    with suppress(BooktapeError):
        app(
            [str(word) for word in words],
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
        )


QUICK = ("the largest prices", "the largest ids", "a clock in 9998")


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=name, marks=() if name in QUICK else pytest.mark.long)
        for name, case in CASES.items()
    ],
)
def test_every_format_picture_and_table_handles_extremes(
    tmp_path: Path, case: dict[str, Any]
) -> None:
    """Each gives its result or a sentence."""
    root = written(tmp_path / "archive", **case)
    rec = booktape.open(root)
    assert len(list(rec.snapshots(SYMBOL))) == 11
    assert len(list(rec.replay(SYMBOL))) >= 11
    for shape in ("wide", "long", "lists"):
        ids = rec.snapshots(SYMBOL, depth=2).to_pandas(shape)["update_id"]
        assert ids.max() == int(case.get("ids", 10)) + 10
        rec.snapshots(SYMBOL, depth=2).to_polars(shape)
    command("info", root)
    for name in FORMATS:
        depth = ["--depth", 2] if name == "book_snapshot" else []
        command(
            *(
                "export",
                root,
                "--format",
                name,
                "--symbol",
                SYMBOL,
                "--out",
                tmp_path / name,
                *depth,
            )
        )
    for name in PLOTS:
        symbol = [] if name == "calendar" else ["--symbol", SYMBOL]
        command("plot", root, name, *symbol, "--file", tmp_path / f"{name}.png")


@pytest.mark.parametrize("draw", [heatmap, spread, depth])
@pytest.mark.parametrize("prices", [("1e308", "1.5e308"), ("1", "1e308"), ("5e-324", "1e-323")])
def test_a_picture_that_cannot_be_drawn_says_why(
    tmp_path: Path, draw: Callable[[Recording, str], Figure], prices: tuple[str, str]
) -> None:
    """The cause is the prices: the book was known, and had both sides."""
    rec = booktape.open(written(tmp_path / "archive", prices))
    with pytest.raises(NotRecorded, match=f"{SYMBOL} had prices then that no picture can show"):
        draw(rec, SYMBOL)


@pytest.mark.parametrize("draw", [heatmap, spread, depth])
def test_infinite_sums_of_sizes_are_drawn(
    tmp_path: Path, draw: Callable[[Recording, str], Figure]
) -> None:
    """Although their sum is not a double."""
    rec = booktape.open(written(tmp_path / "archive", size="1.7e308"))
    save(draw(rec, SYMBOL), tmp_path / "picture.png")


def test_a_crossed_book_is_drawn(tmp_path: Path) -> None:
    """However small the requested part."""
    rec = booktape.open(written(tmp_path / "archive", ("101", "100")))
    save(heatmap(rec, SYMBOL, bps=1e-9), tmp_path / "picture.png")


def test_an_id_is_never_rounded(tmp_path: Path) -> None:
    """2^53 + 1 is not a double."""
    root = written(tmp_path / "archive", ids=2**53 + 1)
    command("export", root, "--format", "csv", "--symbol", SYMBOL, "--out", tmp_path / "csv")
    (path,) = (tmp_path / "csv").iterdir()
    text = gzip.decompress(path.read_bytes()).decode()
    assert all(str(2**53 + 1 + n) in text for n in range(11))


def test_nanoseconds_end_in_2262(tmp_path: Path) -> None:
    """The sentence names another way."""
    root = written(tmp_path / "archive", at=YEAR_2300)
    out = ("--out", str(tmp_path / "out"))
    with pytest.raises(UsageError, match=r"2262-04-11.*--to.*another format"):
        app(
            ["export", str(root), "--format", "hftbacktest", "--symbol", SYMBOL, *out],
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
        )


@pytest.mark.parametrize("moment_us", [2**62, -(2**62)])
@pytest.mark.parametrize("column", ["receive_time", "event_time"])
def test_an_impossible_time_is_damage(tmp_path: Path, column: str, moment_us: int) -> None:
    """In a file that a stranger made: it is named and not read, and does not block a start."""
    root = written(tmp_path / "archive")
    (path,) = (root / "snapshots").rglob("*.parquet")
    table = pq.read_table(path, partitioning=None)
    at = table.schema.get_field_index(column)
    times = pa.array([moment_us] * len(table), pa.int64()).cast(table.schema.field(at).type)
    pq.write_table(table.set_column(at, table.schema.field(at), times), path)
    rec = booktape.open(root)
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        with suppress(BooktapeError):
            list(rec.snapshots(SYMBOL))
    (why,) = rec.damaged.values()
    assert "years 2 to 9998" in why
