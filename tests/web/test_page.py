"""The page in a real browser: what it shows, what it requests, and that the browser reports no error."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

import pytest

import booktape
from booktape.sim.market.market import Market
from booktape.sim.server.server import SimServer
from booktape.web.recording import RecordingAnswers
from e2e.commands import log_until, start
from reader.day import write
from support.browser import Tab, chromium, needs_chromium
from web.asking import served
from web.test_hostile import reason_in

pytestmark = [needs_chromium, pytest.mark.real_time]

UNTIL_DRAWN = "document.getElementById('heat-note').textContent"
RED = """
(() => { const c = document.getElementById('heat'); const p = c.getContext('2d').getImageData(0, 0, c.width - 80, c.height - 40).data;
let red = 0; for (let n = 0; n < p.length; n += 4) if (p[n] > 60 && p[n + 1] < p[n] / 2 && p[n + 2] < p[n] / 1.6) red++; return red / (p.length / 4); })()
"""
"""The share of the heatmap that is red."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seen")
    write(folder, 120, segment_s=60, cuts=(40,))
    return folder


@asynccontextmanager
async def shown(
    root: Path, width: int = 1_400, height: int = 900
) -> AsyncIterator[tuple[Tab, str]]:
    """A recording in a browser; afterwards checks that nothing complained and no other host was contacted."""
    answers = RecordingAnswers(booktape.open(root, unsealed=False), root.name)
    async with served(answers.routes()) as server, chromium() as tab:
        await tab.screen(width, height)
        await tab.open(server.url)
        await tab.until("document.querySelector('#rows td.symbol a') !== null")
        yield tab, server.url
        assert not tab.complaints
        hosts = {urlsplit(url).netloc for url in tab.requests}
        assert hosts == {urlsplit(server.url).netloc}


async def test_a_recording_can_be_browsed(root: Path, tmp_path: Path) -> None:
    """From the overview to a symbol, into its gap and out again, with the keyboard alone."""
    async with shown(root) as (tab, _):
        overview = await tab.look("document.getElementById('rows').textContent")
        assert "BTCUSDT" in overview
        assert "disconnected" in overview
        await tab.press("ArrowDown")
        assert await tab.look("document.activeElement.closest('#rows tr') !== null")
        await tab.press("ArrowDown")
        await tab.press("Enter")
        assert await tab.until("document.getElementById('name').textContent") == "ETHUSDT"
        await tab.until(UNTIL_DRAWN)
        await tab.until("document.querySelector('#ladder tr.bid').textContent.includes('100')")
        assert 0.02 < await tab.look(RED) < 0.3
        assert await tab.look("document.querySelectorAll('.u-over').length") == 2
        data = await tab.picture(tmp_path / "symbol.png")
        assert struct.unpack(">II", data[16:24]) == (1_400, 900)
        before = await tab.look("document.getElementById('moment').textContent")
        await tab.look("document.getElementById('slider').focus()")
        await tab.call(
            "Input.dispatchKeyEvent", type="rawKeyDown", key="ArrowLeft", windowsVirtualKeyCode=37
        )
        await tab.until(f"document.getElementById('moment').textContent < {before!r}")
        await tab.look("document.getElementById('gap-before').click()")
        await tab.until("document.getElementById('state').textContent === 'gap: disconnected'")
        assert "not known" in await tab.look("document.getElementById('ladder').textContent")
        await tab.press("Escape")
        await tab.until("!document.getElementById('overview').hidden")
        assert await tab.look("document.activeElement.textContent.startsWith('ETHUSDT')")


async def test_the_filter_finds_symbols_and_reasons(root: Path) -> None:
    """Escape empties it."""
    async with shown(root) as (tab, _):
        await tab.press("/")
        for key in "eth":
            await tab.press(key)
        await tab.until("document.getElementById('count').textContent.startsWith('1 of 2')")
        assert "BTCUSDT" not in await tab.look("document.getElementById('rows').textContent")
        await tab.press("Escape")
        await tab.until("document.getElementById('count').textContent.startsWith('2 of 2')")


@pytest.mark.parametrize("fragment", ["", "#/BTCUSDT"])
async def test_a_phone_shows_one_column(root: Path, fragment: str) -> None:
    """Nothing is wider than the screen."""
    async with shown(root, 390, 844) as (tab, url):
        await tab.open(url + fragment)
        await tab.until("document.querySelector('#rows td, #ladder td') !== null")
        if fragment:
            await tab.until(UNTIL_DRAWN)
            boxes = await tab.look(
                "[...document.querySelectorAll('.panel')].map((p) => p.getBoundingClientRect().left)"
            )
            assert len(set(boxes)) == 1
        assert await tab.look("document.documentElement.scrollWidth") <= 390


