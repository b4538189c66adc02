"""What the server plays: the seeded market or a recording, behind one small door."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from booktape.core.checks import BookTicker
from booktape.sim.faults.market import MarketFaults
from booktape.sim.faults.replies import Old
from booktape.sim.messages import Message
from booktape.wire.exchange_info import SymbolInfo


class Source(Protocol):
    """Something that happens in time, and is moved on by somebody who has a clock."""

    @property
    def patient(self) -> bool:
        """Whether to wait for a slow client rather than to cut it."""

    def symbols(self) -> Sequence[SymbolInfo]:
        """What `exchangeInfo` lists."""

    def apply_faults(self, incidents: MarketFaults) -> None:
        """Let these happen. Called once, before `start`; raises UsageError for what it cannot do."""

    def want(self, streams: Collection[str]) -> None:
        """Somebody listens to these streams, and to no others. Without it, nothing is known of that."""

    def start(self, time_us: int) -> None:
        """The exchange's clock shows `time_us` at second 0. Called once, before `advance`."""

    def due_s(self) -> float | None:
        """Seconds from the start until the next `advance`; None when nothing comes any more."""

    def advance(self) -> Sequence[Message]:
        """Do what is due, and return what is to be sent."""

    def depth(self, symbol: str, limit: int, fraction: float, /) -> bytes | None:
        """The body of a `/depth` answer; None when the book is not known now.

        `fraction` (0 to 1) is the part of the time until the next `advance` that has passed.
        """

    def old_depth(self, symbol: str, limit: int, old: Old, /) -> bytes | None:
        """The body of a `/depth` answer of some time ago."""

    def top(self, symbol: str, fraction: float, /) -> BookTicker | None:
        """The best level of each side, as `depth` would show it; None when the book is not known."""

    def holds(self, symbol: str, /) -> bool:
        """Whether a request that found no book should wait until there is one."""
