"""What a running recorder shows: one frame each time a browser asks.

A browser asks over a WebSocket, and asks again once it has drawn the answer. So at most one frame is under way to it:
a slow browser gets fewer frames, never a queue of old ones, and a page in a hidden tab asks for nothing.

All browsers share one status of the recorder, which is made at most once a second, and one encoding of it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from http import HTTPStatus
from time import monotonic
from typing import Any, Final, Protocol

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from booktape import __version__
from booktape.reader.book_view import REACHES_BPS, BookView
from booktape.recorder.status import BookStatus, RecorderStatus
from booktape.web.server import answer_json, answer_sentence

BOOK_EVERY_S: Final = 0.25
OVERVIEW_EVERY_S: Final = 1.0
"""The shortest time between two frames of one browser, and between two looks at the recorder."""

MANY: Final = 300
MANY_EVERY_S: Final = 2.0
"""With more than MANY books the overview is made less often, because all of them are looked at for it."""

BROWSERS_MAX: Final = 100

WISH_BYTES_MAX: Final = 1_024

HEARTBEAT_S: Final = 20.0
"""The time between pings. A browser that does not answer one is gone."""

COLUMNS: Final = (
    *("symbol", "state", "reason", "evidence_us", "lag_ms", "updates", "epoch", "rows", "gaps"),
    *("lost_s", "checks", "failed"),
)


class LiveRecorder(Protocol):
    """The part of a recorder that a page uses."""

    def status(self, shown: int) -> RecorderStatus | None:
        """The status, with the levels of `shown` books; None before the recorder has begun, and while it ends."""

    async def view(self, symbol: str, reach_bps: int) -> BookView | None:
        """The book around its mid; None if it is not known or not recorded."""


class Wish(msgspec.Struct, forbid_unknown_fields=True):
    """What a browser wants to see next: all symbols (None), or one of them."""

    symbol: str | None
    reach: int


class LiveAnswers:
    """The routes of the page that shows a running recorder. `name` says what it records, and where to."""

    def __init__(self, recorder: LiveRecorder, name: str) -> None:
        self._recorder = recorder
        self._name = name
        self._browsers = 0
        self._status: RecorderStatus | None = None
        self._looked_s = 0.0
        self._overview = b""
        self._views: dict[tuple[str, int], _Shared] = {}
        self._sending = asyncio.Lock()

    def routes(self) -> list[web.RouteDef]:
        """`/about` answers JSON; `/live` is the WebSocket."""
        return [
            web.get("/about", self._about, allow_head=False),
            web.get("/live", self._live, allow_head=False),
        ]

    async def _about(self, _: web.Request) -> web.Response:
        return answer_json({"mode": "live", "name": self._name, "version": __version__})

    async def _live(self, request: web.Request) -> web.StreamResponse:
        if self._browsers >= BROWSERS_MAX:
            return answer_sentence(
                HTTPStatus.SERVICE_UNAVAILABLE, "Too many pages are open. Close some of them."
            )
        socket = web.WebSocketResponse(
            heartbeat=HEARTBEAT_S, max_msg_size=WISH_BYTES_MAX, compress=False
        )
        if not socket.can_prepare(request):
            return answer_sentence(
                HTTPStatus.UPGRADE_REQUIRED, "This address is for the page itself."
            )
        self._browsers += 1
        try:
            await socket.prepare(request)
            await self._serve(socket)
        finally:
            self._browsers -= 1
        return socket

    async def _serve(self, socket: web.WebSocketResponse) -> None:
        """Send a frame for each wish, never faster than a screen needs."""
        next_s = 0.0
        async for message in socket:
            wish = _parsed(message.data) if message.type is WSMsgType.TEXT else None
            if wish is None:
                await socket.close(code=WSCloseCode.POLICY_VIOLATION)
                return
            await asyncio.sleep(max(0.0, next_s - monotonic()))
            # Made after the wait, so that it shows the newest moment.
            frame = await self._frame(wish)
            # Browsers that waited for the same book are served one by one, each in its own turn of the loop: in one
            # turn, fifty of them would keep the exchange's sockets waiting for milliseconds.
            async with self._sending:
                await asyncio.sleep(0)
            await socket.send_bytes(frame)
            next_s = monotonic() + (BOOK_EVERY_S if wish.symbol else self._overview_every_s)

    async def _frame(self, wish: Wish) -> bytes:
        status = self._look()
        if status is None:
            return msgspec.json.encode({"kind": "waiting"})
        if wish.symbol is None:
            # The overview gets a turn of the loop to itself: between two turns, sockets are read and stamped.
            await asyncio.sleep(0)
            self._overview = self._overview or _overview(self._status or status)
            return self._overview
        own = next((book for book in status.books if book.symbol == wish.symbol), None)
        if own is None:
            return msgspec.json.encode({"kind": "unknown"})
        # A book of a moment ago is not shown once it is known to be lost.
        shared = await self._shared(wish.symbol, wish.reach) if own.is_known else None
        # One encoding for all browsers that show this book with this status.
        if shared is not None and shared.frame and shared.frame_of is status:
            return shared.frame
        book = shared.work.result() if shared else None
        frame = {
            "kind": "book",
            **_totals(status),
            "columns": COLUMNS,
            "own": _row(own),
            "book": book,
        }
        encoded = msgspec.json.encode(frame)
        if shared is not None:
            shared.frame, shared.frame_of = encoded, status
        return encoded

    def _look(self) -> RecorderStatus | None:
        """The recorder's status, as of a moment ago."""
        now_s = monotonic()
        if now_s - self._looked_s >= self._overview_every_s or self._status is None:
            self._looked_s, self._status = now_s, self._recorder.status(0)
            self._overview = b""
        return self._status

    @property
    def _overview_every_s(self) -> float:
        many = self._status is not None and len(self._status.books) > MANY
        return MANY_EVERY_S if many else OVERVIEW_EVERY_S

    async def _shared(self, symbol: str, reach_bps: int) -> _Shared:
        """A book, shared by all browsers that look at it at the same time, or soon after each other."""
        now_s = monotonic()
        self._views = {key: each for key, each in self._views.items() if each.serves_at(now_s)}
        key = symbol, reach_bps
        if key not in self._views:
            work = asyncio.ensure_future(self._recorder.view(symbol, reach_bps))
            self._views[key] = _Shared(now_s, work)
        shared = self._views[key]
        # A browser that leaves does not take the book from the others.
        await asyncio.shield(shared.work)
        return shared


