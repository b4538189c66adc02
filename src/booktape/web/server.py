"""Serves the page: its files from memory, and the answers of `recording` or `live`.

    async with PageServer(Address("127.0.0.1", 8080), routes) as server:
        ...  # server.url

Paths are a fixed table: no part of a URL is ever a path of the file system. Only GET is answered.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from http import HTTPStatus
from importlib import resources
from types import MappingProxyType, TracebackType
from typing import Final, Self

import msgspec
import structlog
from aiohttp import web

from booktape.errors import BookNotKnown, BooktapeError, NotRecorded, UsageError
from booktape.web.guard import HEADERS, Address, refusal

CONNECTIONS_MAX: Final = 200
"""Each browser opens up to six. Further ones are closed at once, because a recorder needs its descriptors."""

IDLE_S: Final = 30.0
"""How long a connection without a request is kept."""

_SHUTDOWN_S: Final = 1.0

_FILES: Final = MappingProxyType(
    {
        "/": ("index.html", "text/html"),
        "/page.js": ("page.js", "text/javascript"),
        "/page.css": ("page.css", "text/css"),
        "/icon.svg": ("icon.svg", "image/svg+xml"),
        "/uplot.js": ("uplot/uPlot.iife.min.js", "text/javascript"),
        "/uplot.css": ("uplot/uPlot.min.css", "text/css"),
        "/uplot-licence.txt": ("uplot/LICENSE", "text/plain"),
    }
)
"""Path, the file in `page/`, its type."""

_STATUSES: Final[Mapping[type[BooktapeError], HTTPStatus]] = MappingProxyType(
    {
        UsageError: HTTPStatus.BAD_REQUEST,
        NotRecorded: HTTPStatus.NOT_FOUND,
        BookNotKnown: HTTPStatus.NOT_FOUND,
    }
)

log = structlog.get_logger()


class PageServer:
    """Serves the page while its `async with` lasts. `port` is the one that was opened."""

    def __init__(self, address: Address, routes: Iterable[web.RouteDef]) -> None:
        self.address = address
        self.port = address.port
        app = web.Application(middlewares=[self._guarded])
        app.on_response_prepare.append(_add_headers)
        app.add_routes([*map(_file_route, _FILES), *routes])
        self._runner = web.AppRunner(
            app,
            access_log=None,
            logger=_quiet_logger(),
            keepalive_timeout=IDLE_S,
            shutdown_timeout=_SHUTDOWN_S,
        )

    @property
    def url(self) -> str:
        """What to open in a browser."""
        return self.address.at(self.port)

    async def __aenter__(self) -> Self:
        """Open the port. Raises UsageError if that fails."""
        await self._runner.setup()
        try:
            self._listener = await asyncio.get_running_loop().create_server(
                self._connection, self.address.host, self.address.port
            )
        except OSError as error:
            await self._runner.cleanup()
            raise UsageError(
                f"{self.address.at(self.port)} cannot be served: {error.strerror}. Choose another "
                "address, or port 0 for any free one."
            ) from error
        self.port = self._listener.sockets[0].getsockname()[1]
        if not self.address.is_loopback:
            log.warning("the page has no password: anyone who reaches it can read it", url=self.url)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the port and all connections."""
        self._listener.close()
        await self._runner.cleanup()

    def _connection(self) -> asyncio.BaseProtocol:
        server = self._runner.server
        assert server is not None  # noqa: S101 it was set up before the port was opened
        return server() if len(server.connections) < CONNECTIONS_MAX else _Closed()

    @web.middleware
    async def _guarded(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        """Refuse requests that are not allowed; turn every error into a sentence."""
        try:
            if request.method != "GET":
                return answer_sentence(
                    HTTPStatus.METHOD_NOT_ALLOWED, "Only GET is answered.", {"Allow": "GET"}
                )
            headers = [(name.lower(), value) for name, value in request.headers.items()]
            refused = refusal(self.address, request.path, headers)
            return answer_sentence(*refused) if refused else await handler(request)
        except web.HTTPException as error:
            return answer_sentence(HTTPStatus(error.status), "There is no such page.")
        except BooktapeError as error:
            status = _STATUSES.get(type(error), HTTPStatus.INTERNAL_SERVER_ERROR)
            return answer_sentence(status, str(error))
        except Exception:
            # A bug: the traceback belongs in the log, and is no browser's business.
            log.exception("the page could not answer", path=request.path)
            return answer_sentence(
                HTTPStatus.INTERNAL_SERVER_ERROR,
                "booktape could not answer this. Its log says why.",
            )


class _Closed(asyncio.Protocol):
    """A connection that is one too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


def answer_json(
    value: object, status: HTTPStatus = HTTPStatus.OK, headers: dict[str, str] | None = None
) -> web.Response:
    """NaN and infinity become null. Dataclasses become objects with their fields' names."""
    return web.Response(
        status=status,
        body=msgspec.json.encode(value),
        content_type="application/json",
        headers=headers,
    )


def answer_sentence(
    status: HTTPStatus, sentence: str, headers: dict[str, str] | None = None
) -> web.Response:
    """An error: a sentence that the page shows as text."""
    return answer_json({"error": sentence}, status, headers)


def _file_route(path: str) -> web.RouteDef:
    """The file is read once, when the server is made: what the process serves does not change under it."""
    name, content_type = _FILES[path]
    body = resources.files("booktape.web").joinpath("page", name).read_bytes()

    async def handle(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type=content_type, charset="utf-8")

    return web.get(path, handle, allow_head=False)


async def _add_headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)


def _quiet_logger() -> logging.Logger:
    """Aiohttp logs a traceback for every request that is not HTTP; any program can send a million of them."""
    quiet = logging.getLogger("booktape.web.aiohttp")
    quiet.propagate = False
    quiet.addHandler(logging.NullHandler())
    return quiet
