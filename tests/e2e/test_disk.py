"""A disk that fails: one sentence, exit 74, sealed files stay, and records on the tape are recovered."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from booktape.sim.server.server import SimServer
from e2e.commands import log_until, run, start
from e2e.promises import check_archive, gaps_of, rows_of, truth_of
from e2e.tables import until_rows
from support.truth import TracedMarket

pytestmark = pytest.mark.real_time

SYMBOLS = ("BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT")
# From SIGUSR1 on the operating system lets no file grow, as on a full disk.
LIMITED = """
import resource, runpy, signal, sys
signal.signal(signal.SIGUSR1, lambda *_: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)))
sys.argv[0] = "booktape"
runpy.run_module("booktape", run_name="__main__")
"""


async def test_a_full_disk_is_reported_once_and_loses_nothing_that_was_written(
    tmp_path: Path,
) -> None:
    """Exit 74 and one sentence; whole files only; the next start, with space, recovers the rest."""
    market = TracedMarket(("BTCUSDT",), seed=4, levels=200)
    async with SimServer(market, speed=20) as server:
        command = (
            *("record", "BTCUSDT", "--every", "2", "--out", str(tmp_path)),
            *("--rest-url", server.rest_url, "--ws-url", server.ws_url),
        )
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", LIMITED, *command),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        await until_rows(tmp_path, ("BTCUSDT",), 11)
        process.send_signal(signal.SIGUSR1)
        _, err = await process.communicate()
        assert process.returncode == 74, err.decode()
        last = err.decode().splitlines()[-1]
        assert last.startswith("booktape: Cannot write ")
        assert "the disk is full" in last
        assert "Traceback" not in err.decode()
        assert rows_of(tmp_path) == {}
        process = await start(*command)
        assert "recovered" in await log_until(process, "book synced")
        process.terminate()
        _, err = await process.communicate()
        assert process.returncode == 0, err.decode()
    rows = check_archive(tmp_path, truth_of(market), every=2)["BTCUSDT"]
    epochs = [row["epoch"] for row in rows]
    assert epochs.count(1) >= 11
    assert set(epochs) == {1, 2}


async def test_an_unwritable_directory_is_reported_in_one_sentence(tmp_path: Path) -> None:
    """Something else is where the archive should be."""
    (tmp_path / "file").write_text("not a folder")

    async with SimServer(TracedMarket(("BTCUSDT",), levels=50)) as server:
        code, _, err = await run(
            *("record", "BTCUSDT", "--out", tmp_path / "file"),
            *("--rest-url", server.rest_url, "--ws-url", server.ws_url),
        )
        assert code == 2
        assert "is not a folder" in err
        assert "Traceback" not in err


@pytest.mark.parametrize(
    "short_of", ["size=3m", pytest.param("nr_inodes=200", marks=pytest.mark.long)]
)
async def test_a_disk_that_has_space_again_in_time_loses_nothing(
    tmp_path: Path, short_of: str
) -> None:
    """No space, or no inodes, for some seconds: the recorder waits, then continues; nothing is missing.

    Segments end meanwhile, so that rotation and sealing meet the full disk too.
    """
    if not mount(tmp_path, short_of):
        pytest.skip("mounting a small file system takes rights that this user does not have")

    async def record_through() -> None:
        market = TracedMarket(SYMBOLS, seed=4, levels=50)
        async with SimServer(market, speed=5) as server:
            process = await start(
                *("record", *SYMBOLS, "--every", "1", "--segment", "3s"),
                *("--out", tmp_path / "data"),
                *("--rest-url", server.rest_url, "--ws-url", server.ws_url),
            )
            await log_until(process, "new segment")
            ballast = tmp_path / "ballast"
            ballast.mkdir()
            fill(ballast)
            await log_until(process, "the disk is full")
            shutil.rmtree(ballast)
            await log_until(process, "new segment")
            process.terminate()
            _, log = await process.communicate()
            assert process.returncode == 0, log.decode()
        rows = check_archive(tmp_path / "data", truth_of(market), every=1)
        assert rows.keys() == set(SYMBOLS)
        assert {row["epoch"] for found in rows.values() for row in found} == {1}
        assert gaps_of(tmp_path / "data") == []
        code, out, err = await run("verify", tmp_path / "data")
        assert code == 0, out + err

    try:
        await record_through()
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)  # noqa: S607 the system's own


def mount(folder: Path, short_of: str) -> bool:
    """A small file system in memory, if permitted."""
    command = ("mount", "-t", "tmpfs", "-o", short_of, "tmpfs", str(folder))
    return shutil.which("mount") is not None and (
        subprocess.run(command, check=False, capture_output=True).returncode == 0
    )


def fill(folder: Path) -> None:
    """Use up all inodes or all space, whichever ends first."""
    with contextlib.suppress(OSError):
        for number in range(300):
            (folder / str(number)).touch()
    with contextlib.suppress(OSError), (folder / "0").open("wb", buffering=0) as file:
        for _ in range(1_000):
            file.write(bytes(4_096))
