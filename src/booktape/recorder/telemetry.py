"""Counters and the log: one structured line per event, none per row."""

from __future__ import annotations

from collections import Counter
from typing import Final

import structlog

from booktape.checks.crossed import BOOK
from booktape.core.checks import Check
from booktape.core.events import (
    BookLost,
    BookRow,
    BookSynced,
    FetchSnapshot,
    GapInterval,
    MalformedMessage,
    Note,
    ReplaceConnection,
    ServerShutdown,
    UnknownEvent,
)
from booktape.core.sync import SymbolSync
from booktape.core.tape_records import DELISTED, NO_MARKET_DATA
from booktape.core.trades import FetchTrades, TradeGap, TradeRow
from booktape.reconstruct import Output, Reconstruction
from booktape.recorder.status import SHOWN, BookStatus, BookTop, by_trouble

KINDS_MAX: Final = 100
NAME_MAX: Final = 200
OTHER_KINDS: Final = "further kinds, counted together"
"""Unknown events are counted by name: KINDS_MAX names, each cut after NAME_MAX characters."""

_NO_TRADING: Final = frozenset({"HALT", "CANCEL_ONLY", DELISTED, *NO_MARKET_DATA})

log = structlog.get_logger()


class Telemetry:
    """Keeps counts for the status view, and writes lines to the log."""

    def __init__(self) -> None:
        self.rows: Counter[str] = Counter()
        self.gaps: Counter[str] = Counter()
        self.lost_ns: Counter[str] = Counter()
        self.started_ns = 0
        self.checks: Counter[str] = Counter()
        self.mismatches: Counter[str] = Counter()
        self.checked_ns: dict[str, int] = {}
        self.crossed: Counter[str] = Counter()
        self.unknown: Counter[str] = Counter()
        self.any_book_synced = False
        self._noted: set[tuple[str | None, str]] = set()
        self.records = 0
        self.waiting = 0
        self.lag_ns = 0

    def count_records(self, count: int, waiting: int, lag_ns: int) -> None:
        """Add `count` records; `waiting` more are queued, and the last handled one left its socket `lag_ns` ago."""
        self.records += count
        self.waiting, self.lag_ns = waiting, lag_ns

    def books(
        self, books: Reconstruction, at_ns: int, shown: int = SHOWN
    ) -> tuple[BookStatus, ...]:
        """The state of every book, by trouble. The levels of the `shown` books with most trouble are read too."""
        syncs = [books.syncs[symbol] for symbol in books.symbols]
        ordered = by_trouble((self.book_status(sync, at_ns) for sync in syncs), at_ns)
        for status in ordered[:shown]:
            if status.is_known:
                book = books.syncs[status.symbol].book
                bid, ask = book.bids.best(), book.asks.best()
                levels = len(book.bids) + len(book.asks)
                status.top = BookTop(levels, bid and bid[0], ask and ask[0])
        return tuple(ordered)

    def record(self, output: Output) -> None:
        """Count an output, and log it unless it is routine."""
        match output:
            case BookRow():
                self.rows[output.symbol] += 1
            case BookSynced() | BookLost() | GapInterval():
                self._record_book(output)
            case Check():
                self._record_check(output)
            case TradeGap():
                self._record_trade_gap(output)
            case Note():
                self._record_note(output)
            case UnknownEvent():
                self._record_unknown(output)
            case MalformedMessage():
                log.warning("malformed message", connection=output.connection, detail=output.detail)
            case ServerShutdown():
                log.warning("the exchange announces a shutdown of its server")
            case TradeRow() | ReplaceConnection() | FetchSnapshot() | FetchTrades():
                pass  # a trade is routine, and `net` logs what it does for requests

    def book_status(self, sync: SymbolSync, at_ns: int) -> BookStatus:
        """The state of one book, and its counters; its levels are not read."""
        symbol = sync.symbol
        open_ns = self._length_ns(sync.gap.start_ns, at_ns) if sync.gap else 0
        return BookStatus(
            symbol,
            sync.state.value,
            sync.epoch,
            sync.updates,
            self.rows.get(symbol, 0),
            self.gaps.get(symbol, 0),
            sync.gap.reason if sync.gap else "",
            sync.known_ns,
            self.checked_ns.get(symbol, 0),
            self.mismatches.get(symbol, 0),
            None,
            self.checks.get(symbol, 0),
            self.lost_ns.get(symbol, 0) + open_ns,
            sync.lag_ns if sync.event_time_us else None,
        )

    def _length_ns(self, start_ns: int, end_ns: int) -> int:
        """How long a gap has lasted since the start: the time between two recordings is not counted."""
        return max(0, end_ns - max(start_ns, self.started_ns))

    def _record_book(self, output: BookSynced | BookLost | GapInterval) -> None:
        match output:
            case BookSynced(symbol, epoch, update_id):
                self.any_book_synced = True
                log.info("book synced", symbol=symbol, epoch=epoch, update_id=update_id)
            case BookLost(gap):
                what = {"symbol": gap.symbol, "epoch": gap.epoch, "reason": gap.reason}
                log.warning("book out of sync", **what)
            case GapInterval():  # pragma: no branch, mypy knows that this is the last
                self.gaps[output.symbol] += 1
                if output.end_ns is not None:
                    self.lost_ns[output.symbol] += self._length_ns(output.start_ns, output.end_ns)
                missed = output.missed_updates
                log.warning(
                    "gap", symbol=output.symbol, reason=output.reason, missed_updates=missed
                )

    @staticmethod
    def _record_trade_gap(gap: TradeGap) -> None:
        ids = {"first_id": gap.hole.first_id, "last_id": gap.hole.last_id}
        log.warning("trades missing", symbol=gap.symbol, reason=gap.reason, **ids)

    def _record_note(self, note: Note) -> None:
        """Log a note, except the first of each symbol and kind: every start has one of each.

        A first status is logged if the symbol is not trading. Clock offsets, four an hour, never are.
        """
        is_first = note.symbol is not None and (note.symbol, note.kind) not in self._noted
        self._noted.add((note.symbol, note.kind))
        if (is_first and note.detail not in _NO_TRADING) or note.kind == "clock_offset":
            return
        event = "symbol status" if note.kind == "status" else note.kind.replace("_", " ")
        log.warning(event, symbol=note.symbol or "all", detail=note.detail)

    def _record_check(self, check: Check) -> None:
        if check.witness == BOOK:
            self._record_crossed(check)
            return
        self.checks[check.symbol] += check.comparisons
        self.checked_ns[check.symbol] = check.received_ns
        if check.differences:
            self.mismatches[check.symbol] += 1
            log.error(
                "book differs from a witness",
                symbol=check.symbol,
                witness=check.witness,
                update_id=check.update_id,
                levels=len(check.differences),
                first=check.differences[0],
            )

    def _record_crossed(self, check: Check) -> None:
        """Count a crossed book, and log the first of each symbol: it may stay crossed in every row of a day."""
        self.crossed[check.symbol] += 1
        if self.crossed[check.symbol] == 1:
            bid, ask = (level.price for level in check.differences)
            log.warning(
                "crossed book, stored as sent; further ones are counted in checks",
                symbol=check.symbol,
                update_id=check.update_id,
                bid=bid,
                ask=ask,
            )

    def _record_unknown(self, event: UnknownEvent) -> None:
        """Count an unknown event by its name, and log the first of each name."""
        name = event.name[:NAME_MAX]
        if name not in self.unknown and len(self.unknown) >= KINDS_MAX:
            name = OTHER_KINDS
        self.unknown[name] += 1
        if self.unknown[name] == 1:
            log.info("unknown event, kept on the tape", name=name)
