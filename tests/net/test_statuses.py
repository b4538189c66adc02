"""What the exchange's list says of the symbols: noticed when it changes, looked up now and then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from typing import TypeAlias

from aiohttp import web

import virtual_time
from booktape.core.frames import DELISTED, TRADING, Listed
from booktape.net.inbox import Inbox
from booktape.net.rest import Rest
from booktape.net.statuses import FEW, LOOK_EVERY_S, SPACING_S, Statuses
from booktape.wire.exchange_info import ExchangeInfo, SymbolInfo, encode_exchange_info
from net.loopback import linked

Lists: TypeAlias = dict[str, str]
BTC, ETH = "BTCUSDT", "ETHBTC"


def info(statuses: Lists) -> ExchangeInfo:
    return ExchangeInfo({symbol: SymbolInfo(symbol, said) for symbol, said in statuses.items()})


class Exchange:
    """Answers with its lists in turn, the last one for ever, and notes when it was asked for what.

    Like the real one it refuses whoever names a symbol that is not listed.
    """

    def __init__(self, *lists: Lists) -> None:
        self.asked: list[tuple[float, str]] = []
        self._lists = list(lists)

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        named = request.query.get("symbols", "")
        self.asked.append((virtual_time.running().time() - virtual_time.START_S, named))
        listed = self._lists[0]
        if any(symbol not in listed for symbol in named.strip('[]"').split('","') if symbol):
            return web.Response(status=400, text='{"code":-1121,"msg":"Invalid symbol."}')
        if len(self._lists) > 1:
            self._lists.pop(0)
        return web.Response(body=encode_exchange_info(list(info(listed).symbols.values()), 6_000))


class Recorder:
    """What it knows of each symbol, and the frames that it was given."""

    def __init__(self, *symbols: str) -> None:
        self.known = dict.fromkeys(symbols, TRADING)
        self.frames: list[Listed] = []
        self.lists: list[ExchangeInfo] = []

    async def listen(self, inbox: Inbox) -> None:
        while True:
            for frame in await inbox.take(1, 1):
                assert isinstance(frame, Listed)
                self.known[frame.symbol] = frame.status
                self.frames.append(frame)

    def said(self) -> list[tuple[str, str]]:
        return [(frame.symbol, frame.status) for frame in self.frames]


@asynccontextmanager
async def watching(
    exchange: Exchange, recorder: Recorder, first: Lists, *, new_ones: bool = False
) -> AsyncIterator[Rest]:
    """The list is watched, and what is seen goes to the recorder."""
    async with linked(exchange, virtual_time.WallClock()) as link:
        rest = Rest(link)
        look: Callable[[ExchangeInfo], None] = recorder.lists.append
        statuses = Statuses(link, rest, lambda: recorder.known, look, new_ones=new_ones)
        jobs = [
            asyncio.create_task(statuses.run(info(first))),
            asyncio.create_task(recorder.listen(link.inbox)),
        ]
        try:
            yield rest
        finally:
            for job in jobs:
                job.cancel()
                with suppress(asyncio.CancelledError):
                    await job


def test_what_changed_since_it_was_last_known_is_a_frame() -> None:
    """At the start what is not trading; later whatever is said for the first time."""
    recorder, exchange = (
        Recorder(BTC, ETH),
        Exchange({BTC: "HALT", ETH: "HALT"}, {BTC: TRADING, ETH: "HALT"}),
    )

    async def story() -> None:
        async with watching(exchange, recorder, {BTC: "HALT", ETH: TRADING}):
            await asyncio.sleep(1)
            assert recorder.said() == [(BTC, "HALT")]
            await asyncio.sleep(3 * LOOK_EVERY_S)
        assert recorder.said() == [(BTC, "HALT"), (ETH, "HALT"), (BTC, TRADING)]
        assert recorder.frames[0].received_ns == virtual_time.START_NS

    virtual_time.run(story(), within_s=None)


def test_the_list_is_looked_up_now_and_then() -> None:
    """Not at even distances, or all recorders would ask at once; those that are recorded, by name."""
    recorder, exchange = Recorder(BTC, ETH), Exchange({BTC: TRADING, ETH: TRADING})

    async def story() -> None:
        async with watching(exchange, recorder, {BTC: TRADING, ETH: TRADING}):
            await asyncio.sleep(20 * LOOK_EVERY_S)
        times = [0.0, *(at_s for at_s, _ in exchange.asked)]
        pauses = [later - at_s - SPACING_S for at_s, later in pairwise(times)]
        assert all(0.49 * LOOK_EVERY_S <= pause <= 1.01 * LOOK_EVERY_S for pause in pauses)
        assert len({round(pause) for pause in pauses}) > 1
        assert {named for _, named in exchange.asked} == {f'["{BTC}","{ETH}"]'}
        assert recorder.frames == []

    virtual_time.run(story(), within_s=None)


def test_one_that_is_missing_twice_is_delisted() -> None:
    """Once may be a slip; the second look comes after a minute, and then it is known to be gone."""
    recorder, exchange = Recorder(BTC, ETH), Exchange({BTC: TRADING})

    async def story() -> None:
        async with watching(exchange, recorder, {BTC: TRADING}):
            await asyncio.sleep(SPACING_S - 1)
            assert recorder.said() == []
            await asyncio.sleep(2)
            assert recorder.said() == [(ETH, DELISTED)]
            looks = len(exchange.asked)
            await asyncio.sleep(LOOK_EVERY_S / 2)
            assert len(exchange.asked) == looks, "nobody misses it any more"
            await asyncio.sleep(2 * LOOK_EVERY_S)
        assert recorder.said() == [(ETH, DELISTED)]
        assert exchange.asked[-1][1] == f'["{BTC}"]'

    virtual_time.run(story(), within_s=None)


def test_one_that_is_back_was_never_gone() -> None:
    """The exchange's list had a hole for a moment."""
    recorder, exchange = Recorder(BTC, ETH), Exchange({BTC: TRADING, ETH: TRADING}, {BTC: TRADING})

    async def story() -> None:
        async with watching(exchange, recorder, {BTC: TRADING}):
            await asyncio.sleep(SPACING_S + 1)
            assert len(exchange.asked) == 1
        assert recorder.said() == []

    virtual_time.run(story(), within_s=None)


