"""Real recordings, played back as an exchange and recorded end to end."""

from __future__ import annotations

import asyncio
import gzip
import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from booktape.sim.replay.source import ReplaySource
from booktape.sim.server.server import SimServer
from e2e.inside import POLL_S, recording
from e2e.promises import check_epochs, check_row, gaps_of, rows_of
from support.oracle import Oracle, doubles

CAPTURES = Path(__file__).parents[3] / "shared" / "captures"
SPOT = {
    "btcusdt-2026-06-07-depth5.jsonl.gz": 5_000,
    "four-symbols-2021-08-limit5000.jsonl.gz": 5_000,
    "ten-symbols-2021-04-05-bookticker.jsonl.gz": 1_000,
}
QUICK = "four-symbols-2021-08-limit5000.jsonl.gz"
FUTURES = "usdm-futures-2021-07-must-be-refused.jsonl.gz"

FEW = 20

needs_captures = pytest.mark.skipif(
    not CAPTURES.is_dir(), reason="the real captures are not beside this repository"
)


def lines_of(name: str) -> list[tuple[str, str, bytes]]:
    """Kind, symbol and payload of every line that concerns a book."""
    found = []
    with gzip.open(CAPTURES / name) as file:
        for line in file:
            entry = json.loads(line)
            payload = line[line.index(b'"m":') + 4 : line.rindex(b"}")]
            if entry["kind"] == "rest" or b"@depth@100ms" in payload[:60]:
                found.append((entry["kind"], entry["symbol"], payload))
    return found


async def record(name: str, depth: int, out: Path) -> None:
    """Play a capture as fast as it is read, and record all of it, with a row for every event."""
    lines = lines_of(name)
    symbols = tuple(sorted({symbol for _, symbol, _ in lines}))
    events = sum(kind == "ws" for kind, _, _ in lines)
    async with (
        SimServer(ReplaySource(CAPTURES / name), speed=math.inf) as server,
        recording(server, symbols, out, every=1, depth=depth) as recorder,
    ):
        await server.finished.wait()
        async with asyncio.timeout(60):
            # The note about the connection and an answer for each symbol are added.
            while (status := recorder.status()) is None or status.records < events + 1:
                await asyncio.sleep(POLL_S)


@needs_captures
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name == QUICK else pytest.mark.long) for name in SPOT],
)
async def test_every_stored_row_of_a_real_capture_equals_the_oracle(
    name: str, tmp_path: Path
) -> None:
    """All 15 Spot symbols, N = 1: from the socket to the file, level by level, as decimals."""
    await record(name, SPOT[name], tmp_path)
    assert gaps_of(tmp_path) == []
    rows = rows_of(tmp_path)
    for symbol in {symbol for _, symbol, _ in lines_of(name)}:
        check_epochs(rows[symbol], 1, [])
        lines = [(kind, payload) for kind, s, payload in lines_of(name) if s == symbol]
        assert_equal_to_oracle(rows[symbol], lines)


def assert_equal_to_oracle(rows: list[dict[str, Any]], lines: list[tuple[str, bytes]]) -> None:
    """Every row is the oracle's book at its id; from the first row on every event has one.

    The first row may stand a few events behind the recorded snapshot: the exchange that plays the
    capture answers as of the moment of the request.
    """
    stored = {row["update_id"]: row for row in rows}
    oracle = Oracle()
    oracle.snapshot(next(payload for kind, payload in lines if kind == "rest"))
    compared = skipped = 0
    for payload in [None, *(payload for kind, payload in lines if kind == "ws")]:
        if payload is not None:
            before = oracle.id
            oracle.event(payload)
            if oracle.id == before:
                continue
        assert oracle.id is not None
        if oracle.id not in stored and compared == 0 and skipped < FEW:
            skipped += 1
            continue
        row = stored[oracle.id]
        truth = (
            doubles(oracle.bids, best_is_highest=True),
            doubles(oracle.asks, best_is_highest=False),
        )
        check_row(row, truth)
        if not skipped:
            # If it was requested in time, it is the recorded answer, with levels beyond the horizon too.
            assert list(zip(row["bid_price"], row["bid_size"], strict=True)) == truth[0]
            assert list(zip(row["ask_price"], row["ask_size"], strict=True)) == truth[1]
        compared += 1
    assert compared == len(rows)


@needs_captures
async def test_futures_end_in_gaps_and_in_no_book_called_known(tmp_path: Path) -> None:
    """Their ids do not chain as Spot's do: rows end at once, and each symbol's gap stays open."""
    await record(FUTURES, 1_000, tmp_path)
    events = Counter(symbol for kind, symbol, _ in lines_of(FUTURES) if kind == "ws")
    open_gaps = {gap["symbol"] for gap in gaps_of(tmp_path) if gap["next_update_id"] is None}
    rows = rows_of(tmp_path)
    for symbol in events:
        assert symbol in open_gaps or symbol not in rows
        assert len(rows.get(symbol, [])) <= 2
