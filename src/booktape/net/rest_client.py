"""Requests to the exchange: snapshots, and the list of symbols."""

from __future__ import annotations

import asyncio
import itertools
import random
from dataclasses import replace
from http import HTTPStatus
from typing import Final, NamedTuple

import structlog

from booktape.core.events import FetchSnapshot, Urgency
from booktape.core.tape_records import DepthAnswer, SnapshotRequested
from booktape.errors import ExchangeError, HttpStatusError, MalformedFrame
from booktape.net.backoff import full_jitter
from booktape.net.context import NetContext
from booktape.net.http import RateLimitedHttp
from booktape.wire.exchange_info import ExchangeInfo, decode_exchange_info
from booktape.wire.limits import DEPTH_BYTES_MAX
from booktape.wire.refusal import UNREAD_PARAMETER

_HAS_NO_LIST: Final = (HTTPStatus.NOT_FOUND, HTTPStatus.BAD_REQUEST)
_LATE_ATTEMPT: Final = 14  # by this attempt the pauses are at their longest
_HINT: Final = "trying again until it answers; without a network, --exchange sim works"

BUDGET_CHECK_S: Final = 1.0
"""The longest wait for budget before checking again which request is the most urgent."""

NAMED_MAX: Final = 100
"""At most this many symbols are requested by name. The whole list has thousands, in many megabytes."""

ONE_BY_ONE_MAX: Final = 20
"""At most this many symbols are looked up one by one: each costs as much as the whole list."""

log = structlog.get_logger()


class _Pending(NamedTuple):
    """The latest request for a symbol, and when (steady time) it was made."""

    request: FetchSnapshot
    made_s: float


