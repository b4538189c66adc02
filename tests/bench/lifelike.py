"""A market for the benchmarks: like BTCUSDT in the one real minute, for as long as you like.

Some 10,000 quoters stand behind the touch, each with one order; a level is the sum of the orders at
its price. When an order has stood long enough it is its quoter's turn: the order goes, and comes back
at once at another price, or a while later. An event lasts until as many prices have changed as in a
real one. Everything is in whole ticks and lots.

The numbers were fitted to the figures of the capture, and `likeness.py` shows both side by side. Where they could not
be made equal, this market was left harder to compress than the real one.

Known differences: no trader moves a dozen orders at a time, so changes lie less close together than in the real market;
small orders join levels at random, where the real ones join the same few for seconds; prices and sizes are less round;
the book does not grow.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from math import exp, sqrt
from random import Random
from typing import Final, Literal, TypeAlias

from booktape.core.events import DepthEvent, DepthSnapshot
from booktape.core.tape_records import Connected, DepthAnswer, StreamMessage, TapeRecord
from booktape.sim.market.listing import listing
from booktape.sim.market.order_flow import Ladder
from booktape.sim.messages import Encoding, event_message
from booktape.wire.encode import encode_depth

SYMBOL: Final = "BTCUSDT"
START_NS: Final = 1_780_000_000 * 10**9
SLOTS_PER_S: Final = 10
LIMIT: Final = 5_000

# ln(prices changed in an event) is AR(1).
CHANGES_MU: Final = 3.16
CHANGES_SD: Final = 1.15
CHANGES_PHI: Final = 0.573
CHANGES_MAX: Final = 600
IDS_PER_CHANGE: Final = 2.2
# The touch moves when much changes, and then further the more changes.
MOVES_FROM: Final = 130
TICKS_PER_CHANGE: Final = 1.5
TOUCH_CHANGES: Final = 0.62

Kind: TypeAlias = Literal["maker", "small", "far", "resting"]
QUOTERS: Final[dict[Kind, int]] = {"maker": 1_050, "small": 420, "far": 60, "resting": 8_280}

# ln(ticks behind the touch) is normal for makers, and for the small orders that join the next level.
MAKER_MU: Final = 6.8
SMALL_MU: Final = 5.5
OFFSET_SD: Final = 1.4
OFFSET_PHI: Final = 0.95
FAR: Final = (0.1, 0.2)
RESTING_TICKS: Final = 95_000
# ln(life of an order) is normal, in units of a typical maker's; further away orders live longer.
LIFE_SD: Final = 1.8
LIFE_FURTHER: Final = 1.3
LIFE_RESTING: Final = 3_000.0
# The share that comes back at once; and of those that come back later, where they were.
AT_ONCE: Final = 0.35
SAME_PRICE: Final = 0.33

# In lots: a size that others have too, a size of its own, or about the smallest that is allowed.
SIZE_MU: Final = 7.0
SIZE_SD: Final = 2.2
SIZES: Final = 25
SIZE_FRESH: Final = 0.5
SIZE_CHANGES: Final = 0.35
SMALLEST_LOTS: Final = 9
RESTING_SMALLEST: Final = 0.4

WARM_UP_EVENTS: Final = 3_000


@dataclass(slots=True, eq=False)
class Quoter:
    """One order at a time. `stance`, a standard normal: how far from the touch, and how patient."""

    kind: Kind
    is_ask: bool
    stance: float
    size: int
    price: int = 0
    stands: bool = False


class Lifelike:
    """The market, one event at a time. The same seed gives the same events."""

    def __init__(self, seed: int = 1) -> None:
        self._rng = Random(seed)
        self._listing = listing(SYMBOL)
        self._bid = self._listing.start_ticks
        self._ladders = Ladder(is_bid=True), Ladder(is_bid=False)
        self._changed: tuple[dict[int, int], dict[int, int]] = {}, {}
        self._ln_changes = CHANGES_MU
        self.update_id = 95 * 10**9
        self._sizes = [self._fresh_size() for _ in range(SIZES)]
        self._now = 0.0
        self._touch()
        self._turns = [(self._life(each), n, each) for n, each in enumerate(self._quoters())]
        heapify(self._turns)
        for _ in range(WARM_UP_EVENTS):
            self.event(0)

    def event(self, time_us: int) -> DepthEvent:
        """The next one: every price that changed, with its last size."""
        rng, (bids, asks) = self._rng, self._changed
        bids.clear()
        asks.clear()
        shock = rng.gauss(0, CHANGES_SD * sqrt(1 - CHANGES_PHI**2))
        self._ln_changes = CHANGES_MU + CHANGES_PHI * (self._ln_changes - CHANGES_MU) + shock
        changes = min(1 + int(exp(self._ln_changes)), CHANGES_MAX)
        if changes >= MOVES_FROM:
            self._move(round(rng.gauss(0, TICKS_PER_CHANGE * changes)))
        self._touch()
        while len(bids) + len(asks) < changes:
            self._turn()
        first_id = self.update_id + 1
        self.update_id += round(IDS_PER_CHANGE * (len(bids) + len(asks)))
        doubles = self._listing.doubles
        levels = doubles(sorted(bids.items(), reverse=True)), doubles(sorted(asks.items()))
        return DepthEvent(SYMBOL, time_us, first_id, self.update_id, *levels)

    def depth(self) -> bytes:
        """The answer to a request for the whole book."""
        bids, asks = (self._listing.doubles(ladder.best_first(LIMIT)) for ladder in self._ladders)
        return encode_depth(DepthSnapshot(SYMBOL, LIMIT, self.update_id, bids, asks))

    # ── the touch ───────────────────────────────────────────────────────────────────────────

    def _touch(self) -> None:
        """What is taken from and added to the best levels."""
        for is_ask, ladder in enumerate(self._ladders):
            if self._rng.random() < TOUCH_CHANGES or self._bid + is_ask not in ladder.lots:
                size = SMALLEST_LOTS + round(exp(self._rng.gauss(10, 1.8)))
                self._put(bool(is_ask), self._bid + is_ask, size)

    def _move(self, by: int) -> None:
        """The best levels go, and so does what stands in the way."""
        for is_ask in (False, True):
            self._put(is_ask, self._bid + is_ask, 0)
        self._bid += by
        for is_ask in (False, True):
            for ticks in self._ladders[is_ask].ahead_of(self._bid + is_ask):
                self._put(is_ask, ticks, 0)

    # ── behind the touch ────────────────────────────────────────────────────────────────────

    def _quoters(self) -> Iterator[Quoter]:
        """All of them, each with its order."""
        for kind, count in QUOTERS.items():
            for n in range(count):
                stance = self._rng.choice(FAR) if kind == "far" else self._rng.gauss(0, 1)
                quoter = Quoter(kind, bool(n % 2), stance, self._size(kind))
                self._place(quoter, moves=True)
                yield quoter

    def _turn(self) -> None:
        """The next quoter's."""
        self._now, number, quoter = heappop(self._turns)
        moves = quoter.stands
        if moves:
            self._withdraw(quoter)
        if moves and quoter.kind != "resting" and self._rng.random() > AT_ONCE:
            pause = self._life(quoter) / 2
            heappush(self._turns, (self._now + pause, number, quoter))
            return
        self._place(quoter, moves=moves)
        heappush(self._turns, (self._now + self._life(quoter), number, quoter))

    def _withdraw(self, quoter: Quoter) -> None:
        quoter.stands = False
        # It may have been taken meanwhile: then there is nothing to withdraw.
        if lots := self._ladders[quoter.is_ask].lots.get(quoter.price):
            self._put(quoter.is_ask, quoter.price, max(lots - quoter.size, 0))

    def _place(self, quoter: Quoter, *, moves: bool) -> None:
        quoter.stands = True
        ladder, best = self._ladders[quoter.is_ask], self._bid + quoter.is_ask
        behind = (quoter.price - best) * ladder.behind > 0
        if moves or not behind or self._rng.random() > SAME_PRICE:
            quoter.price = best + ladder.behind * self._offset(quoter)
            if quoter.kind == "small":
                quoter.price = ladder.nearest(quoter.price)
        if self._rng.random() < SIZE_CHANGES:
            quoter.size = self._size(quoter.kind)
        lots = ladder.lots.get(quoter.price, 0) + quoter.size
        self._put(quoter.is_ask, quoter.price, lots)

    def _put(self, is_ask: bool, ticks: int, lots: int) -> None:
        self._ladders[is_ask].put(ticks, lots)
        self._changed[is_ask][ticks] = lots

    # ── what a quoter wants ─────────────────────────────────────────────────────────────────

    def _offset(self, quoter: Quoter) -> int:
        """Ticks behind the touch."""
        if quoter.kind == "far":
            return round(self._bid * quoter.stance)
        if quoter.kind == "resting":
            return 1 + int(RESTING_TICKS * self._rng.random())
        shock = self._rng.gauss(0, sqrt(1 - OFFSET_PHI**2))
        quoter.stance = OFFSET_PHI * quoter.stance + shock
        mu = SMALL_MU if quoter.kind == "small" else MAKER_MU
        return 1 + int(exp(mu + OFFSET_SD * quoter.stance))

    def _life(self, quoter: Quoter) -> float:
        """How long its order stands."""
        if quoter.kind == "resting":
            return LIFE_RESTING * self._rng.expovariate(1)
        further = 0.0 if quoter.kind == "far" else LIFE_FURTHER * quoter.stance
        return exp(self._rng.gauss(further, LIFE_SD))

    def _size(self, kind: Kind) -> int:
        rng = self._rng
        if kind == "small":
            return SMALLEST_LOTS * rng.choice((1, 1, 2, 2, 3))
        if kind == "resting" and rng.random() < RESTING_SMALLEST:
            return SMALLEST_LOTS + int(rng.expovariate(0.1))
        if rng.random() < SIZE_FRESH:
            return self._fresh_size()
        return self._sizes[int(SIZES ** rng.random()) - 1]

    def _fresh_size(self) -> int:
        return SMALLEST_LOTS + int(exp(self._rng.gauss(SIZE_MU, SIZE_SD)))


def lifelike(seconds: int) -> Iterator[TapeRecord]:
    """A snapshot of the whole book, and then ten events a second."""
    market = Lifelike()
    yield Connected(START_NS, 1, (SYMBOL,))
    yield DepthAnswer(START_NS, SYMBOL, LIMIT, market.depth())
    for slot in range(1, seconds * SLOTS_PER_S + 1):
        at_ns = START_NS + slot * 10**9 // SLOTS_PER_S
        message = event_message(market.event(at_ns // 1_000))
        yield StreamMessage(at_ns, 1, message.payload(Encoding(combined=True, microseconds=False)))
