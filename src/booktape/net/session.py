"""The HTTP session of a recorder: no redirects, no cookies, no passwords.

A redirect is an error, for REST and WebSocket alike: its target is not the exchange that was asked, and may lack
TLS. No cookie is kept, and no password from ~/.netrc is sent. Only proxies are taken from the environment.
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
"""WebSockets use the HTTP proxy if the environment names none for them; few environments do."""

_SHOWN: Final = 200


def open_session(pause: RequestPause) -> ClientSession:
    """The session for all requests and handshakes of a recorder; it sends nothing during a pause.

    `trust_env` would provide the proxies, but also send the passwords in ~/.netrc. So it is off, and each
    request names its proxy (`proxy_for`).
    """
    return ClientSession(
        trust_env=False,
        cookie_jar=DummyCookieJar(),
        middlewares=(pause.guard, refuse_redirects),
    )


async def refuse_redirects(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """A middleware. Raises RedirectClientError for a redirect.

    aiohttp follows redirects after its middlewares have run, and `ws_connect` has no option to prevent that.
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
    """The proxy that the environment names for this address (HTTPS_PROXY, NO_PROXY and so on).

    None if it names none, and for this machine: as seen from a proxy, 127.0.0.1 is the proxy itself. Raises
    UsageError for a proxy that is not an address.
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
    shown = text.rpartition("@")[2][:_SHOWN]  # a password may come before it
    raise UsageError(
        f"The environment's {scheme.upper()}_PROXY ({shown!r}) is not the address of a proxy. "
        "Write http://HOST:PORT, or unset it."
    )
