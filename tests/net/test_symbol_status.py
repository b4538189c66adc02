"""The exchange's list of symbols: fetched from time to time, and every change is noticed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from itertools import pairwise
from typing import TypeAlias

import pytest
from aiohttp import web

from booktape.core.tape_records import DELISTED, TRADING, SymbolListing
from booktape.net.record_queue import RecordQueue
from booktape.net.rest_client import NAMED_MAX, ONE_BY_ONE_MAX, RestClient
from booktape.net.symbol_status import (
    LIST_SPACING_S,
    NAME_TRIES,
    NAMED_LIST_EVERY_S,
    WHOLE_LIST_EVERY_S,
    ListingState,
    SymbolStatusPoller,
)
from booktape.wire.best_prices import BestPrices
from booktape.wire.exchange_info import ExchangeInfo, SymbolInfo
from net.loopback import Handler, linked
from support import virtual_time
from support.exchange_info import encode_exchange_info

Lists: TypeAlias = dict[str, str]
BTC, ETH = "BTCUSDT", "ETHBTC"
TRADED = ListingState(TRADING, "", "")


def info(statuses: Lists) -> ExchangeInfo:
    return ExchangeInfo({symbol: SymbolInfo(symbol, status) for symbol, status in statuses.items()})


class Exchange:
    """Answers with its lists in turn, the last one for ever, and records every request with its time.

    Like the real one it refuses a request that names a symbol that is not listed, and leaves `hidden` ones out of
    the whole list.
    """

    def __init__(self, *lists: Lists, hidden: Lists | None = None) -> None:
        self.asked: list[tuple[float, str]] = []
        self.hidden = hidden or {}
        self._lists = list(lists)

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        assert request.query["showPermissionSets"] == "false"
        named = request.query.get("symbols", "")
        self.asked.append((virtual_time.running().time() - virtual_time.START_S, named))
        whole, listed = self._lists[0], self._lists[0] | self.hidden
        names = named.strip('[]"').split('","') if named else list(whole)
        if any(name not in listed for name in names):
            return web.Response(status=400, text='{"code":-1121,"msg":"Invalid symbol."}')
        if len(self._lists) > 1:
            self._lists.pop(0)
        infos = info({name: listed[name] for name in names}).symbols.values()
        return web.Response(body=encode_exchange_info(infos, 6_000))


class Recorder:
    """What it knows about each symbol, and the frames it was given."""

    def __init__(self, *symbols: str, known: ListingState = TRADED) -> None:
        self.known = dict.fromkeys(symbols, known)
        self.frames: list[SymbolListing] = []
        self.lists: list[ExchangeInfo] = []

    async def listen(self, queue: RecordQueue) -> None:
        while True:
            for frame in await queue.take(1, 1):
                assert isinstance(frame, SymbolListing)
                self.known[frame.symbol] = ListingState(frame.status, *_steps(frame))
                self.frames.append(frame)

    def written(self) -> list[tuple[str, str]]:
        return [(frame.symbol, frame.status) for frame in self.frames]


def _steps(frame: SymbolListing) -> tuple[str, str]:
    return frame.tick_size, frame.lot_size


class Watched(RestClient):
    """The requests of a recorder whose list is watched."""

    statuses: SymbolStatusPoller


@asynccontextmanager
async def watching(
    exchange: Handler,
    recorder: Recorder,
    first: Lists | ExchangeInfo | None,
    *,
    new_ones: bool = False,
) -> AsyncIterator[Watched]:
    """The list is watched, and every change goes to the recorder."""
    async with linked(exchange, virtual_time.WallClock()) as context:
        rest = Watched(context)
        look: Callable[[ExchangeInfo], None] = recorder.lists.append
        statuses = SymbolStatusPoller(rest, lambda: recorder.known, look, new_ones=new_ones)
        rest.statuses = statuses
        begun = info(first) if isinstance(first, dict) else first
        jobs = [
            asyncio.create_task(statuses.run(begun)),
            asyncio.create_task(recorder.listen(context.queue)),
        ]
        try:
            yield rest
        finally:
            for job in jobs:
                job.cancel()
                with suppress(asyncio.CancelledError):
                    await job


async def test_every_change_since_the_last_known_status_is_a_frame() -> None:
    """At the start, symbols that are not trading; later, symbols that are listed for the first time."""
    recorder, exchange = (
        Recorder(BTC, ETH),
        Exchange({BTC: "HALT", ETH: "HALT"}, {BTC: TRADING, ETH: "HALT"}),
    )

    async with watching(exchange, recorder, {BTC: "HALT", ETH: TRADING}):
        await asyncio.sleep(1)
        assert recorder.written() == [(BTC, "HALT")]
        await asyncio.sleep(3 * NAMED_LIST_EVERY_S)
    assert recorder.written() == [(BTC, "HALT"), (ETH, "HALT"), (BTC, TRADING)]
    assert recorder.frames[0].received_ns == virtual_time.START_NS


async def test_the_list_is_requested_from_time_to_time() -> None:
    """At uneven intervals, or all recorders would ask at once; recorded symbols are requested by name."""
    recorder, exchange = Recorder(BTC, ETH), Exchange({BTC: TRADING, ETH: TRADING})

    async with watching(exchange, recorder, {BTC: TRADING, ETH: TRADING}):
        await asyncio.sleep(20 * NAMED_LIST_EVERY_S)
    times = [0.0, *(at_s for at_s, _ in exchange.asked)]
    pauses = [later - at_s - LIST_SPACING_S for at_s, later in pairwise(times)]
    assert all(0.49 * NAMED_LIST_EVERY_S <= pause <= 1.01 * NAMED_LIST_EVERY_S for pause in pauses)
    assert len({round(pause) for pause in pauses}) > 1
    assert {named for _, named in exchange.asked} == {f'["{BTC}","{ETH}"]'}
    assert recorder.frames == []


async def test_a_symbol_that_is_missing_twice_is_delisted() -> None:
    """Missing once may be a slip; a second request after a minute confirms that it is gone."""
    recorder, exchange = Recorder(BTC, ETH), Exchange({BTC: TRADING})

    async with watching(exchange, recorder, {BTC: TRADING}):
        await asyncio.sleep(LIST_SPACING_S - 1)
        assert recorder.written() == []
        await asyncio.sleep(2)
        assert recorder.written() == [(ETH, DELISTED)]
        looks = len(exchange.asked)
        await asyncio.sleep(NAMED_LIST_EVERY_S / 2)
        assert len(exchange.asked) == looks, "it is no longer looked up"
        await asyncio.sleep(2 * NAMED_LIST_EVERY_S)
    assert recorder.written() == [(ETH, DELISTED)]
    assert exchange.asked[-1][1] == f'["{BTC}"]'
    assert [named for _, named in exchange.asked[:3]] == [
        f'["{BTC}","{ETH}"]',
        "",
        f'["{ETH}"]',
    ], "a missing symbol spoils the answer for all"


async def test_a_symbol_that_is_back_was_never_gone() -> None:
    """The exchange's list was incomplete for a moment."""
    recorder, exchange = Recorder(BTC, ETH), Exchange({BTC: TRADING, ETH: TRADING}, {BTC: TRADING})

    async with watching(exchange, recorder, {BTC: TRADING}):
        await asyncio.sleep(LIST_SPACING_S + 1)
        assert len(exchange.asked) == 1
    assert recorder.written() == []


