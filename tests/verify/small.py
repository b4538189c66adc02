"""A small archive with everything in it, and words to damage a copy of it.

Two symbols, five segments of three recordings (the second was killed, the last one runs on), gaps of several reasons,
an audit that passes and one that disproves, witnesses, a halt. `reseal` makes the manifests fit what
was damaged, as a careful forger would: then only the content can show it.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from booktape.core.checks import BookTicker, TopLevels
from booktape.core.tape_records import (
    ClockStep,
    HoldExpired,
    SegmentStart,
    SnapshotRequested,
    StreamMessage,
    SymbolListing,
    TapeRecord,
)
from booktape.store.tape_reader import read_lines
from booktape.verify.files import measure
from booktape.verify.order import Scope
from booktape.verify.run import Report, verify
from booktape.verify.stored_files import FolderFiles
from booktape.wire.encode import encode_combined, encode_ticker, encode_top
from store.small_recording import Rotate, Scene, perform, record
from support.archives import open_archive
from support.oracle import SECOND, connected, event, levels, lost, rest, snapshot, stream

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

BTC, ETH = "BTCUSDT", "ETHBTC"
Lines: TypeAlias = list[dict[str, Any]]


def opening(at: int, *symbols: str, every: int = 2) -> SegmentStart:
    return SegmentStart(at * SECOND, "test", "sim", every, 3, symbols or (BTC, ETH), "depth20", 60)


def top(
    last: int, bids: dict[str, str], asks: dict[str, str], at: int, connection: int = 1
) -> TapeRecord:
    """One message of `@depth20`."""
    content = encode_top(TopLevels(BTC, last, levels(bids), levels(asks)))
    payload = encode_combined("btcusdt@depth20@100ms", content)
    return StreamMessage(at * SECOND, connection, payload)


def ticker(last: int, bid: str | None, ask: str | None, at: int, connection: int = 1) -> TapeRecord:
    """One message of `@bookTicker`; every size is 1."""
    sides = [(float(price), 1.0) if price else None for price in (bid, ask)]
    content = encode_ticker(BookTicker(BTC, last, sides[0], sides[1]))
    payload = encode_combined("btcusdt@bookTicker", content)
    return StreamMessage(at * SECOND, connection, payload)


def asked(at: int, symbol: str = BTC) -> SnapshotRequested:
    return SnapshotRequested(at * SECOND, symbol, 3)


FIRST: tuple[Scene, ...] = (
    connected(1, 1, (BTC, ETH)),
    rest(snapshot(10, {"100": "1", "99": "2", "98": "3"}, {"101": "1.5"}, limit=3), 2),
    rest(snapshot(5, {"0.03": "8"}, {"0.04": "0.1"}, symbol=ETH, limit=3), 3),
    top(11, {"100": "3", "99": "2", "98": "3"}, {"101": "1.5"}, 4),
    stream(event(10, 11, {"100": "3"}), 5, 1),
    stream(event(12, 14, {"97": "0.1"}, {"101": "0", "102": "7"}), 6, 1),
    stream(event(6, 6, {"0.02": "1"}, symbol=ETH), 7, 1),
    SymbolListing(8 * SECOND, ETH, "HALT"),
    asked(9),
    stream(event(15, 16, {"100": "4"}, {"103": "2"}), 10, 1),
    # An audit that passes: it knows one level more than the book did.
    rest(
        snapshot(15, {"100": "4", "99": "2", "98": "3", "97": "0.1"}, {"102": "7", "103": "2"}), 11
    ),
    stream(event(17, 17, {"96": "5"}), 12, 1),
    # An id gap.
    stream(event(20, 21, {"100": "9"}), 13, 1),
    rest(snapshot(21, {"100": "9"}, {"103": "1"}), 14),
    stream(event(22, 22, {}, {"103": "2"}), 15, 1),
    stream(event(7, 7, {"0.02": "2"}, symbol=ETH), 16, 1),
    Rotate(30),
    stream(event(23, 23, {"99.5": "4"}), 31, 1),
    stream(event(24, 24, {"99.5": "5"}), 32, 1),
    stream(event(8, 9, {"0.02": "3"}, symbol=ETH), 33, 1),
    stream(event(10, 10, {"0.02": "4"}, symbol=ETH), 34, 1),
    connected(35, 2, (BTC,)),
    # The second connection runs ahead of a hole that is given up.
    stream(event(26, 26, {"99.5": "6"}), 36, 2),
    HoldExpired(40 * SECOND, BTC),
    rest(snapshot(26, {"99.5": "6"}, {"103": "2"}), 41),
    stream(event(27, 27, {"99": "7"}), 42, 2),
    Rotate(60),
    top(28, {"99.5": "6", "99": "8"}, {"103": "2"}, 61),
    stream(event(28, 28, {"99": "8"}), 62, 1),
    stream(event(29, 29, {"99": "9"}), 63, 1),
    asked(64),
    # An audit that disproves the book.
    rest(snapshot(29, {"99.5": "6", "99": "1"}, {"103": "2"}), 65),
    rest(snapshot(30, {"99.5": "6", "99": "9"}, {"103": "2"}), 66),
    stream(event(31, 31, {"99": "10"}), 67, 2),
    ClockStep(68 * SECOND, -1_500_000_000),
    lost(70, 1, alive=69),
    stream(event(32, 32, {"99": "11"}), 71, 2),
)
SECOND_RUN: tuple[Scene, ...] = (
    connected(101, 1, (BTC, ETH)),
    rest(snapshot(40, {"95": "1"}, {"96": "1"}), 102),
    stream(event(41, 41, {"95": "2"}), 103, 1),
    stream(event(42, 42, {"95": "3"}), 104, 1),
    rest(snapshot(20, {"0.03": "8"}, {}, symbol=ETH, limit=1), 105),
)


def build(root: Path, every: int = 2) -> None:
    """Three recordings; each of the first two was stopped."""
    record(root, FIRST, opening=opening(0, every=every), tag="first")
    record(root, SECOND_RUN, opening=opening(100, every=every), tag="second")
    with open_archive(root) as archive:
        scenes = (connected(201, 1, (BTC,)), rest(snapshot(50, {"95": "1"}, {"96": "1"}), 202))
        perform(archive, scenes, opening=opening(200, BTC, every=every), tag="third")


def verified(root: Path, **scope: Any) -> Report:
    """Verify it, on this core."""
    return verify(FolderFiles(root), Scope(**scope), 1)


# ── damaging ────────────────────────────────────────────────────────────────────────────────


def sealed(root: Path, room: str) -> list[Path]:
    """The files of a folder, oldest segment first, then by their folders: the system lists them in any order."""
    found = (path for path in (root / room).rglob("*.*") if path.is_file())
    return sorted(found, key=lambda path: (path.name, path))


def rows_of(root: Path, symbol: str, segment: int) -> Path:
    """One file of rows."""
    return sealed(root / "snapshots", f"symbol={symbol}")[segment]


def edit_tape(path: Path, change: Callable[[Lines], Any]) -> None:
    """Rewrite a tape: `change` may do anything to its lines."""
    lines = [json.loads(line) for line in read_lines(path)]
    change(lines)
    text = b"".join(json.dumps(line, separators=(",", ":")).encode() + b"\n" for line in lines)
    with zstd.open(path, "wb") as file:
        file.write(text)


def edit_table(path: Path, change: Callable[[Lines], Any], schema: pa.Schema | None = None) -> None:
    """Rewrite a Parquet file: `change` may do anything to its rows."""
    table = pq.read_table(path, partitioning=None)
    rows = table.to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, schema or table.schema), path)


def remove_segment(root: Path, index: int) -> str:
    """Delete every file of a segment; returns its name."""
    name = sealed(root, "tape")[index].name.removesuffix(".jsonl.zst")
    for path in [p for p in root.rglob(f"{name}.*") if p.is_file()]:
        path.unlink()
    return name


def reseal(root: Path) -> None:
    """Update every manifest to the current files."""
    for path in sealed(root, "manifests"):
        name = path.name.removesuffix(".json")
        files = {}
        for found in sorted(p for p in root.rglob(f"{name}.*") if p.is_file() and p != path):
            size, digest = measure(found)
            files[found.relative_to(root).as_posix()] = {"bytes": size, "sha256": digest}
        path.write_text(json.dumps({"segment": name, "files": files}))


def copy(archive: Path, to: Path) -> Path:
    """A copy that a test may damage."""
    shutil.copytree(archive, to)
    return to
