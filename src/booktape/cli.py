"""The commands. Every option can come from the environment too: `--every` is `BOOKTAPE_EVERY`."""

from __future__ import annotations

import asyncio
import re
import sys
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final, Literal

from cyclopts import App, CycloptsError, Parameter
from cyclopts.config import Env
from cyclopts.validators import Number
from rich.console import Console

from booktape import info as archive_info
from booktape.attend import attend, log_to_stderr, on_signals
from booktape.errors import BooktapeError, UsageError
from booktape.recorder import Recorder, Settings
from booktape.sim.faults import Faults
from booktape.sim.listing import DEFAULT_SYMBOLS, LISTED
from booktape.sim.market import Market
from booktape.sim.playback import Playback
from booktape.sim.server import SimServer
from booktape.version import VERSION
from booktape.wire.exchange_info import ExchangeInfo, SymbolInfo
from booktape.wire.limits import DEPTH_MAX
from booktape.wire.venues import VENUES, Venue

app = App(
    name="booktape",
    version=VERSION,
    help_prologue="Example: booktape record BTCUSDT ETHUSDT --every 10 --out data",
    help="Records Binance Spot order books that you can prove right.",
    config=Env("BOOKTAPE_", command=False),
)

Positive = Annotated[int, Parameter(validator=Number(gte=1))]
Speed = Annotated[float, Parameter(validator=Number(gt=0))]

_UNITS_S: Final = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}


@app.command(
    help_prologue="Example: booktape record BTCUSDT ETHUSDT --every 10 --out data",
    usage="booktape record SYMBOL... [OPTIONS]",
)
def record(  # noqa: PLR0913 each is one documented option
    *symbols: str,
    every: Positive = 10,
    out: Path = Path("data"),
    duration: str | None = None,
    exchange: Literal["binance", "binance-us", "testnet", "sim"] = "binance",
    rest_url: str | None = None,
    ws_url: str | None = None,
    depth: Annotated[int, Parameter(validator=Number(gte=1, lte=DEPTH_MAX))] = DEPTH_MAX,
    connections: Positive = 1,
    segment: str = "1h",
    rollover_at: str | None = None,
) -> None:
    """Record full order books until Ctrl-C, which seals the files.

    Without a network: `booktape record BTCUSDT --exchange sim`.

    Parameters
    ----------
    symbols
        What to record, such as BTCUSDT.
    every
        Write one full snapshot after so many updates of a symbol.
    out
        The archive's folder; made when missing, continued when not.
    duration
        Stop after so long: 20, 90s, 15m, 8h, 30d. Without it: at Ctrl-C.
    exchange
        Where from; `sim` is built in and needs no network.
    rest_url
        Instead of the exchange's own; /api/v3/… is added.
    ws_url
        Instead of the exchange's own; /stream?streams=… is added.
    depth
        Levels a side to ask a snapshot for.
    connections
        How many connections carry each stream.
    segment
        Seal files on the clock, so often: only sealed files can be read.
    rollover_at
        When to replace connections, once a day, without a gap: HH:MM in UTC. Without it: in the
        last hour of the 24 that the exchange grants.
    """
    if not symbols:
        raise UsageError("Name at least one symbol, such as: booktape record BTCUSDT")
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
    )
    log_to_stderr()
    asyncio.run(_record(settings, rest_url, ws_url, simulated=exchange == "sim"))


@app.command(
    help_prologue="Example: booktape simulate --port 8080 --symbols BTCUSDT --faults drop=0.01"
)
def simulate(
    *,
    port: int = 8080,
    symbols: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    seed: int = 1,
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


@app.command(help_prologue="Example: booktape replay capture.jsonl.gz --speed 10")
def replay(path: Path, *, port: int = 8080, speed: Speed = 1.0) -> None:
    """Serve a recording as an exchange, from the first client's coming to the recording's end.

    Parameters
    ----------
    path
        A tape, or a capture (.jsonl.gz).
    port
        Where to listen on 127.0.0.1; 0 for any free port.
    speed
        How many times faster than recorded; `inf` for as fast as clients read.
    """
    asyncio.run(_serve(SimServer(Playback(path), port=port, speed=speed)))


@app.command(help_prologue="Example: booktape info data")
def info(directory: Path) -> None:
    """What is in an archive: symbols, time covered, gaps and why, rows, bytes.

    Parameters
    ----------
    directory
        The archive's folder.
    """
    Console().print(archive_info.render(archive_info.survey(directory)))


def main() -> None:
    """Run the command line. Exit codes: 0 done, 2 the user's mistake, 74 the disk failed."""
    try:
        app(exit_on_error=False, print_error=False)
    except CycloptsError as error:
        sys.exit(_fail(str(error), UsageError.exit_code))
    except BooktapeError as error:
        sys.exit(_fail(str(error), error.exit_code))


def seconds(option: str, text: str) -> float:
    """A length of time such as 20, 90s, 15m, 8h or 30d. Raises UsageError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text)
    length = float(match[1]) * _UNITS_S[match[2]] if match else 0.0
    if not length:
        raise UsageError(f"{option} {text} is no length of time. Write 90s, 15m, 8h or 30d.")
    return length


def time_of_day_s(text: str) -> float:
    """Seconds since midnight of a time such as 04:30. Raises UsageError."""
    match = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)", text)
    if not match:
        raise UsageError(f"--rollover-at {text} is no time of day. Write 04:30, in UTC.")
    return int(match[1]) * 3_600.0 + int(match[2]) * 60


def _fail(sentence: str, code: int) -> int:
    sys.stderr.write(f"booktape: {sentence}\n")
    return code


async def _record(
    settings: Settings, rest_url: str | None, ws_url: str | None, *, simulated: bool
) -> None:
    venue = settings.venue
    async with AsyncExitStack() as stack:
        if simulated:
            listed = ExchangeInfo({symbol: SymbolInfo(symbol) for symbol in LISTED})
            listed.check(settings.symbols, "built-in exchange")
            server = await stack.enter_async_context(SimServer(Market(settings.symbols)))
            venue = Venue("built-in exchange", server.rest_url, server.ws_url)
        venue = Venue(venue.title, rest_url or venue.rest_url, ws_url or venue.ws_url)
        await attend(Recorder(replace(settings, venue=venue)))


async def _serve(server: SimServer) -> None:
    """Be an exchange until a signal comes, or until a recording has been played to its end."""
    stopped = asyncio.Event()
    on_signals(stopped.set)
    async with server:
        symbols = " ".join(info.symbol for info in server.source.symbols())
        address = f"--rest-url {server.rest_url} --ws-url {server.ws_url}"
        sys.stdout.write(f"booktape record {symbols} {address}\n")
        sys.stdout.flush()
        ends = [asyncio.ensure_future(event.wait()) for event in (stopped, server.finished)]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()


if __name__ == "__main__":
    main()
