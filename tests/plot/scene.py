"""A few minutes of the built-in exchange, recorded in virtual time.

The same arguments give the same rows, so that pictures and answers made from them stay the same.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from unittest import mock

from booktape.sim.faults.parse import parse_faults
from booktape.sim.market.market import Market
from booktape.sim.server.server import SimServer
from e2e.inside import recording
from support import virtual_time


async def _record(out: Path, market: Market, seconds: float, faults: str, **settings: Any) -> None:
    symbols = tuple(info.symbol for info in market.symbols())
    start_us = virtual_time.START_NS // 1_000
    async with (
        SimServer(market, faults=parse_faults(faults), start_us=start_us) as server,
        recording(server, symbols, out, witness="none", **settings),
    ):
        await asyncio.sleep(seconds)


def record(out: Path, market: Market, seconds: float, faults: str = "", **settings: Any) -> None:
    """Record some seconds of a market into a folder."""
    # Pauses between attempts to connect are drawn at random, so the end of a gap would be random too.
    # A seed would not help: which caller draws first may depend on a thread.
    with mock.patch("random.uniform", lambda low, high: (low + high) / 2):
        virtual_time.run(_record(out, market, seconds, faults, **settings))
