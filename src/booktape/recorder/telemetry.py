"""What happened, counted and said: one structured line per event, none per row."""

from __future__ import annotations

from collections import Counter
from typing import Final

import structlog

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
from booktape.core.sync import State, SymbolSync
from booktape.core.tape_records import DELISTED, NO_MARKET_DATA
from booktape.reconstruct import Output, Reconstruction
from booktape.recorder.status import SHOWN, BookStatus, RecorderStatus
from booktape.terminal import lost_lines

KINDS_MAX: Final = 100
NAME_MAX: Final = 200
OTHER_KINDS: Final = "more kinds, which are not told apart"
"""Unknown events are counted by name, so many of so many characters; all others together."""

OFFSET: Final = "clock_offset"
_NO_TRADING: Final = frozenset({"HALT", "CANCEL_ONLY", DELISTED, *NO_MARKET_DATA})

log = structlog.get_logger()


class Telemetry:
    """Keeps the counts that the window shows, and writes the log."""

    def __init__(self) -> None:
        self.rows: Counter[str] = Counter()
        self.gaps: Counter[str] = Counter()
        self.checks: Counter[str] = Counter()
        self.mismatches: Counter[str] = Counter()
        self.unknown: Counter[str] = Counter()
        self._noted: set[tuple[str | None, str]] = set()
        self.any_book_synced = False
        """Whether any book became known since the start."""
        self._frames = 0
        self._waiting = 0
        self._lag_ns = 0

    def count_records(self, count: int, waiting: int, lag_ns: int) -> None:
        """So many records more; others wait, and the last one had left the socket so long ago."""
        self._frames += count
        self._waiting, self._lag_ns = waiting, lag_ns

    def status(self, books: Reconstruction, requests: int, segment: str) -> RecorderStatus:
        """How all of it stands."""
        syncs = [books.syncs[symbol] for symbol in books.symbols]
        return RecorderStatus(
            tuple(self.book_status(sync) for sync in syncs[:SHOWN]),
            len(syncs),
            sum(sync.state is State.LIVE for sync in syncs),
            self.rows.total(),
            self.gaps.total(),
            self._frames,
            self._waiting,
            self._lag_ns / 1e6,
            requests,
            segment,
            lost_lines(),
        )

    def record(self, output: Output) -> None:
        """Count what is stored and say what a person should know."""
        match output:
            case BookRow():
                self.rows[output.symbol] += 1
            case BookSynced() | BookLost() | GapInterval():
                self._record_book(output)
            case Check():
                self._record_check(output)
            case Note():
                self._record_note(output)
            case UnknownEvent():
                self._record_unknown(output)
            case MalformedMessage():
                log.warning("malformed message", connection=output.connection, detail=output.detail)
            case ReplaceConnection():
                log.debug("to be replaced", connection=output.connection, why=output.why)
            case ServerShutdown():
                log.warning("the exchange announces a shutdown of its server")
            case FetchSnapshot():  # pragma: no branch, mypy knows that this is the last
                log.debug("asking for a snapshot", symbol=output.symbol, attempt=output.attempt)

    def book_status(self, sync: SymbolSync) -> BookStatus:
        """How one symbol stands."""
        bid, ask = sync.book.bids.best(), sync.book.asks.best()
        return BookStatus(
            sync.symbol,
            sync.state.value,
            sync.epoch,
            sync.updates,
            len(sync.book.bids) + len(sync.book.asks),
            ask[0] - bid[0] if bid and ask else None,
            self.rows[sync.symbol],
            self.gaps[sync.symbol],
        )

    def _record_book(self, output: BookSynced | BookLost | GapInterval) -> None:
        match output:
            case BookSynced(symbol, epoch, update_id):
                self.any_book_synced = True
                log.info("book known", symbol=symbol, epoch=epoch, update_id=update_id)
            case BookLost(gap):
                log.warning("book lost", symbol=gap.symbol, epoch=gap.epoch, reason=gap.reason)
            case GapInterval():  # pragma: no branch, likewise
                self.gaps[output.symbol] += 1
                log.warning(
                    "gap",
                    symbol=output.symbol,
                    reason=output.reason,
                    missed_updates=output.missed_updates,
                )

    def _record_note(self, note: Note) -> None:
        """What is said of each symbol once, at the start, is no news unless the symbol does not trade."""
        known = (note.symbol, note.kind) in self._noted
        self._noted.add((note.symbol, note.kind))
        quiet = (
            note.symbol and not known and note.detail not in _NO_TRADING
        ) or note.kind == OFFSET
        say = log.debug if quiet else log.warning
        say("noted", symbol=note.symbol or "all", kind=note.kind, detail=note.detail)

    def _record_check(self, check: Check) -> None:
        self.checks[check.symbol] += check.comparisons
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

    def _record_unknown(self, event: UnknownEvent) -> None:
        """The first of its kind only: a stream of them would fill the log, and of kinds the memory."""
        name = event.name[:NAME_MAX]
        if name not in self.unknown and len(self.unknown) >= KINDS_MAX:
            name = OTHER_KINDS
        self.unknown[name] += 1
        if self.unknown[name] == 1:
            log.info("unknown event, kept on the tape", name=name)
