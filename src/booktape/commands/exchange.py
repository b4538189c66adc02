"""`booktape simulate` and `booktape replay`: be an exchange."""

from __future__ import annotations

import asyncio
import shlex
from typing import Annotated

from cyclopts import Parameter

from booktape.attend import on_hangup, on_stop_signals
from booktape.commands.options import NamedPath, Port, Seed, Speed
from booktape.sim.faults import Faults
from booktape.sim.listing import DEFAULT_SYMBOLS
from booktape.sim.market import Market
from booktape.sim.playback import Playback
from booktape.sim.server import SimServer
from booktape.terminal import never_wait_for_stdout, write_line


def simulate(
    *,
    port: Port = 8080,
    symbols: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    seed: Seed = 1,
    speed: Speed = 1.0,
    faults: str = "",
) -> None:
    """Be an exchange: Binance's protocol on loopback, honest until told to lie.

    Parameters
    ----------
    port
        Where to listen on 127.0.0.1; 0 for any free port.
    symbols
        What to trade; the built-in list when not given.
    seed
        The same seed is the same market.
    speed
        How many times faster than life.
    faults
        Lies to tell, such as drop=0.01,close=30,refuse=0.2, or a script: faults.toml.
    """
    market = Market(symbols or DEFAULT_SYMBOLS, seed)
    lies = Faults.parse(faults, seed)
    asyncio.run(_serve(SimServer(market, faults=lies, port=port, speed=speed)))


def replay(path: NamedPath, *, port: Port = 8080, speed: Speed = 1.0) -> None:
    """Serve a recording as an exchange, from the first client's coming to the recording's end.

    Parameters
    ----------
    path
        A tape, an archive's folder, or a capture (.jsonl.gz).
    port
        Where to listen on 127.0.0.1; 0 for any free port.
    speed
        How many times faster than recorded; `inf` for as fast as clients read.
    """
    asyncio.run(_serve(SimServer(Playback(path), port=port, speed=speed)))


async def _serve(server: SimServer) -> None:
    """Be an exchange until a signal comes, or until a recording has been played to its end."""
    never_wait_for_stdout()
    stopped = asyncio.Event()
    on_stop_signals(stopped.set)
    on_hangup(stopped.set)
    async with server:
        write_line(_command(server))
        ends = [asyncio.ensure_future(event.wait()) for event in (stopped, server.finished)]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()


def _command(server: SimServer) -> str:
    """What to type to record this exchange. A recording's symbols are words of a stranger's."""
    addresses = ["--rest-url", server.rest_url, "--ws-url", server.ws_url]
    # Behind `--` nothing is an option, whatever a symbol begins with.
    options = any(symbol.startswith("-") for symbol in server.symbols)
    words = [*addresses, "--", *server.symbols] if options else [*server.symbols, *addresses]
    return shlex.join(["booktape", "record", *words])