async def test_the_colours_follow_the_reader(root: Path) -> None:
    """Dark, or light if the system says so."""
    async with shown(root) as (tab, _):
        found = []
        for dark in (True, False):
            await tab.screen(1_400, 900, dark=dark)
            found.append(await tab.look("getComputedStyle(document.body).backgroundColor"))
        assert found == ["rgb(11, 15, 20)", "rgb(243, 245, 248)"]


async def test_an_injected_script_or_style_does_not_run(root: Path) -> None:
    """Should a text ever become markup, the policy still holds: the browser itself refuses to run it."""
    answers = RecordingAnswers(booktape.open(root, unsealed=False), root.name)
    async with served(answers.routes()) as server, chromium() as tab:
        await tab.open(server.url)
        await tab.until("document.querySelector('#rows td.symbol a') !== null")
        refused = await tab.look(
            "(() => { try { document.body.innerHTML = '<img src=x onerror=1>'; return '' }"
            " catch (error) { return error.name } })()"
        )
        assert refused == "TypeError"
        await tab.look(
            "(() => { const s = document.createElement('style'); s.textContent = 'body{opacity:0}';"
            " document.head.append(s) })()"
        )
        assert await tab.look("getComputedStyle(document.body).opacity") == "1"
        await tab.look("fetch('http://127.0.0.1:9/x').catch(() => 0)")
        assert any("Content Security Policy" in each for each in tab.complaints)


FRAGMENTS: Final = (
    "#/<img src=x onerror=ran=1>",
    "#/%3Cscript%3Eran=1%3C%2Fscript%3E",
    "#/javascript:ran=1",
    "#/__proto__",
    "#/constructor",
    "#/%E0%A4%A",
    "#/%00",
    "#/../../etc/passwd",
    "#" + "/" * 5_000,
)
"""Possible endings of a link to the page."""


async def test_hostile_texts_and_addresses_run_nothing(tmp_path: Path) -> None:
    """Symbols, reasons and addresses that are markup stay text, whatever is opened; and the page continues."""
    write(tmp_path, 30, segment_s=15, cuts=(10,))
    script = "<img src=x onerror=ran=1>"
    rooms = tmp_path / "snapshots"
    for symbol in (script, "__proto__", "\u202eTDSUCTB", "#&?%2F"):
        shutil.copytree(rooms / "symbol=BTCUSDT", rooms / f"symbol={quote(symbol, safe='')}")
    reason_in(tmp_path, script)
    async with shown(tmp_path) as (tab, url):
        await tab.open(f"{url}?symbol=<svg onload=ran=1>#/")
        await tab.until("location.search && document.querySelector('#rows td.symbol a') !== null")
        text = await tab.look("document.getElementById('rows').textContent")
        assert script in text
        assert "__proto__" in text
        for fragment in (*FRAGMENTS, f"#/{quote(script, safe='')}", "#/__proto__"):
            await tab.look(f"location.href = {json.dumps(fragment)}")
            await tab.until("app.books.size === 6")
        await tab.until("document.getElementById('name').textContent === '__proto__'")
        await tab.until(UNTIL_DRAWN)
        assert await tab.look("typeof ran") == "undefined"
        assert await tab.look("document.querySelectorAll('img, svg, main script').length") == 0


# ── a running recorder ──────────────────────────────────────────────────────────────────────────

ODD = (
    "BTCUSDT",
    "<IMG SRC=X ONERROR=ALERT(1)>",
    "\"'`;ALERT(1)//USDT".replace("/", ""),
    "\u202eTDSUCTB",
    "币安人生USDT",
    "#&?%2F",
)
"""Names that a hostile exchange may list."""


@asynccontextmanager
async def recorded(
    exchange: SimServer, out: Path, *symbols: str, width: int = 1_400, height: int = 900
) -> AsyncIterator[Tab]:
    """The real command with `--web`, and a browser that shows its page; afterwards as for a recording."""
    process = await start(
        *("record", *symbols, "--every", "10", "--web", "0", "--out", str(out)),
        *("--rest-url", exchange.rest_url, "--ws-url", exchange.ws_url),
    )
    try:
        url = (await log_until(process, "url=")).rpartition("url=")[2].split()[0]
        async with chromium() as tab:
            await tab.screen(width, height)
            await tab.open(url)
            await tab.until(f"document.querySelectorAll('#rows tr.good').length === {len(symbols)}")
            yield tab
            assert not tab.complaints
            assert {urlsplit(each).netloc for each in tab.requests} == {urlsplit(url).netloc}
    finally:
        process.terminate()
        _, err = await process.communicate()
        assert process.returncode == 0, err.decode()


