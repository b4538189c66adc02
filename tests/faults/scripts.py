"""Random combinations of faults, each from a seed: what a recording may have to survive.

All faults are over by `faultless_from_s`, within half a minute or, after an outage of hours, when that ends;
only a delisted symbol does not come back.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from random import Random
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias

from booktape.sim.faults import requests
from booktape.sim.faults.conditions import Attempts, Messages
from booktape.sim.faults.connections import CutAt, Cuts, HalfOpen, Lifetime, Outage, ServerShutdown
from booktape.sim.faults.fault import Fault, Faults
from booktape.sim.faults.market import (
    Cap,
    ClockStep,
    Cross,
    Delist,
    Fall,
    Halt,
    Huge,
    IdsReset,
    NewListing,
    TickSize,
)
from booktape.sim.faults.messages import (
    Close,
    Deaf,
    Delay,
    Drop,
    Garbage,
    LostMessages,
    Repeat,
    Stall,
)
from booktape.sim.faults.undetectable import StaleWitness

FAULTLESS_FROM_S: Final = 24.0
_EVEN: Final = 0.5
SYMBOLS: Final = ("BNBUSDT", "LTCBTC", "XMRBTC")
"""The busiest symbols are not among them: they would only take longer."""

HOURS: Final = frozenset({"outage-hours"})
"""Kinds that make a run long."""

ALIKE: Final = frozenset(
    {
        *("drop-everywhere", "repeat", "garbage-instead", "cut", "lifetime", "outage", "banned"),
        *("html", "slow", "half", "list", "break-without-cancels"),
        *("deaf-from-the-start", "deaf-witness", "deaf-symbol", "silence"),
    }
)
"""Kinds that demand the same of a recorder as another kind."""


class Draw(NamedTuple):
    """The parameters of one fault: chance, a time within the run, one of the symbols.

    `from_start` is for faults before the answer: when nothing else is wrong, clients ask for snapshots
    only in the beginning, and would not notice those that come later.
    """

    rng: Random
    start_s: float
    end_s: float
    symbol: str
    from_start: bool

    def messages(self, low: float, high: float, **more: Any) -> Messages:
        """Some messages at this time: on all connections or on every second one."""
        one = self.rng.choice([{}, {"connection": self.rng.randrange(2), "of": 2}])
        return Messages(
            self.start_s,
            self.end_s,
            probability=self.rng.uniform(low, high),
            seed=self.rng.randrange(10**6),
            **(one | more),
        )

    def attempts(self, low: float, high: float, **more: Any) -> Attempts:
        """Some requests at this time, before they are answered."""
        chosen = self.rng.uniform(low, high)
        seed = self.rng.randrange(10**6)
        start_s = 0.0 if self.from_start else self.start_s
        return Attempts(start_s, self.end_s, probability=chosen, seed=seed, **more)

    def one(self) -> dict[str, Any]:
        """All connections, or every second one."""
        return self.rng.choice([{}, {"connection": self.rng.randrange(2), "of": 2}])

    def flag(self) -> bool:
        """One or the other."""
        return self.rng.random() < _EVEN


Maker: TypeAlias = Callable[[Draw], Fault]

HEARD_MAKERS: Final[Mapping[str, Maker]] = MappingProxyType(
    {
        "drop": lambda d: Drop(d.messages(0.005, 0.1)),
        "drop-everywhere": lambda d: Drop(d.messages(0.002, 0.02, everywhere=True)),
        "gap": lambda d: LostMessages(d.messages(0.001, 0.01), count=d.rng.randint(2, 30)),
        "repeat": lambda d: Repeat(d.messages(0.05, 0.5), d.rng.randint(1, 3)),
        "repeat-late": lambda d: Repeat(d.messages(0.05, 0.3), after_s=d.rng.uniform(0.1, 3)),
        "delay": lambda d: Delay(
            d.messages(1, 1), d.rng.uniform(0.05, 2), d.rng.uniform(0, 1), seed=1
        ),
        "stall": lambda d: Stall(d.start_s, d.end_s, **d.one()),
        "garbage": lambda d: Garbage(d.messages(0.01, 0.1), seed=d.rng.randrange(10**6)),
        "garbage-instead": lambda d: Garbage(d.messages(0.005, 0.03), instead=True, seed=2),
        "close": lambda d: Close(d.messages(0.001, 0.01), abrupt=d.flag()),
        "cut": lambda d: CutAt(d.start_s, abrupt=d.flag(), **d.one()),
        "cuts": lambda d: Cuts(d.rng.uniform(2, 6), d.start_s, d.end_s, seed=d.rng.randrange(99)),
        "lifetime": lambda d: Lifetime(d.start_s, abrupt=d.flag(), connection=0),
        "half-open": lambda d: HalfOpen(d.start_s, **d.one()),
        "server-shutdown": lambda d: ServerShutdown(d.start_s, d.end_s - d.start_s, **d.one()),
        "outage": lambda d: Outage(d.start_s, d.end_s),
        "outage-silent": lambda d: Outage(d.start_s, d.end_s, silent=True),
        "outage-hours": lambda d: Outage(
            d.start_s, d.start_s + d.rng.uniform(3_600, 10_800), silent=d.flag()
        ),
        "refuse": lambda d: requests.refuse(d.attempts(0.3, 1)),
        "hang": lambda d: requests.hang(d.attempts(0.1, 0.5)),
        "status": lambda d: requests.status(
            d.attempts(0.3, 1), d.rng.choice([403, 451, 500, 502, 503])
        ),
        "too-fast": lambda d: requests.too_fast(d.attempts(0.2, 0.8), d.rng.randint(1, 3)),
        "banned": lambda d: requests.too_fast(
            d.attempts(0.1, 0.3), d.rng.randint(10, 60), status=418
        ),
        "banned-in-the-body": lambda d: requests.too_fast(
            d.attempts(0.1, 0.3), d.rng.randint(10, 60), status=418, told="body"
        ),
        "firewall": lambda d: requests.firewall(d.attempts(0.1, 0.3), d.rng.uniform(20, 60)),
        "html": lambda d: requests.html(d.attempts(0.3, 1)),
        "slow": lambda d: requests.slow(d.attempts(0.3, 1), d.rng.uniform(0.1, 3)),
        "half": lambda d: requests.half(d.attempts(0.3, 1)),
        "truncate": lambda d: requests.cut_off(d.attempts(0.3, 1)),
        "stale": lambda d: requests.stale(d.attempts(0.3, 1), seconds=d.rng.uniform(0.3, 20)),
        "rest-error": lambda d: requests.rest_error(d.attempts(0.3, 0.8)),
        "halt": lambda d: Halt(
            d.symbol, d.start_s, d.end_s, d.rng.choice(["HALT", "CANCEL_ONLY"]), d.rng.uniform(0, 5)
        ),
        "break-without-cancels": lambda d: Halt(d.symbol, d.start_s, d.end_s, "BREAK", 0),
        "delist": lambda d: Delist(SYMBOLS[-1], d.start_s),
        "list": lambda d: NewListing("NEWUSDT", d.start_s),
        "fall": lambda d: Fall(d.symbol, d.start_s, d.end_s, d.rng.uniform(-0.1, 0.1)),
        "list-before-it-opens": lambda d: NewListing("NEWUSDT", d.start_s, opens_s=d.end_s),
        "tick-size": lambda d: TickSize(
            d.symbol, d.start_s, d.rng.choice([2, 5, 10]), finer=d.flag()
        ),
        "cap": lambda d: Cap(d.symbol, d.start_s, listed=d.flag()),
        "cross": lambda d: Cross(d.symbol, d.start_s),
        "stale-witness": lambda d: StaleWitness(
            d.messages(0.05, 0.5, connection=None, of=None), d.rng.randint(1, 20)
        ),
        "huge": lambda d: Huge(d.symbol, d.start_s, d.rng.randint(5_000, 20_000)),
        "clock-step": lambda d: ClockStep(d.start_s, d.rng.uniform(-30, 30)),
    }
)

SILENT_MAKERS: Final[Mapping[str, Maker]] = MappingProxyType(
    {
        # Only on connections open then: later ones get everything.
        "deaf": lambda d: Deaf(
            Messages(d.start_s, symbol=d.symbol, stream="depth", end_s=FAULTLESS_FROM_S, **d.one())
        ),
        "deaf-from-the-start": lambda d: Deaf(
            Messages(symbol=d.symbol, stream="depth", end_s=d.end_s, **d.one()), opened_by_s=1
        ),
        "deaf-witness": lambda d: Deaf(
            Messages(d.start_s, symbol=d.symbol, stream="depth20", end_s=d.end_s, **d.one())
        ),
        "deaf-symbol": lambda d: Deaf(
            Messages(d.start_s, symbol=d.symbol, end_s=FAULTLESS_FROM_S, **d.one())
        ),
        "silence": lambda d: Deaf(Messages(d.start_s, end_s=FAULTLESS_FROM_S)),
        "break": lambda d: Halt(
            *(d.symbol, d.start_s, d.end_s),
            shown=d.rng.choice(["BREAK", "END_OF_DAY"]),
            cancels_per_s=d.rng.uniform(0.3, 5),
        ),
        "ids-reset": lambda d: IdsReset(d.start_s, d.rng.choice([d.symbol, None]), blank=d.flag()),
        "silence-for-all": lambda d: Deaf(Messages(d.start_s, d.end_s), opened_by_s=d.end_s),
    }
)
"""Nothing in the stream shows these: only other evidence reveals that a book is not current."""

MAKERS: Final = MappingProxyType({**HEARD_MAKERS, **SILENT_MAKERS})


def script(seed: int, kinds: Collection[str] = tuple(MAKERS)) -> Faults:
    """Two to four of these kinds of faults, at random times and of random strength."""
    rng = Random(f"script {seed}")
    chosen = rng.sample(sorted(kinds), min(len(kinds), rng.randint(2, 4)))
    return Faults.of(
        *(MAKERS[kind](_draw(rng, from_start=rng.random() < _EVEN)) for kind in chosen)
    )


def single(kind: str, seed: int = 0) -> Faults:
    """One fault alone."""
    return Faults.of(MAKERS[kind](_draw(Random(f"single {kind} {seed}"), from_start=True)))


def faultless_from_s(faults: Faults) -> float:
    """From then on there is no fault."""
    outages = [fault.end_s for fault in faults.faults if isinstance(fault, Outage)]
    return max(FAULTLESS_FROM_S, *outages, 0.0)


def _draw(rng: Random, *, from_start: bool) -> Draw:
    start_s = rng.uniform(3, 12)
    # A late repeat may come 3 s after its time.
    end_s = start_s + rng.uniform(1, 8)
    return Draw(rng, start_s, end_s, rng.choice(SYMBOLS), from_start)
