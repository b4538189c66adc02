"""The pictures of docs/page.md and docs/operations.md, taken in a real Chromium. `make pictures` takes them again.

The live table of 20 symbols on a terminal; two minutes of 200 symbols of the built-in exchange with lost messages; four minutes of four symbols with an outage,
recorded in virtual time; and a synthetic week.
"""

from __future__ import annotations

import asyncio
import fcntl
import io
import os
import struct
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from PIL import Image
from rich.ansi import AnsiDecoder
from rich.console import Console
from rich.terminal_theme import MONOKAI

import booktape
from booktape.sim.faults.parse import parse_faults
from booktape.sim.market.listing import spot
from booktape.sim.market.market import Market
from booktape.sim.server.server import SimServer
from booktape.web.recording import RecordingAnswers
from e2e.commands import BOOKTAPE, log_until
from plot.scene import record
from plot.week import write as write_week
from support.browser import Tab, chromium
from web.asking import served

PICTURES: Final = Path(__file__).parents[2] / "docs" / "pictures"
COLOURS: Final = 160
WIDE: Final = (1_280, 800)
PHONE: Final = (390, 844)
WATCHED_S: Final = 100
SYMBOLS: Final = 200
CONSOLE_SYMBOLS: Final = 20
CONSOLE_S: Final = 60
COLUMNS: Final = 132
TERMINAL: Final = (
    "<body style='margin:0;background:#0c0c0c'><pre style=\"margin:12px;color:#d9d9d9;"
    "font:13px/1.25 'DejaVu Sans Mono',monospace\">{code}</pre>"
)
RECORDED: Final = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XMRBTC")


async def take(tab: Tab, name: str) -> None:
    """A picture with few enough colours to be a small file."""
    whole = Image.open(io.BytesIO(await tab.picture(PICTURES / name)))
    few = whole.convert("RGB").quantize(
        COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE
    )
    few.save(PICTURES / name, optimize=True)


@asynccontextmanager
async def recorder(folder: Path) -> AsyncIterator[str]:
    """The real command, recording, and the address of its page."""
    tail = [each for each in spot(220) if each.symbol not in RECORDED][: SYMBOLS - len(RECORDED)]
    market = Market((*RECORDED, *tail), seed=4)
    async with SimServer(market, faults=parse_faults("drop=0.001")) as exchange:
        symbols = [info.symbol for info in market.symbols()]
        process = await asyncio.create_subprocess_exec(
            *(*BOOKTAPE, "record", *symbols, "--depth", "1000", "--out", "data", "--web", "0"),
            *("--rest-url", exchange.rest_url, "--ws-url", exchange.ws_url),
            stderr=asyncio.subprocess.PIPE,
            cwd=folder,
        )
        try:
            url = (await log_until(process, "url=")).rpartition("url=")[2].split()[0]
            draining = asyncio.create_task(process.communicate())
            yield url
        finally:
            process.terminate()
            await draining


async def live(out: Path) -> None:
    """All symbols, and one symbol, while they are recorded."""
    async with recorder(out) as url, chromium() as tab, chromium() as other:
        await tab.screen(*WIDE)
        await tab.open(url)
        await tab.until("app.books.size === 200")
        await other.screen(*WIDE)
        await other.open(f"{url}#/BTCUSDT")
        await asyncio.sleep(WATCHED_S)
        await tab.until("document.querySelectorAll('#rows tr.bad').length > 0")
        await take(tab, "page-overview.png")
        await take(other, "page-symbol.png")
        await tab.screen(*PHONE, dark=False)
        await tab.open(f"{url}#/ETHUSDT")
        await tab.until("live.columns.length > 20")
        await take(tab, "page-phone.png")


@asynccontextmanager
async def viewer(folder: Path) -> AsyncIterator[tuple[Tab, str]]:
    """A finished recording in a browser."""
    answers = RecordingAnswers(booktape.open(folder, unsealed=False), "data")
    async with served(answers.routes()) as server, chromium() as tab:
        yield tab, server.url


async def console(folder: Path) -> None:
    """The live table of the real command, on a terminal: its last frame, drawn in a browser."""
    main, side = os.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 30, COLUMNS, 0, 0))
    market = Market([each.symbol for each in spot(CONSOLE_SYMBOLS)], seed=4)
    async with SimServer(market, faults=parse_faults("drop=0.002")) as exchange:
        symbols = [info.symbol for info in market.symbols()]
        process = await asyncio.create_subprocess_exec(
            *(*BOOKTAPE, "record", *symbols, "--depth", "1000", "--out", str(folder / "data")),
            *("--rest-url", exchange.rest_url, "--ws-url", exchange.ws_url),
            stdin=side,
            stdout=side,
            stderr=side,
        )
        os.close(side)
        drawn = b""
        with suppress(TimeoutError):
            async with asyncio.timeout(CONSOLE_S):
                while True:
                    drawn = drawn[-100_000:] + await asyncio.to_thread(os.read, main, 65_536)
        process.terminate()
        with suppress(OSError):  # the terminal's other end is closed
            while await asyncio.to_thread(os.read, main, 65_536):
                pass
        await process.wait()
        os.close(main)
    frames = drawn.decode().split("\x1b[1A\x1b[2K")
    frame = next(each for each in reversed(frames) if "Ctrl-C seals" in each)
    shown = Console(record=True, width=COLUMNS, file=io.StringIO())
    for line in AnsiDecoder().decode(frame.replace("\r", "").replace("\x1b[2K", "")):
        shown.print(line)
    html = folder / "console.html"
    html.write_text(shown.export_html(theme=MONOKAI, code_format=TERMINAL, inline_styles=True))
    async with chromium() as tab:
        await tab.screen(1_060, 480)
        await tab.open(html.as_uri())
        await tab.until("document.querySelector('pre') !== null")
        await take(tab, "console.png")


async def week(folder: Path) -> None:
    """All symbols of a finished recording, and its calendar."""
    async with viewer(folder) as (tab, url):
        await tab.screen(*WIDE)
        await tab.open(url)
        await tab.until("document.querySelectorAll('#days td').length > 3")
        await tab.until("document.querySelectorAll('#rows td.symbol').length > 1")
        await take(tab, "page-recording.png")


async def gap(folder: Path) -> None:
    """One symbol of a finished recording, inside its gap."""
    async with viewer(folder) as (tab, url):
        await tab.screen(*WIDE, dark=False)
        await tab.open(f"{url}#/BTCUSDT")
        await tab.until("document.getElementById('heat-note').textContent")
        await tab.look("document.getElementById('gap-before').click()")
        await tab.until("document.getElementById('state').textContent.startsWith('gap')")
        await asyncio.sleep(1)
        await take(tab, "page-gap.png")


def draw() -> None:
    """All six pictures."""
    with TemporaryDirectory() as folder:
        asyncio.run(console(Path(folder)))
    with TemporaryDirectory() as folder:
        write_week(Path(folder))
        asyncio.run(week(Path(folder)))
    with TemporaryDirectory() as folder:
        market = Market(RECORDED, seed=8, levels=1_500)
        record(Path(folder), market, 240, "outage=130-148", every=2, depth=500, segment_s=60.0)
        asyncio.run(gap(Path(folder)))
    with TemporaryDirectory() as folder:
        asyncio.run(live(Path(folder)))


if __name__ == "__main__":
    draw()
