"""A small world in which everything can fail, second by second, and which knows its own truth.

Two symbols, a busy and a quiet one; up to three connections that deliver events and a witness, each with delays; REST
with pulses and snapshots that may be late, stale or missing. Each script has a few faults: streams of one symbol that
die on some or all connections, whole connections that fall silent, ids that start over, breaks with unannounced
cancels, halts, pauses of the recorder, clocks that are set, cuts, rotations, restarts. Everything that arrives is true;
only what arrives late, or not at all, may deceive.

`Record` (evidence_record.py) compares every answer of the machine with that truth.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Final, TypeAlias, TypeGuard

import msgspec
import pytest

from booktape.checks import book_checks
from booktape.core.checks import TopLevels
from booktape.core.events import FetchSnapshot, ReplaceConnection
from booktape.core.gap_reasons import KILLED, STOPPED
from booktape.core.sync import State
from booktape.core.tape_records import (
    ROTATED,
    Checkpoint,
    ClockStep,
    Connected,
    DepthAnswer,
    Disconnected,
    Pulse,
    SegmentEnd,
    SegmentStart,
    SnapshotRequested,
    StreamMessage,
    SymbolListing,
    TapeRecord,
    Tick,
)
from booktape.reconstruct import Output, Reconstruction
from properties.evidence_record import Record, Shown
from properties.ledger import promise
from properties.market import Market
from properties.proved_script import tickers, touch
from support.oracle import SECOND, combined, doubles

BUSY, QUIET = SYMBOLS = ("BTCUSDT", "ETHBTC")
STEP_NS: Final = SECOND // 2
PULSE_S: Final = 2.0
AUDIT_S: Final = 12.0
LEVELS: Final = 20


@dataclass
class Message:
    """One message on its way: due at `due_ns`, with the state of its symbol that it shows."""

    due_ns: int
    payload: bytes
    shown: Shown
    is_event: bool


@dataclass
class Link:
    """One connection. On it the streams of `deaf` symbols deliver nothing, and no stream does if it is `mute`."""

    queue: deque[Message] = field(default_factory=deque)
    deaf: set[str] = field(default_factory=set)
    mute: bool = False
    last_due_ns: int = 0


@dataclass
class Asking:
    """A request for a snapshot: not yet left, or to be answered at `due_ns`."""

    symbol: str
    limit: int
    due_ns: int = 0


class Place:
    """One symbol at the exchange: its markets, one for each time that ids started over."""

    def __init__(self, chance: Random, symbol: str) -> None:
        self.symbol = symbol
        self.markets = [Market(chance, symbol)]
        self.times: list[dict[int, int]] = [{}]  # when each id happened
        self.status = "TRADING"

    @property
    def generation(self) -> int:
        return len(self.markets) - 1

    @property
    def market(self) -> Market:
        return self.markets[-1]

    def happen(self, chance: Random, now_ns: int) -> bytes:
        before = self.market.last_id
        payload = self.market.happen(chance)
        for update_id in range(before + 1, self.market.last_id + 1):
            self.times[-1][update_id] = now_ns
        event = json.loads(payload)
        event["E"] = now_ns // 10**6
        return json.dumps(event).encode()

    def begin_anew(self, now_ns: int) -> None:
        """The book stays, its ids are low."""
        old = self.market
        new = Market(Random(0), self.symbol)
        new.first_id = new.last_id = 1
        new.books = [old.books[-1]]
        self.markets.append(new)
        self.times.append({1: now_ns})

    def over_ns(self, generation: int, update_id: int) -> int | None:
        """When this state became outdated; None while it is the exchange's."""
        following = self.times[generation].get(update_id + 1)
        if following is None and generation < self.generation:
            return self.times[generation + 1][1]
        return following

    def seen_over_ns(self, generation: int, update_id: int) -> int | None:
        """The same for its best levels: a pulse cannot see more."""
        best = self.best(generation, update_id)
        for later in range(self.generation, generation - 1, -1):
            market = self.markets[later]
            first_id = update_id if later == generation else market.first_id
            for seen_id in range(market.last_id, first_id - 1, -1):
                if self.best(later, seen_id) == best:
                    return self.over_ns(later, seen_id)
        raise AssertionError("it was not itself")

    def best(self, generation: int, update_id: int) -> tuple[str, str, str, str]:
        """The best levels of this state, as a pulse shows them."""
        bid, ask = touch(self.markets[generation], update_id)
        (bid_price, bid_size), (ask_price, ask_size) = bid or (0, 0), ask or (0, 0)
        return str(bid_price), str(bid_size), str(ask_price), str(ask_size)

    def best_now(self) -> tuple[str, str, str, str]:
        return self.best(self.generation, self.market.last_id)

    def now_shown(self, made_ns: int) -> Shown:
        return Shown(self.symbol, self.generation, self.market.last_id, made_ns)


