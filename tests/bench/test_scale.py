"""A year of all symbols, computed from the real captures: bytes, requests, connections.

Each symbol of the captures is recorded by the recorder's own store, which gives the bytes of an event on the tape and of
a row. Then each of the simulated exchange's 1,400 symbols, whose rates fall from 10 events a second to 0.4, is taken
to cost what the captured symbol of the nearest rate costs. `make scale` writes the tables of docs/scale.md.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pyarrow.parquet as pq
import pytest

from bench.recorded import record
from booktape.core.tape_records import Connected, DepthAnswer, StreamMessage, TapeRecord
from booktape.sim.market.listing import Listing, spot
from booktape.store.parquet_file import GROUP_ROWS
from booktape.wire.endpoints import VENUES
from booktape.wire.limits import BINANCE, DEPTH_MAX, WEIGHT_PER_MINUTE, fitting_limit
from captures.capture import BTCUSDT, FOUR, TEN, lines, needs_captures
from docs.generated import DOCS, replaced, table

pytestmark = [pytest.mark.bench, needs_captures]

EVERY: Final = (1, 10)
PAGE: Final = DOCS / "scale.md"
SLOTS_PER_S: Final = 10
HOUR_S: Final = 3_600
ROWS_LEAST: Final = 5
"""A symbol with fewer rows, or whose first row is packed otherwise than the others, shows no cost of a row."""

DAYS: Final = 365
AUDIT_MIN: Final = 15
GB: Final = 1e9


class Captured(NamedTuple):
    """One symbol of a capture: events a second, bytes of an event on the tape, and by N of a file's first and each further row."""

    symbol: str
    per_s: float
    tape_bytes: float
    rows: dict[int, tuple[int, float]]

    def hour_bytes(self, per_s: float, every: int) -> float:
        """An hour of rows of a symbol with this rate."""
        first, further = self.rows[every]
        rows = per_s * HOUR_S / every
        groups = 1 + rows // GROUP_ROWS
        return groups * first + max(0.0, rows - groups) * further


def captured(root: Path) -> Iterator[Captured]:
    """Every symbol of the captures that has rows."""
    for name, limit in (BTCUSDT, TEN, FOUR):
        found = lines(name)
        seconds = (found[-1].received_ns - found[0].received_ns) / 1e9
        for symbol in sorted({line.symbol for line in found}):
            own = [line for line in found if line.symbol == symbol]
            begin: list[TapeRecord] = [Connected(found[0].received_ns, 1, (symbol,))]
            begin += [
                DepthAnswer(line.received_ns, symbol, limit, line.payload)
                for line in own
                if line.is_rest
            ]
            events: list[TapeRecord] = [
                StreamMessage(line.received_ns, 1, line.payload)
                for line in own
                if line.stream.startswith("depth@")
            ]
            folder = root / symbol
            empty = record(folder / "empty", begin, 1).stat().st_size
            rows: dict[int, tuple[int, float]] = {}
            for every in EVERY:
                path = record(folder / str(every), [*begin, *events], every)
                count = pq.read_metadata(path).num_rows
                rows[every] = empty, max(0.0, (path.stat().st_size - empty) / max(1, count - 1))
            if count < ROWS_LEAST or not all(further for _, further in rows.values()):
                continue
            tape = (_tape_bytes(folder / "1") - _tape_bytes(folder / "empty")) / len(events)
            yield Captured(symbol, len(events) / seconds, tape, rows)


def _tape_bytes(root: Path) -> int:
    return sum(path.stat().st_size for path in root.glob("tape/*/*"))


def year(symbols: tuple[Listing, ...], costs: list[Captured]) -> list[str]:
    """Events a second, GB a day of tape and rows, and TB a year."""
    per_s = tape = 0.0
    rows = dict.fromkeys(EVERY, 0.0)
    for one in symbols:
        rate = SLOTS_PER_S * one.profile.activity
        cost = min(costs, key=lambda each: abs(each.per_s - rate))
        per_s += rate
        tape += rate * HOUR_S * cost.tape_bytes * 24
        for every in EVERY:
            rows[every] += cost.hour_bytes(rate, every) * 24
    figures = [tape, *(rows[every] for every in EVERY)]
    years = [(tape + rows[every]) * DAYS / 1e12 for every in EVERY]
    return [
        f"{len(symbols):,}",
        f"{per_s:,.0f}",
        *(f"{figure / GB:,.2f}" for figure in figures),
        *(f"{each:,.2f}" for each in years),
    ]


def requests(symbols: tuple[Listing, ...]) -> list[str]:
    """The weight of all first snapshots at full depth, of the audits of a minute, and the connections."""
    weights = [BINANCE.depth_weight(fitting_limit(s.profile.levels, DEPTH_MAX)) for s in symbols]
    audits = sum(weights) / AUDIT_MIN
    streams = VENUES["binance"].split(
        tuple(s.symbol for s in symbols), ("@depth@100ms", "@depth20@100ms")
    )
    return [
        f"{len(symbols):,}",
        f"{len(symbols) * BINANCE.depth_weight(100) / WEIGHT_PER_MINUTE:,.1f}",
        f"{sum(weights) / WEIGHT_PER_MINUTE:,.1f}",
        f"{audits:,.0f}",
        f"{audits / WEIGHT_PER_MINUTE:.0%}",
        f"{len(streams)}",
    ]


def test_a_year_of_all_symbols(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The tables of docs/scale.md; all symbols cost less than 1,400 times the busiest one."""
    costs = list(captured(tmp_path))
    everything = spot()
    choices = everything[:1], everything[:10], everything[:100], everything
    measured = table(
        [
            "symbol",
            "events a second",
            "tape, bytes an event",
            *(f"a row at N = {n}, bytes" for n in EVERY),
        ],
        [
            [each.symbol, f"{each.per_s:.1f}", f"{each.tape_bytes:,.0f}"]
            + [f"{each.rows[every][1]:,.0f}" for every in EVERY]
            for each in sorted(costs, key=lambda each: -each.per_s)
        ],
    )
    sizes = table(
        [
            *("symbols", "events a second", "tape, GB a day"),
            *(f"rows at N = {n}, GB a day" for n in EVERY),
            *(f"a year at N = {n}, TB" for n in EVERY),
        ],
        [year(each, costs) for each in choices],
    )
    budget = table(
        [
            *("symbols", "minutes until all tops are known", "until all depth is known"),
            *("weight of audits a minute", "of the budget", "connections"),
        ],
        [requests(each) for each in choices],
    )
    say = {"captured": measured, "year": sizes, "requests": budget}
    for block, text in say.items():
        page = replaced(PAGE.read_text(), block, text)
        if os.environ.get("BOOKTAPE_BENCH_WRITE"):
            PAGE.write_text(page)
        with capsys.disabled():
            print(f"\n\n{text}")
    one, all_of_them = (year(each, costs) for each in (everything[:1], everything))
    assert float(all_of_them[2].replace(",", "")) < 1_400 * float(one[2])
