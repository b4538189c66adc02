"""`booktape record`: from options to a running recorder."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import structlog
from cyclopts import Parameter

from booktape.commands.options import (
    Addresses,
    Depth,
    Kept,
    NamedPath,
    Positive,
    Processes,
    address,
    seconds,
    shard_of,
    time_of_day_s,
)
from booktape.commands.prune import kept
from booktape.commands.ship import bucket_at, keep_s
from booktape.errors import BadSettings, UsageError
from booktape.net.clock import SystemClock
from booktape.net.session import proxy_for
from booktape.processes import terminal, tuning
from booktape.processes.terminal import log_to_stderr, never_wait_for_stdout
from booktape.recorder.preflight import try_out
from booktape.recorder.recorder import Recorder
from booktape.recorder.run import RecorderLike, run_until_signalled
from booktape.recorder.settings import Settings, SymbolShard
from booktape.recorder.shipping import ShippingRecorder
from booktape.recorder.workers import Workers
from booktape.retention.beside import PruningRecorder
from booktape.retention.prune import Rules
from booktape.ship.shipper import Shipper
from booktape.sim.market.listing import LISTED, spot
from booktape.sim.market.market import Market
from booktape.sim.server.server import SimServer
from booktape.store.layout import Layout, can_be_stored
from booktape.store.target import check_archive
from booktape.web.guard import Address, parse_address
from booktape.web.live import LiveAnswers
from booktape.web.operations import operation_routes
from booktape.web.server import PageServer
from booktape.wire.endpoints import VENUES, Venue
from booktape.wire.exchange_info import ExchangeInfo, SymbolInfo
from booktape.wire.limits import DEPTH_MAX

if TYPE_CHECKING:
    from booktape.ship.bucket import Bucket

_HOSTS_MAX: Final = 2

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Company:
    """What runs beside the recorder: worker processes, a page, a shipper, and what removes old files."""

    workers: int
    page: Address | None
    bucket: Bucket | None
    ship_keep_s: float | None
    rules: Rules

    def beside(self, settings: Settings) -> RecorderLike:
        """A recorder with all of these except the page."""
        recorder: RecorderLike = (
            Workers(settings, self.workers) if self.workers > 1 else Recorder(settings)
        )
        if self.bucket is not None:
            shipper = Shipper(Layout(settings.out), self.bucket, keep_s=self.ship_keep_s)
            recorder = ShippingRecorder(recorder, shipper)
        if not self.rules.keep_all:
            recorder = PruningRecorder(recorder, settings.out, self.rules)
        return recorder


def record(  # noqa: PLR0913 each is one documented option
    *symbols: str,
    all_symbols: Annotated[bool, Parameter(name="--all", negative=())] = False,
    quote: str | None = None,
    every: Positive = 10,
    out: NamedPath = Path("data"),
    duration: str | None = None,
    exchange: Literal["binance", "binance-us", "demo", "testnet", "sim"] = "binance",
    rest_url: Addresses = (),
    ws_url: Addresses = (),
    depth: Depth = DEPTH_MAX,
    connections: Positive = 1,
    segment: str = "1h",
    rollover_at: str | None = None,
    witness: Literal["depth20", "bookTicker", "none"] = "depth20",
    audit: str = "15m",
    pulse: str = "30s",
    also: Literal["trade"] | None = None,
    workers: Processes = 1,
    web: str | None = None,
    shard: str | None = None,
    check: Annotated[bool, Parameter(negative=())] = False,
    ship: str | None = None,
    ship_keep: str = "all",
    keep: Kept = (),
    keep_tape: Kept = (),
) -> None:
    """Record full order books until Ctrl-C, which seals the files.

    To try it without a network: `booktape record BTCUSDT --exchange sim`.

    Parameters
    ----------
    symbols
        The symbols to record, such as BTCUSDT.
    all_symbols
        Record every symbol that trades, and those that are listed later.
    quote
        Record every symbol that trades against this asset, such as USDT, and those that are listed later.
    every
        N: one full snapshot every N updates of a symbol.
    out
        The archive's folder; made if missing, continued if it exists.
    duration
        Stop after this time: 20, 90s, 15m, 8h, 30d. If not given, stop at Ctrl-C.
    exchange
        The exchange to record; `demo` has live data, `sim` is built in and needs no network.
    rest_url
        An address to use instead of the exchange's own; /api/v3/… is appended. If two are given, the second one is
        used while the first cannot be reached.
    ws_url
        An address to use instead of the exchange's own; /stream?streams=… is appended. If two are given, every
        second connection goes to the second one.
    depth
        How many levels per side to request in a snapshot.
    connections
        How many connections carry each stream; a second one goes to the exchange's other host.
    segment
        How often files are sealed, at round times. Other tools can read only sealed files.
    rollover_at
        When to replace connections, once a day, without a gap: HH:MM in UTC. If not given, in the last of the
        24 hours that the exchange grants a connection.
    witness
        The other stream with which every book is compared as it changes.
    audit
        How often every book is compared with another snapshot; 0 for never.
    pulse
        How often the best prices of all symbols are requested, which prove quiet books current; 0 for
        never.
    also
        What else to record for each symbol: its trades.
    workers
        How many processes share the symbols.
    web
        Serve a page that shows the recorder, at a port or address such as 8080 or 127.0.0.1:8080; port 0 for any
        free port. Other machines can open the page only at a network address, such as 0.0.0.0:8080.
    shard
        Record a part of the symbols, such as 2/3 on the second of three machines.
    check
        Record nothing: show all settings, and test the folder, symbols, clock and open files. Exit code 78 if
        anything is wrong.
    ship
        Copy sealed segments to this bucket: s3://bucket/prefix, gs://…, az://… or file:///folder.
    ship_keep
        How long to keep shipped segments here: all, 0, or a time such as 7d.
    keep
        How much of everything to keep here, once it is verified: a time such as 365d, a size such as 500GB, or
        one of each.
    keep_tape
        How much of the tapes to keep here, likewise: a time such as 30d, or a size. The rows stay.
    """
    everything = all_symbols or quote is not None
    if not all(symbols) or not (symbols or everything):
        raise UsageError("Name at least one symbol, such as: booktape record BTCUSDT")
    if symbols and everything:
        raise UsageError("Name symbols, or choose them with --all or --quote, but not both.")
    part = shard_of(shard)
    venue = VENUES.get(exchange, VENUES["binance"])
    settings = Settings(
        venue,
        tuple(dict.fromkeys(symbol.upper() for symbol in symbols)),
        every,
        out,
        depth,
        connections,
        seconds("--segment", segment),
        None if duration is None else seconds("--duration", duration),
        rollover_at_s=None if rollover_at is None else time_of_day_s(rollover_at),
        witness=witness,
        audit_s=0.0 if audit == "0" else seconds("--audit", audit),
        pulse_s=0.0 if pulse == "0" else seconds("--pulse", pulse),
        trades=also == "trade",
        quote_asset=quote and quote.upper(),
        shard=SymbolShard(part.number, part.count),
    )
    rules = Rules(kept("--keep", keep), kept("--keep-tape", keep_tape))
    ways = (
        _addresses("--rest-url", rest_url, "http", "https"),
        _addresses("--ws-url", ws_url, "ws", "wss"),
    )
    never_wait_for_stdout()
    log_to_stderr()
    try:
        _check_names(settings)
        page = None if web is None else parse_address("--web", web)
        ship_keep_s = keep_s(ship_keep)
        bucket = _bucket(ship, ship_keep, out)
        rules = replace(rules, buckets=(bucket.address,) if bucket else ())
        company = _Company(workers, page, bucket, ship_keep_s, rules)
        run = partial(_check if check else _record, company)
        asyncio.run(_reach(settings, ways, run, simulated=exchange == "sim"))
    except UsageError as error:
        if check:
            raise BadSettings(str(error)) from error
        raise


def _bucket(ship: str | None, ship_keep: str, out: Path) -> Bucket | None:
    """The bucket of --ship, None without it. Raises UsageError."""
    if ship is not None:
        return bucket_at("--ship", ship, out)
    if ship_keep != "all":
        raise UsageError("--ship-keep does not apply without --ship. Leave it out.")
    return None


def _check_names(settings: Settings) -> None:
    """Raises UsageError for a folder that cannot be written, or a symbol that no file can be named after."""
    check_archive("--out", Layout(settings.out))
    if settings.symbols and not any(map(settings.shard.owns, settings.symbols)):
        raise UsageError(
            f"None of these symbols is in --shard {settings.shard}. Leave it out, or name more."
        )
    for symbol in settings.symbols:
        if not can_be_stored(symbol):
            raise UsageError(f"{symbol} is refused: its name is too long for a file. Leave it out.")


def _addresses(option: str, urls: tuple[str, ...], *schemes: str) -> tuple[str, ...]:
    """The values of an option that may be given twice. Raises UsageError."""
    if len(urls) > _HOSTS_MAX:
        raise UsageError(
            f"{option} is given {len(urls)} times. Give it at most twice: a second host is the only other path."
        )
    return tuple(address(option, url, *schemes) for url in urls)


async def _reach(
    settings: Settings,
    ways: tuple[tuple[str, ...], tuple[str, ...]],
    run: Callable[[Settings], Coroutine[Any, Any, None]],
    *,
    simulated: bool,
) -> None:
    """Run with the exchange's addresses. If the built-in exchange was chosen, it runs for as long."""
    venue = settings.venue
    async with AsyncExitStack() as stack:
        if simulated:
            listed = ExchangeInfo({symbol: SymbolInfo(symbol) for symbol in LISTED})
            listed.check(settings.symbols, "built-in exchange")
            market = Market(settings.symbols or spot())
            server = await stack.enter_async_context(SimServer(market))
            venue = Venue("built-in exchange", server.rest_url, server.ws_url)
        settings = replace(settings, venue=venue.reached_by(*ways))
        for url in (*settings.venue.rest_urls, *settings.venue.ws_urls):
            proxy_for(url)  # a proxy that cannot be used is refused before anything begins
        await run(settings)


