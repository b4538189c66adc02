"""What the server plays: the seeded market or a recording, behind one small door."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from booktape.core.checks import BookTicker
from booktape.core.events import DepthEvent
from booktape.sim.faults.market import Incidents
from booktape.sim.faults.replies import Old
from booktape.wire.encode import encode_combined, encode_event
from booktape.wire.exchange_info import SymbolInfo


class Message(Protocol):
    """One message of one stream, the same for every client that subscribed to it."""

    @property
    def stream(self) -> str:
        """The stream's name, such as `btcusdt@depth@100ms`."""

    @property
    def event(self) -> DepthEvent | None:
        """What it says, when it is a depth event."""

    def payload(self, *, combined: bool, microseconds: bool) -> bytes:
        """As a client of `/stream` (combined) or `/ws` gets it."""


class Source(Protocol):
    """Something that happens in time, and is moved on by somebody who has a clock."""

    @property
    def patient(self) -> bool:
        """Whether to wait for a slow client rather than to cut it."""

    def symbols(self) -> Sequence[SymbolInfo]:
        """What `exchangeInfo` lists."""

    def obey(self, incidents: Incidents) -> None:
        """Let these happen. Called once, before `start`; raises UsageError for what it cannot do."""

    def want(self, streams: Collection[str]) -> None:
        """Somebody listens to these streams, and to no others. Without it, nothing is known of that."""

    def start(self, time_us: int) -> None:
        """The exchange's clock shows `time_us` at second 0. Called once, before `advance`."""

    def due_s(self) -> float | None:
        """Seconds from the start until the next `advance`; None when nothing comes any more."""

    def advance(self) -> Sequence[Message]:
        """Do what is due, and return what is to be sent."""

    def depth(self, symbol: str, limit: int, fraction: float) -> bytes | None:
        """The body of a `/depth` answer; None when the book is not known now.

        `fraction` (0 to 1) is the part of the time until the next `advance` that has passed.
        """

    def old_depth(self, symbol: str, limit: int, old: Old) -> bytes | None:
        """The body of a `/depth` answer of some time ago."""

    def top(self, symbol: str, fraction: float) -> BookTicker | None:
        """The best level of each side, as `depth` would show it; None when the book is not known."""

    def holds(self, symbol: str) -> bool:
        """Whether a request that found no book should wait until there is one."""


class EventMessage:
    """A depth event, encoded at most once for each kind of client."""

    __slots__ = ("_payloads", "event", "stream")

    def __init__(self, event: DepthEvent) -> None:
        self.event = event
        self.stream = depth_stream(event.symbol)
        self._payloads: dict[tuple[bool, bool], bytes] = {}

    def payload(self, *, combined: bool, microseconds: bool) -> bytes:
        """See `Message`."""
        key = combined, microseconds
        if key not in self._payloads:
            raw = encode_event(self.event, microseconds=microseconds)
            self._payloads[key] = encode_combined(self.stream, raw) if combined else raw
        return self._payloads[key]


def depth_stream(symbol: str) -> str:
    """The name of a symbol's depth stream: lower-case, not percent-encoded."""
    return f"{symbol.lower()}@depth@100ms"
