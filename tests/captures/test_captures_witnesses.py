"""The real exchange's own witnesses, by our rules: no false alarm, and why the rules are as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import pairwise

import pytest

from booktape.checks import book_checks
from booktape.checks import book_ticker as ticker_module
from booktape.checks.book_checks import BookChecks
from booktape.checks.book_ticker import BookTickerCheck
from booktape.checks.compare import Comparison
from booktape.core.checks import BookTicker, Check
from booktape.core.sync import SymbolSync
from booktape.core.tape_records import ROTATED, SegmentEnd, StreamMessage, TapeRecord
from captures.capture import BTCUSDT, FOUR, TEN, frames, lines, needs_captures, read

pytestmark = needs_captures
NO_ROWS = 10**9


def checks(tape: Iterable[TapeRecord]) -> list[Check]:
    """Everything that the witnesses reported, including the end of the segment."""
    outputs = read([*tape, SegmentEnd(0, ROTATED)])[1]
    return [output for output in outputs if isinstance(output, Check)]


def comparisons(found: list[Check], witness: str) -> int:
    """The number of comparisons, all of which must have passed."""
    assert {check.witness for check in found} == {witness}
    assert not any(check.differences for check in found)
    return sum(check.comparisons for check in found)


# ── depth5: the same stream as depth20, with fewer levels ───────────────────────────────────


@pytest.fixture
def partial(monkeypatch: pytest.MonkeyPatch) -> list[TapeRecord]:
    """The capture, with its partial books renamed to the stream that we read."""
    monkeypatch.setattr(book_checks, "LEVELS", 5)
    return [
        replace(frame, payload=frame.payload.replace(b"@depth5@", b"@depth20@", 1))
        if isinstance(frame, StreamMessage)
        else frame
        for frame in frames(*BTCUSDT, NO_ROWS)
    ]


def test_partial_books_agree_at_every_id(partial: list[TapeRecord]) -> None:
    """595 were sent. 593 belong to an applied event, one has the snapshot's own id, one is older."""
    found = checks(partial)
    assert sum(line.stream == "depth5@100ms" for line in lines(BTCUSDT[0])) == 595
    assert comparisons(found, "depth20") == 594
    assert sum(check.levels_compared for check in found) == 594 * 10


def test_the_levels_of_another_id_differ(partial: list[TapeRecord]) -> None:
    """Levels of the previous message under this one's id: only the id makes it a proof."""
    tops = [f for f in partial if isinstance(f, StreamMessage) and b"@depth20@" in f.payload]
    moved: dict[TapeRecord, TapeRecord] = {
        frame: replace(frame, payload=with_levels_of(before.payload, frame.payload))
        for before, frame in pairwise(tops)
    }
    found = checks(moved.get(frame, frame) for frame in partial)
    assert sum(bool(check.differences) for check in found) > 400


def with_levels_of(other: bytes, payload: bytes) -> bytes:
    levels = b',"bids"'
    return payload.partition(levels)[0] + levels + other.partition(levels)[2]


# ── bookTicker ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("capture", "equal"), [(TEN, 4_593), (FOUR, 516)])
def test_tickers_agree_after_every_event(capture: tuple[str, int], equal: int) -> None:
    """Each event of a known book between two tickers; none before the first ticker."""
    assert comparisons(checks(frames(*capture, NO_ROWS)), "bookTicker") == equal


def compare(check: BookTickerCheck, sync: SymbolSync) -> list[Comparison]:
    """The current touch with the last ticker."""
    touch = ticker_module.touch_of(sync)
    return [ticker_module.compare_touch(touch, t.bid, t.ask) for t in [*check.tickers][-1:]]


def after_each_event(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(BookTickerCheck, "on_applied", compare)
    patch.setattr(BookTickerCheck, "_compare_settled", lambda _: [])


def at_each_ticker(patch: pytest.MonkeyPatch) -> None:
    def compare_latest(
        self: BookChecks, ticker: BookTicker, _: int, received_ns: int
    ) -> Iterator[object]:
        self._book_ticker.tickers.append(ticker)
        for found in compare(self._book_ticker, self._sync):
            yield from self._record("bookTicker", found, received_ns)

    patch.setattr(BookTickerCheck, "on_applied", lambda *_: ())
    patch.setattr(BookChecks, "on_witness", compare_latest)


@pytest.mark.parametrize(("rule", "alarms"), [(after_each_event, 3), (at_each_ticker, 5_735)])
def test_the_latest_ticker_gives_false_alarms(
    monkeypatch: pytest.MonkeyPatch, rule: Callable[[pytest.MonkeyPatch], None], alarms: int
) -> None:
    """Tickers run ahead of the event that contains them: only ids tell which event they belong to."""
    rule(monkeypatch)
    found = [check for capture in (TEN, FOUR) for check in checks(frames(*capture, NO_ROWS))]
    assert sum(bool(check.differences) for check in found) == alarms
