"""Notes a book whose best bid is not below its best ask.

On an exchange that matches orders the two would have traded, so such a book is wrong or in transition. It is stored
as the exchange sent it: nothing here could say which side is wrong. Each such row has a row in `checks`, so that
users find it without reading levels. Between rows, the book is examined when an audit shows that it equals the
exchange's; an event alone costs nothing.
"""

from __future__ import annotations

from typing import Final

from booktape.core.checks import Check, Difference
from booktape.core.sync import SymbolSync

BOOK: Final = "book"


def crossed(sync: SymbolSync, at_ns: int) -> list[Check]:
    """A check of the two best levels if they cross, as of `at_ns`; otherwise none.

    Recorders of format 1 made no such check.
    """
    bid, ask = sync.book.bids.best(), sync.book.asks.best()
    if not bid or not ask or bid[0] < ask[0] or sync.tape_format == 1:
        return []
    levels = Difference("bid", *bid, witness=0.0), Difference("ask", *ask, witness=0.0)
    return [Check(sync.symbol, at_ns, sync.update_id, BOOK, len(levels), levels)]