async def test_a_doubt_is_a_reason_to_ask_sooner() -> None:
    """The exchange did not know a symbol; but the list is requested a minute after the last time at the earliest."""
    recorder, exchange = Recorder(BTC), Exchange({BTC: "BREAK"})

    async with watching(exchange, recorder, {BTC: TRADING}) as rest:
        rest.recheck_listing.set()
        await asyncio.sleep(LIST_SPACING_S - 1)
        assert exchange.asked == []
        await asyncio.sleep(2)
        assert len(exchange.asked) == 1
        assert recorder.written() == [(BTC, "BREAK")]
        await asyncio.sleep(NAMED_LIST_EVERY_S / 4)
        assert len(exchange.asked) == 1, "the doubt is answered"


async def test_all_symbols_are_requested_where_new_ones_are_wanted() -> None:
    """Also where there are too many to name; every list is passed on, so that new symbols are found."""
    many = [f"S{n}USDT" for n in range(NAMED_MAX + 1)]

    for symbols, new_ones in ((many, False), ([BTC], True)):
        recorder, listed = Recorder(*symbols), dict.fromkeys(symbols, TRADING)
        exchange = Exchange(listed)
        async with watching(exchange, recorder, listed, new_ones=new_ones) as rest:
            rest.recheck_listing.set()
            await asyncio.sleep(LIST_SPACING_S + 1)
        assert [named for _, named in exchange.asked] == [""]
        assert len(recorder.lists) == 2


