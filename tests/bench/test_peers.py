"""Our book beside other Python order books: the same work, on the same messages, in one run.

Promises nothing about speed: `make peers` prints the tables of this machine. What it does promise
is that the comparison is one of equals: after all events every book shows the same levels.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import import_module
from time import thread_time
from typing import Final, NamedTuple, TypeAlias

import pytest

from bench.peers.ours import OwnBook, OwnPath
from bench.peers.peer import Pairs, Peer
from bench.test_core_costs import SHAPES, Shape
from booktape.wire.encode import encode_depth
from docs.generated import table

pytestmark = [
    pytest.mark.bench,
    # Warnings of other libraries are not our concern.
    pytest.mark.filterwarnings("ignore"),
]

EVERY: Final = 10
NEVER: Final = 1_000_000_000
EVENTS_OF_SNAPSHOTS: Final = 500
ROUNDS: Final = {"liquid": 3, "medium": 5, "illiquid": 15}
"""Short work is repeated more often."""

OTHERS: Final = (
    ("of_python_binance", "PythonBinance"),
    ("of_cryptofeed", "Cryptofeed"),
    ("of_ccxt", "Ccxt"),
    ("of_unicorn", "Unicorn"),
    ("of_nautilus", "Nautilus"),
)
NOT_MEASURED: Final = (
    "hftbacktest is not in the tables: it takes no live messages. It plays files of events, "
    "converted beforehand, through a simulated exchange, so there is no equal work to measure."
)


class Cost(NamedTuple):
    """Microseconds: an event alone, a snapshot alone, an event with its share of a snapshot, or one."""

    event: float
    snapshot: float
    both: float
    full: float


Costs: TypeAlias = dict[type[Peer], Cost]


def everyone() -> list[type[Peer]]:
    """Ours first. The others are imported here, so that the file can be read without them."""
    needed = ("binance", "ccxt", "cryptofeed", "nautilus_trader")
    for package in (*needed, "unicorn_binance_local_depth_cache"):
        pytest.importorskip(package, reason=f"{package} is not installed: make peers")
    others = [getattr(import_module(f"bench.peers.{file}"), name) for file, name in OTHERS]
    return [OwnBook, OwnPath, *others]


class Task:
    """What every book is given for one shape: the opening snapshot, and then the events."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.snapshot = encode_depth(replace(shape.snapshot(), limit=shape.levels))
        # Times as they stand on the wire: 13 digits.
        self.events = [
            replace(event, event_time_us=1_780_000_000_000_000 + n * 100_000)
            for n, event in enumerate(shape.events())
        ]

    def measure(self, peer: type[Peer]) -> Cost:
        """A book for each: events alone, snapshots timed alone, both together, after every event."""
        messages = [peer.message(event) for event in self.events]
        few = messages[:EVENTS_OF_SNAPSHOTS]
        return Cost(
            _events(peer.asked(self.snapshot, NEVER), messages),
            _snapshots(peer.asked(self.snapshot, EVERY), few),
            _both(peer.asked(self.snapshot, EVERY), messages, EVERY),
            _both(peer.asked(self.snapshot, 1), few, 1),
        )

    def check(self, peer: type[Peer]) -> None:
        """The book after all events is ours, as deep as it is kept."""
        mine, theirs = (self._after_all(each) for each in (OwnBook, peer))
        for sign, own, other in zip((-1, 1), mine, theirs, strict=True):
            assert own, self.shape.name
            assert self._known(peer, sign, own) == self._known(peer, sign, other), peer.package

    def _known(self, peer: type[Peer], sign: int, side: Pairs) -> Pairs:
        """All of it; of a bounded book what it was given, because it does not know what lies beyond."""
        if peer.depth is None or peer.depth > self.shape.levels:
            return side
        last = sign * self.shape.price(sign, peer.depth - 1)
        return [level for level in side if sign * level[0] <= last]

    def _after_all(self, peer: type[Peer]) -> tuple[Pairs, Pairs]:
        book = peer.asked(self.snapshot, len(self.events))
        for event in self.events:
            book.apply(peer.message(event))
        return book.pairs()


