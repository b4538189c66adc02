"""The way out: where requests go, and what goes with them.

Nothing is followed and nothing is remembered. An answer that sends us elsewhere is an error, for REST
and WebSocket alike: what it leads to is not the exchange that was asked for, and may be without TLS. No
cookie is kept, and no password of ~/.netrc is sent. Of the environment only proxies count.
"""

from __future__ import annotations

from http import HTTPStatus
from ipaddress import ip_address
from typing import Final
from urllib.request import getproxies, proxy_bypass

from aiohttp import (
    ClientHandlerType,
    ClientRequest,
    ClientResponse,
    ClientSession,
    DummyCookieJar,
    RedirectClientError,
)
from yarl import URL

from booktape.errors import UsageError
from booktape.net.request_pause import RequestPause

_PLAIN: Final = {"ws": "http", "wss": "https"}
"""Few name a proxy for WebSockets: they go where the same host's pages go."""

_SHOWN: Final = 200


def open_session(silence: RequestPause) -> ClientSession:
    """What all requests and handshakes of a recorder go through: not while silence is asked for.

    It follows nothing, and knows neither cookies nor passwords.

    `trust_env` would bring proxies, but with them the passwords of ~/.netrc; so it is off, and each
    request names its proxy (`proxy_for`).
    """
    return ClientSession(
        trust_env=False,
        cookie_jar=DummyCookieJar(),
        middlewares=(silence.guard, refuse_redirects),
    )


async def refuse_redirects(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """A middleware. Raises RedirectClientError for an answer that sends us elsewhere.

    aiohttp follows redirects after its middlewares, and `ws_connect` cannot be told not to.
    """
    answer = await handler(request)
    if HTTPStatus.MULTIPLE_CHOICES <= answer.status < HTTPStatus.BAD_REQUEST:
        answer.close()
        where = answer.headers.get("Location", "")[:_SHOWN]
        raise RedirectClientError(
            f"it answered {answer.status} and sends us to {where!r}: redirects are not followed"
        )
    return answer


def proxy_for(url: str) -> URL | None:
    """The proxy that the environment names for this address (HTTPS_PROXY, NO_PROXY and their kin).

    None where there is none, and for this very machine: on a proxy, 127.0.0.1 is the proxy. Raises
    UsageError for one that is no address.
    """
    target = URL(url, encoded=True)
    host = target.host or ""
    if _is_loopback(host) or proxy_bypass(host) or proxy_bypass(f"{host}:{target.port}"):
        return None
    proxies = getproxies()
    schemes = (target.scheme, _PLAIN.get(target.scheme, ""))
    return next((_parsed(each, proxies[each]) for each in schemes if each in proxies), None)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _parsed(scheme: str, text: str) -> URL:
    try:
        proxy = URL(text)
    except ValueError:
        proxy = URL()
    if proxy.scheme in {"http", "https"} and proxy.host:
        return proxy
    shown = text.rpartition("@")[2][:_SHOWN]  # a password may stand before
    raise UsageError(
        f"The environment's {scheme.upper()}_PROXY ({shown!r}) is not the address of a proxy. "
        "Write http://HOST:PORT, or unset it."
    )