@pytest.mark.parametrize("new_ones", [True, False])
async def test_a_symbol_hidden_from_the_whole_list_is_not_taken_for_delisted(
    new_ones: bool,
) -> None:
    """The exchange shows symbols with special permissions only in answer to their names."""
    recorder = Recorder(BTC, ETH)
    exchange = Exchange({"LTCUSDT": TRADING}, hidden={BTC: "HALT"})

    async with watching(
        exchange, recorder, {BTC: TRADING, ETH: TRADING}, new_ones=new_ones
    ) as rest:
        for _ in range(4):
            rest.recheck_listing.set()
            await asyncio.sleep(LIST_SPACING_S + 1)
    assert recorder.written() == [(BTC, "HALT"), (ETH, DELISTED)]


async def test_an_incomplete_list_does_not_cause_endless_single_requests() -> None:
    """Each costs as much as the whole list; a list that is empty by mistake must not cause thousands."""
    symbols = [f"S{n}USDT" for n in range(NAMED_MAX)]
    recorder, exchange = Recorder(*symbols), Exchange({})

    async with watching(exchange, recorder, dict.fromkeys(symbols, TRADING)) as rest:
        rest.recheck_listing.set()
        await asyncio.sleep(LIST_SPACING_S + 30)
    assert len(exchange.asked) == 2 + ONE_BY_ONE_MAX


@pytest.mark.parametrize("status", [404, 400])
@pytest.mark.parametrize("first", [None, {BTC: TRADING}])
async def test_an_exchange_without_a_list_is_asked_again(status: int, first: Lists | None) -> None:
    """A 404 or a 400 does not end the watch: as soon as there is a list again, its changes are recorded."""
    recorder, exchange = Recorder(BTC), Exchange({BTC: "BREAK"})
    lists = False

    async def at_times(request: web.Request) -> web.StreamResponse:
        return await exchange(request) if lists else web.Response(status=status)

    async with watching(at_times, recorder, first):
        await asyncio.sleep(10 * NAMED_LIST_EVERY_S)
        assert recorder.written() == []
        lists = True
        await asyncio.sleep(NAMED_LIST_EVERY_S + LIST_SPACING_S)
        assert recorder.written() == [(BTC, "BREAK")]


STEPS = SymbolInfo(BTC, TRADING, "0.01000000", "1000000", "0.00001000", "9000")


async def test_the_steps_are_recorded_when_first_seen_and_when_they_change() -> None:
    """As the exchange writes them; nothing is recorded if nothing differs."""
    recorder = Recorder(BTC, known=ListingState("", "", ""))
    tick = "0.01000000"

    async def exchange(_: web.Request) -> web.StreamResponse:
        return web.Response(body=encode_exchange_info([replace(STEPS, tick_size=tick)], 6_000))

    async with watching(exchange, recorder, ExchangeInfo({BTC: STEPS})):
        await asyncio.sleep(3 * NAMED_LIST_EVERY_S)
        assert [_steps(frame) for frame in recorder.frames] == [("0.01000000", "0.00001000")]
        tick = "0.1"
        await asyncio.sleep(NAMED_LIST_EVERY_S + LIST_SPACING_S)
        tick = "0.00000000"
        await asyncio.sleep(NAMED_LIST_EVERY_S + LIST_SPACING_S)
        assert [frame.tick_size for frame in recorder.frames] == ["0.01000000", "0.1", ""]
        assert {frame.status for frame in recorder.frames} == {TRADING}


async def test_a_delisted_symbol_keeps_its_steps() -> None:
    """They are its last ones; nothing says that they changed."""
    recorder = Recorder(BTC, known=ListingState(TRADING, "0.1", "0.2"))

    async with watching(Exchange({}), recorder, {}):
        await asyncio.sleep(LIST_SPACING_S + 1)
        assert [(f.status, *_steps(f)) for f in recorder.frames] == [(DELISTED, "0.1", "0.2")]


def pulse(*names: str, quoted: tuple[str, ...] = ()) -> BestPrices:
    return BestPrices(frozenset(names), frozenset(quoted), {})


def joined(recorder: Recorder) -> set[str]:
    """The symbols passed on as trading since the first list."""
    return {
        symbol
        for listed in recorder.lists[1:]
        for symbol, info in listed.symbols.items()
        if info.status == TRADING
    }


