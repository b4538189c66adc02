"""`booktape simulate` and `booktape replay`: a simulated exchange on this machine."""

from __future__ import annotations

import asyncio
import shlex
from typing import Annotated, Literal

from cyclopts import Parameter

from booktape.commands.options import NamedPath, Port, Seed, Speed, moment
from booktape.errors import DamagedFile
from booktape.processes.terminal import never_wait_for_stdout, write_line, write_to_stderr
from booktape.reader.times import moment_us
from booktape.recorder.run import on_hangup, on_stop_signals
from booktape.sim.faults.parse import parse_hosts
from booktape.sim.market.listing import DEFAULT_SYMBOLS
from booktape.sim.market.market import Market
from booktape.sim.replay.source import ReplaySource
from booktape.sim.server.server import SimServer
from booktape.wire.endpoints import VENUES


def simulate(  # noqa: PLR0913 - each is one documented option
    *,
    port: Port = 8080,
    symbols: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    seed: Seed = 1,
    speed: Speed = 1.0,
    faults: str = "",
    venue: Literal["binance", "binance-us"] = "binance",
    second_port: Port | None = None,
) -> None:
    """Run a simulated exchange on this machine, without faults unless --faults says so.

    Parameters
    ----------
    port
        Where to listen on 127.0.0.1; 0 for any free port.
    symbols
        The symbols to trade; the built-in list if not given.
    seed
        The same seed gives the same market.
    speed
        How many times faster than real time.
    faults
        Faults such as drop=0.01,close=30,refuse=0.2, or a script such as faults.toml.
    venue
        The exchange whose limits apply: the weight of requests, the weight per minute, the time between pings.
    second_port
        The port of a second host with the same market; 0 for any free port. If not given, there is no second host.
    """
    first, second = parse_hosts(faults, seed)
    server = SimServer(
        Market(symbols or DEFAULT_SYMBOLS, seed),
        faults=first,
        second=None if second_port is None else second,
        port=port,
        second_port=second_port or 0,
        speed=speed,
        venue=VENUES[venue],
    )
    asyncio.run(_serve(server))


def replay(
    path: NamedPath, *, port: Port = 8080, speed: Speed = 1.0, start: str | None = None
) -> int:
    """Serve a recording as an exchange, from the first client's connection to the recording's end.

    It serves any number of clients, including those that were not made for booktape. A damaged tape is served up to
    the damage, and the tapes that continue it follow. Then the exit code is 1.

    Parameters
    ----------
    path
        A tape, an archive's folder, or a capture (.jsonl.gz).
    port
        Where to listen on 127.0.0.1; 0 for any free port.
    speed
        How many times faster than recorded; `inf` for as fast as clients read.
    start
        Where to begin, such as 2026-11-22T10:15 (UTC); at the beginning of the recording if not given.
    """
    damaged: list[DamagedFile] = []

    def on_damage(file: DamagedFile) -> None:
        damaged.append(file)
        write_to_stderr(str(file))

    start_us = None if start is None else moment_us(moment("--start", start))
    source = ReplaySource(path, on_damage, start_us)
    asyncio.run(_serve(SimServer(source, port=port, speed=speed)))
    return 1 if damaged else 0


async def _serve(server: SimServer) -> None:
    """Run the server until a signal comes, or until a recording has been played to its end."""
    never_wait_for_stdout()
    stopped = asyncio.Event()
    on_stop_signals(stopped.set)
    on_hangup(stopped.set)
    async with server:
        write_line(_command(server))
        if server.second is not None:
            write_line(f"Second host: {server.second_rest_url} {server.second_ws_url}")
        ends = [asyncio.ensure_future(event.wait()) for event in (stopped, server.finished)]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()


def _command(server: SimServer) -> str:
    """What to type to record this exchange. A recording's symbols may be any text, so they are quoted."""
    addresses = ["--rest-url", server.rest_url, "--ws-url", server.ws_url]
    # Nothing after `--` is an option, whatever a symbol begins with.
    options = any(symbol.startswith("-") for symbol in server.symbols)
    words = [*addresses, "--", *server.symbols] if options else [*server.symbols, *addresses]
    return shlex.join(["booktape", "record", *words])
