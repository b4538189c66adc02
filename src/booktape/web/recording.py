"""Answers from a finished recording: what was recorded, the book at a moment, and the book over time.

Everything is read through the public reader, in one thread, one question after the other: a browser that asks for
much waits, and takes no more memory than one question needs.
"""

from __future__ import annotations

import asyncio
import base64
import re
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from time import monotonic
from types import MappingProxyType
from typing import Any, Final, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import structlog
from aiohttp import web

from booktape import __version__
from booktape.core.events import Floats
from booktape.errors import DamagedFile, NotRecorded, TapesRemoved, UsageError
from booktape.reader import Coverage, Gap, Recording, Snapshots
from booktape.reader.book_view import REACHES_BPS, BookView, view_book
from booktape.reader.coverage import day_coverage, days_between
from booktape.reader.raster import Prices, check_can_be_drawn, paint, tick_of
from booktape.reader.time_range import TimeRange
from booktape.reader.times import moment_at, moment_us
from booktape.web.server import answer_json, answer_sentence

OVERVIEW_S: Final = 30.0
"""How long an overview is kept: a recorder may be writing here, and reading every footer takes a while."""

WAITING_MAX: Final = 8
"""Questions that wait for the reading thread; further ones are refused."""

RANGE_MAX: Final = timedelta(days=1)
"""The longest time of one heatmap: all rows of that time are read."""

COLUMNS: Final = 480
BINS: Final = 160

GAPS_MAX: Final = 2_000
"""Gaps that are named of one symbol, the longest; the others are counted."""

DAMAGED_MAX: Final = 50

UNKNOWN: Final = 255
"""The cell of a book that was not known. 0 is empty; 1 to 254 are sizes on a logarithmic scale."""

_TOUCH: Final = MappingProxyType(
    {
        "bid": "best_bid",
        "ask": "best_ask",
        "bid_horizon": "bid_horizon",
        "ask_horizon": "ask_horizon",
    }
)
"""The lines of a picture, and the column of each."""
_NEEDED: Final = ("epoch", "bid_price", "bid_size", "ask_price", "ask_size")
_TIME: Final = ("receive_time",)
_LOOK_BACK: Final = (timedelta(seconds=10), timedelta(minutes=5), timedelta(hours=2))
_DAY: Final = timedelta(days=1)
_MICROSECOND: Final = timedelta(microseconds=1)

T = TypeVar("T")
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Overview:
    """What was recorded, as of a moment of steady time."""

    made_s: float
    answer: dict[str, Any]
    coverage: dict[str, Coverage]
    gaps: dict[str, list[Gap]]