async def test_a_new_name_in_a_pulse_is_requested_at_once_and_alone() -> None:
    """It is not worth a list of many megabytes; once it is known, it is not requested again."""
    recorder, exchange = Recorder(BTC), Exchange({BTC: TRADING, "NEWUSDT": TRADING})

    async with watching(exchange, recorder, {BTC: TRADING}, new_ones=True) as rest:
        await asyncio.sleep(3)
        for _ in range(3):
            rest.statuses.on_pulse_names(pulse(BTC, "NEWUSDT", quoted=(BTC, "NEWUSDT")))
            await asyncio.sleep(1)
        assert joined(recorder) == {"NEWUSDT"}
        assert [named for _, named in exchange.asked] == ['["NEWUSDT"]']


async def test_a_name_that_does_not_trade_yet_is_requested_again() -> None:
    """At a few more pulses, because the list may be late; then as soon as it has prices."""
    recorder = Recorder(BTC)
    lists = {BTC: TRADING, "NEWUSDT": "BREAK"}
    exchange = Exchange(lists)

    async with watching(exchange, recorder, {BTC: TRADING}, new_ones=True) as rest:
        for _ in range(3 * NAME_TRIES):
            rest.statuses.on_pulse_names(pulse(BTC, "NEWUSDT", quoted=(BTC,)))
            await asyncio.sleep(1)
        assert [named for _, named in exchange.asked] == ['["NEWUSDT"]'] * NAME_TRIES
        rest.statuses.on_pulse_names(pulse(BTC, "NEWUSDT", quoted=(BTC, "NEWUSDT")))
        await asyncio.sleep(1)
        lists["NEWUSDT"] = TRADING
        assert joined(recorder) == set()
        rest.statuses.on_pulse_names(pulse(BTC, "NEWUSDT", quoted=(BTC, "NEWUSDT")))
        await asyncio.sleep(1)
        assert joined(recorder) == {"NEWUSDT"}
        assert len(exchange.asked) == NAME_TRIES + 2


@pytest.mark.within_s(None)
async def test_a_name_that_is_never_listed_is_given_up_until_the_next_whole_list() -> None:
    """The pulse names it every half minute, and each request would cost as much as a whole list."""
    recorder, exchange = Recorder(BTC), Exchange({BTC: TRADING})

    async with watching(exchange, recorder, {BTC: TRADING}, new_ones=True) as rest:
        for _ in range(3 * NAME_TRIES):
            rest.statuses.on_pulse_names(pulse(BTC, "GHOSTUSDT"))
            await asyncio.sleep(1)
        asked = len(exchange.asked)
        assert sum(named == '["GHOSTUSDT"]' for _, named in exchange.asked) == NAME_TRIES
        await asyncio.sleep(WHOLE_LIST_EVERY_S + LIST_SPACING_S)
        assert len(exchange.asked) == asked + 1
        rest.statuses.on_pulse_names(pulse(BTC, "GHOSTUSDT"))
        await asyncio.sleep(1)
        assert len(exchange.asked) > asked + 1


async def test_a_joined_symbol_gets_its_steps_as_soon_as_it_is_known() -> None:
    """A symbol is known once its connection is open: at the next pulse, or a minute later."""
    recorder = Recorder(BTC, known=ListingState(TRADING, "", ""))
    exchange = Exchange({BTC: TRADING, "NEWUSDT": TRADING, ETH: TRADING})

    async with watching(exchange, recorder, {BTC: TRADING}, new_ones=True) as rest:
        await asyncio.sleep(1)
        rest.statuses.on_pulse_names(pulse(BTC, "NEWUSDT", ETH))
        await asyncio.sleep(1)
        assert recorder.written() == []
        recorder.known["NEWUSDT"] = ListingState("", "", "")
        rest.statuses.on_pulse_names(pulse(BTC, "NEWUSDT", ETH))
        await asyncio.sleep(1)
        assert recorder.written() == [("NEWUSDT", TRADING)]
        recorder.known[ETH] = ListingState("", "", "")
        await asyncio.sleep(LIST_SPACING_S)
        assert recorder.written() == [("NEWUSDT", TRADING), (ETH, TRADING)]


async def test_nothing_is_written_twice_however_far_behind_the_recorder_is() -> None:
    """The frame already waits in the queue; later requests find no further change."""
    async with linked(Exchange({BTC: "HALT"}), virtual_time.WallClock()) as context:
        known = {BTC: TRADED}
        statuses = SymbolStatusPoller(
            RestClient(context), lambda: known, lambda _: None, new_ones=False
        )
        task = asyncio.create_task(statuses.run(info({BTC: "HALT"})))
        await asyncio.sleep(10 * NAMED_LIST_EVERY_S)
        assert len(context.queue) == 1
        task.cancel()
        await asyncio.wait([task])
