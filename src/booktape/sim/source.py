"""What the server plays: the seeded market or a recording."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from booktape.core.checks import BookTicker
from booktape.core.trades import Trade
from booktape.sim.faults.base import Old
from booktape.sim.faults.market import MarketFaults
from booktape.sim.messages import Message
from booktape.wire.exchange_info import SymbolInfo


class Source(Protocol):
    """A course of events without a clock: the server's pacer advances it."""

    @property
    def patient(self) -> bool:
        """Whether to wait for a slow client rather than to cut it."""

    def symbols(self) -> Sequence[SymbolInfo]:
        """What `exchangeInfo` lists now; the names stay the same."""

    def apply_faults(self, faults: MarketFaults) -> None:
        """Let these happen. Called once, before `start`; raises UsageError for an impossible one."""

    def want(self, streams: Collection[str]) -> None:
        """Clients are subscribed to these streams, and to no others."""

    def start(self, time_us: int) -> None:
        """The exchange's clock shows `time_us` at second 0. Called once, before `advance`."""

    def due_s(self) -> float | None:
        """Seconds from the start until the next `advance`; None when nothing more will come."""

    def advance(self) -> Sequence[Message]:
        """Do what is due, and return what is to be sent."""

    def depth(
        self, symbol: str, limit: int, fraction: float, old: Old | None = None, /
    ) -> bytes | None:
        """The body of a `/depth` answer, or of an `old` one; None while the book is not known.

        `fraction` (0 to 1) is the part of the time until the next `advance` that has passed.
        """

    def top(self, symbol: str, fraction: float, /) -> BookTicker | None:
        """The best level of each side, as in `depth`; None while the book is not known."""

    def trades(self, symbol: str, from_id: int | None, limit: int, /) -> Sequence[Trade]:
        """At most `limit` trades from this id on, or from the oldest that it still has; None: the newest."""

    def holds(self, symbol: str, /) -> bool:
        """Whether a request that found no book should wait until there is one."""