class World:
    """One play. `wall` is our clock, which can be set; `now` is the exchange's, and true."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.now = 1_000 * SECOND
        self.wall_ahead_ns = chance.choice([0, 0, 300, -200]) * 10**6
        self.places = {symbol: Place(chance, symbol) for symbol in SYMBOLS}
        self.rates = {BUSY: chance.choice([0.9, 0.6]), QUIET: chance.choice([0.1, 0.03, 0.0])}
        self.witness = chance.choice(["depth20", "depth20", "bookTicker", "none"])
        self.pulse_s = chance.choice([PULSE_S, PULSE_S, 0])
        self.audit_s = chance.choice([AUDIT_S, AUDIT_S, 0])
        self.links: dict[int, Link] = {}
        self.opened = 0
        self.dead: set[str] = set()  # on new connections, too
        self.asking: list[Asking] = []
        self.pulse_asked_ns = 0
        self.pulse_due_ns: int | None = None
        self.rest_fails = 0.0
        self.stale = 0.0
        self.was_stale = self.was_paused = False
        self.late_pulses = False
        self.tick_elapsed_ns = 0
        self.to_close: list[tuple[int, int]] = []
        self.machine = Reconstruction()
        self.alone: Reconstruction | None = None
        self.tape: list[TapeRecord] = []
        self.read_from_ns = 0
        self.asked_wall_ns = 0
        self.pulse_shows = self.best_levels()
        self.record = Record(self)
        every = chance.choice([1, 2, 3])
        self.opening = SegmentStart(
            self.wall, "test", "sim", every, 5, SYMBOLS, self.witness, self.audit_s, 2, self.pulse_s
        )
        self.feed(self.opening)
        for _ in range(chance.choice([1, 1, 2, 2, 3])):
            self.connect()

    @property
    def wall(self) -> int:
        return self.now + self.wall_ahead_ns

    # ── the machine ─────────────────────────────────────────────────────────────────────────

    def feed(self, frame: TapeRecord, shown: Shown | None = None) -> None:
        self.tape.append(frame)
        self.record.before(frame)
        outputs = list(self.machine.apply(frame))
        self.record.see(frame, outputs, shown)
        if self.alone:
            self.record.see_alone(outputs, list(self.alone.apply(frame)))
        for output in outputs:
            self.obey(output)

    def obey(self, output: Output) -> None:
        """As a recorder does: while an answer is awaited, no other is requested."""
        if isinstance(output, FetchSnapshot):
            if all(asking.symbol != output.symbol for asking in self.asking):
                self.asking.append(Asking(output.symbol, output.limit))
        elif isinstance(output, ReplaceConnection):
            is_new = all(connection != output.connection for connection, _ in self.to_close)
            if is_new and output.connection in self.links:
                self.to_close.append((output.connection, self.now + 2 * SECOND))

    def connect(self) -> None:
        self.opened += 1
        link = self.links[self.opened] = Link(deaf=set(self.dead))
        link.last_due_ns = self.now
        self.feed(Connected(self.wall, self.opened, SYMBOLS))

    def close(self, connection: int) -> None:
        """Messages that have arrived are read; the rest never come."""
        self.deliver_from(connection)
        del self.links[connection]
        alive_ns = self.wall - self.chance.randint(0, 2) * SECOND
        self.feed(Disconnected(self.wall, connection, alive_ns, "disconnected"))

    # ── time ────────────────────────────────────────────────────────────────────────────────

    def second(self) -> None:
        """One second under the present conditions, and its tick."""
        for _ in range(SECOND // STEP_NS):
            self.pass_time()
            self.deliver()
        self.tick()

    def pass_time(self) -> None:
        """Half a second at the exchange. Nothing is read."""
        self.now += STEP_NS
        self.tick_elapsed_ns += STEP_NS
        for symbol, place in self.places.items():
            if place.status == "BREAK" and self.chance.random() < 0.5:
                place.happen(self.chance, self.now)  # unannounced cancels
            if place.status != "TRADING":
                continue
            if self.chance.random() < self.rates[symbol]:
                before = place.market.last_id
                self.send(place, place.happen(self.chance, self.now), before)
            if self.witness == "depth20" and self.chance.random() < 0.6:
                self.send_witness(place, combined(top(place)))

    def send(self, place: Place, payload: bytes, before: int) -> None:
        shown = place.now_shown(self.now)
        for link in self.links.values():
            if place.symbol not in link.deaf:
                self.put(link, payload, shown, is_event=True)
        if self.witness == "bookTicker":
            for ticker in tickers(place.market, before):
                self.send_witness(place, combined(ticker), ticker.update_id)

    def send_witness(self, place: Place, payload: bytes, update_id: int = 0) -> None:
        shown = place.now_shown(self.now)
        if update_id:
            shown = shown._replace(update_id=update_id)
        for link in self.links.values():
            self.put(link, payload, shown, is_event=False)

    def put(self, link: Link, payload: bytes, shown: Shown, *, is_event: bool) -> None:
        if link.mute:
            return
        delay_ns = self.chance.choice([20, 50, 100, 400, 900]) * 10**6
        link.last_due_ns = max(link.last_due_ns, self.now + delay_ns)
        link.queue.append(Message(link.last_due_ns, payload, shown, is_event))

    def deliver(self) -> None:
        """All that has arrived is read, the connections in any order; then what REST says."""
        links = list(self.links)
        self.chance.shuffle(links)
        for connection in links:
            self.deliver_from(connection)
        self.answer()

    def deliver_from(self, connection: int) -> None:
        queue = self.links[connection].queue
        while queue and queue[0].due_ns <= self.now:
            message = queue.popleft()
            stamp_ns = max(message.due_ns, self.read_from_ns) + self.wall_ahead_ns
            self.feed(StreamMessage(stamp_ns, connection, message.payload), message.shown)

    def is_seen_to_be_over(self, symbol: str, generation: int, update_id: int) -> bool:
        """Whether this state is no longer the exchange's, and something is there that shows it."""
        place = self.places[symbol]
        if generation != place.generation or update_id == place.market.last_id:
            return False
        if self.witness == "depth20" and any(not link.mute for link in self.links.values()):
            return True
        can_see = self.pulse_s and not self.late_pulses and not (self.rest_fails or self.stale)
        return bool(can_see) and place.best(generation, update_id) != place.best_now()

    def settle(self) -> None:
        """At last everything works: both books are known, and are the exchange's."""
        self.heal()
        self.make_rest_good()
        self.trade_again()
        for _ in range(8):
            self.rates = {BUSY: 0.9, QUIET: 0.5}
            for _ in range(8):
                self.second()
            self.rates = dict.fromkeys(SYMBOLS, 0.0)
            self.second()
            self.second()
            if all(self.is_known(symbol) for symbol in SYMBOLS):
                return
        promise(False, "never LIVE again as the exchange is")

    def is_known(self, symbol: str) -> bool:
        sync, market = self.machine.syncs[symbol], self.places[symbol].market
        return sync.state is State.LIVE and sync.update_id == market.last_id

    def tick(self, *, late: bool = False) -> None:
        if self.chance.random() < 0.05 and not late:
            return  # the next one covers both seconds
        elapsed_ns, self.tick_elapsed_ns = self.tick_elapsed_ns, 0
        self.feed(Tick(self.wall, elapsed_ns))
        for connection, due_ns in [*self.to_close]:
            if connection not in self.links:
                self.to_close.remove((connection, due_ns))
            elif due_ns <= self.now:
                self.to_close.remove((connection, due_ns))
                self.connect()
                self.close(connection)
        if not self.links:
            self.connect()

    # ── REST ────────────────────────────────────────────────────────────────────────────────

    def answer(self) -> None:
        for asking in [*self.asking]:
            if not asking.due_ns:
                asking.due_ns = self.now + self.chance.choice([100, 300, 900]) * 10**6
                self.feed(SnapshotRequested(self.wall, asking.symbol, asking.limit))
            elif asking.due_ns <= self.now:
                self.asking.remove(asking)
                self.bring(asking)
        self.pulse()

    def bring(self, asking: Asking) -> None:
        place = self.places[asking.symbol]
        market, limit = place.market, self.chance.choice([asking.limit, 5])
        update_id, payload = market.last_id, b"<html>"
        if self.chance.random() < self.stale:
            update_id = max(market.first_id, market.last_id - self.chance.randint(1, 4))
        if self.chance.random() >= self.rest_fails:
            payload = market.snapshot(update_id, limit)
        self.feed(DepthAnswer(self.wall, asking.symbol, limit, payload))

    def pulse(self) -> None:
        if not self.pulse_s:
            return
        if self.pulse_due_ns is None:
            if self.now >= self.pulse_asked_ns + self.pulse_s * SECOND:
                self.pulse_asked_ns = self.now
                self.asked_wall_ns = self.wall
                late_s = self.chance.randint(1, 4) if self.late_pulses else 0.1
                self.pulse_due_ns = self.now + round(late_s * SECOND)
                self.pulse_shows = self.best_levels()
            return
        if self.now < self.pulse_due_ns:
            return
        self.pulse_due_ns = None
        if self.chance.random() < self.rest_fails:
            return
        shows = self.pulse_shows if self.chance.random() < 0.5 else self.best_levels()
        quiet = self.machine.quiet_since(self.asked_wall_ns - SECOND)
        # More may stand on a tape than was quiet.
        named = SYMBOLS if self.chance.random() < 0.5 else quiet
        tops = {symbol: shows[symbol] for symbol in named}
        self.feed(Pulse(self.wall, self.asked_wall_ns, tops))

    def best_levels(self) -> dict[str, tuple[str, str, str, str]]:
        return {symbol: place.best_now() for symbol, place in self.places.items()}

    # ── segments ────────────────────────────────────────────────────────────────────────────

    def rotate(self) -> None:
        """The machine continues, and beside it one that reads the next segment alone."""
        self.feed(SegmentEnd(self.wall, ROTATED))
        self.alone = self.another(keep_links=True)

    def another(self, *, keep_links: bool) -> Reconstruction:
        fresh = Reconstruction()
        text = msgspec.json.encode(list(self.machine.checkpoints(self.wall)))
        records: list[TapeRecord] = [
            self.opening,
            *msgspec.json.decode(text, type=list[Checkpoint]),
        ]
        if keep_links:
            held = self.machine.arbiter.connections.items()
            records += [Connected(self.wall, number, symbols) for number, symbols in held]
        for frame in records:
            assert list(fresh.apply(frame)) == []
        return fresh

    def restart(self) -> None:
        """The recorder ends, well or badly; another one begins some seconds later."""
        self.deliver()
        self.feed(SegmentEnd(self.wall, self.chance.choice([STOPPED, KILLED])))
        self.links, self.asking, self.pulse_due_ns, self.to_close = {}, [], None, []
        self.alone, self.machine = None, self.another(keep_links=False)
        for _ in range(self.chance.randint(1, 6)):
            self.pass_time()
        self.tick_elapsed_ns = 0
        self.read_from_ns = self.now
        self.connect()

    # ── faults ──────────────────────────────────────────────────────────────────────────────

    def symbol(self) -> str:
        return self.chance.choice(SYMBOLS)

    def kill_stream(self) -> None:
        """The events of one symbol no longer arrive on one connection."""
        if self.links:
            self.links[self.chance.choice([*self.links])].deaf.add(self.symbol())

    def kill_streams(self) -> None:
        """… on none, perhaps not even on new ones."""
        symbol = self.symbol()
        for link in self.links.values():
            link.deaf.add(symbol)
        if self.chance.random() < 0.5:
            self.dead.add(symbol)

    def drop(self) -> None:
        """Some messages on their way on one connection never come."""
        link = self.links[self.chance.choice([*self.links])]
        self.pass_time()
        for message in [message for message in link.queue if message.is_event][:2]:
            link.queue.remove(message)

    def mute_one(self) -> None:
        if self.links:
            self.links[self.chance.choice([*self.links])].mute = True

    def mute_all(self) -> None:
        for link in self.links.values():
            link.mute = True

    def heal(self) -> None:
        """All streams live again, on all connections."""
        self.dead = set()
        for link in self.links.values():
            link.deaf, link.mute = set(), False

    def begin_ids_anew(self) -> None:
        place = self.places[self.symbol()]
        if place.market.last_id > 40:
            for _ in range(3):
                self.second()  # earlier ids are no longer on their way
            place.begin_anew(self.now)
            self.record.pages[place.symbol].began_anew = True

    def break_off(self) -> None:
        """The list says so before the first order vanishes."""
        place = self.places[self.symbol()]
        if place.status == "TRADING":
            place.status = "CLOSING"
            self.second()
            self.second()
            place.status = "BREAK"
            self.feed(SymbolListing(self.wall, place.symbol, "BREAK", "0.01", "0.001"))

    def trade_again(self) -> None:
        """The list says so, or the first event does."""
        for place in self.places.values():
            if place.status != "TRADING":
                place.status = "TRADING"
                if self.chance.random() < 0.7:
                    self.feed(SymbolListing(self.wall, place.symbol, "TRADING", "0.01", "0.001"))

    def halt(self) -> None:
        """Events continue."""
        symbol = self.symbol()
        if self.places[symbol].status == "TRADING":
            self.feed(SymbolListing(self.wall, symbol, "HALT", "0.01", "0.001"))

    def pause(self) -> None:
        """The recorder stands still; messages that arrived meanwhile are read at the end, after a late tick."""
        self.deliver()
        for _ in range(self.chance.randint(6, 60)):
            self.pass_time()
        self.wake()

    def pause_and_lose(self) -> None:
        """… and meanwhile the exchange has given up on a connection."""
        self.deliver()
        lose = self.chance.random() < 0.7 and self.links
        gone = self.chance.choice([*self.links]) if lose else 0
        until = self.chance.randint(1, 20)
        for n in range(self.chance.randint(6, 60)):
            self.pass_time()
            if n == until and gone:
                self.links[gone].mute = True
        self.wake(gone)

    def wake(self, gone: int = 0) -> None:
        """The tick comes first, then every message that waited, stamped now."""
        self.read_from_ns, self.was_paused = self.now, True
        self.tick(late=True)
        if gone in self.links:
            self.close(gone)
        self.deliver()

    def set_clock(self) -> None:
        step_ns = self.chance.choice([-50, -7, -1, 3, 40]) * SECOND
        if self.chance.random() < 0.3:
            step_ns = -SECOND // 5
        self.wall_ahead_ns += step_ns
        if self.pulse_due_ns is not None and step_ns <= -SECOND:
            self.asked_wall_ns += step_ns
        self.feed(ClockStep(self.wall, step_ns))

    def cut(self) -> None:
        if self.links:
            self.close(self.chance.choice([*self.links]))

    def connect_more(self) -> None:
        if len(self.links) < 3:
            self.connect()

    def repeat(self) -> None:
        """Some old events arrive again, from any connection: late duplicates."""
        old = [frame for frame in self.tape[-200:] if self.may_repeat(frame)]
        connection = self.chance.choice([*self.links])
        begin = self.chance.randint(0, len(old))
        for payload in [frame.payload for frame in old[begin : begin + 4]]:
            self.feed(StreamMessage(self.wall, connection, payload))

    def may_repeat(self, frame: TapeRecord) -> TypeGuard[StreamMessage]:
        """Whether to repeat an event: when ids started over, a copy would look like another restart."""
        is_event = isinstance(frame, StreamMessage) and b"depthUpdate" in frame.payload
        return is_event and not any(place.generation for place in self.places.values())

    def make_rest_bad(self) -> None:
        self.rest_fails = self.chance.choice([0.3, 0.8, 1.0])

    def make_rest_stale(self) -> None:
        self.stale = self.chance.choice([0.3, 0.6])
        self.was_stale = True

    def make_rest_good(self) -> None:
        self.rest_fails = self.stale = 0.0

    def be_late(self) -> None:
        self.late_pulses = True

    def grow_quiet(self) -> None:
        """Nothing happens for a long time, which is not a fault."""
        self.rates[BUSY] = 0.0

    def grow_busy(self) -> None:
        self.rates[BUSY] = 0.9