@dataclass(slots=True)
class _Shared:
    """A book that was asked for at `asked_s` (monotonic), and its frame with one status."""

    asked_s: float
    work: asyncio.Future[BookView | None]
    frame: bytes = b""
    frame_of: RecorderStatus | None = None

    def serves_at(self, now_s: float) -> bool:
        """Whether a browser that asks now gets it too: while it is being made, and shortly after it was asked for."""
        return not self.work.done() or now_s - self.asked_s < BOOK_EVERY_S / 2


def _parsed(text: str) -> Wish | None:
    try:
        wish = msgspec.json.decode(text, type=Wish)
    except (msgspec.MsgspecError, UnicodeError):
        return None
    return wish if wish.reach in REACHES_BPS else None


def _overview(status: RecorderStatus) -> bytes:
    return msgspec.json.encode(
        {
            "kind": "overview",
            **_totals(status),
            "columns": COLUMNS,
            "books": [_row(book) for book in status.books],
        }
    )


def _totals(status: RecorderStatus) -> dict[str, Any]:
    return {
        "at_us": status.at_ns // 1_000,
        "started_us": status.started_ns // 1_000,
        "books_known": status.known,
        "books_all": len(status.books),
        "records": status.records,
        "waiting": status.waiting,
        "queue_lag_ms": status.lag_ms,
        "connections": status.connections,
        "rows": status.rows,
        "gap_count": status.gaps,
        "failed_checks": status.failed_checks,
        "bytes_an_hour": status.bytes_an_hour,
        "segment": status.segment,
        "lost_lines": status.lost_lines,
        "retention_blocked": status.retention.text if status.retention else "",
    }


def _row(book: BookStatus) -> tuple[Any, ...]:
    """The values of one book, in the order of COLUMNS."""
    return (
        book.symbol,
        book.state,
        book.reason,
        book.evidence_ns // 1_000,
        None if book.lag_ns is None else book.lag_ns / 1e6,
        book.updates,
        book.epoch,
        book.rows,
        book.gaps,
        book.lost_ns / 1e9,
        book.comparisons,
        book.failed_checks,
    )
