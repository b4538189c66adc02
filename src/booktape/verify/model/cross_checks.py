"""Compares one symbol's book with its witnesses, in the order in which the recorder must."""

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
    """Compares the book with each witness when both have the same id."""

    def __init__(self, sync: ModelSync, put: Callable[[ModelCheck], None]) -> None:
        self._sync = sync
        self._put = put
        self._audit: ModelAudit | None = None
        self._depth20 = Depth20Comparison(sync)
        self._book_ticker = BookTickerComparison(sync)
        names = (DEPTH20, BOOK_TICKER, PULSE)
        self._summaries = {name: ModelSummary(sync.symbol, name, put) for name in names}
        sync.listener = self

    # ── what happens to the book ────────────────────────────────────────────────────────────

    def on_applied(self, event: Event, stamp_ns: int) -> None:
        """The book has changed by one event: streams are compared first, then an audit."""
        if self._audit and not self._audit.keep(event):
            self._audit = None
        self._record(DEPTH20, self._depth20.on_applied(), stamp_ns)
        for verdict in self._book_ticker.on_applied():
            self._record(BOOK_TICKER, verdict, stamp_ns)
        self._conclude(stamp_ns)

    def on_row(self, stamp_ns: int) -> None:
        """A row was due. Recorders of format 1 did not look whether its best levels cross."""

    def on_lost(self) -> None:
        """The book is not known any more."""
        self._audit = None
        self._depth20.reset()
        self._book_ticker.reset()

    def on_connections_changed(self) -> None:
        """A connection was added or lost: tickers may be missing."""
        self._book_ticker.reset()

    def close(self) -> None:
        """The segment ends."""
        self.on_lost()
        for summary in self._summaries.values():
            summary.close()

    # ── what it is compared with ────────────────────────────────────────────────────────────

    def on_request_sent(self, stamp_ns: int) -> None:
        """A request for a snapshot was sent."""
        self._audit = ModelAudit(self._sync, stamp_ns) if self._sync.live else None

    def on_answer(self, answer: Answer | None, limit: int, stamp_ns: int) -> None:
        """A snapshot, or an unreadable answer (None): an epoch begins, or it is an audit."""
        if not self._sync.live:
            if answer:
                self._sync.on_answer(answer, limit, stamp_ns)
        elif self._audit and answer and self._audit.answer(answer, limit):
            self._conclude(stamp_ns)
        else:
            self._audit = None

    def on_witness(self, message: Top | Ticker, connection: int, stamp_ns: int) -> None:
        """A message of a witness. It is not used while the book is not known."""
        if not self._sync.live:
            return
        if isinstance(message, Top):
            self._record(
                DEPTH20, self._depth20.on_levels(message.answer, self._shown_at(stamp_ns)), stamp_ns
            )
        else:
            for verdict in self._book_ticker.on_ticker(message, connection):
                self._record(BOOK_TICKER, verdict, stamp_ns)

    def _shown_at(self, stamp_ns: int) -> int | None:
        """The moment at which a message of this stamp proves a book that it agrees with; None: at none."""
        return stamp_ns

    def _record(self, witness: str, verdict: Verdict | None, stamp_ns: int) -> None:
        if verdict:
            self._summaries[witness].add(verdict, stamp_ns)

    def _conclude(self, stamp_ns: int) -> None:
        audit, found = self._audit, self._audit.verdict() if self._audit else None
        if not audit or not found:
            return
        self._audit = None
        verdict, fresh = found
        self._put(ModelCheck(self._sync.symbol, stamp_ns, verdict.update_id, REST, *verdict[1:]))
        if verdict.mismatches:
            self._sync.on_check_failed()
            return
        self._sync.on_agreement(audit.asked_ns)
        learn(self._sync.book.bids, fresh.bids)
        learn(self._sync.book.asks, fresh.asks)
        self._on_audited(stamp_ns)

    def _on_audited(self, stamp_ns: int) -> None:
        """An audit has shown that the book is the exchange's."""
