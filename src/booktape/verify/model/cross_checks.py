"""One symbol's machine among its witnesses: who hears what, and in which order."""

from __future__ import annotations

from collections.abc import Callable

from booktape.verify.model.audit import ModelAudit, learn
from booktape.verify.model.checks import (
    BOOK_TICKER,
    DEPTH20,
    PULSE,
    REST,
    ModelCheck,
    ModelSummary,
    Verdict,
)
from booktape.verify.model.decode import Answer, Event, Ticker, Top
from booktape.verify.model.side_streams import BookTickerComparison, Depth20Comparison
from booktape.verify.model.sync import ModelSync


class CrossChecks:
    """Compares the book with each witness when both stand at the same id."""

    def __init__(self, machine: ModelSync, put: Callable[[ModelCheck], None]) -> None:
        self._machine = machine
        self._put = put
        self._audit: ModelAudit | None = None
        self._tops = Depth20Comparison(machine)
        self._tickers = BookTickerComparison(machine)
        names = (DEPTH20, BOOK_TICKER, PULSE)
        self._tallies = {name: ModelSummary(machine.symbol, name, put) for name in names}
        machine.onlooker = self

    # ── what happens to the book ────────────────────────────────────────────────────────────

    def applied(self, event: Event, stamp_ns: int) -> None:
        """The book is one event further: the streams are compared first, then an audit."""
        if self._audit and not self._audit.keep(event):
            self._audit = None
        self._tell(DEPTH20, self._tops.applied(), stamp_ns)
        for verdict in self._tickers.applied():
            self._tell(BOOK_TICKER, verdict, stamp_ns)
        self._conclude(stamp_ns)

    def lost(self) -> None:
        """The book is not known any more."""
        self._audit = None
        self._tops.forget()
        self._tickers.forget()

    def relayed(self) -> None:
        """A connection came or went: tickers may have been missed."""
        self._tickers.forget()

    def close(self) -> None:
        """The segment ends."""
        self.lost()
        for tally in self._tallies.values():
            tally.close()

    # ── what is said of it ──────────────────────────────────────────────────────────────────

    def asked(self, stamp_ns: int) -> None:
        """A request for a snapshot has left."""
        self._audit = ModelAudit(self._machine, stamp_ns) if self._machine.live else None

    def answered(self, answer: Answer | None, limit: int, stamp_ns: int) -> None:
        """A snapshot, or what was to be one: a beginning, or an audit."""
        if not self._machine.live:
            if answer:
                self._machine.answered(answer, limit, stamp_ns)
        elif self._audit and answer and self._audit.answer(answer, limit):
            self._conclude(stamp_ns)
        else:
            self._audit = None

    def told(self, said: Top | Ticker, connection: int, stamp_ns: int) -> None:
        """A witness spoke; nobody listens while the book is not known."""
        if not self._machine.live:
            return
        if isinstance(said, Top):
            self._tell(DEPTH20, self._tops.take(said.answer, self._shown_at(stamp_ns)), stamp_ns)
        else:
            for verdict in self._tickers.take(said, connection):
                self._tell(BOOK_TICKER, verdict, stamp_ns)

    def _shown_at(self, stamp_ns: int) -> int | None:
        """As of when a message of this stamp proves a book that it agrees with; None: it does not."""
        return stamp_ns

    def _tell(self, witness: str, verdict: Verdict | None, stamp_ns: int) -> None:
        if verdict:
            self._tallies[witness].add(verdict, stamp_ns)

    def _conclude(self, stamp_ns: int) -> None:
        audit, found = self._audit, self._audit.verdict() if self._audit else None
        if not audit or not found:
            return
        self._audit = None
        verdict, fresh = found
        self._put(ModelCheck(self._machine.symbol, stamp_ns, verdict.update_id, REST, *verdict[1:]))
        if verdict.mismatches:
            self._machine.disproved()
            return
        self._machine.shown(audit.asked_ns)
        learn(self._machine.book.bids, fresh.bids)
        learn(self._machine.book.asks, fresh.asks)
