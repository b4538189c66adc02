"""Two recorders of one exchange, and `booktape merge`."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from booktape.sim.server.server import SimServer
from e2e.commands import log_until, run, run_here, start
from e2e.inside import recording, until_known
from e2e.promises import check_archive, gaps_of, truth_of
from support.mounts import mounted
from support.truth import TracedMarket

SYMBOLS = ("BNBUSDT", "LTCBTC")


async def test_two_recorders_with_outages_in_turn_are_one_recording_without_a_gap(
    tmp_path: Path,
) -> None:
    """One is stopped and started again, then the other: each has gaps, the merge has none."""
    a, b, both = (tmp_path / name for name in ("a", "b", "both"))
    market = TracedMarket(SYMBOLS, seed=5, levels=60)

    async with SimServer(market, start_at_once=True) as server, AsyncExitStack() as last:

        async def begin(stack: AsyncExitStack, out: Path) -> None:
            started = recording(server, SYMBOLS, out, every=2, segment_s=5)
            await until_known(await stack.enter_async_context(started), len(SYMBOLS))

        first, second = AsyncExitStack(), AsyncExitStack()
        await begin(first, a)
        await begin(second, b)
        for machine, out in ((first, a), (second, b)):
            await asyncio.sleep(6)
            await machine.aclose()
            await asyncio.sleep(3)
            await begin(last, out)
        await asyncio.sleep(3)
    check_merge(a, b, both, market)


def check_merge(a: Path, b: Path, both: Path, market: TracedMarket) -> None:
    """Each archive has a gap for each symbol; the merge has none, and is proved."""
    code, out, err = run_here("merge", a, b, "--out", both, "--every", "1")
    assert (code, err) == (0, ""), err
    assert "from 2 archives" in out
    check_archive(both, truth_of(market), every=1)
    assert len(gaps_of(a)) == len(gaps_of(b)) == len(SYMBOLS)
    assert gaps_of(both) == []
    code, out, err = run_here("verify", both)
    assert code == 0, out


@pytest.mark.long
def test_two_machines_with_outages_in_turn_are_one_recording_without_a_gap(tmp_path: Path) -> None:
    """One is killed and started again, then the other is stopped: each has gaps, the merge has none."""
    a, b, both, full = (tmp_path / name for name in ("a", "b", "both", "full"))

    async def story() -> TracedMarket:
        market = TracedMarket(SYMBOLS, seed=5, levels=60)
        async with SimServer(market, start_at_once=True) as server:
            ways = ("--rest-url", server.rest_url, "--ws-url", server.ws_url)
            command = "record", *SYMBOLS, "--every", "2", "--segment", "5s", *ways, "--out"
            first, second = await start(*command, a), await start(*command, b)
            for process in (first, second):
                await log_until(process, "book synced")
                await log_until(process, "book synced")
            # Everything it received before is on the disk.
            await log_until(first, "new segment")
            first.kill()
            await first.communicate()
            first = await start(*command, a)
            await log_until(first, "book synced")
            await log_until(first, "book synced")
            for _ in range(2):  # so both had been connected for some seconds
                await log_until(first, "new segment")
            second.terminate()
            await second.communicate()
            second = await start(*command, b)
            await log_until(second, "book synced")
            await log_until(second, "book synced")
            for _ in range(2):
                await log_until(second, "new segment")
            for process in (first, second):
                process.terminate()
                _, err = await process.communicate()
                assert process.returncode == 0, err.decode()
        return market

    check_merge(a, b, both, asyncio.run(story()))
    # Again, while the disk is full.
    with mounted(full, "-t", "tmpfs", "-o", "size=16k", "tmpfs"):
        code, _, err = asyncio.run(run("merge", b, a, "--out", full / "both"))
        assert code == 74
        assert "the disk is full" in err.splitlines()[-1]
        assert not (full / "both").exists()


def test_mistakes_are_reported_in_one_sentence(tmp_path: Path) -> None:
    """Exit 2, and nothing is written."""
    for arguments, sentence in (
        ((), "Name two archives or more"),
        (("a",), "Name two archives or more"),
        (("a", "b"), "holds no recording"),
    ):
        code, _, err = run_here("merge", *arguments, "--out", tmp_path / "both")
        assert (code, err.count("\n")) == (2, 1), err
        assert sentence in err
    assert list(tmp_path.iterdir()) == []
