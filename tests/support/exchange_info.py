"""What an exchange lists, as its `exchangeInfo` answer."""

from __future__ import annotations

import json
from collections.abc import Iterable

from booktape.wire.exchange_info import SymbolInfo


def encode_exchange_info(symbols: Iterable[SymbolInfo], weight_per_minute: int) -> bytes:
    """An `exchangeInfo` answer with the fields that booktape reads."""
    weight = {
        "rateLimitType": "REQUEST_WEIGHT",
        "interval": "MINUTE",
        "intervalNum": 1,
        "limit": weight_per_minute,
    }
    entries = [_entry(info) for info in symbols]
    return json.dumps({"symbols": entries, "rateLimits": [weight]}).encode()


def _entry(info: SymbolInfo) -> dict[str, object]:
    return {
        "symbol": info.symbol,
        "status": info.status,
        "quoteAsset": info.quote_asset,
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "tickSize": info.tick_size,
                "maxPrice": info.max_price,
            },
            {
                "filterType": "LOT_SIZE",
                "stepSize": info.step_size,
                "maxQty": info.max_quantity,
            },
        ],
    }
