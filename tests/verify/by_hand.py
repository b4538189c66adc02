"""An archive of format 2 written by hand: tapes, rows and tables, each worked out from docs/proofs.md.

No part of the recorder has a hand in it. One symbol, one connection, two segments: the stream falls
silent while a witness goes on, a pulse proves the new book, the recorder stands still for a moment,
the segment changes; then comes a break, and the recorder is stopped.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from booktape.store.layout import Layout, Segment
from booktape.store.schema import CHECKS, GAPS, NOTES, SNAPSHOTS
from verify.replayed_in_seconds import ns
from verify.small import Lines, copy, edit_table, reseal, sealed

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

X = "BTCUSDT"
SCHEMAS = {"gaps": GAPS, "checks": CHECKS, "notes": NOTES, "snapshots": SNAPSHOTS}
Row: TypeAlias = dict[str, Any]


def time(at: float) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=ns(at) // 1_000)


# ── lines ───────────────────────────────────────────────────────────────────────────────────


def line(kind: str, at: float, **fields: Any) -> Row:
    return {"k": kind, "received_ns": ns(at), **fields}


def start(at: float, symbols: Sequence[str] = (X,)) -> Row:
    body = {"version": "test", "exchange": "sim", "every": 1, "depth": 5, "symbols": [*symbols]}
    return line("start", at, **body, witness="depth20", audit_s=900.0, format=2, pulse_s=30.0)


def up(at: float, connection: int = 1) -> Row:
    return line("connected", at, connection=connection, symbols=[X])


def snapshot(at: float, last: int, bid_size: str) -> Row:
    body = {"lastUpdateId": last, "bids": [["100", bid_size]], "asks": [["101", "1"]]}
    return line("rest", at, symbol=X, limit=5, m=body)


def event(
    at: float, ids: tuple[int, int], bid_size: str, lag: float = 0.1, connection: int = 1
) -> Row:
    first, last = ids
    body = {"e": "depthUpdate", "E": ns(at - lag) // 10**6, "s": X, "U": first, "u": last}
    data = {**body, "b": [["100", bid_size]], "a": []}
    wrapped = {"stream": "btcusdt@depth@100ms", "data": data}
    return line("ws", at, connection=connection, m=wrapped)


def top(at: float, last: int, bid_size: str) -> Row:
    body = {"lastUpdateId": last, "bids": [["100", bid_size]], "asks": [["101", "1"]]}
    return line("ws", at, connection=1, m={"stream": "btcusdt@depth20@100ms", "data": body})


def tick(at: float, elapsed: float = 1) -> Row:
    return line("tick", at, elapsed_ns=ns(elapsed))


def status(at: float, body: str) -> Row:
    return line("status", at, symbol=X, status=body, tick_size="0.01", lot_size="0.001")


def checkpoint(at: float, **fields: Any) -> Row:
    """Of a book known since 2 s, except for `fields`."""
    body: Row = {"symbol": X, "state": "live", "epoch": 1, "update_id": 10, "updates": 0}
    body |= {"event_time_us": None, "known_ns": ns(2), "attempt": 0, "gap": None}
    body |= {"bid_horizon": None, "ask_horizon": None, "bids": [[100, 1]], "asks": [[101, 1]]}
    body |= {"held": [], "passed": 10, "reached": {"1": None}, "ahead": [], "status": "TRADING"}
    body |= {"tick_size": "0.01", "lot_size": "0.001", "synced_ns": ns(2), "stamp_ns": ns(2)}
    body |= {"evidence_age_ns": 0, "newest_us": 0, "newest_id": 0}
    return line("checkpoint", at, **body | fields)


def stopped(at: float, reason: str, **fields: Any) -> Row:
    """The last checkpoint of a recording: no connection carries the symbol any more."""
    gap = {"symbol": X, "epoch": fields["epoch"], "last_update_id": fields["update_id"]}
    gap |= {"start_ns": fields["known_ns"], "reason": reason}
    cold: Row = {"state": "cold", "bids": [], "asks": [], "passed": None, "reached": {}, "gap": gap}
    return checkpoint(at, **cold | fields)


# ── rows ────────────────────────────────────────────────────────────────────────────────────


def row(
    at: float, last: int, place: tuple[int, int], bid_size: float, event_time: float | None = None
) -> Row:
    """`place` is its epoch and its number of updates."""
    epoch, updates = place
    found: Row = {"receive_time": time(at), "update_id": last, "epoch": epoch, "updates": updates}
    found |= {"event_time": None if event_time is None else time(event_time)}
    found |= {"bid_price": [100.0], "bid_size": [bid_size], "bid_horizon": None}
    found |= {"best_bid": 100.0, "best_bid_size": bid_size, "best_ask": 101.0, "best_ask_size": 1.0}
    return found | {"ask_price": [101.0], "ask_size": [1.0], "ask_horizon": None}


def gap(begin: float, end: float | None, ids: tuple[int, int | None], epoch: int, why: str) -> Row:
    last, following = ids
    return {
        "symbol": X,
        "epoch": epoch,
        "start_time": time(begin),
        "end_time": None if end is None else time(end),
        "last_update_id": last,
        "next_update_id": following,
        "missed_updates": None if following is None else following - last - 1,
        "reason": why,
    }


def note(at: float, kind: str, detail: str, symbol: str | None = None) -> Row:
    return {"symbol": symbol, "time": time(at), "kind": kind, "detail": detail}


def check(at: float, last: int, witness: str, detail: str) -> Row:
    found = {"symbol": X, "time": time(at), "update_id": last, "witness": witness}
    return found | {"levels_compared": 2, "mismatches": 0, "detail": detail}


# ── files ───────────────────────────────────────────────────────────────────────────────────


def write(root: Path, begin: float, lines: Lines, rows: Lines, **tables: Lines) -> None:
    """One segment, sealed; `tables` are `gaps`, `checks` and `notes`, empty unless given."""
    segment = Segment.at(ns(begin), "hand")
    text = b"".join(json.dumps(one, separators=(",", ":")).encode() + b"\n" for one in lines)
    tape = root / "tape" / segment.date / f"{segment.name}.jsonl.zst"
    tape.parent.mkdir(parents=True, exist_ok=True)
    with zstd.open(tape, "wb") as file:
        file.write(text)
    for room, schema in SCHEMAS.items():
        if room != "snapshots":
            path = root / room / segment.date / f"{segment.name}.parquet"
            _put(path, tables.get(room, []), schema)
    folder = root / "snapshots" / f"symbol={X}" / segment.date
    _put(folder / f"{segment.name}.parquet", rows, SNAPSHOTS)
    manifest = Layout(root).manifest(segment)
    manifest.parent.mkdir(parents=True, exist_ok=True)
    manifest.write_text("")
    reseal(root)


def _put(path: Path, rows: Lines, schema: pa.Schema) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows), schema), path)


# ── the archive ─────────────────────────────────────────────────────────────────────────────

FIRST: Lines = [
    start(0),
    up(1),
    snapshot(2, 10, "1"),
    tick(3),
    event(3.5, (11, 11), "2"),
    tick(4),
    line("clock-offset", 4.2, offset_ns=12_345_678, error_ns=4_500_000),
    status(4.5, "TRADING"),
    tick(5),
    top(5.5, 13, "3"),  # the ticker is ahead of the book, and its event never comes
    *(tick(at) for at in (6, 7, 8, 9)),
    snapshot(10, 14, "3"),
    *(tick(at) for at in (11, 12)),
    line("pulse", 12.5, asked_ns=ns(12.25), tops={X: ["100", "3", "101", "1"]}),
    *(tick(at) for at in (13, 14)),
    tick(20, 6),
    tick(21),
    line("end", 21.5, reason="rotated"),
]
SECOND: Lines = [
    start(21.5),
    checkpoint(
        21.5,
        epoch=2,
        update_id=14,
        bids=[[100, 3]],
        passed=14,
        reached={"1": 11},
        # The pulse proved it at 12.25; the tick at 20 counted from there, that at 21 one second.
        known_ns=ns(12.25),
        synced_ns=ns(10),
        stamp_ns=ns(10),
        evidence_age_ns=ns(1),
        newest_us=3_400_000,
        newest_id=11,
    ),
    up(21.5),
    event(22.5, (15, 15), "4"),
    tick(23),
    status(24, "BREAK"),
    line("disconnected", 26, connection=1, alive_ns=ns(26), reason="disconnected"),
    up(27, 2),
    status(28, "TRADING"),
    snapshot(29, 20, "5"),
    line("end", 30, reason="stopped"),
    stopped(
        30,
        "stopped",
        epoch=3,
        update_id=20,
        known_ns=ns(29),
        synced_ns=ns(29),
        stamp_ns=ns(29),
    ),
]


def build(root: Path) -> None:
    """The whole archive."""
    write(
        root,
        0,
        FIRST,
        rows=[row(2, 10, (1, 0), 1), row(3.5, 11, (1, 1), 2, 3.4), row(10, 14, (2, 0), 3)],
        gaps=[gap(3.5, 10, (11, 14), 1, "silent")],
        checks=[check(14, 14, "pulse", "1 comparisons")],
        notes=[
            note(4.2, "clock_offset", "+12.3 ms ± 4.5 ms"),
            note(4.5, "status", "TRADING", X),
            note(4.5, "tick_size", "0.01", X),
            note(4.5, "lot_size", "0.001", X),
            note(20, "pause", "6.000"),
        ],
    )
    write(
        root,
        21.5,
        SECOND,
        rows=[row(22.5, 15, (2, 1), 4, 22.4), row(29, 20, (3, 0), 5)],
        gaps=[gap(22.5, 29, (15, 20), 2, "break")],
        notes=[note(24, "status", "BREAK", X), note(28, "status", "TRADING", X)],
    )


def forge(archive: Path, to: Path, room: str, segment: int, change: Callable[[Lines], Any]) -> Path:
    """A copy with other rows in one table, sealed as if they were right; `to` is its folder."""
    root = copy(archive, to)
    edit_table(sealed(root, room)[segment], change, SCHEMAS[room])
    reseal(root)
    return root
