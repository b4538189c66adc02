"""The path of an event, for valgrind to count: half of the events to warm up, then the counted half.

    valgrind --tool=callgrind --dump-before=getppid … python tests/bench/instructions.py FILE…

Each file is a symbol: a line that opens its book (what REST answers), then two lines for each event: what `@depth20`
says of the book as it will be then, and the event. `os.getppid` stands where counting begins and where it ends:
callgrind is told to write its count down and start again there, and nothing else here calls it. Little is imported,
because valgrind is slow.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from booktape.core.book import OrderBook
from booktape.core.tape_records import Connected, DepthAnswer, SegmentStart, StreamMessage
from booktape.processes import tuning
from booktape.reconstruct import Reconstruction
from booktape.wire.binance import decode_depth, decode_event

SYMBOL: Final = "BTCUSDT"
LIMIT: Final = 100_000
NEVER: Final = 10**9
WHOLE_PATHS: Final = {"whole path, no rows": NEVER, "N = 100": 100, "N = 10": 10}
WORKS: Final = ("decode", "apply", *WHOLE_PATHS, "N = 100, depth20")
mark = os.getppid


def count(do: Callable[[], object], warm_up: Callable[[], object]) -> None:
    """Callgrind's dumps come in pairs: what went before, and what is counted."""
    warm_up()
    # Otherwise earlier allocations decide in which section the collector runs next.
    gc.collect()
    mark()
    do()
    mark()


def decode(payloads: list[bytes]) -> None:
    for payload in payloads:
        decode_event(payload)


def apply(book: OrderBook, payloads: list[bytes]) -> Callable[[], object]:
    """Decoded before it is counted."""
    events = [decode_event(payload) for payload in payloads]

    def do() -> None:
        for event in events:
            book.apply(event)  # type: ignore[arg-type] # they are all depth events

    return do


def follow(books: Reconstruction, frames: list[StreamMessage]) -> None:
    for frame in frames:
        for _ in books.apply(frame):
            pass


def opened(every: int, opening: bytes) -> Reconstruction:
    """One symbol whose book is known."""
    books = Reconstruction()
    start = SegmentStart(0, "bench", "bench", every, 5_000, (SYMBOL,))
    for frame in (start, Connected(0, 0, (SYMBOL,)), DepthAnswer(0, SYMBOL, LIMIT, opening)):
        for _ in books.apply(frame):
            pass
    return books


def whole_path(every: int, opening: bytes, payloads: list[bytes]) -> None:
    frames, half = [StreamMessage(0, 0, payload) for payload in payloads], len(payloads) // 2
    books = opened(every, opening)
    count(partial(follow, books, frames[half:]), partial(follow, books, frames[:half]))


def symbol(file: Path) -> None:
    """All works of one symbol, in the order of WORKS."""
    opening, *both = file.read_bytes().splitlines()
    payloads, half = both[1::2], len(both) // 4
    first, second = payloads[:half], payloads[half:]
    count(partial(decode, second), partial(decode, first))
    book = OrderBook.from_snapshot(decode_depth(opening, SYMBOL, LIMIT))
    book.bids.best()
    book.asks.best()
    count(apply(book, second), apply(book, first))
    for every in WHOLE_PATHS.values():
        whole_path(every, opening, payloads)
    whole_path(WHOLE_PATHS["N = 100"], opening, both)


if __name__ == "__main__":
    tuning.tune_interpreter()
    for name in sys.argv[1:]:
        symbol(Path(name))