class RecordingAnswers:
    """The routes of the page that shows a recording. `name` is what the user called its folder."""

    def __init__(self, recording: Recording, name: str) -> None:
        self._recording = recording
        self._name = name
        self._overview: Overview | None = None
        self._waiting = 0
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="page-reader")

    def routes(self) -> list[web.RouteDef]:
        """All of them answer JSON."""
        answers: dict[str, Callable[[web.Request], object]] = {
            "/about": lambda _: {"mode": "recording", "name": self._name, "version": __version__},
            "/recording/overview": lambda _: self._current().answer,
            "/recording/history": self._history,
            "/recording/book": self._book,
        }
        return [
            web.get(path, self._in_thread(answer), allow_head=False)
            for path, answer in answers.items()
        ]

    def _in_thread(self, answer: Callable[[web.Request], object]) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.Response:
            if self._waiting >= WAITING_MAX:
                return answer_sentence(
                    HTTPStatus.SERVICE_UNAVAILABLE,
                    "Too many questions wait. Try again in a moment.",
                )
            self._waiting += 1
            try:
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self._reader, self._answered, answer, request)
            finally:
                self._waiting -= 1

        return handle

    def _answered(
        self, answer: Callable[[web.Request], object], request: web.Request
    ) -> web.Response:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DamagedFile)  # the page names them
                warnings.simplefilter("ignore", TapesRemoved)
                return answer_json(answer(request))
        except (pa.ArrowException, OSError, ValueError) as error:
            # Files that no recorder wrote. The reader names each one that it cannot open; this is the rest.
            log.warning("a file of the archive could not be read", why=str(error))
            raise NotRecorded(
                "A file of this archive cannot be read. booktape's log says why."
            ) from error

    # ── what was recorded ───────────────────────────────────────────────────────────────────

    def _current(self) -> Overview:
        if self._overview is None or monotonic() - self._overview.made_s > OVERVIEW_S:
            self._overview = self._look()
        return self._overview

    def _look(self) -> Overview:
        coverage = {own.symbol: own for own in self._recording.coverage()}
        gaps: dict[str, list[Gap]] = {symbol: [] for symbol in coverage}
        for row in self._recording.gaps().to_pylist():
            if row["symbol"] in gaps:
                gaps[row["symbol"]].append(Gap.from_row(row))
        checks = _checks(self._recording.checks())
        damaged = self._recording.damaged
        answer = {
            "mode": "recording",
            "name": self._name,
            "version": __version__,
            "symbols": [
                _symbol_answer(own, gaps[symbol], *checks.get(symbol, (0, 0)))
                for symbol, own in coverage.items()
            ],
            "damaged": [f"{path}: {why}" for path, why in list(damaged.items())[:DAMAGED_MAX]],
            "damaged_files": len(damaged),
        }
        return Overview(monotonic(), answer, coverage, gaps)

    def _known(self, request: web.Request) -> tuple[Coverage, list[Gap]]:
        """The symbol that is asked for. Raises NotRecorded."""
        symbol = request.query.get("symbol", "")
        overview = self._current()
        if symbol not in overview.coverage:
            raise NotRecorded("This recording has no rows of this symbol.")
        return overview.coverage[symbol], overview.gaps[symbol]

    # ── the book at a moment ────────────────────────────────────────────────────────────────

    def _book(self, request: web.Request) -> dict[str, Any]:
        """The last row until a moment, or the gap around it."""
        own, gaps = self._known(request)
        at_us = _clamped(_whole(request, "at"), own)
        reach_bps = _reach(request)
        at = moment_at(at_us)
        for gap in gaps:
            if gap.covers(at):
                return {"at_us": at_us, "book": None, "gap": _gap_answer(gap)}
        row = self._last_row(own, at_us)
        if row is None:
            raise NotRecorded("No row is known at this moment. Choose another.")
        return {"at_us": at_us, "gap": None, "book": asdict(_view(row, reach_bps))}

    def _last_row(self, own: Coverage, at_us: int) -> pa.RecordBatch | None:
        """The last row received until a moment: looked for in the time just before it, then further back."""
        after = moment_at(at_us + 1)
        for length in _LOOK_BACK:
            found = self._last_in(own.symbol, after - length, after)
            if found is not None:
                return found
        # A book that was quiet for hours: only times are read, of a time that doubles.
        end, length = after - _LOOK_BACK[-1], _DAY
        while end > own.first:
            length = min(length, end - own.first)
            times = self._recording.snapshots(own.symbol, end - length, end).batches(_TIME)
            last_us = [
                _time_us(batch.slice(batch.num_rows - 1)) for batch in times if batch.num_rows
            ]
            if last_us:
                return self._last_in(own.symbol, moment_at(last_us[-1]), moment_at(last_us[-1] + 1))
            end, length = end - length, 2 * length
        return None

    def _last_in(self, symbol: str, start: datetime, end: datetime) -> pa.RecordBatch | None:
        found = None
        for batch in self._recording.snapshots(symbol, start, end).batches():
            if batch.num_rows:
                found = batch.slice(batch.num_rows - 1)
        return found

    # ── the book over time ──────────────────────────────────────────────────────────────────

    def _history(self, request: web.Request) -> dict[str, Any]:
        """Sizes by price and time, best prices, and gaps, of a range of at most RANGE_MAX."""
        own, gaps = self._known(request)
        first_us, last_us = (_clamped(_whole(request, name), own) for name in ("from", "to"))
        if moment_at(last_us) - moment_at(first_us) > RANGE_MAX:
            raise UsageError("A picture shows a day at most. Choose a shorter time.")
        stretch = TimeRange.of(own, moment_at(first_us), moment_at(last_us), COLUMNS, gaps)
        return self._picture(own, stretch)

    def _picture(self, own: Coverage, stretch: TimeRange) -> dict[str, Any]:
        # From the row before the range on: it is valid in it.
        before = self._last_row(own, moment_us(stretch.start))
        since = stretch.start if before is None else moment_at(_time_us(before))
        columns = _Columns.of(stretch)
        touch = {name: np.full(columns.count, np.nan) for name in _TOUCH}
        rows = self._recording.snapshots(own.symbol, since, stretch.after)
        for places, batch in columns.fill(rows, stretch, ("epoch", *_TOUCH.values())):
            for name, column in _TOUCH.items():
                touch[name][places] = batch.column(column).to_numpy(zero_copy_only=False)
        ticks = [touch["bid"], touch["ask"], *stretch.some_prices(self._recording, since)]
        check_can_be_drawn(own.symbol, touch["bid"], touch["ask"])
        return {
            "symbol": own.symbol,
            "from_us": moment_us(stretch.start),
            "to_us": moment_us(stretch.end),
            "begin_us": columns.begin * columns.step_us,
            "step_us": columns.step_us,
            "interval": stretch.interval_text,
            **{name: values.tolist() for name, values in touch.items()},
            "gaps": [_gap_answer(gap) for gap in stretch.gaps],
            **self._cells(stretch, since, columns, _prices(touch["bid"], touch["ask"], ticks)),
        }

    def _cells(
        self, stretch: TimeRange, since: datetime, columns: _Columns, prices: Prices
    ) -> dict[str, Any]:
        """The sizes, column by column, each from the lowest price up."""
        cells = np.full((columns.count, prices.bins), np.nan)
        rows = self._recording.snapshots(stretch.symbol, since, stretch.after)
        for places, batch in columns.fill(rows, stretch, _NEEDED):
            cells[places] = paint(batch, prices)
        levels, size_low, size_high = _quantised(cells)
        return {
            "low": prices.low,
            "price_step": prices.step,
            "bins": prices.bins,
            "cells": base64.b64encode(levels.tobytes()).decode(),
            "size_low": size_low,
            "size_high": size_high,
        }


