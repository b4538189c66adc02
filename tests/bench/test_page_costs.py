"""What a page costs the recorder: processor time with one browser, and how late frames are stamped with fifty.

Promises nothing: `make bench BENCH=tests/bench/test_page_costs.py` prints the figures of this machine. One
recorder of 200 symbols runs throughout; times with and without browsers alternate, so that a change of the machine's load
falls on both. Browsers are WebSocket clients in this process that ask for the next frame as soon as they have read one,
half of them for all symbols and half for one: what a recorder sees of a browser.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp
import numpy as np
import pytest

from bench.test_loop import Watched, start
from bench.test_throughput import options
from docs.generated import table

pytestmark = [
    pytest.mark.bench,
    pytest.mark.real_time,
    pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="needs Linux's /proc"),
]

SYMBOLS: Final = int(os.environ.get("BOOKTAPE_BENCH_SYMBOLS", "200"))
PACE: Final = int(os.environ.get("BOOKTAPE_BENCH_PACE", "1000"))
PART_S: Final = float(os.environ.get("BOOKTAPE_BENCH_PART_S", "8"))
ROUNDS: Final = 4
SLOTS: Final = 150
BROWSERS: Final = (0, 1, 50)
WISHES: Final = ('{"symbol":null,"reach":25}', '{"symbol":"%s","reach":25}')


@dataclass
class Parts:
    """The times with one number of browsers: begin and end, processor time, frames."""

    spans: list[tuple[float, float]] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    frames: int = 0

    @property
    def seconds(self) -> float:
        return sum(end - begin for begin, end in self.spans)


def cpu_s(process: int) -> float:
    """Processor time of a process so far, the kernel's part included."""
    words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


async def browse(url: str, wish: str, parts: Parts) -> None:
    """Ask, read, ask again."""
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{url}live", max_msg_size=0) as socket,
    ):
        while True:
            await socket.send_str(wish)
            await socket.receive_bytes()
            parts.frames += 1


async def part(url: str, process: int, browsers: int, symbol: str, parts: Parts) -> None:
    """PART_S with this number of browsers; measured once all are there."""
    wishes = [WISHES[number % 2] for number in range(browsers)]
    async with AsyncExitStack() as stack:
        for wish in wishes:
            work = asyncio.create_task(browse(url, wish % symbol if "%" in wish else wish, parts))
            stack.callback(work.cancel)
        await asyncio.sleep(1)
        before_s, begin_s = cpu_s(process), time.time()
        await asyncio.sleep(PART_S)
        parts.cpu_s.append(cpu_s(process) - before_s)
        parts.spans.append((begin_s, time.time()))
    await asyncio.sleep(0.5)


def delay_ms(run: Watched, parts: Parts, quantile: float) -> float:
    """How late a frame that arrives at any moment is stamped: it waits for the end of a pass of the loop.

    Waits for a processor that others use are not counted.
    """
    passes = np.concatenate([run.own_ms(*span) for span in parts.spans])
    wanted = (1 - quantile) * parts.seconds * 1e3
    low, high = 0.0, float(passes.max())
    for _ in range(60):
        middle = (low + high) / 2
        if np.maximum(0, passes - middle).sum() > wanted:
            low = middle
        else:
            high = middle
    return high


async def test_what_a_page_costs(tmp_path: Path, report: Callable[[str, str], None]) -> None:
    """One table: processor time, and the 99th percentile of a stamp's delay, by the number of browsers."""
    found = {browsers: Parts() for browsers in BROWSERS}
    log, passes = tmp_path / "log", tmp_path / "passes.json"
    sent = (SYMBOLS, SLOTS, 10**8, "none", PACE)
    with start("bench.firehose", *sent, log=tmp_path / "exchange.log") as exchange:
        assert exchange.stdout
        port = int(exchange.stdout.readline())
        arguments = [*options(tmp_path / "data", port, 10, "none"), "--web", "0"]
        with start("bench.watched", passes, *arguments, log=log) as recorder:
            await asyncio.to_thread(exchange.stdout.readline)
            match = re.search(r"url=(http://\S+)", log.read_text())
            assert match
            symbol = await first_symbol(match[1])
            for _ in range(ROUNDS):
                for browsers, parts in found.items():
                    await part(match[1], recorder.pid, browsers, symbol, parts)
            recorder.send_signal(signal.SIGINT)
            exchange.kill()
            assert await asyncio.to_thread(recorder.wait, 300) == 0, log.read_text()[-2_000:]
    run = Watched(json.loads(passes.read_text()), 0, 0)
    alone = sum(found[0].cpu_s) / found[0].seconds
    rows = [
        (
            f"{browsers}",
            f"{parts.frames / parts.seconds:.1f}",
            f"{sum(parts.cpu_s) / parts.seconds:.1%}",
            f"{sum(parts.cpu_s) / parts.seconds / alone - 1:+.1%}",
            f"{delay_ms(run, parts, 0.99):.2f}",
            f"{delay_ms(run, parts, 0.999):.2f}",
        )
        for browsers, parts in found.items()
    ]
    head = ("browsers", "frames/s", "processor", "more", "p99 of a stamp's delay, ms", "p99.9, ms")
    text = f"{SYMBOLS} symbols, {PACE:,} messages a second, N = 10; {ROUNDS} x {PART_S:.0f} s of each, alternating.\n\n"
    report("page", text + table(head, rows))


async def first_symbol(url: str) -> str:
    """A symbol whose book is known, once all are."""
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{url}live", max_msg_size=0) as socket,
    ):
        while True:
            await socket.send_str(WISHES[0])
            frame = json.loads(await socket.receive_bytes())
            if frame["kind"] == "overview" and frame["books_known"] == frame["books_all"]:
                symbol: str = frame["books"][0][0]
                return symbol