@pytest.mark.long
async def test_a_running_recorder_is_seen_at_work(tmp_path: Path) -> None:
    """Data moves in the overview, the ladder and the heatmap; a lost connection shows red, and so does its gap."""
    market = Market(("BTCUSDT", "ETHUSDT"), levels=300)
    async with (
        SimServer(market) as exchange,
        recorded(exchange, tmp_path / "out", "BTCUSDT", "ETHUSDT") as tab,
    ):
        rows = await tab.look("app.books.get('BTCUSDT').rows")
        await tab.until(f"app.books.get('BTCUSDT').rows > {rows}")
        await tab.look("location.hash = '#/BTCUSDT'")
        await tab.until("document.getElementById('state').textContent === 'known'")
        prices = "document.getElementById('ladder').textContent"
        before = await tab.look(prices)
        await tab.until(f"{prices} !== {json.dumps(before)}")
        await tab.until("live.columns.length > 12")
        assert await tab.look(RED) < 0.02
        reach = await tab.look("app.reach")
        await tab.press("+")
        await tab.until(f"app.reach < {reach}")
        await tab.press("-")
        await tab.until(f"app.reach === {reach}")
        drawn = await tab.look(
            "(() => { location.hash = '#/NOPE'; route(); const c = document.getElementById('heat');"
            " const p = c.getContext('2d').getImageData(0, 60, c.width - 80, 100).data;"
            " return [document.getElementById('heat-scale').hidden, p.some((value) => value > 0)] })()"
        )
        assert drawn == [True, False]  # another symbol's picture is not seen under this name
        await tab.look("location.hash = '#/BTCUSDT'")
        await tab.until("live.columns.length > 4")
        await exchange.__aexit__(None, None, None)
        await tab.until("document.getElementById('state').classList.contains('bad')")
        assert "not known" in await tab.look(prices)
        await tab.until(f"({RED.strip()}) > 0.02")
        await tab.press("Escape")
        await tab.until("document.querySelectorAll('#rows tr.bad').length === 2")
        await tab.until(
            "getComputedStyle(document.querySelector('#rows tr.bad td')).backgroundColor"
            " === 'rgb(59, 24, 32)'"
        )


@pytest.mark.long
async def test_names_that_are_markup_are_shown_as_text(tmp_path: Path) -> None:
    """In the table, the filter, the title and the address: nothing runs, and no element is made of them."""
    async with (
        SimServer(Market(ODD, levels=50)) as exchange,
        recorded(exchange, tmp_path / "out", *ODD) as tab,
    ):
        shown = await tab.look(
            "[...document.querySelectorAll('#rows td.symbol')].map((d) => d.textContent)"
        )
        assert sorted(shown) == sorted(ODD)
        assert await tab.look("document.querySelectorAll('img, #rows script').length") == 0
        for symbol in ODD:
            await tab.look(f"location.hash = hashOf({json.dumps(symbol)})")
            await tab.until(f"document.getElementById('name').textContent === {json.dumps(symbol)}")
            await tab.until("document.getElementById('state').textContent === 'known'")
            await tab.until("document.querySelector('#ladder tr.bid').textContent !== ''")
        assert await tab.look("document.querySelectorAll('img').length") == 0


@pytest.mark.long
async def test_a_page_outlives_its_recorder(tmp_path: Path) -> None:
    """It says that its data is old, and asks again until there is a recorder."""
    async with SimServer(Market(("BTCUSDT",), levels=50)) as exchange, chromium() as tab:
        command = (
            *("record", "BTCUSDT", "--out", tmp_path / "out"),
            *("--rest-url", exchange.rest_url, "--ws-url", exchange.ws_url),
        )
        process = await start(*command, "--web", "0")
        url = (await log_until(process, "url=")).rpartition("url=")[2].split()[0]
        await tab.open(url)
        await tab.until("document.querySelectorAll('#rows tr.good').length === 1")
        process.terminate()
        await process.communicate()
        await tab.until("document.body.classList.contains('old')")
        assert "has ended" in await tab.look("document.getElementById('notice').textContent")
        process = await start(*command, "--web", str(urlsplit(url).port))
        await tab.until("!document.body.classList.contains('old')")
        process.terminate()
        await process.communicate()