class RestClient:
    """Repeats each request until it is answered: the most urgent first, then the oldest.

    A snapshot request is pending from `request_snapshot` until its answer is in the queue. Meanwhile it waits for
    its turn, is under way, or is held back because its symbol was requested in vain. Audits leave half of the
    budget to books that are not known. `recheck_listing` is set when the exchange does not know a symbol.

    Known weakness: books that are being deepened may take the whole budget; a book that is lost then waits for up
    to a minute.
    """

    def __init__(self, context: NetContext, sharers: int = 1) -> None:
        self.context = context
        self.http = RateLimitedHttp(context, sharers)
        self.recheck_listing = asyncio.Event()
        self._clock = context.clock
        self._weights = context.venue.weights
        self._hides_permissions = context.venue.hides_permissions
        self._pending: dict[str, _Pending] = {}
        # The symbols whose requests need not wait any longer, each with its place.
        self._waiting: dict[str, tuple[Urgency, int]] = {}
        self._places = itertools.count()
        self._under_way = 0
        self._ready = asyncio.Event()
        self._tasks = asyncio.TaskGroup()

    def has_waiting(self, least: Urgency) -> bool:
        """Whether a snapshot that is at least this urgent is waiting for its turn."""
        return any(urgency <= least for urgency, _ in self._waiting.values())

    async def look_up(
        self, symbols: tuple[str, ...], *, whole: bool = False
    ) -> ExchangeInfo | None:
        """What the exchange lists: these symbols by name; or all symbols, with these among them.

        Without a symbol, or with more than NAMED_MAX, it is all symbols. None if this server has no list.

        "If permissions parameter not provided, all symbols having either SPOT, MARGIN, or LEVERAGED
        permission will be exposed": other symbols are shown only if they are named. And one name that the
        exchange does not know spoils the answer for all. So missing symbols are requested again, one by one.
        """
        if not whole and 0 < len(symbols) <= NAMED_MAX:
            named = await self.exchange_info(symbols)
            if named:
                return named
            if len(symbols) == 1:
                return await self.exchange_info()
        info = await self.exchange_info()
        if info is None:
            return None
        missing = [symbol for symbol in symbols if symbol not in info.symbols]
        for symbol in missing[:ONE_BY_ONE_MAX]:
            one = await self.exchange_info((symbol,))
            if one:
                info.symbols.update(one.symbols)
        return info

    async def exchange_info(self, symbols: tuple[str, ...] = ()) -> ExchangeInfo | None:
        """What the exchange lists of these symbols, or of all. Tries for ever.

        None if this server has no list (404), or does not list one of the symbols (400). If it does not know
        `showPermissionSets` (400, -1104), the parameter is left out from then on.
        """
        venue = self.context.venue
        weight = venue.weights.exchange_info
        while True:
            number = await self.http.begin_when_free(weight)
            hides_permissions = self._hides_permissions
            path = replace(venue, hides_permissions=hides_permissions).exchange_info_path(symbols)
            try:
                info = await asyncio.to_thread(decode_exchange_info, await self.http.get(path))
            except (ExchangeError, MalformedFrame) as error:
                if isinstance(error, HttpStatusError) and error.status in _HAS_NO_LIST:
                    if error.code == UNREAD_PARAMETER and hides_permissions:
                        self._hides_permissions = False
                        continue
                    return None
                self.http.back_off(number, error, hint=_HINT)
            else:
                self.http.record_success(number)
                if info.weight_per_minute:
                    self.http.set_limit(info.weight_per_minute)
                return info

    def request_snapshot(self, request: FetchSnapshot) -> None:
        """Request a snapshot that is made from now on.

        A symbol has one pending request. A later request replaces it (unless the later one comes from an audit or
        deepens the book: then any answer serves it) and may only move the symbol forward. An answer to a request
        that was sent before the latest one was made is thrown away: the stream may have been reconnected since.
        """
        symbol = request.symbol
        is_pending = symbol in self._pending
        if is_pending and request.urgency >= Urgency.DEEPER:
            return
        self._pending[symbol] = _Pending(request, self._clock.steady_s())
        if not is_pending and request.attempt > 1:
            self._tasks.create_task(self._enqueue_later(symbol, request.attempt))
        elif not is_pending or symbol in self._waiting:
            self._enqueue(symbol)

    def forget(self, symbol: str) -> None:
        """Stop requesting this symbol."""
        self._pending.pop(symbol, None)
        self._waiting.pop(symbol, None)
        self._update_ready()

    async def run(self) -> None:
        """Serve requests until cancelled."""
        async with self._tasks:
            while True:
                await self._ready.wait()
                symbol = min(self._waiting, key=self._waiting.__getitem__)
                request = self._pending[symbol].request
                weight = self._weights.depth_weight(request.limit)
                is_audit = request.urgency is Urgency.AUDIT
                reserve = self.http.budget.limit // 2 if is_audit else 0
                if wait_s := self.http.wait_s(weight + reserve):
                    await self._clock.pause(min(wait_s, BUDGET_CHECK_S))
                    continue
                del self._waiting[symbol]
                self._under_way += 1
                self._update_ready()
                self._tasks.create_task(self._serve(request, self.http.begin(weight)))

    async def _serve(self, request: FetchSnapshot, number: int) -> None:
        try:
            await self._fetch_snapshot(request, number)
        finally:
            self._under_way -= 1
            self._update_ready()

    async def _fetch_snapshot(self, request: FetchSnapshot, number: int) -> None:
        symbol, limit, queue = request.symbol, request.limit, self.context.queue
        await queue.put(SnapshotRequested(self._clock.now_ns(), symbol, limit))
        sent_s = self._clock.steady_s()
        try:
            path = self.context.venue.depth_path(symbol, limit)
            body = await self.http.get(path, most_bytes=DEPTH_BYTES_MAX)
        except ExchangeError as error:
            if isinstance(error, HttpStatusError) and error.status == HTTPStatus.BAD_REQUEST:
                # The trouble is with this symbol, not with the exchange: the others need not wait.
                log.warning("refused", symbol=symbol, error=str(error))
                self.recheck_listing.set()
                self._tasks.create_task(self._enqueue_later(symbol, _LATE_ATTEMPT))
            else:
                self.http.back_off(number, error, symbol=symbol)
                self._enqueue(symbol)
            return
        self.http.record_success(number)
        pending = self._pending.get(symbol)
        if pending is None:
            return
        # The answer to a request that was sent before the stream was (re)connected may be older than the stream.
        # On a quiet symbol nothing would show that, and an old book would count as known.
        if sent_s < pending.made_s:
            self._enqueue(symbol)
            return
        # Before the answer is in the queue, so that its handler may request again.
        self.forget(symbol)
        await queue.put(DepthAnswer(self._clock.now_ns(), symbol, limit, body))

    def _enqueue(self, symbol: str) -> None:
        """Let the pending request of this symbol wait for its turn, unless it was forgotten."""
        if symbol in self._pending:
            place = self._pending[symbol].request.urgency, next(self._places)
            self._waiting[symbol] = min(place, self._waiting.get(symbol, place))
            self._update_ready()

    async def _enqueue_later(self, symbol: str, attempt: int) -> None:
        """Pause first: if an answer did not fit, the next one will not fit any better at once."""
        pauses = full_jitter(random.uniform)
        await self._clock.pause(next(itertools.islice(pauses, attempt - 2, None)))
        self._enqueue(symbol)

    def _update_ready(self) -> None:
        """Set `_ready` if a waiting request may be sent as soon as there is budget; otherwise clear it."""
        if self._waiting and self._under_way < self.http.concurrency:
            self._ready.set()
        else:
            self._ready.clear()
