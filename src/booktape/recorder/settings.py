"""The settings of a recorder: what to record, from where, and how."""

from __future__ import annotations

import secrets
from ctypes import Array, c_double
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from zlib import crc32

import structlog

from booktape import __version__
from booktape.core.tape_records import FORMAT, SegmentStart
from booktape.errors import UsageError
from booktape.processes.terminal import counted
from booktape.wire.endpoints import DEPTH, Venue
from booktape.wire.exchange_info import ExchangeInfo, SymbolInfo
from booktape.wire.limits import CONNECTION_LIFE_S, DEPTH_MAX
from booktape.wire.trades import TRADE
from booktape.wire.witness import DEPTH20, SUFFIXES

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Partition:
    """One worker's part of the symbols: each symbol belongs to exactly one worker, and always to the same one.

    `run` names the recorder that all workers belong to; it is empty without workers. `pause_memory` is memory that
    all of them share: it says until when the exchange wants no requests from their address, whichever worker received
    that answer (`net/request_pause.py`).
    """

    index: int = 0
    count: int = 1
    run: str = ""
    pause_memory: Array[c_double] | None = None

    @property
    def tag(self) -> str:
        """The end of the names of this worker's segments."""
        return f"{self.run}w{self.index}" if self.run else secrets.token_hex(4)

    def owns(self, symbol: str) -> bool:
        """Whether a symbol belongs to this worker.

        Known weakness: how busy a symbol is does not count; this evens out only over many symbols.
        """
        return crc32(symbol.encode()) % self.count == self.index


@dataclass(frozen=True, slots=True)
class SymbolShard:
    """One machine's part of the symbols: shard 2 of 3 is written 2/3, and 1/1 has all symbols.

    Each shard draws a number for a symbol, from a hash of both, and the shard with the highest number has the symbol
    (rendezvous hashing). So a symbol stays where it is when others are listed, and when a shard is added, only the
    symbols that the new shard wins move: a third of them when going from two to three. The hash differs from that of
    `Partition`; otherwise one of several workers would get nearly all symbols of its shard.
    """

    number: int = 1
    count: int = 1

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def owns(self, symbol: str) -> bool:
        """Whether a symbol belongs to this shard. How busy it is does not count."""

        def draw(number: int) -> bytes:
            return blake2b(f"{number}/{symbol}".encode(), digest_size=8).digest()

        return self.number == max(range(1, self.count + 1), key=draw)


@dataclass(frozen=True, slots=True)
class Settings:
    """`symbols` are in the exchange's upper case.

    Without symbols, all that trade against `quote_asset` (None: any asset) are recorded, including those that are
    listed while the recorder runs.
    """

    venue: Venue
    symbols: tuple[str, ...]
    every: int
    out: Path
    depth: int = DEPTH_MAX
    connections: int = 1
    segment_s: float = 3_600
    duration_s: float | None = None
    connection_life_s: float = CONNECTION_LIFE_S
    rollover_at_s: float | None = None
    witness: str = DEPTH20
    audit_s: float = 900.0
    pulse_s: float = 30.0
    trades: bool = False
    quote_asset: str | None = None
    partition: Partition = Partition()
    shard: SymbolShard = SymbolShard()

    @property
    def suffixes(self) -> tuple[str, ...]:
        """The suffixes of the streams that are recorded for each symbol."""
        witness = (SUFFIXES[self.witness],) if self.witness in SUFFIXES else ()
        return (DEPTH, *witness, *((TRADE,) if self.trades else ()))

    def shown(self) -> list[tuple[str, str]]:
        """Every setting, by the name of the option that sets it."""
        whole = f"all that trade against {self.quote_asset}" if self.quote_asset else "all"
        rollover = "in the last hour" if self.rollover_at_s is None else f"{self.rollover_at_s:g} s"
        return [
            ("exchange", self.venue.title),
            ("rest-url", " ".join(self.venue.rest_urls)),
            ("ws-url", " ".join(self.venue.ws_urls)),
            ("symbols", " ".join(self.symbols) or whole),
            ("shard", str(self.shard)),
            ("every", counted(self.every, "update")),
            ("out", str(self.out.absolute())),
            ("duration", "until a signal" if self.duration_s is None else f"{self.duration_s:g} s"),
            ("depth", counted(self.depth, "level")),
            ("connections", str(self.connections)),
            ("segment", f"{self.segment_s:g} s"),
            ("rollover-at", rollover),
            ("witness", self.witness),
            ("audit", f"{self.audit_s:g} s" if self.audit_s else "never"),
            ("pulse", f"{self.pulse_s:g} s" if self.pulse_s else "never"),
            ("also", "trade" if self.trades else "nothing"),
        ]

    def checked(self, info: ExchangeInfo | None) -> ExchangeInfo:
        """What the exchange lists; if it has no list (None), the symbols themselves, unchecked.

        Raises UsageError for a symbol that the exchange does not list, and if there is nothing to record.
        """
        if info is None:
            log.warning("the server has no exchangeInfo: symbols are not checked")
            info = ExchangeInfo({symbol: SymbolInfo(symbol) for symbol in self.symbols})
        info.check(self.symbols, self.venue.title)
        if not self._chosen(info):
            of_shard = f" in shard {self.shard}" if self.shard.count > 1 else ""
            raise UsageError(
                f"{self.venue.title} lists no symbol{of_shard} that now trades against this asset."
            )
        return info

    def wanted(self, info: ExchangeInfo) -> tuple[str, ...]:
        """The symbols to record, as the exchange now lists them; a worker may have none."""
        return tuple(filter(self.partition.owns, self._chosen(info)))

    def _chosen(self, info: ExchangeInfo) -> tuple[str, ...]:
        return tuple(filter(self.shard.owns, self.symbols or info.trading(self.quote_asset)))

    def warn_of_large_sizes(self, info: ExchangeInfo, symbols: tuple[str, ...]) -> None:
        """Log which of these symbols may, by the exchange's own limits, have sizes that no double can hold.

        They are recorded all the same: the largest allowed order hardly ever occurs.
        """
        for symbol in symbols:
            listed = info.symbols.get(symbol)
            if listed and not listed.sizes_are_exact():
                log.warning(
                    "sizes may need more digits than a double holds",
                    symbol=symbol,
                    largest=listed.max_quantity,
                    step=listed.step_size,
                )

    def start(self, now_ns: int, symbols: tuple[str, ...]) -> SegmentStart:
        """The first record of a tape with these symbols."""
        return SegmentStart(
            now_ns,
            __version__,
            self.venue.title,
            self.every,
            self.depth,
            symbols,
            self.witness,
            self.audit_s,
            FORMAT,
            self.pulse_s,
            shard=str(self.shard) if self.shard.count > 1 else "",
            trades=self.trades,
        )
