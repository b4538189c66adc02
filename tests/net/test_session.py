"""Where requests go and what is sent with them: no redirect is followed, no cookie is remembered."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from booktape.core.events import FetchSnapshot
from booktape.core.tape_records import Connected, DepthAnswer
from booktape.errors import HttpStatusError, Unreachable, UsageError
from booktape.net.connection import Connection
from booktape.net.context import NetContext
from booktape.net.http import RateLimitedHttp
from booktape.net.session import proxy_for
from booktape.wire.endpoints import Venue
from net.hand_clock import HandClock, RestlessClock
from net.loopback import DEPTH, accept, asking, linked, next_answer, next_frame, until_closed

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "WS_PROXY", "WSS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Removes the machine's own proxies from the environment."""
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def passwords_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ~/.netrc with a password for this very host, and one for any other."""
    netrc = tmp_path / ".netrc"
    netrc.write_text(
        "machine 127.0.0.1 login me password secret\ndefault login me password secret\n"
    )
    netrc.chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))


async def handshake(context: NetContext) -> None:
    """A connection that is closed again as soon as it is open."""
    connection = Connection(context, ("BTCUSDT",), 1, context.venue.ws_url)
    task = asyncio.create_task(connection.run())
    while not (connection.is_subscribed or connection.ended.is_set()):
        await asyncio.sleep(0)
    await connection.close()
    await task


def urls(venue: Venue) -> tuple[str, str]:
    return venue.rest_url, venue.ws_url


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirected_request_is_an_error_and_goes_nowhere_else(status: int) -> None:
    """Neither another port nor another path of the same host is contacted; the request is repeated later."""
    visited: list[str] = []

    async def elsewhere(request: web.Request) -> web.StreamResponse:
        visited.append(request.path_qs)
        return web.Response(body=DEPTH)

    async with linked(elsewhere, HandClock()) as other:
        asked: list[str] = []

        async def exchange(request: web.Request) -> web.StreamResponse:
            asked.append(request.path)
            if request.path != "/api/v3/depth":
                visited.append(request.path)
            if len(asked) < 3:
                where = [f"{other.venue.rest_url}/api/v3/depth", "/elsewhere"][len(asked) - 1]
                return web.Response(status=status, headers={"Location": where})
            return web.Response(body=DEPTH)

        async with asking(exchange, RestlessClock()) as (rest, queue):
            rest.request_snapshot(FetchSnapshot("BTCUSDT", 1))
            assert isinstance(await next_answer(queue), DepthAnswer)
            assert len(asked) == 3
    assert visited == []


async def test_the_error_names_the_target_of_the_redirect() -> None:
    """So that a user sees what is between the recorder and the exchange."""

    async def exchange(_: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": "http://portal.example/login"})

    async with asking(exchange, HandClock()) as (rest, _):
        with pytest.raises(Unreachable, match=r"302 .*portal\.example/login.* not followed"):
            await rest.http.get("/api/v3/exchangeInfo")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirected_handshake_is_an_error_and_goes_nowhere_else(status: int) -> None:
    """Even if the other server would have accepted the WebSocket."""
    visited: list[str] = []

    async def elsewhere(request: web.Request) -> web.StreamResponse:
        visited.append(request.path_qs)
        return await until_closed(await accept(request))

    async with linked(elsewhere, HandClock()) as other:
        location = f"{other.venue.rest_url}/stream"

        async def exchange(_: web.Request) -> web.StreamResponse:
            return web.Response(status=status, headers={"Location": location})

        async with linked(exchange, HandClock()) as context:
            connection = Connection(context, ("BTCUSDT",), 1, context.venue.ws_url)
            await connection.run()
            assert not len(context.queue)
            why = connection.why
    assert "redirects are not followed" in why
    assert visited == []


@pytest.mark.usefixtures("passwords_at_home")
async def test_neither_passwords_nor_cookies_are_sent() -> None:
    """Neither by requests nor by handshakes, even to a host that asks for them."""
    headers: list[dict[str, str]] = []

    async def exchange(request: web.Request) -> web.StreamResponse:
        headers.append(dict(request.headers))
        if request.path == "/stream":
            return await until_closed(await accept(request))
        answer = web.Response(status=401 if len(headers) == 1 else 200, body=DEPTH)
        answer.headers["WWW-Authenticate"] = "Basic realm=x"
        answer.set_cookie("session", "1")
        return answer

    async with asking(exchange, RestlessClock()) as (rest, queue):
        # By name: aiohttp keeps no cookies for a bare address anyway.
        rest_url, ws_url = (u.replace("127.0.0.1", "localhost") for u in urls(rest.context.venue))
        context = replace(rest.context, venue=Venue("by name", rest_url, ws_url))
        http, path = RateLimitedHttp(context), context.venue.depth_path("BTCUSDT", 100)
        with pytest.raises(HttpStatusError):
            await http.get(path)
        for _ in range(2):
            assert await http.get(path) == DEPTH
        await handshake(context)
        assert isinstance(await next_frame(queue), Connected)
    assert len(headers) == 4
    assert {each["Host"].partition(":")[0] for each in headers} == {"localhost"}
    names = {name.lower() for each in headers for name in each}
    assert names & {"authorization", "proxy-authorization", "cookie"} == set()


@pytest.mark.usefixtures("passwords_at_home")
async def test_a_proxy_from_the_environment_is_used_and_gets_only_its_own_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Requests and handshakes go through it; entries for its host in ~/.netrc are not sent."""
    through: list[tuple[str, str | None]] = []

    async def proxy(request: web.Request) -> web.StreamResponse:
        through.append((request.raw_path, request.headers.get("Proxy-Authorization")))
        if "/stream" in request.raw_path:
            return await until_closed(await accept(request))
        return web.Response(body=DEPTH)

    async with linked(proxy, HandClock()) as way, asking(proxy, HandClock()) as (rest, queue):
        # No machine has this name, so only the proxy can answer.
        far = Venue("far away", "http://exchange.invalid", "ws://exchange.invalid")
        proxy_url = way.venue.rest_url
        monkeypatch.setenv("HTTP_PROXY", proxy_url)
        context = replace(rest.context, venue=far)
        assert await RateLimitedHttp(context).get(far.depth_path("BTCUSDT", 100)) == DEPTH
        monkeypatch.setenv("HTTP_PROXY", proxy_url.replace("//", "//user:pass@"))
        await handshake(context)
        assert isinstance(await next_frame(queue), Connected)
    (first, no_password), (second, password) = through
    assert "/api/v3/depth?" in first
    assert "/stream?" in second
    assert (no_password, password) == (None, "Basic dXNlcjpwYXNz")