def test_doubt_is_a_reason_to_look_sooner() -> None:
    """The exchange did not know a symbol; but no sooner than a minute after the last look."""
    recorder, exchange = Recorder(BTC), Exchange({BTC: "BREAK"})

    async def story() -> None:
        async with watching(exchange, recorder, {BTC: TRADING}) as rest:
            rest.doubt.set()
            await asyncio.sleep(SPACING_S - 1)
            assert exchange.asked == []
            await asyncio.sleep(2)
            assert len(exchange.asked) == 1
            assert recorder.said() == [(BTC, "BREAK")]
            await asyncio.sleep(LOOK_EVERY_S / 4)
            assert len(exchange.asked) == 1, "the doubt is answered"

    virtual_time.run(story(), within_s=None)


def test_all_are_asked_for_where_new_ones_are_looked_for() -> None:
    """Or where there are too many to name; every list is shown to whoever looks for new ones."""
    many = [f"S{n}USDT" for n in range(FEW + 1)]

    async def story() -> None:
        for symbols, new_ones in ((many, False), ([BTC], True)):
            recorder, listed = Recorder(*symbols), dict.fromkeys(symbols, TRADING)
            exchange = Exchange(listed)
            async with watching(exchange, recorder, listed, new_ones=new_ones) as rest:
                rest.doubt.set()
                await asyncio.sleep(SPACING_S + 1)
            assert [named for _, named in exchange.asked] == [""]
            assert len(recorder.lists) == 2

    virtual_time.run(story(), within_s=None)


def test_an_exchange_without_a_list_is_not_asked_again() -> None:
    """Then statuses are not known, and nothing is said of them."""
    recorder = Recorder(BTC)
    asked: list[str] = []

    async def silent(request: web.Request) -> web.StreamResponse:
        asked.append(request.path_qs)
        return web.Response(status=404)

    async def story() -> None:
        async with watching(silent, recorder, {BTC: TRADING}) as rest:  # type: ignore[arg-type]
            rest.doubt.set()
            await asyncio.sleep(10 * LOOK_EVERY_S)
        assert len(asked) == 2, "by name, and then the whole list"

    virtual_time.run(story(), within_s=None)
