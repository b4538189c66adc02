"""All faults of one exchange: a sequence of lies. Without any, the exchange is honest.

    Faults.of(Drop(Messages(probability=0.01)), Cuts(every_s=3, spare=1))
    Faults.parse("drop=0.01,cuts=3")
    Faults.parse("script.toml")

Every kind of a script, and its keys. Times are seconds of exchange time, counted from the market's
beginning; before it, time stands at 0 (a client who is told a lie at the door begins it too). Only
`retry_after_s` and the firewall's `seconds` are in the clients' own seconds.

    kind             what happens                                         keys (+ M, A: see below)
    ───────────────  ───────────────────────────────────────────────────  ────────────────────────
    drop             a message is lost                                    + M
    gap              `count` consecutive events of a stream are lost      count + M
    deaf             subscriptions die, connections and pings go on       opened_by_s + M
    repeat           a message is sent again, perhaps late                times, after_s + M
    delay            a connection is late; its order stays                seconds, jitter_s, seed + M
    stall            no frame for a while, then all; pings go on          start_s, end_s, connection, of
    garbage          what is no event comes before (or instead of) one    form, instead, seed + M
    close            the connection ends right after a message            abrupt, code, reason + M
    cut              open connections end at a time                       at_s, abrupt, connection, of,
                                                                          code, reason
    cuts             one connection at a time ends, every few seconds     every_s, start_s, end_s, spare,
                                                                          settled_s, abrupt, seed
    lifetime         each connection ends at an age                       seconds, abrupt, jitter_s,
                                                                          connection, of, code,
                                                                          reason, seed
    half-open        open connections carry nothing more, and do not end  at_s, connection, of
    server-shutdown  `serverShutdown`, and the end `lead_s` later         at_s, lead_s, abrupt,
                                                                          connection, of
    outage           nobody gets in, nobody stays                         start_s, end_s, silent
    refuse           a client at the door is reset                        + A
    hang             a request or handshake is never answered             + A
    status           403, 451, 5xx                                        status + A
    too-fast         429 or 418 with Retry-After, or with it in the body  retry_after_s, status,
                                                                          told + A
    firewall         403 for so long; who comes meanwhile prolongs it     seconds + A
    html             a page with status 200                               + A
    slow             the answer to a request comes late                   seconds + A
    half             half the JSON, and a length that fits                + A
    truncate         half the body, the length of all, the end            + A
    stale            a snapshot from some time ago                        seconds, events + A
    rest-error       500, 503, 429, half a body, 418 in turn              + A
    wrong-snapshot   one level of a snapshot is wrong                     wrong, side, place, seed + A
    hide             an event is lost, and the ids chain nevertheless     + M
    wrong-event      one level of an event is wrong                       wrong, seed + M
    stale-witness    a witness says what it said before                   messages, relabelled + M
    halt             a symbol does not trade; orders are cancelled        symbol, start_s, end_s, shown,
                                                                          cancels_per_s
    delist           a symbol is gone                                     symbol, at_s
    list             a symbol is new, and perhaps opens later             symbol, at_s, opens_s
    ids-reset        ids count anew, of a book that may be another        at_s, symbol, first_id, blank
    tick-size        the tick size changes; what is there stays           symbol, at_s, factor, finer
    cap              two sizes are told as the largest there is, or more  symbol, at_s, listed
    fall             the price falls by a share, and comes back           symbol, start_s, end_s, by
    huge             one event with very many levels                      symbol, at_s, levels_count
    clock-step       the exchange's clock jumps                           at_s, by_s

M, which messages: start_s, end_s, connection, of, symbol, stream, first, last, probability, everywhere, seed
A, which clients: start_s, end_s, door, path, symbol, first, last, probability, seed

All connections fall silent with `deaf` alone (then pings are answered) or `half-open` (then not).
Nothing that is sent afterwards need betray these; who only listens takes them for a quiet market.
Silent: deaf, ids-reset. So is a halt that shows BREAK or END_OF_DAY, until the symbol trades again.

`connection` is a number, from 0 in the order of coming; with `of` every `of`-th one from there.
Any entry but the market's own (halt … clock-step) can have `host`, 1 or 2: then only that host of
the exchange tells the lie. Connections of both are counted together.
`stream` is depth, depth5, depth10, depth20 or bookTicker. hide, wrong-event and stale-witness are
told to all connections alike; with wrong-snapshot they are what nothing in the data betrays.
Weaknesses: with infinite speed there is no clock, so whatever is no message's time is real seconds.
A recording can be delayed, cut and garbled, but has neither incidents nor older books.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from heapq import merge
from math import ceil
from pathlib import Path
from typing import Final, Self

from booktape.sim.faults import parse, parse_short
from booktape.sim.faults.actions import Moment, Send, Step
from booktape.sim.faults.conditions import Attempt, Delivery
from booktape.sim.faults.market import Incidents, MarketFault
from booktape.sim.faults.messages import Fault
from booktape.sim.faults.replies import DoorStep
from booktape.sim.faults.requests import Stale

_TOML: Final = ".toml"
_EVENTS_PER_S: Final = 10


@dataclass(frozen=True)
class Faults:
    """All lies of one host, asked in order.

    `second` are those of an exchange's second host, where they are others.
    """

    lies: tuple[Fault, ...] = ()
    second: tuple[Fault, ...] | None = None

    @classmethod
    def of(cls, *lies: Fault) -> Self:
        """These lies."""
        return cls(lies)

    @classmethod
    def parse(cls, text: str, seed: int = 0) -> Self:
        """The faults of a script (a path that ends in .toml), or those that a text names.

        A text is comma-separated, and none for an empty one:

        drop=P            lose a message with probability P, on each connection on its own; likewise
                          repeat and garbage; likewise, to all connections alike, hide,
                          wrong-event and stale-witness
        close=S           end each connection with a close frame after S seconds
        close=Nmsg        … after N messages
        cut=S, cut=Nmsg   the same without a goodbye
        cuts=S            cut one connection every S seconds or so
        shutdown=S        announce `serverShutdown` at second S, cut 10 s later
        refuse=P          reset a new connection or REST request with probability P; likewise hang,
                          and status (503)
        outage=A-B        from second A to second B all are reset, and nobody stays
        rest-error=P      answer a REST request with 500, 503, 429, half a body or 418, with
                          probability P; likewise too-fast, html, half, truncate and
                          wrong-snapshot
        stale=S           snapshots are S seconds old

        Raises UsageError, whose sentence names what cannot be read.
        """
        if text.endswith(_TOML):
            return cls(*parse.load(Path(text), seed))
        return cls(parse_short.read(text, seed))

    def of_second(self) -> Self:
        """Those of the second host."""
        return type(self)(self.lies if self.second is None else self.second)

    def answers(self, attempt: Attempt) -> DoorStep | None:
        """The first lie that any has to tell."""
        return next((told for lie in self.lies if (told := lie.answers(attempt))), None)

    def fate(self, connection: int) -> list[Step]:
        """All that any lie has in mind for this connection."""
        return [step for lie in self.lies for step in lie.fate(connection)]

    def sends(self, delivery: Delivery) -> list[Step]:
        """What becomes of one message: each lie works on what the one before it left."""
        steps: list[Step] = [Send(delivery.payload)]
        for lie in self._about_messages:
            steps = lie.sends(delivery, steps)
        return steps

    def moments(self) -> Iterator[Moment]:
        """All timetables as one, in the order of time; perhaps without end."""
        return merge(*(lie.timetable() for lie in self.lies), key=lambda moment: moment.at_s)

    @property
    def touch_messages(self) -> bool:
        """Whether any lie is about messages. Without one they need not be asked."""
        return bool(self._about_messages)

    @cached_property
    def incidents(self) -> Incidents:
        """What the market itself has to do."""
        old = (lie for lie in self.lies if isinstance(lie, Stale))
        memory = (max(lie.events, ceil(lie.seconds * _EVENTS_PER_S) + 1) for lie in old)
        told = tuple(lie for lie in self.lies if isinstance(lie, MarketFault))
        return Incidents(told, max(memory, default=0))

    @cached_property
    def _about_messages(self) -> list[Fault]:
        return [lie for lie in self.lies if type(lie).sends is not Fault.sends]