@pytest.mark.parametrize(
    ("environment", "address", "proxy"),
    [
        ({}, "https://a.example/api", None),
        ({"https_proxy": "http://p:1"}, "https://a.example/api", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1"}, "wss://a.example/stream", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "WSS_PROXY": "http://q:2"}, "wss://a.example", "http://q:2"),
        ({"HTTPS_PROXY": "http://p:1"}, "http://a.example/api", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "a.example"}, "https://a.example/api", None),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "a.example:81"}, "http://a.example:81/", None),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "a.example:81"}, "ws://a.example", "http://p:1"),
        ({"HTTPS_PROXY": ""}, "https://a.example/api", None),
        ({"HTTP_PROXY": "http://p:1"}, "http://127.0.0.1:8080/api", None),
        ({"HTTP_PROXY": "http://p:1"}, "ws://[::1]:8080/stream", None),
        ({"HTTP_PROXY": "http://p:1"}, "ws://localhost/stream", None),
    ],
)
def test_which_proxy_is_used(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], address: str, proxy: str | None
) -> None:
    """The environment is read as other programs read it; by default WebSockets use the proxy of web pages."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = proxy_for(address)
    assert (found and str(found)) == proxy


@pytest.mark.parametrize(
    "text",
    [
        *("proxy.example:3128", "foo:bar:baz", "http://", "http://[", "socks5://p:1", "//p:3"),
        *("http://p:99999", "http://me:secret@p:port"),
    ],
)
def test_a_malformed_proxy_is_the_user_s_mistake(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """The error has its name in the environment, without the password that it may contain."""
    monkeypatch.setenv("HTTPS_PROXY", text)
    with pytest.raises(UsageError, match=r"HTTPS_PROXY .* is not the address of a proxy") as caught:
        proxy_for("wss://a.example/stream")
    assert "secret" not in str(caught.value)
