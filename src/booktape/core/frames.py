"""The tape's alphabet: everything that may stand on a tape, and so all that a book may depend on.

Two kinds are the exchange's own bytes (`StreamFrame`, `RestFrame`). The others are our notes: what
time or the operating system decided is written down, so that a reading of the tape needs neither.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, TypeAlias

from booktape.core.events import Gap, Held, Level

ROTATED: Final = "rotated"
STOPPED: Final = "stopped"
KILLED: Final = "killed"
DISCONNECTED: Final = "disconnected"
NO_TAPE: Final = "no_tape"

TRADING: Final = "TRADING"
DELISTED: Final = "DELISTED"


@dataclass(frozen=True, slots=True)
class StreamFrame:
    """One WebSocket message, byte for byte, stamped where it left the socket."""

    received_ns: int
    connection: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class RestFrame:
    """The body of one REST `/depth` answer, which itself names neither symbol nor limit."""

    received_ns: int
    symbol: str
    limit: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Connected:
    """The subscription to these symbols stands on this connection."""

    received_ns: int
    connection: int
    symbols: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The connection is gone. Until `alive_ns` (its last sign of life) it had delivered all.

    TCP delivers in order: whatever the exchange sent before that sign had arrived by then.
    `reason` is what a gap will say (`disconnected`, `stopped`, `killed`), `detail` is for people.
    """

    received_ns: int
    connection: int
    alive_ns: int
    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class HoldExpired:
    """An event of this symbol ran ahead, and waited long enough for what is missing before it."""

    received_ns: int
    symbol: str


@dataclass(frozen=True, slots=True)
class Asked:
    """The request for a symbol's snapshot has just left. Its answer comes later, or never."""

    received_ns: int
    symbol: str
    limit: int


@dataclass(frozen=True, slots=True)
class Listed:
    """What the exchange's list of symbols says of one, written down when it changes.

    `status` is the exchange's word (TRADING, HALT, BREAK …), or ours for one that is not listed any
    more: DELISTED.
    """

    received_ns: int
    symbol: str
    status: str


@dataclass(frozen=True, slots=True)
class ClockStep:
    """Our wall clock moved against the steady one: it was set, or the machine slept."""

    received_ns: int
    step_ns: int


@dataclass(frozen=True, slots=True)
class SegmentStart:
    """First line of a tape: who recorded, what, how often a row was due, and what proves it."""

    received_ns: int
    version: str
    exchange: str
    every: int
    depth: int
    symbols: tuple[str, ...]
    witness: str = "none"
    audit_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """All that is known of one symbol, so that a segment can be read without those before it.

    A symbol that is not recorded now has one too: its epoch must never fall back.
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
    gap: Gap | None
    bid_horizon: float | None
    ask_horizon: float | None
    bids: list[Level]
    asks: list[Level]
    held: list[Held]
    passed: int | None = None
    reached: dict[int, int | None] = field(default_factory=dict)
    ahead: list[Held] = field(default_factory=list)
    status: str = TRADING
    audit_due_ns: int = 0
    asked_ns: int = 0


@dataclass(frozen=True, slots=True)
class SegmentEnd:
    """The end of a segment: `rotated` into the next one, or the recorder was `stopped` or `killed`.

    After the latter two all connections count as lost, and a last checkpoint of each symbol follows.
    """

    received_ns: int
    reason: str


Frame: TypeAlias = (
    StreamFrame
    | RestFrame
    | Connected
    | Disconnected
    | HoldExpired
    | Asked
    | Listed
    | ClockStep
    | SegmentStart
    | Checkpoint
    | SegmentEnd
)