def top(place: Place) -> TopLevels:
    market = place.market
    bids, asks = market.at(market.last_id)
    sides = doubles(bids, best_is_highest=True), doubles(asks, best_is_highest=False)
    return TopLevels(market.symbol, market.last_id, *sides)


Step: TypeAlias = Callable[[World], None]

HONEST: Final[tuple[Step, ...]] = (
    World.rotate,
    World.repeat,
    World.connect_more,
    World.pause,
    World.halt,
    World.grow_quiet,
    World.grow_busy,
    World.be_late,
)
"""None of these is a reason for a gap."""

FAULTS: Final[tuple[Step, ...]] = (
    World.kill_stream,
    World.kill_streams,
    World.kill_streams,
    World.mute_one,
    World.drop,
    World.drop,
    World.mute_all,
    World.begin_ids_anew,
    World.break_off,
    World.pause_and_lose,
    World.set_clock,
    World.cut,
    World.restart,
    World.make_rest_bad,
    World.make_rest_stale,
)
HEALING: Final[tuple[Step, ...]] = (World.heal, World.trade_again, World.make_rest_good)


def play_world(chance: Random, *, honest: bool = False, only: tuple[Step, ...] = ()) -> World:
    """One script, of any faults or of these only. Raises `ledger.Violation` when a promise is broken."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(book_checks, "SPACING_NS", 2 * SECOND)
        world = World(chance)
        world.record.honest = honest
        for _ in range(6):
            world.second()
        steps = chance.sample(HONEST, 2)
        if only:
            steps = [*only]
        elif not honest:
            steps += [*chance.sample(FAULTS, chance.randint(1, 3)), *HEALING]
        for _ in range(chance.randint(3, 10)):
            chance.choice(steps)(world)
            for _ in range(chance.choice([1, 2, 5, 12, 25])):
                world.second()
        world.settle()
    return world