@dataclass(frozen=True, slots=True)
class _Columns:
    """The columns of a picture, on the grid of `resample`: the first one holds the start."""

    begin: int
    step_us: int
    count: int

    @classmethod
    def of(cls, stretch: TimeRange) -> _Columns:
        step_us = stretch.interval // _MICROSECOND
        begin = moment_us(stretch.start) // step_us
        return cls(begin, step_us, moment_us(stretch.end) // step_us - begin + 1)

    def fill(
        self, rows: Snapshots, stretch: TimeRange, names: tuple[str, ...]
    ) -> Iterator[tuple[Any, pa.RecordBatch]]:
        """The last book known in each column: which columns, and as many rows.

        The last row is valid to the end of the picture, or until its epoch ended: what follows it is not read.
        """
        last: pa.RecordBatch | None = None
        for batch in rows.resample(stretch.interval).batches(names):
            numbers = batch.column("time").cast(pa.int64()).to_numpy() // self.step_us - self.begin
            inside = (numbers >= 0) & (numbers < self.count)
            yield numbers[inside], batch.filter(pa.array(inside))
            last = batch.slice(batch.num_rows - 1) if batch.num_rows else last
        if last is not None:
            number = (
                int(last.column("time").cast(pa.int64())[0].as_py()) // self.step_us - self.begin
            )
            epoch = last.column("epoch")[0].as_py()
            ended = [moment_us(gap.start_time) for gap in stretch.gaps if gap.epoch == epoch]
            until = min([self.count, *((us - 1) // self.step_us - self.begin + 1 for us in ended)])
            places = np.arange(max(0, number + 1), until)
            yield places, last.take(np.zeros(len(places), np.int64))


# ── parts of answers ────────────────────────────────────────────────────────────────────────────


def _symbol_answer(own: Coverage, gaps: list[Gap], checks: int, failed: int) -> dict[str, Any]:
    days = [(day, day_coverage(own, gaps, day)) for day in days_between(own.first, own.last)]
    longest = sorted(gaps, key=lambda gap: gap.start_time - (gap.end_time or own.last))[:GAPS_MAX]
    return {
        "symbol": own.symbol,
        "rows": own.rows,
        "bytes": own.bytes,
        "epochs": own.epochs,
        "first_us": moment_us(own.first),
        "last_us": moment_us(own.last),
        "lost_s": own.lost_s,
        "coverage": own.coverage,
        "reasons": own.gaps,
        "checks": checks,
        "failed": failed,
        "gaps": [_gap_answer(gap) for gap in sorted(longest, key=lambda gap: gap.start_time)],
        "days": [[day.isoformat(), cell.known_s, cell.gaps] for day, cell in days],
    }


def _gap_answer(gap: Gap) -> dict[str, Any]:
    return {
        "from_us": moment_us(gap.start_time),
        "to_us": None if gap.end_time is None else moment_us(gap.end_time),
        "reason": gap.reason,
        "missed": gap.missed_updates,
    }


def _checks(table: pa.Table) -> dict[str, tuple[int, int]]:
    """By symbol: rows of `checks`, and those that found a difference."""
    counts = (_counted(table), _counted(table.filter(pc.field("mismatches") > 0)))
    return {symbol: (count, counts[1].get(symbol, 0)) for symbol, count in counts[0].items()}


def _counted(table: pa.Table) -> dict[str, int]:
    found = table.group_by("symbol").aggregate([("mismatches", "count")])
    return {row["symbol"]: row["mismatches_count"] for row in found.to_pylist()}


def _view(row: pa.RecordBatch, reach_bps: int) -> BookView:
    values = row.to_pylist()[0]
    lists = (np.array(values[name], np.float64) for name in _NEEDED[1:])
    event_time = values["event_time"]
    return view_book(
        (_time_us(row), event_time and moment_us(event_time)),
        values["update_id"],
        values["epoch"],
        (*lists, values["bid_horizon"], values["ask_horizon"]),
        reach_bps,
    )


def _time_us(row: pa.RecordBatch) -> int:
    return int(row.column("receive_time").cast(pa.int64())[0].as_py())


def _prices(bid: Floats, ask: Floats, ticks: list[Floats]) -> Prices:
    """The cells of price around the best prices of the range; none without a book that had both sides."""
    if not np.isfinite(bid + ask).any():
        return Prices(0.0, 1.0, 0)
    return Prices.around(bid, ask, tick_of(ticks), BINS, None)


def _quantised(cells: Floats) -> tuple[Any, float, float]:
    """Sizes as bytes on a logarithmic scale, and the sizes of 1 and 254. The few largest share 254."""
    resting = cells[np.nan_to_num(cells) > 0]
    low, high = np.quantile(resting, [0.02, 0.998]).tolist() if len(resting) else (1.0, 1.0)
    high = max(high, low * 1.01)
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = 1 + 253 * (np.log(cells) - np.log(low)) / (np.log(high) - np.log(low))
    levels = np.where(cells > 0, np.clip(scaled, 1, UNKNOWN - 1), 0)
    return np.where(np.isnan(cells), UNKNOWN, levels).astype(np.uint8), low, high


# ── what a browser asks for ─────────────────────────────────────────────────────────────────────


def _whole(request: web.Request, name: str) -> int:
    """A whole number of microseconds. Raises UsageError."""
    text = request.query.get(name, "")
    if not re.fullmatch(r"[0-9]{1,16}", text):
        raise UsageError(f"{name} is not a whole number of microseconds since 1970.")
    return int(text)


def _reach(request: web.Request) -> int:
    known = MappingProxyType({str(each): each for each in REACHES_BPS})
    text = request.query.get("bps", "")
    if text not in known:
        raise UsageError(f"bps is none of {', '.join(known)}.")
    return known[text]


def _clamped(time_us: int, own: Coverage) -> int:
    """Within what was recorded."""
    return min(max(time_us, moment_us(own.first)), moment_us(own.last))