def _events(book: Peer, messages: list[bytes | str]) -> float:
    apply = book.apply
    began = thread_time()
    for message in messages:
        apply(message)
    return (thread_time() - began) / len(messages) * 1e6


def _both(book: Peer, messages: list[bytes | str], every: int) -> float:
    apply, levels = book.apply, book.levels
    began = thread_time()
    for first in range(0, len(messages), every):
        for message in messages[first : first + every]:
            apply(message)
        levels()
    return (thread_time() - began) / len(messages) * 1e6


def _snapshots(book: Peer, messages: list[bytes | str]) -> float:
    """Apart from the others: asking this clock costs as much as a short event."""
    spent = 0.0
    for first in range(0, len(messages), EVERY):
        for message in messages[first : first + EVERY]:
            book.apply(message)
        began = thread_time()
        book.levels()
        spent += thread_time() - began
    return spent / len(messages) * EVERY * 1e6


def compare(task: Task, peers: list[type[Peer]]) -> Costs:
    """The median of some rounds; in each round every book has a turn, and each time another one comes first.

    Not the best round: on a busy machine short work is lucky more often than long work.
    """
    measured: dict[type[Peer], list[Cost]] = {peer: [] for peer in peers}
    for number in range(ROUNDS[task.shape.name]):
        turn = number % len(peers)
        for peer in peers[turn:] + peers[:turn]:
            gc.collect()
            gc.disable()  # as timeit does: it would penalise books that make many objects
            measured[peer].append(task.measure(peer))
            gc.enable()
    return {
        peer: Cost(*map(statistics.median, zip(*costs, strict=True)))
        for peer, costs in measured.items()
    }


def tables(results: dict[Shape, Costs]) -> Iterator[str]:
    """One table for each named work."""
    kinds = (
        ("µs an event: JSON text → changed book", "event"),
        ("µs a snapshot: the whole sorted book, after every 10th event", "snapshot"),
        ("µs an event, with a snapshot after every 10th: JSON text → sorted book", "both"),
        ("µs an event, with a snapshot after every one: JSON text → sorted book", "full"),
    )
    shapes = [f"{s.name}: {s.changes} changes, {s.levels:,} levels a side" for s in results]
    for title, field in kinds:
        rows = [
            (peer.title(), *(cell(costs, peer, field) for costs in results.values()))
            for peer in next(iter(results.values()))
            if field != "snapshot" or not peer.makes_rows
        ]
        yield table([title, *shapes], rows)


def cell(costs: Costs, peer: type[Peer], field: str) -> str:
    """Microseconds, and how many times ours that is: of the same work, of the whole path."""
    cost = getattr(costs[peer], field)
    ours = [own for own in (OwnBook, OwnPath) if field != "snapshot" or not own.makes_rows]
    ratios = " / ".join(f"{cost / getattr(costs[own], field):.1f}" for own in ours)
    return f"{cost:,.1f}" if peer in ours else f"{cost:,.1f} ({ratios})"


def notes(peers: list[type[Peer]]) -> Iterator[str]:
    """What the figures mean, and what ran."""
    yield (
        "In brackets: how many times as long as booktape in the same run, for the same work and "
        "(after the slash) on its whole path. The figures are processor time, the median of "
        "rounds in which all books take turns, with garbage collection off. After all events "
        "every book was found equal to ours (a bounded one, as deep as it was given). What runs "
        "for each book, and what is left out:"
    )
    yield "\n".join(f"- {peer.title()}: {peer.includes}" for peer in peers)
    yield NOT_MEASURED


async def results(peers: list[type[Peer]]) -> dict[Shape, Costs]:
    """Some of the others want a running loop when they are made; none uses it here."""
    tasks = [Task(shape) for shape in SHAPES]
    for task in tasks:
        for peer in peers:
            task.check(peer)
    gc.freeze()
    return {task.shape: compare(task, peers) for task in tasks}


def test_beside_other_order_books(report: Callable[[str, str], None]) -> None:
    """Tables: an event, a snapshot, and both together, with what each of them includes."""
    peers = everyone()
    found = asyncio.run(results(peers))
    report("peers", "\n\n".join([*tables(found), *notes(peers)]))
