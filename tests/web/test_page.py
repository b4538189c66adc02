"""The page in a real browser: what is seen, what is asked, and that nothing complains."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import booktape
from booktape.web.recording import RecordingAnswers
from reader.day import write
from support.browser import Tab, chromium, needs_chromium
from web.asking import served

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
    """A recording in a browser; afterwards: nothing complained, and no other host was asked."""
    answers = RecordingAnswers(booktape.open(root, unsealed=False), root.name)
    async with served(answers.routes()) as server, chromium() as tab:
        await tab.screen(width, height)
        await tab.open(server.url)
        await tab.until("document.querySelector('#rows td.symbol a') !== null")
        yield tab, server.url
        assert not tab.complaints
        hosts = {urlsplit(url).netloc for url in tab.requests}
        assert hosts == {urlsplit(server.url).netloc}


async def test_a_recording_can_be_looked_through(root: Path, tmp_path: Path) -> None:
    """From the overview to a symbol, into its gap and out again, by the keyboard alone."""
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
    """And Escape empties it."""
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
    """Dark, or light where the system says so."""
    async with shown(root) as (tab, _):
        found = []
        for dark in (True, False):
            await tab.screen(1_400, 900, dark=dark)
            found.append(await tab.look("getComputedStyle(document.body).backgroundColor"))
        assert found == ["rgb(11, 15, 20)", "rgb(243, 245, 248)"]


async def test_an_injected_script_or_style_does_not_run(root: Path) -> None:
    """The policy holds, should a text ever become markup: this is what the browser itself refuses."""
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
