"""Would we notice? Each rule of the proofs is loosened, and scripts of an honest market must find it.

As in test_loosened_rules.py: numbered scripts are played until one shows a false alarm, a horizon
that claims too much, or a row that is not true.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Final, TypeAlias

import pytest

from booktape.checks import audit as audit_module
from booktape.checks import book_checks as examiner_module
from booktape.checks import book_ticker as ticker_module
from booktape.checks import depth20 as top_module
from booktape.checks.audit import Audit
from booktape.checks.book_checks import BookChecks
from booktape.checks.book_ticker import BookTickerCheck
from booktape.checks.compare import Comparison, KnownSide, known_sides
from booktape.checks.depth20 import Depth20Check
from booktape.core.book import OrderBook
from booktape.core.checks import BookTicker
from booktape.core.events import DepthSnapshot
from booktape.core.sync import SymbolSync
from properties.ledger import Violation
from properties.proved_script import play_proved

pytestmark = pytest.mark.long

SCRIPTS: Final = 500
"""The number tried for each loosened rule; nearly all are found within the first hundred."""

Loosened: TypeAlias = tuple[object, str, Callable[..., Any]]


# ── audits ──────────────────────────────────────────────────────────────────────────────────


def without_kept_events(audit: Audit, update_id: int) -> OrderBook | None:
    audit._kept.clear()
    return witness(audit, update_id)


def with_all_kept_events(audit: Audit, update_id: int) -> OrderBook | None:
    book = witness(audit, update_id)
    if book:
        for event in audit._kept:
            book.apply(event)
    return book


def without_the_straddling_event(audit: Audit, update_id: int) -> OrderBook | None:
    last_id = audit._answer.last_id if audit._answer else 0
    audit._kept = [event for event in audit._kept if not event.first_id <= last_id < event.last_id]
    return witness(audit, update_id)


def ahead_of_the_book(audit: Audit, _: int) -> OrderBook | None:
    return witness(audit, 2**62)


def however_old(audit: Audit, answer: DepthSnapshot) -> bool:
    audit._answer = answer
    return True


def losing_without_ending_the_audit(examiner: BookChecks) -> None:
    examiner._depth20.reset()
    examiner._book_ticker.reset()


def compare_beyond_the_book_s_horizon(
    update_id: int, book: OrderBook, other: OrderBook
) -> Comparison:
    return compare(update_id, without_horizon(book), other)


def compare_beyond_the_answer_s_horizon(
    update_id: int, book: OrderBook, other: OrderBook
) -> Comparison:
    return compare(update_id, book, without_horizon(other))


def without_horizon(book: OrderBook) -> OrderBook:
    return OrderBook(book.bids.levels(), book.asks.levels())


def learn_the_horizon_only(book: OrderBook, other: OrderBook) -> None:
    blind = OrderBook((), (), other.bid_horizon, other.ask_horizon)
    learn(book, blind)


def learn_half_of_it(book: OrderBook, other: OrderBook) -> None:
    learn(book, OrderBook(other.bids.levels(), (), other.bid_horizon, other.ask_horizon))


def learn_as_if_it_were_whole(book: OrderBook, other: OrderBook) -> None:
    learn(book, without_horizon(other))


def the_nearer(choose: Callable[..., float], a: float | None, b: float | None) -> float | None:
    return farther(max if choose is min else min, a, b)


# ── witnesses ───────────────────────────────────────────────────────────────────────────────


def top_of_the_next_event(top: Depth20Check, sync: SymbolSync) -> Comparison | None:
    if top.waiting and top.waiting[0].last_id <= sync.update_id:
        return top._compare(top.waiting.popleft(), sync)
    return None


def top_of_the_event_before(top: Depth20Check, sync: SymbolSync) -> Comparison | None:
    if top.waiting:
        return top._compare(top.waiting.popleft(), sync)
    return None


def beyond_the_horizon(book: OrderBook, most: int) -> tuple[KnownSide, KnownSide]:
    bids, asks = known_sides(book, most)
    return bids._replace(horizon=None), asks._replace(horizon=None)


def touch_beyond_the_horizon(name: str, side: Any, _: float | None) -> KnownSide:
    best = side.best()
    return KnownSide(name, [best] if best else [], None)


def without_deferral(check: BookTickerCheck, sync: SymbolSync) -> list[Comparison]:
    tickers = [ticker for ticker in check.tickers if ticker.update_id <= sync.update_id]
    return [touch_with(ticker, sync) for ticker in tickers[-1:]]


def with_the_latest(check: BookTickerCheck, sync: SymbolSync) -> list[Comparison]:
    return [touch_with(check.tickers[-1], sync)] if check.tickers else []


def touch_with(ticker: BookTicker, sync: SymbolSync) -> Comparison:
    return ticker_module.compare_touch(ticker_module.touch_of(sync), ticker.bid, ticker.ask)


def of_any_connection(check: BookTickerCheck, ticker: BookTicker, _: int) -> list[Comparison]:
    return on_ticker(check, ticker, check._connection)


def with_its_own_id_only(check: BookTickerCheck) -> list[Comparison]:
    """A touch is settled by a ticker of the same id, as if no later one could come."""
    found = []
    newest_id = check.tickers[-1].update_id
    while check._touches and check._touches[0].update_id <= newest_id + 1:
        touch = check._touches.popleft()
        tickers = [ticker for ticker in check.tickers if ticker.update_id <= touch.update_id]
        found += [ticker_module.compare_touch(touch, t.bid, t.ask) for t in tickers[-1:]]
    return found


witness, on_ticker = Audit.book_of_answer, BookTickerCheck.on_ticker
compare, learn, farther = audit_module.compare, audit_module.learn, audit_module._farther

LOOSENED: Final[dict[str, Loosened]] = {
    "audit: kept events are not applied": (Audit, "book_of_answer", without_kept_events),
    "audit: not the straddling one": (Audit, "book_of_answer", without_the_straddling_event),
    "audit: an answer ahead does not wait": (Audit, "book_of_answer", ahead_of_the_book),
    "audit: an answer may be too old": (Audit, "on_answer", however_old),
    "audit: it survives the loss of the book": (
        BookChecks,
        "on_lost",
        losing_without_ending_the_audit,
    ),
    "compare: beyond the book's horizon": (
        examiner_module,
        "compare",
        compare_beyond_the_book_s_horizon,
    ),
    "compare: beyond the answer's horizon": (
        examiner_module,
        "compare",
        compare_beyond_the_answer_s_horizon,
    ),
    "learn: the horizon and no levels": (examiner_module, "learn", learn_the_horizon_only),
    "learn: one side's levels": (examiner_module, "learn", learn_half_of_it),
    "learn: every answer is whole": (examiner_module, "learn", learn_as_if_it_were_whole),
    "learn: the horizon moves inwards": (audit_module, "_farther", the_nearer),
    "top: of the id before": (Depth20Check, "on_applied", top_of_the_next_event),
    "top: of the id after": (Depth20Check, "on_applied", top_of_the_event_before),
    "top: beyond the horizon": (top_module, "known_sides", beyond_the_horizon),
    "ticker: beyond the horizon": (ticker_module, "_best_if_known", touch_beyond_the_horizon),
    "ticker: without deferral": (BookTickerCheck, "on_applied", without_deferral),
    "ticker: one id too early": (BookTickerCheck, "_compare_settled", with_its_own_id_only),
    "ticker: the latest": (BookTickerCheck, "on_applied", with_the_latest),
    "ticker: every connection is heard": (BookTickerCheck, "on_ticker", of_any_connection),
}


def first_violation(change: Loosened) -> tuple[int, Violation] | None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(*change)
        for seed in range(SCRIPTS):
            try:
                play_proved(Random(seed))
            except Violation as found:
                return seed, found
    return None


@pytest.mark.parametrize("name", LOOSENED)
def test_loosened_proof_is_found(name: str) -> None:
    """Proving with this rule loosened breaks a promise in some script."""
    found = first_violation(LOOSENED[name])
    assert found, f"{SCRIPTS} scripts do not notice: {name}"
    print(f"{name}: script {found[0]}: {str(found[1])[:160]}")  # noqa: T201


def test_skipping_kept_events_that_the_answer_contains_is_not_a_safety_rule() -> None:
    """Applying them again gives the same book: sizes are absolute, and the last one counts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Audit, "book_of_answer", with_all_kept_events)
        for seed in range(100):
            play_proved(Random(seed))
