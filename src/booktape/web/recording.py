"""Answers from a finished recording: what was recorded, the book at a moment, and the book over time.

Everything is read through the public reader, in one thread, one question after another: a browser that asks for
a lot waits, and takes no more memory than one question needs.
"""

from __future__ import annotations

import asyncio
import base64
import re
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import timedelta
from http import HTTPStatus
from time import monotonic
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import structlog
from aiohttp import web

from booktape import __version__
from booktape.core.events import Floats
from booktape.errors import DamagedFile, NotRecorded, TapesRemoved, UsageError
from booktape.reader import Book, Coverage, Gap, Recording
from booktape.reader.book_grid import BookGrid
from booktape.reader.book_view import REACHES_BPS, BookView, view_book
from booktape.reader.coverage import day_coverage, days_between
from booktape.reader.gaps import gaps_by_symbol
from booktape.reader.raster import size_range
from booktape.reader.time_range import TimeRange
from booktape.reader.times import moment_at, moment_us
from booktape.web.server import answer_json, answer_sentence

OVERVIEW_S: Final = 30.0
"""How long an overview is kept: a recorder may be writing here, and reading every footer takes a while."""

WAITING_MAX: Final = 8
"""How many questions may wait for the reading thread; further ones are refused."""

RANGE_MAX: Final = timedelta(days=1)
"""The longest time range of one heatmap: all rows in it are read."""

COLUMNS: Final = 480
BINS: Final = 160

GAPS_MAX: Final = 2_000
"""How many gaps of one symbol are listed, the longest first; the others are only counted."""

DAMAGED_MAX: Final = 50

UNKNOWN: Final = 255
"""A cell while the book was not known. 0 is empty; 1 to 254 are sizes on a logarithmic scale."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Overview:
    """What was recorded, as of `made_s` (monotonic)."""

    made_s: float
    answer: dict[str, Any]
    coverage: dict[str, Coverage]
    gaps: Mapping[str, list[Gap]]


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
                    "Too many questions are waiting. Try again in a moment.",
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
        except OSError as error:
            # This is about a folder: the reader names each file that it cannot read.
            log.warning("the archive could not be read", why=str(error))
            raise NotRecorded("This archive cannot be read. booktape's log says why.") from error

    # ── what was recorded ───────────────────────────────────────────────────────────────────

    def _current(self) -> Overview:
        if self._overview is None or monotonic() - self._overview.made_s > OVERVIEW_S:
            self._overview = self._look()
        return self._overview

    def _look(self) -> Overview:
        coverage = {own.symbol: own for own in self._recording.coverage()}
        gaps = gaps_by_symbol(self._recording.gaps())
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
        """Coverage and gaps of the symbol that is asked for. Raises NotRecorded."""
        symbol = request.query.get("symbol", "")
        overview = self._current()
        if symbol not in overview.coverage:
            raise NotRecorded("This recording has no rows of this symbol.")
        return overview.coverage[symbol], overview.gaps[symbol]

    # ── the book at a moment ────────────────────────────────────────────────────────────────

    def _book(self, request: web.Request) -> dict[str, Any]:
        """The last row up to a moment, or the gap around it."""
        own, gaps = self._known(request)
        at_us = _clamped(_whole(request, "at"), own)
        reach_bps = _reach(request)
        at = moment_at(at_us)
        for gap in gaps:
            if gap.covers(at):
                return {"at_us": at_us, "book": None, "gap": _gap_answer(gap)}
        # One microsecond more, because `end` is excluded.
        book = self._recording.snapshots(own.symbol, end=moment_at(at_us + 1)).last()
        if book is None:
            raise NotRecorded("No row is known at this moment. Choose another.")
        return {"at_us": at_us, "gap": None, "book": asdict(_view(book, reach_bps))}

    # ── the book over time ──────────────────────────────────────────────────────────────────

    def _history(self, request: web.Request) -> dict[str, Any]:
        """Sizes by price and time, best prices, and gaps, in a range of at most RANGE_MAX."""
        own, gaps = self._known(request)
        first_us, last_us = (_clamped(_whole(request, name), own) for name in ("from", "to"))
        if moment_at(last_us) - moment_at(first_us) > RANGE_MAX:
            raise UsageError("A picture shows at most a day. Choose a shorter range.")
        shown = TimeRange.of(own, moment_at(first_us), moment_at(last_us), COLUMNS, gaps)
        grid = BookGrid(self._recording, shown)
        prices = grid.prices(BINS, None)
        # Column by column, each from the lowest price up.
        levels, size_low, size_high = _quantised(grid.cells(prices))
        return {
            "symbol": own.symbol,
            "from_us": moment_us(shown.start),
            "to_us": moment_us(shown.end),
            "begin_us": grid.begin_us,
            "step_us": grid.step_us,
            "interval": shown.interval_text,
            "bid": grid.best["best_bid"].tolist(),
            "ask": grid.best["best_ask"].tolist(),
            "bid_horizon": grid.best["bid_horizon"].tolist(),
            "ask_horizon": grid.best["ask_horizon"].tolist(),
            "gaps": [_gap_answer(gap) for gap in shown.gaps],
            "low": prices.low,
            "price_step": prices.step,
            "bins": prices.bins,
            "cells": base64.b64encode(levels.tobytes()).decode(),
            "size_low": size_low,
            "size_high": size_high,
        }


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
    """For each symbol: how many rows `checks` has, and how many of them found a difference."""
    failed = pc.greater(table["mismatches"], pa.scalar(0)).cast(pa.int64())
    counted = table.select(["symbol"]).append_column("failed", failed).group_by("symbol")
    found = counted.aggregate([("failed", "count"), ("failed", "sum")]).to_pylist()
    return {row["symbol"]: (row["failed_count"], row["failed_sum"]) for row in found}


def _view(book: Book, reach_bps: int) -> BookView:
    event_us = None if book.event_time is None else moment_us(book.event_time)
    sides = book.bid_price, book.bid_size, book.ask_price, book.ask_size
    horizons = book.bid_horizon, book.ask_horizon
    return view_book(
        (moment_us(book.receive_time), event_us),
        book.update_id,
        book.epoch,
        (*sides, *horizons),
        reach_bps,
    )


def _quantised(cells: Floats) -> tuple[Any, float, float]:
    """Sizes as bytes on a logarithmic scale, and the sizes that 1 and 254 mean. The few largest sizes share 254."""
    low, high = size_range(cells)
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = 1 + 253 * (np.log(cells) - np.log(low)) / (np.log(high) - np.log(low))
    levels = np.where(cells > 0, np.clip(scaled, 1, UNKNOWN - 1), 0)
    return np.where(np.isnan(cells), UNKNOWN, levels).astype(np.uint8), low, high


# ── what a browser asks for ─────────────────────────────────────────────────────────────────────


def _whole(request: web.Request, name: str) -> int:
    """A parameter that is a whole number of microseconds. Raises UsageError."""
    text = request.query.get(name, "")
    if not re.fullmatch(r"[0-9]{1,16}", text):
        raise UsageError(f"{name} is not a whole number of microseconds since 1970.")
    return int(text)


def _reach(request: web.Request) -> int:
    known = MappingProxyType({str(each): each for each in REACHES_BPS})
    text = request.query.get("bps", "")
    if text not in known:
        raise UsageError(f"bps is not one of {', '.join(known)}.")
    return known[text]


def _clamped(time_us: int, own: Coverage) -> int:
    """The time, moved into the recorded range if it is outside."""
    return min(max(time_us, moment_us(own.first)), moment_us(own.last))
