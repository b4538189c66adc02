"""A real headless Chromium, driven by the DevTools protocol over a WebSocket.

It keeps what a test must know: every request, every message of the console, every exception and violation.
"""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import aiohttp
import pytest

CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser")

needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="there is no Chromium; as root, `make page` installs it"
)

_FLAGS: Final = (
    "--headless",
    "--no-sandbox",  # tests run as root
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)
_WAIT_S: Final = 120.0


@dataclass
class Tab:
    """One tab. `requests` are URLs; `complaints` are everything that the console, the policy or an exception said."""

    socket: aiohttp.ClientWebSocketResponse
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    _replies: dict[int, asyncio.Future[dict[str, Any]]] = field(default_factory=dict)
    _number: int = 0

    async def listen(self) -> None:
        """Until the tab is closed."""
        async for message in self.socket:
            answer = json.loads(message.data)
            if "id" in answer:
                self._replies.pop(answer["id"]).set_result(answer)
            else:
                self._note(answer["method"], answer["params"])

    def _note(self, method: str, params: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Network.webSocketCreated":
            self.requests.append(params["url"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(params["exceptionDetails"])[:1_000])
        elif method == "Runtime.consoleAPICalled":
            self.complaints.append(json.dumps(params["args"])[:1_000])
        elif method == "Log.entryAdded":
            # "rendering" is advice on speed: that a test reads a canvas often, for example.
            if params["entry"]["source"] != "rendering":
                self.complaints.append(json.dumps(params)[:1_000])
        # Other issues are advice, such as that a script went to another address and no user did.
        elif params.get("issue", {}).get("code") == "ContentSecurityPolicyIssue":
            self.complaints.append(json.dumps(params)[:1_000])

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One command of the protocol, and its result."""
        self._number += 1
        reply = asyncio.get_running_loop().create_future()
        self._replies[self._number] = reply
        await self.socket.send_json({"id": self._number, "method": method, "params": params})
        answer = await asyncio.wait_for(reply, _WAIT_S)
        assert "error" not in answer, answer
        found: dict[str, Any] = answer["result"]
        return found

    async def look(self, expression: str) -> Any:
        """The value of an expression of JavaScript. The page's own policy does not apply to it."""
        answer = await self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def until(self, expression: str) -> Any:
        """Wait until an expression is true, and return its value. While the page is loading, much is not defined
        yet."""
        tried = f"(() => {{ try {{ return {expression} }} catch {{ return false }} }})()"
        async with asyncio.timeout(_WAIT_S):
            while not (value := await self.look(tried)):
                await asyncio.sleep(0.05)
        return value

    async def open(self, url: str) -> None:
        """Go to an address."""
        await self.call("Page.navigate", url=url)

    async def press(self, key: str) -> None:
        """A key of the keyboard, pressed and released."""
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        await self.call("Input.dispatchKeyEvent", type="keyDown", key=key, text=text)
        await self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    async def screen(self, width: int, height: int, *, dark: bool = True, ratio: float = 1) -> None:
        """The size of the viewport, and the colours that its user prefers."""
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=ratio,
            mobile=width < 500,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])

    async def picture(self, path: Path) -> bytes:
        """What is visible now, as a PNG."""
        found = await self.call("Page.captureScreenshot", format="png", optimizeForSpeed=False)
        data = base64.b64decode(found["data"])
        path.write_bytes(data)
        return data


@asynccontextmanager
async def chromium() -> AsyncIterator[Tab]:
    """A new browser with an empty profile, and its one tab."""
    assert CHROMIUM
    with TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            CHROMIUM,
            *_FLAGS,
            f"--user-data-dir={profile}",
            "about:blank",
            stdout=DEVNULL,
            stderr=DEVNULL,
        )
        try:
            port = await _port(Path(profile), process)
            async with aiohttp.ClientSession() as session:
                address = await _tab_address(session, port)
                async with session.ws_connect(address, max_msg_size=0) as socket:
                    tab = Tab(socket)
                    listening = asyncio.create_task(tab.listen())
                    for domain in ("Page", "Runtime", "Log", "Network", "Audits"):
                        await tab.call(f"{domain}.enable")
                    yield tab
                    listening.cancel()
        finally:
            with suppress(ProcessLookupError):
                process.terminate()
            try:
                await asyncio.wait_for(process.wait(), 5)
            except TimeoutError:
                process.kill()
                await process.wait()


async def _port(profile: Path, process: Process) -> int:
    """Chromium writes the port that it chose into its profile."""
    file = profile / "DevToolsActivePort"
    async with asyncio.timeout(_WAIT_S):
        while not (file.exists() and "\n" in file.read_text()):
            if process.returncode is not None:
                pytest.skip(f"Chromium cannot run here: it ended at once ({process.returncode})")
            await asyncio.sleep(0.05)
    return int(file.read_text().split("\n")[0])


async def _tab_address(session: aiohttp.ClientSession, port: int) -> str:
    async with asyncio.timeout(_WAIT_S):
        while True:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                for each in await answer.json(content_type=None):
                    if each["type"] == "page":
                        address: str = each["webSocketDebuggerUrl"]
                        return address
            await asyncio.sleep(0.05)
