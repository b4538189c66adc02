"""Stopping: on request, on a second request, and when a second recorder wants the same directory."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from booktape.sim.server.server import SimServer
from booktape.store.tape_reader import read_tape
from e2e.commands import log_until, run, start
from e2e.promises import check_archive, gaps_of, truth_of
from e2e.tables import until_rows
from support.truth import TracedMarket

pytestmark = pytest.mark.real_time


@pytest.mark.parametrize(
    "number", [pytest.param(signal.SIGINT, marks=pytest.mark.long), signal.SIGTERM]
)
async def test_a_signal_seals_the_files_and_exits_0(tmp_path: Path, number: signal.Signals) -> None:
    """In the middle of a segment: every file has its final name, nothing is left unsealed, no gap is claimed."""
    market = TracedMarket(("BTCUSDT",), seed=2, levels=50)
    async with SimServer(market, speed=5) as server:
        process = await start(
            *("record", "BTCUSDT", "--every", "2", "--out", tmp_path),
            *("--rest-url", server.rest_url, "--ws-url", server.ws_url),
        )
        await log_until(process, "book synced")
        await until_rows(tmp_path, ("BTCUSDT",), 6)
        process.send_signal(number)
        _, err = await process.communicate()
        assert process.returncode == 0, err.decode()
    assert len(check_archive(tmp_path, truth_of(market), every=2)["BTCUSDT"]) > 5
    assert gaps_of(tmp_path) == []
    assert not list((tmp_path / "unsealed").iterdir())
    # Of all tapes: there are two if an hour began meanwhile.
    assert sum(len(list(read_tape(tape))) for tape in tmp_path.glob("tape/*/*.zst")) > 10


async def test_a_second_signal_ends_it_at_once_and_loses_nothing(tmp_path: Path) -> None:
    """Everything recorded is on the tape, and the next start seals it."""
    market = TracedMarket(("BTCUSDT",), seed=2, levels=50)
    async with SimServer(market, speed=5) as server:
        command = (
            *("record", "BTCUSDT", "--every", "2", "--out", tmp_path),
            *("--rest-url", server.rest_url, "--ws-url", server.ws_url),
        )
        process = await start(*command)
        await until_rows(tmp_path, ("BTCUSDT",), 6)
        process.terminate()
        process.terminate()
        await process.communicate()
        # The first signal may have been enough; both endings lose nothing.
        assert process.returncode in {0, 130}
        process = await start(*command)
        await log_until(process, "book synced")
        process.terminate()
        _, err = await process.communicate()
        assert process.returncode == 0, err.decode()
    rows = check_archive(tmp_path, truth_of(market), every=2)["BTCUSDT"]
    epochs = [row["epoch"] for row in rows]
    assert epochs.count(1) >= 6
    assert set(epochs) == {1, 2}
    (gap,) = gaps_of(tmp_path)
    assert gap["reason"] in {"stopped", "killed"}


async def test_a_second_recorder_on_the_same_directory_is_refused(tmp_path: Path) -> None:
    """Exit 2, one sentence, and the first one continues undisturbed."""
    async with SimServer(TracedMarket(("BTCUSDT",), levels=50)) as server:
        command = (
            *("record", "BTCUSDT", "--out", tmp_path),
            *("--rest-url", server.rest_url, "--ws-url", server.ws_url),
        )
        first = await start(*command)
        await log_until(first, "book synced")
        code, _, err = await run(*command)
        assert code == 2
        assert f"{tmp_path} is in use by another recorder" in err
        assert "Traceback" not in err
        first.terminate()
        await first.communicate()
        assert first.returncode == 0
