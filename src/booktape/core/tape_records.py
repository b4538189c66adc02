"""The records of a tape: everything that a book may depend on.

`StreamMessage`, `DepthAnswer` and `TradesAnswer` hold the exchange's own bytes. The other records are
ours: they hold what time or the operating system decided, so that reading a tape depends on neither.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, TypeAlias

from booktape.core.events import GapInterval, Level, WaitingEvent
from booktape.core.trades import TradeState

ROTATED: Final = "rotated"
"""A segment that ends this way continues in the next one. Any other end is a reason for a gap (core/gap_reasons.py)."""

TRADING: Final = "TRADING"
DELISTED: Final = "DELISTED"
NO_MARKET_DATA: Final = frozenset({"BREAK", "END_OF_DAY"})
"""Statuses in which the exchange generates no market data, although orders can be cancelled. So the book
of such a symbol is not known, however quiet its stream is."""

FORMAT: Final = 2
"""The format of tapes written now. On tapes of format 1 there is no `Tick`, a row has the stamp of its last
record, and the gap after a lost connection begins at that connection's last sign of life."""


@dataclass(frozen=True, slots=True)
class StreamMessage:
    """One WebSocket message, byte for byte, stamped when it was read from the socket."""

    received_ns: int
    connection: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class DepthAnswer:
    """The body of one REST `/depth` answer, which itself names neither symbol nor limit."""

    received_ns: int
    symbol: str
    limit: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class TradesAnswer:
    """The body of one REST `/historicalTrades` answer, to a request for the trades from `from_id` on."""

    received_ns: int
    symbol: str
    from_id: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Connected:
    """This connection is open and subscribed to these symbols."""

    received_ns: int
    connection: int
    symbols: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The connection is lost. `alive_ns` is its last sign of life.

    That sign does not prove a book current: a subscription can be dead while its connection answers
    pings. So the gap begins at the book's own last evidence (on tapes of format 1: at `alive_ns`).
    `reason` goes into the gap (`disconnected`, `stopped`, `killed`), `detail` into the log.
    """

    received_ns: int
    connection: int
    alive_ns: int
    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed. Ticks are written once a second; the pure function knows no other clock.

    `elapsed_ns` is the steady time since the previous tick. A late tick shows that this process paused:
    messages that arrived during the pause were stamped when it ended, and come after the tick.
    """

    received_ns: int
    elapsed_ns: int


@dataclass(frozen=True, slots=True)
class Pulse:
    """The best levels of the symbols that were quiet, from one answer that held those of all symbols.

    `asked_ns` is when the request was sent. `tops` holds the price and size of the best bid and of the
    best ask, as the exchange wrote them; an empty side has price and size 0.
    """

    received_ns: int
    asked_ns: int
    tops: dict[str, tuple[str, str, str, str]]


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """How far our clock is ahead of the exchange's, give or take `error_ns` (half a round trip)."""

    received_ns: int
    offset_ns: int
    error_ns: int


@dataclass(frozen=True, slots=True)
class HoldExpired:
    """An event of this symbol has waited long enough for the missing one before it.

    Only on tapes of format 1: since format 2 this follows from the ticks.
    """

    received_ns: int
    symbol: str


@dataclass(frozen=True, slots=True)
class SnapshotRequested:
    """The request for a symbol's snapshot has just been sent. Its answer comes later, or never."""

    received_ns: int
    symbol: str
    limit: int


@dataclass(frozen=True, slots=True)
class SymbolListing:
    """One symbol in the exchange's list of symbols, written when first seen and when it changes.

    `status` is the exchange's word (TRADING, HALT, BREAK …), or our own word DELISTED for a symbol that the
    list no longer has. `tick_size` and `lot_size` are the steps of prices and sizes, as the exchange writes
    them; empty if there is none.
    """

    received_ns: int
    symbol: str
    status: str
    tick_size: str = ""
    lot_size: str = ""


@dataclass(frozen=True, slots=True)
class ClockStep:
    """Our wall clock moved relative to the steady one: it was set, or the machine slept."""

    received_ns: int
    step_ns: int


@dataclass(frozen=True, slots=True)
class SegmentStart:
    """The first record of a tape: who recorded what, how often a row is due, and which checks were made.

    `continues` names the segments that this one continues: the previous one, or the last ones of earlier
    recorders. It is None on tapes that do not name them. `shard` is 2/3 for the second of three machines
    that divide the symbols. `trades`: whether the trades of the symbols were recorded as well.
    """

    received_ns: int
    version: str
    exchange: str
    every: int
    depth: int
    symbols: tuple[str, ...]
    witness: str = "none"
    audit_s: float = 0.0
    format: int = 1
    pulse_s: float = 0.0
    continues: tuple[str, ...] | None = None
    shard: str = ""
    trades: bool = False


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """All that is known of one symbol, so that a segment can be read without those before it.

    A symbol that is no longer recorded has a checkpoint too, because its epoch must never go back.

    The field names are those on the tape. `passed`, `reached` and `ahead` are `last_released`,
    `last_by_connection` and `buffered` of the symbol's feed (core/arbitration.py).
    """

    received_ns: int
    symbol: str
    state: str
    epoch: int
    update_id: int
    updates: int
    event_time_us: int | None
    known_ns: int
    attempt: int
    gap: GapInterval | None
    bid_horizon: float | None
    ask_horizon: float | None
    bids: list[Level]
    asks: list[Level]
    held: list[WaitingEvent]
    passed: int | None = None
    reached: dict[int, int | None] = field(default_factory=dict)
    ahead: list[WaitingEvent] = field(default_factory=list)
    status: str = TRADING
    audit_due_ns: int = 0
    asked_ns: int = 0
    tick_size: str = ""
    lot_size: str = ""
    synced_ns: int = 0
    stamp_ns: int = 0
    evidence_age_ns: int = 0
    newest_us: int = 0
    newest_id: int = 0
    trades: TradeState | None = None


@dataclass(frozen=True, slots=True)
class SegmentEnd:
    """The end of a segment: it `rotated` into the next one, or the recorder was `stopped` or `killed`.

    After `stopped` or `killed` all connections count as lost, and a last checkpoint of each symbol
    follows.
    """

    received_ns: int
    reason: str


TapeRecord: TypeAlias = (
    StreamMessage
    | DepthAnswer
    | TradesAnswer
    | Connected
    | Disconnected
    | Tick
    | Pulse
    | HoldExpired
    | SnapshotRequested
    | SymbolListing
    | ClockStep
    | ClockOffset
    | SegmentStart
    | Checkpoint
    | SegmentEnd
)
