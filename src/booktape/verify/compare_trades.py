"""Reads the stored trades of one symbol, a few at a time, and compares each with the one that follows from the tape."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any, Final, TypeAlias

from booktape.store.schema import TRADES
from booktape.verify.compare_rows import FileComparison, checked_batches, plain
from booktape.verify.findings import Findings
from booktape.verify.model.decode import Trade

_BATCH_ROWS: Final = 1_000

Row: TypeAlias = tuple[Any, ...]


def read_trades(path: Path) -> Iterator[Row]:
    """All rows of a file, in order, with times in microseconds. Raises Damaged, OSError."""
    for batch in checked_batches(path, lambda _: TRADES, _BATCH_ROWS):
        yield from zip(*map(plain, batch.columns), strict=True)


class TradeComparison(FileComparison[Row]):
    """Compares the trades of one symbol's file. Both sides have them in the order of arrival."""

    def __init__(self, file: str, path: Path, symbol: str, found: Findings) -> None:
        super().__init__("trades", file, symbol, read_trades(path), found)
        self._number = count()

    def expect(self, trade: Trade, stamp_ns: int, *, filled: bool) -> None:
        """Compare the next stored trade with this one, which follows from the tape."""
        number, stored = next(self._number), self.read()
        wanted = expected_row(trade, stamp_ns, filled=filled)
        if stored is None:
            self.missing("this trade is missing", row=number, expected=f"{trade.id}")
        elif stored != wanted:
            at = next(n for n, (a, b) in enumerate(zip(wanted, stored, strict=True)) if a != b)
            shown = {"expected": str(wanted[at]), "stored": str(stored[at])}
            self.different("differs from the tape", number, column=TRADES.names[at], **shown)
        elif not (trade.price.exact and trade.size.exact):
            self.different("no double is this number", number, expected=f"{trade.price.value:f}")
        else:
            self.counts.equal["trades"] += 1

    def finish(self, *, complete: bool) -> None:
        """End the comparison. Further rows are differences, or unverifiable if the tape is incomplete."""
        while self.read() is not None:
            if complete:
                self.different("this trade does not follow from the tape", next(self._number))
            else:
                self.counts.unverifiable += 1


def expected_row(trade: Trade, stamp_ns: int, *, filled: bool) -> Row:
    """As in `trades`."""
    numbers = trade.id, trade.price.double, trade.size.double
    times_us = trade.event_us, trade.time_us, stamp_ns // 1_000
    return *numbers, *times_us, trade.buyer_is_maker, filled
