"""What a quiet market leaves on a tape: pulses, the offset between the clocks, the price steps."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from booktape.core.tape_records import TRADING
from booktape.sim.faults.fault import Faults
from booktape.sim.faults.market import NewListing
from booktape.sim.market.market import Market
from booktape.sim.server.server import SimServer
from e2e.inside import recording
from e2e.tables import lines_of

SYMBOLS = ("BTCUSDT", "ETHUSDT")
QUIET_AFTER_S = 10


@pytest.mark.parametrize("pulse_s", [0.0, 30.0])
async def test_quiet_books_are_on_the_tape_with_their_tops(pulse_s: float, tmp_path: Path) -> None:
    """Every half minute, as the exchange wrote them, with the offset between the clocks."""
    market = Market(SYMBOLS, seed=5, levels=40, slots=QUIET_AFTER_S * 10)
    async with (
        SimServer(market) as server,
        recording(server, SYMBOLS, tmp_path, every=20, pulse_s=pulse_s),
    ):
        await asyncio.sleep(100)
    assert not server.violations
    pulses = list(lines_of(tmp_path, "pulse"))
    offsets = list(lines_of(tmp_path, "clock-offset"))
    assert len(offsets) == 1
    assert len(pulses) == (3 if pulse_s else 0)
    for pulse in pulses:
        assert set(pulse["tops"]) == set(SYMBOLS)
        assert pulse["asked_ns"] <= pulse["received_ns"]
        assert all(price.endswith("000000") for price, *_ in pulse["tops"].values())


async def test_the_steps_of_every_symbol_are_on_the_tape(tmp_path: Path) -> None:
    """Those recorded from the start, and one listed later; once each."""
    new = "NEWUSDT"

    market = Market(SYMBOLS, seed=5, levels=40)
    faults = Faults.of(NewListing(new, 20))
    async with (
        SimServer(market, faults=faults) as server,
        recording(server, (), tmp_path, every=20),
    ):
        await asyncio.sleep(120)
    found = {
        line["symbol"]: (line["status"], bool(line["tick_size"]), bool(line["lot_size"]))
        for line in lines_of(tmp_path, "status")
    }
    assert len(list(lines_of(tmp_path, "status"))) == len(found)
    assert found == dict.fromkeys((*SYMBOLS, new), (TRADING, True, True))
