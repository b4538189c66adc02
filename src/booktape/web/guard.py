"""Who may ask: a browser that shows our own page, or a program that asks on purpose. Pure.

Any web page in the world can make its visitor's browser send requests to this machine. Against that:

- **Host** must be the address that we listen on. A page whose name is made to point here after it was loaded (DNS
  rebinding) still sends its own name.
- **Origin**, if it is given, must be that of our own page; browsers send it with every WebSocket.
- **Sec-Fetch-Site** must not say that another page is asking, unless it opens ours through a link.

The answer's headers (`HEADERS`) keep other pages from embedding ours, and ours from loading or running anything else.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import ip_address
from types import MappingProxyType
from typing import Final, NamedTuple

from booktape.errors import UsageError

_POLICY: Final = (
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "connect-src 'self'",
    "img-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    # No text becomes markup or script, whatever the script does with it.
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
)

HEADERS: Final = MappingProxyType(
    {
        "Content-Security-Policy": "; ".join(_POLICY),
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cache-Control": "no-store",
        "Server": "booktape",
    }
)
"""The headers of every answer."""

DOCUMENT: Final = "/"
"""The one path that a link on another page may lead to."""

_LOCAL: Final = "localhost"
_ANOTHER_PAGE: Final = "Another page sent this request. Only booktape's own page may ask."
_HOST: Final = re.compile(r"(?P<name>\[[0-9a-fA-F:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(:[0-9]{1,5})?")


class Refusal(NamedTuple):
    """Why a request is refused: the status, and a sentence."""

    status: HTTPStatus
    sentence: str


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen: an IP address (or localhost) and a port; 0 takes a free one."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return self.host == _LOCAL or ip_address(self.host).is_loopback

    def at(self, port: int) -> str:
        """The page's address with the port that was opened."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{port}/"


def parse_address(option: str, text: str) -> Address:
    """`8080`, `127.0.0.1:8080`, `localhost:8080` or `[::1]:8080`; without a host it is loopback. Raises UsageError.

    A name is refused because it may lead anywhere: a page for other machines needs an address, such as 0.0.0.0.
    """
    match = re.fullmatch(r"(?:(\[[0-9a-fA-F:.]+\]|[0-9.]+|localhost):)?([0-9]{1,5})", text)
    host = (match[1] or "127.0.0.1").strip("[]") if match else ""
    port = int(match[2]) if match else -1
    try:
        fits = 0 <= port < 2**16 and (host == _LOCAL or bool(ip_address(host)))
    except ValueError:
        fits = False
    if not fits:
        raise UsageError(
            f"{option} {text[:60]!r} is not an address to listen on. Write 8080 or 127.0.0.1:8080; "
            "0.0.0.0:8080 for a page that other machines can open."
        )
    return Address(host, port)


def refusal(address: Address, path: str, headers: Sequence[tuple[str, str]]) -> Refusal | None:
    """Why this GET is refused; None when it may be answered. Names of headers are in lower case."""
    hosts = [value for name, value in headers if name == "host"]
    if len(hosts) != 1 or not _is_ours(address, hosts[0]):
        return Refusal(
            HTTPStatus.MISDIRECTED_REQUEST,
            "This page answers only at its own address. Open it at the address that booktape printed.",
        )
    own = {
        f"http://{hosts[0]}",
        f"https://{hosts[0]}",
    }  # https: a proxy in front of it has the certificate
    if any(value not in own for name, value in headers if name == "origin"):
        return Refusal(HTTPStatus.FORBIDDEN, _ANOTHER_PAGE)
    sites = {value for name, value in headers if name == "sec-fetch-site"}
    if path != DOCUMENT and not sites <= {"same-origin", "none"}:
        return Refusal(HTTPStatus.FORBIDDEN, _ANOTHER_PAGE)
    return None


def _is_ours(address: Address, host: str) -> bool:
    """Whether the page may be opened under this name; the port may be that of a tunnel.

    An IP address cannot be rebound: only names can be made to lead elsewhere.
    """
    match = _HOST.fullmatch(host)
    if match is None:
        return False
    name = match["name"].strip("[]").lower()
    try:
        asked = ip_address(name)
    except ValueError:
        own_name = socket.gethostname().lower()
        return name == _LOCAL or (not address.is_loopback and name == own_name)
    return asked.is_loopback or not address.is_loopback
