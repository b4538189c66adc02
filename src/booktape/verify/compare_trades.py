"""Reads the stored trades of one symbol, a few at a time, and compares each with the one that follows from the tape."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, TypeAlias

from booktape.store.schema import TRADES
from booktape.verify.compare_rows import DAMAGED, checked_batches, plain
from booktape.verify.findings import Findings, damage
from booktape.verify.model.decode import Trade

_BATCH_ROWS: Final = 1_000

Row: TypeAlias = tuple[Any, ...]


def read_trades(path: Path) -> Iterator[Row]:
    """All rows of a file, in order, with times in microseconds. Raises one of DAMAGED."""
    for batch in checked_batches(path, lambda _: TRADES, _BATCH_ROWS):
        yield from zip(*map(plain, batch.columns), strict=True)


class TradeComparison:
    """The trades of one symbol's file. Both sides have them in the order in which they arrived."""

    def __init__(self, file: str, path: Path, symbol: str, found: Findings) -> None:
        self._file = file
        self._symbol = symbol
        self._found = found
        self._rows = read_trades(path)
        self._number = -1
        self._broken = False

    def expect(self, trade: Trade, stamp_ns: int, *, filled: bool) -> None:
        """This trade is the next one that follows from the tape."""
        stored = self._next()
        wanted = expected_row(trade, stamp_ns, filled=filled)
        if stored is None:
            if not self._broken:
                self._report("this trade is missing", expected=f"{trade.id}")
            else:
                self._found.counts_of(self._symbol).different["trades"] += 1
        elif stored != wanted:
            at = next(n for n, (a, b) in enumerate(zip(wanted, stored, strict=True)) if a != b)
            shown = {"expected": str(wanted[at]), "stored": str(stored[at])}
            self._report("differs from the tape", column=TRADES.names[at], **shown)
        elif not (trade.price.exact and trade.size.exact):
            self._report("no double is this number", expected=f"{trade.price.value:f}")
        else:
            self._found.counts_of(self._symbol).equal["trades"] += 1

    def finish(self, *, complete: bool) -> None:
        """No further trade follows from the tape. If the tape is incomplete, further rows are unverifiable."""
        while self._next() is not None:
            if complete:
                self._report("this trade does not follow from the tape")
            else:
                self._found.counts_of(self._symbol).unverifiable += 1

    def _next(self) -> Row | None:
        self._number += 1
        try:
            return next(self._rows, None)
        except DAMAGED as error:
            self._broken = True
            self._found.different(self._file, damage(error), symbol=self._symbol)
            return None

    def _report(self, what: str, **where: str) -> None:
        self._found.counts_of(self._symbol).different["trades"] += 1
        self._found.different(self._file, what, symbol=self._symbol, row=self._number, **where)


def expected_row(trade: Trade, stamp_ns: int, *, filled: bool) -> Row:
    """As in `trades`."""
    numbers = trade.id, trade.price.double, trade.size.double
    times_us = trade.event_us, trade.time_us, stamp_ns // 1_000
    return *numbers, *times_us, trade.buyer_is_maker, filled
