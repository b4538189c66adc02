"""cryptofeed follows a book: `clients.with_cryptofeed REST_URL WS_URL BASE QUOTE`, and prints it now and then.

It is pointed at another exchange by its feed's own `rest_endpoints` and `websocket_endpoints`.
"""

from __future__ import annotations

import sys
from typing import Any

from cryptofeed import FeedHandler
from cryptofeed.connection import RestEndpoint, WebsocketEndpoint
from cryptofeed.defines import L2_BOOK
from cryptofeed.exchanges import Binance

from clients.sample import print_sometimes

rest_url, ws_url, base, quote = sys.argv[1:]


class Local(Binance):  # type: ignore[misc]
    rest_endpoints = [RestEndpoint(rest_url, routes=Binance.rest_endpoints[0].routes)]  # noqa: RUF012 - its way
    websocket_endpoints = [WebsocketEndpoint(ws_url)]  # noqa: RUF012 - likewise


async def on_book(book: Any, _received_s: float) -> None:
    sides = (book.book.bids.to_dict().items(), book.book.asks.to_dict().items())
    print_sometimes(book.sequence_number, *sides)


handler = FeedHandler(config={"log": {"disabled": True}})
feed = Local(
    symbols=[f"{base}-{quote}"],
    channels=[L2_BOOK],
    callbacks={L2_BOOK: on_book},
    max_depth=5000,
)
handler.add_feed(feed)
handler.run()
