"""What is asked of the exchange: snapshots, and the list of symbols."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
from collections import deque
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

_SAYS_NOTHING: Final = (HTTPStatus.NOT_FOUND, HTTPStatus.BAD_REQUEST)
_NEVER_SOON: Final = 14  # as many attempts as it takes for the longest pauses
_HINT: Final = "trying again until it answers; without a network, --exchange sim works"

LOOK_EVERY_S: Final = 1.0

NAMED_MOST: Final = 100
"""Symbols that are asked for by name. The whole list has thousands, in many megabytes."""

ONE_BY_ONE_MOST: Final = 20
"""Symbols that are looked for one by one: each costs as much as the whole list."""

log = structlog.get_logger()


class _Asked(NamedTuple):
    """The last request for a symbol, and when (steady time) it was made."""

    at_s: float
    request: FetchSnapshot


class RestClient:
    """Asks until it is answered, the most urgent first, then whoever asked first.

    `request_snapshot` is a request as a value being carried out: the answer is put into the queue as a frame.
    Audits leave half of the budget to books that are not known. `recheck_listing` is set when the exchange
    does not know a symbol.

    Known weakness: books that become deep may take all of the budget, and one that is lost then
    waits for a minute at most.
    """

    def __init__(self, context: NetContext, sharers: int = 1) -> None:
        self.http = RateLimitedHttp(context, sharers)
        self.recheck_listing = asyncio.Event()
        self._context = context
        self._clock = context.clock
        self._weights = context.venue.weights
        self._hides_permissions = context.venue.hides_permissions
        self._asked: dict[str, _Asked] = {}
        self._under_way = 0
        self._waiting: list[tuple[Urgency, int, FetchSnapshot]] = []
        self._ready = asyncio.Event()
        self._order = itertools.count()
        self._tasks: asyncio.TaskGroup

    @property
    def has_lost_book_waiting(self) -> bool:
        """Whether the snapshot of a book that was known waits for its turn."""
        return bool(self._waiting) and self._waiting[0][0] is Urgency.LOST

    async def look_up(
        self, symbols: tuple[str, ...], *, whole: bool = False
    ) -> ExchangeInfo | None:
        """What the exchange lists: these symbols, by name; or all, and these among them.

        Without a symbol, or with very many, it is all of them. None when this server does not say.

        "If permissions parameter not provided, all symbols having either SPOT, MARGIN, or LEVERAGED
        permission will be exposed": others are shown when they are named. And one name that the exchange
        does not know spoils the answer for all. So what is missing is asked for once more, one by one.
        """
        if not whole and 0 < len(symbols) <= NAMED_MOST:
            named = await self.exchange_info(symbols)
            if named:
                return named
            if len(symbols) == 1:
                return await self.exchange_info()
        info = await self.exchange_info()
        if info is None:
            return None
        missing = [symbol for symbol in symbols if symbol not in info.symbols]
        for symbol in missing[:ONE_BY_ONE_MOST]:
            one = await self.exchange_info((symbol,))
            if one:
                info.symbols.update(one.symbols)
        return info

    async def exchange_info(self, symbols: tuple[str, ...] = ()) -> ExchangeInfo | None:
        """What the exchange lists, of these symbols or of all. Tries for ever.

        None when this server does not say (404), or does not list one of the symbols (400). Where it does
        not know `showPermissionSets` (400, -1104), it is asked without, now and from then on.
        """
        venue = self._context.venue
        weight = venue.weights.exchange_info
        while True:
            while wait_s := self.http.wait_s(weight):
                await self._clock.pause(wait_s)
            number = self.http.begin(weight)
            hides_permissions = self._hides_permissions
            path = replace(venue, hides_permissions=hides_permissions).exchange_info_path(symbols)
            try:
                info = await asyncio.to_thread(decode_exchange_info, await self.http.get(path))
            except (ExchangeError, MalformedFrame) as error:
                if isinstance(error, HttpStatusError) and error.status in _SAYS_NOTHING:
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
        """Ask for a snapshot as it will be from now on.

        A symbol that waits for its turn is not queued twice, but may become more urgent; where an
        answer to an earlier question is under way, that one will be asked once more.
        """
        before, now_s = self._asked.get(request.symbol), self._clock.steady_s()
        if before and request.urgency >= Urgency.DEEPER:
            return
        self._asked[request.symbol] = _Asked(now_s, request)
        if before is None and request.attempt > 1:
            self._tasks.create_task(self._queue_later(request))
        elif before is None or (
            request.urgency < before.request.urgency and self._remove_waiting(request.symbol)
        ):
            self._requeue(request.symbol)

    def forget(self, symbol: str) -> None:
        """Do not ask for this symbol any more."""
        self._asked.pop(symbol, None)
        self._remove_waiting(symbol)

    async def run(self) -> None:
        """Serve requests until cancelled."""
        async with asyncio.TaskGroup() as self._tasks:
            while True:
                await self._ready.wait()
                if wait_s := self._wait_s():
                    # In short naps: somebody more urgent may come, for whom there is budget.
                    await self._clock.pause(min(wait_s, LOOK_EVERY_S))
                else:
                    _, _, request = heapq.heappop(self._waiting)
                    number = self.http.begin(self._weights.of_depth(request.limit))
                    self._under_way += 1
                    self._update_ready()
                    self._tasks.create_task(self._serve(request, number))

    def _wait_s(self) -> float:
        """How long whoever is most urgent has to wait."""
        urgency, _, request = self._waiting[0]
        reserve = self.http.budget.limit // 2 if urgency is Urgency.AUDIT else 0
        return self.http.wait_s(self._weights.of_depth(request.limit) + reserve)

    async def _serve(self, request: FetchSnapshot, number: int) -> None:
        try:
            await self._fetch_snapshot(request, number)
        finally:
            self._under_way -= 1
            self._update_ready()

    async def _fetch_snapshot(self, request: FetchSnapshot, number: int) -> None:
        symbol, limit, queue = request.symbol, request.limit, self._context.queue
        await queue.put(SnapshotRequested(self._clock.now_ns(), symbol, limit))
        sent_s = self._clock.steady_s()
        try:
            path = self._context.venue.depth_path(symbol, limit)
            body = await self.http.get(path, most_bytes=DEPTH_BYTES_MAX)
        except ExchangeError as error:
            self._failed(request, number, error)
            return
        self.http.record_success(number)
        asked = self._asked.get(symbol)
        if asked is None:
            return
        # One that was sent before the stream was (re)connected may be older than the stream: on a
        # quiet symbol nothing would tell, and an old book would be called known.
        if sent_s < asked.at_s:
            self._requeue(symbol)
            return
        # Free to be asked for again before anyone can see the answer.
        del self._asked[symbol]
        await queue.put(DepthAnswer(self._clock.now_ns(), symbol, limit, body))

    def _failed(self, request: FetchSnapshot, number: int, error: ExchangeError) -> None:
        if isinstance(error, HttpStatusError) and error.status == HTTPStatus.BAD_REQUEST:
            # This symbol's trouble, not the exchange's: the others need not wait.
            log.warning("refused", symbol=request.symbol, error=str(error))
            self.recheck_listing.set()
            self._tasks.create_task(self._queue_later(replace(request, attempt=_NEVER_SOON)))
        else:
            self.http.back_off(number, error, symbol=request.symbol)
            self._requeue(request.symbol)

    def _remove_waiting(self, symbol: str) -> bool:
        """Out of the queue with it; False when it was not there (but under way, or spaced out)."""
        waiting = [entry for entry in self._waiting if entry[2].symbol != symbol]
        found = len(waiting) < len(self._waiting)
        heapq.heapify(waiting)
        self._waiting = waiting
        self._update_ready()
        return found

    def _requeue(self, symbol: str) -> None:
        """Into the queue with the last request for this symbol, unless it was forgotten."""
        if symbol in self._asked:
            request = self._asked[symbol].request
            heapq.heappush(self._waiting, (request.urgency, next(self._order), request))
            self._update_ready()

    def _update_ready(self) -> None:
        """Whether one of those who wait may leave, were there budget."""
        if self._waiting and self._under_way < self.http.concurrency:
            self._ready.set()
        else:
            self._ready.clear()

    async def _queue_later(self, request: FetchSnapshot) -> None:
        """An answer that did not fit will not fit better at once: repeats are spaced out."""
        pauses = itertools.islice(full_jitter(random.uniform), request.attempt - 1)
        await self._clock.pause(deque(pauses, maxlen=1).pop())
        self._requeue(request.symbol)
