"""The README's three-line examples of reading, run as they stand on a real recording."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from booktape.sim.market.market import Market
from booktape.sim.server.server import SimServer
from docs.generated import DOCS
from e2e.inside import recording, until_updates
from support import virtual_time

README = (DOCS.parent / "README.md").read_text()
READINGS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds `data`, as after `make record`."""
    folder = tmp_path_factory.mktemp("user")

    async def record() -> None:
        market = Market(("BTCUSDT", "ETHUSDT"), levels=50)
        async with (
            SimServer(market, speed=10) as server,
            recording(server, ("BTCUSDT", "ETHUSDT"), folder / "data", every=2) as recorder,
        ):
            await until_updates(recorder, "BTCUSDT", 10)

    virtual_time.run(record())
    return folder


def test_the_readme_has_four_ways_of_reading() -> None:
    """DuckDB, polars, pandas and our own reader."""
    names = [reading.split()[1] for reading in READINGS]
    assert names == ["duckdb", "polars", "pandas", "booktape"]


@pytest.mark.parametrize("reading", READINGS)
def test_each_way_of_reading_shows_the_rows_of_a_symbol(
    reading: str, archive: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each prints rows of BTCUSDT, with the symbol as a column."""
    monkeypatch.chdir(archive)
    exec(compile(reading, "README.md", "exec"), {})  # noqa: S102 it is our own README
    shown = capsys.readouterr().out
    assert "symbol" in shown
    assert "BTCUSDT" in shown
    assert "ETHUSDT" not in shown
