"""Our own book, twice: the same work as the others, and the whole way to a row."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from bench.peers.peer import SYMBOL, Pairs, Peer
from booktape.core.book import OrderBook
from booktape.core.events import BookRow, DepthEvent
from booktape.core.tape_records import DepthAnswer, StreamMessage
from booktape.reconstruct import Reconstruction
from booktape.wire.binance import decode_depth, decode_event
from support.oracle import connected, start

_LIMIT: Final = 10_000
"""More levels than any side has: the snapshot shows all of it."""


def _pairs(sides: tuple[Any, Any]) -> tuple[Pairs, Pairs]:
    bids, asks = (list(zip(*(column.tolist() for column in side), strict=True)) for side in sides)
    return bids, asks


class OwnBook(Peer):
    package = "booktape"
    kind = ", the same work"
    includes = (
        "`decode_event`, `OrderBook.apply`; a snapshot is `OrderBook.columns` (four arrays of "
        "doubles). Numbers are checked and become doubles, ids are compared as the others "
        "compare them. An event is only noted; a snapshot sorts the changes in."
    )
    combined = True
    binary = True

    def __init__(self, snapshot: bytes) -> None:
        answer = decode_depth(snapshot, SYMBOL, _LIMIT)
        self._book, self._last_id = OrderBook.from_snapshot(answer), answer.last_id
        self._book.columns()

    def apply(self, message: bytes) -> None:
        event = decode_event(message)
        assert isinstance(event, DepthEvent)
        assert event.first_id == self._last_id + 1
        self._book.apply(event)
        self._last_id = event.last_id

    def levels(self) -> tuple[Any, Any]:
        columns = self._book.columns()
        return columns[:2], columns[2:4]

    def pairs(self) -> tuple[Pairs, Pairs]:
        return _pairs(self.levels())


class OwnPath(Peer):
    package = "booktape"
    kind = ", its whole path"
    includes = (
        "`Reconstruction.apply` of a stamped frame, as the recorder calls it: besides the "
        "above, the merging of connections, the state machine with its check of ids, the "
        "cadence, and the row itself (a `BookRow`)."
    )
    combined = True
    binary = True
    makes_rows: ClassVar[bool] = True

    def __init__(self, snapshot: bytes, every: int = 1) -> None:
        self._machine = Reconstruction()
        self._row: BookRow
        frames = (start(every=every), connected(0), DepthAnswer(0, SYMBOL, _LIMIT, snapshot))
        for frame in frames:
            self._feed(frame)

    @classmethod
    def asked(cls, snapshot: bytes, every: int) -> OwnPath:
        return cls(snapshot, every)

    def _feed(self, frame: Any) -> None:
        for output in self._machine.apply(frame):
            if isinstance(output, BookRow):
                self._row = output

    def apply(self, message: bytes) -> None:
        self._feed(StreamMessage(0, 0, message))

    def levels(self) -> tuple[Any, Any]:
        row = self._row
        return (row.bid_price, row.bid_size), (row.ask_price, row.ask_size)

    def pairs(self) -> tuple[Pairs, Pairs]:
        return _pairs(self.levels())
