"""ccxt.pro follows a book: `clients.with_ccxt REST_URL WS_URL BASE QUOTE`, and prints it now and then.

It is pointed at another exchange by its own `urls`; only spot markets are requested, because there are no others.
"""

from __future__ import annotations

import asyncio
import sys

import ccxt.pro

from clients.sample import print_sometimes


async def follow(rest_url: str, ws_url: str, base: str, quote: str) -> None:
    exchange = ccxt.pro.binance({"options": {"fetchMarkets": {"types": ["spot"]}}})
    exchange.urls["api"] |= {"public": f"{rest_url}/api/v3"}
    exchange.urls["api"]["ws"] |= {"spot": f"{ws_url}/ws"}
    await exchange.load_markets()
    while True:
        book = await exchange.watch_order_book(f"{base}/{quote}", 5000)
        print_sometimes(book["nonce"], book["bids"], book["asks"])


asyncio.run(follow(*sys.argv[1:]))
