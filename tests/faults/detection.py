"""How soon a book that nothing proves any longer is called unknown, and where its gap begins.

The measurements come from the tape: the stamp of the record at which the function loses the book, and the start of the
gap that it reports, both relative to the moment at which the fault begins.

`make coverage` rewrites the table in docs/reliability.md.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from booktape.core.events import BookLost
from booktape.reconstruct import Reconstruction
from booktape.sim.faults.conditions import Messages, StreamKind
from booktape.sim.faults.fault import Fault, Faults
from booktape.sim.faults.market import Halt, IdsReset
from booktape.sim.faults.messages import Deaf
from booktape.sim.server.server import SimServer
from booktape.store.tape_reader import read_tape
from docs.generated import table
from e2e.inside import recording, until_known
from e2e.promises import check_archive, truth_of
from support import virtual_time
from support.truth import TracedMarket
from support.virtual_time import WallClock

SEEDS: Final = 5
SYMBOL: Final = "BNBUSDT"
OTHERS: Final = ("LTCBTC", "XMRBTC", "ADABTC")
AT_S: Final = 45.05
"""The fault begins between two slots, and after the half minute in which a connection proves busy."""

SLOT_S: Final = 0.3
"""Events are sent every 0.1 s, and a busy market may have none in a slot; the snapshot of a book that was
dead from its beginning comes a moment after that."""

PULSE_S: Final = 30.0
SETTLE_S: Final = 5.0
"""The wait after the bound, before checking whether the book is known again."""

BLOCK: Final = "detection"
HEAD: Final = ("fault", "bound, s", "seen after, s", "worst, s", "gap begins, s", "reason", "test")
TEST: Final = "`tests/faults/test_detection.py`"


@dataclass(frozen=True)
class Case:
    """One fault that no event reports, and how soon it must be seen; `others` continue meanwhile."""

    name: str
    fault: Fault
    bound_s: float
    settings: dict[str, Any] = field(default_factory=dict)
    at_s: float = AT_S
    begins_by_s: float = SLOT_S
    others: tuple[str, ...] = ()


class Seen(NamedTuple):
    """When the book was lost, and where its gap begins, in seconds after the fault began."""

    lost_s: float
    begins_s: float
    reason: str


def deaf(stream: StreamKind | None = None, *, start_s: float = AT_S) -> Deaf:
    """Subscriptions on the connections open then die; later connections get everything."""
    return Deaf(Messages(symbol=SYMBOL, stream=stream, start_s=start_s), opened_by_s=start_s)


NO_WITNESS: Final = {"witness": "none"}

CASES: Final = (
    Case("a stream dies, its `depth20` continues", deaf("depth"), 5),
    Case("the same, from the start of the recording", deaf("depth", start_s=0), 10, at_s=0),
    Case("a stream dies, and there is no witness", deaf(), 45, NO_WITNESS),
    Case("the same, from the start of the recording", deaf(start_s=0), 45, NO_WITNESS, at_s=0),
    # The others keep the connection busy: only the pulse shows it.
    Case("one of four symbols dies, no witness", deaf(), 45, NO_WITNESS, others=OTHERS),
    Case("all connections fall silent", Deaf(Messages(start_s=AT_S), opened_by_s=AT_S), 8),
    Case(
        "all connections fall silent, no witness",
        Deaf(Messages(start_s=AT_S), opened_by_s=AT_S),
        8,
        NO_WITNESS,
    ),
    Case("ids start over", IdsReset(AT_S, SYMBOL), 5),
    # A pulse shows only the best levels: it agrees while the cancelled orders lie deeper.
    Case(
        "BREAK, and orders are cancelled",
        Halt(SYMBOL, AT_S, AT_S + 50, shown="BREAK"),
        45,
        begins_by_s=PULSE_S,
    ),
)


async def seen(case: Case, seed: int, out: Path) -> Seen:
    """Record through the fault until the book is known again; then read the tape."""
    random.seed(f"{case.name} {seed}")  # the recorder's pauses
    symbols = (SYMBOL, *case.others)
    market, clock = TracedMarket(symbols, seed=seed, levels=40), WallClock()
    began_ns = clock.now_ns() + round(case.at_s * 1e9)
    async with (
        SimServer(market, faults=Faults((case.fault,))) as server,
        recording(server, symbols, out, clock, every=2, **case.settings) as recorder,
    ):
        await asyncio.sleep(case.at_s + case.bound_s + SETTLE_S)
        await until_known(recorder, len(symbols))
    assert not server.violations
    check_archive(out, truth_of(market), every=2)
    return first_loss(out, began_ns)


def first_loss(out: Path, began_ns: int) -> Seen:
    """The first loss that the tape shows."""
    (tape,) = (out / "tape").rglob("*.zst")
    books = Reconstruction()
    for frame in read_tape(tape):
        for output in books.apply(frame):
            if isinstance(output, BookLost):
                assert output.gap.symbol == SYMBOL, "the others go on"
                lost_s, begins_s = (
                    (at_ns - began_ns) / 1e9 for at_ns in (frame.received_ns, output.gap.start_ns)
                )
                return Seen(lost_s, begins_s, output.gap.reason)
    raise AssertionError("nothing was lost")


def detections(case: Case, seeds: int) -> list[Seen]:
    """The observation for each seed."""
    found = []
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            found.append(virtual_time.run(seen(case, seed, Path(folder)), within_s=3_600))
    return found


def row(case: Case, found: list[Seen]) -> list[str]:
    """A line of the table."""
    lost_s = [each.lost_s for each in found]
    numbers = (
        case.bound_s,
        sum(lost_s) / len(lost_s),
        max(lost_s),
        min(each.begins_s for each in found),
    )
    reasons = ", ".join(sorted({f"`{each.reason}`" for each in found}))
    return [case.name, *(f"{number:,.1f}" for number in numbers), reasons, TEST]


def measured() -> str:
    """The table."""
    made = table(HEAD, [row(case, detections(case, SEEDS)) for case in CASES])
    return made.replace(" --- ", "---")