async def _record(company: _Company, settings: Settings) -> None:
    tuning.tune_interpreter()
    recorder = company.beside(settings)
    async with AsyncExitStack() as stack:
        if company.page is not None:
            shown = LiveAnswers(recorder, f"{settings.venue.title} → {settings.out}").routes()
            others = operation_routes(
                partial(recorder.status, 0), settings.out, settings.pulse_s, settings.audit_s
            )
            server = PageServer(company.page, [*shown, *others])
            await stack.enter_async_context(server)
            log.info("page", url=server.url)
        await run_until_signalled(recorder)


async def _check(company: _Company, settings: Settings) -> None:
    """Show the settings and what was found. Raises BadSettings if anything is wrong."""
    given = (
        ("workers", str(company.workers)),
        ("web", company.page.at(company.page.port) if company.page else "none"),
        ("ship", company.bucket.address if company.bucket else "none"),
        ("keep", str(company.rules.everything)),
        ("keep_tape", str(company.rules.tapes)),
    )
    for name, value in (*settings.shown(), *given):
        terminal.write_line(f"{name:12} {value}")
    found = await try_out(settings, SystemClock())
    for each in found:
        terminal.write_line(f"{each.what:12} {'ok' if each.is_fine else 'BAD'}: {each.detail}")
    if not all(each.is_fine for each in found):
        raise BadSettings("This would not record well: see the lines with BAD.")
