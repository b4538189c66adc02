"""What `exchangeInfo` answers: all that the real one says about a symbol, not only what booktape reads."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec import Raw

from booktape.wire.exchange_info import SymbolInfo

_GROUPS: Final = [f"TRD_GRP_{number:03d}" for number in range(4, 250)]
_PERMISSION_SETS: Final = Raw(msgspec.json.encode([["SPOT", "MARGIN", *_GROUPS]]))
"""More than half of the real answer: three kilobytes for every symbol, the same for most of them."""

_NO_SETS: Final = Raw(b"[]")

_QUOTE_ASSETS: Final = ("FDUSD", "USDT", "USDC", "TRY", "BTC", "ETH", "BNB", "EUR")
"""What a symbol may end with; it is then traded against that asset."""

_SAME_FOR_ALL: Final[dict[str, Any]] = msgspec.json.decode("""{
    "baseAssetPrecision": 8, "quotePrecision": 8, "quoteAssetPrecision": 8,
    "baseCommissionPrecision": 8, "quoteCommissionPrecision": 8,
    "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT",
                   "TAKE_PROFIT", "TAKE_PROFIT_LIMIT"],
    "icebergAllowed": true, "ocoAllowed": true, "otoAllowed": true, "opoAllowed": true,
    "quoteOrderQtyMarketAllowed": true, "allowTrailingStop": true, "cancelReplaceAllowed": true,
    "amendAllowed": true, "pegInstructionsAllowed": true,
    "isSpotTradingAllowed": true, "isMarginTradingAllowed": false, "permissions": [],
    "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
    "allowedSelfTradePreventionModes": ["EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"]
}""")
_OTHER_FILTERS: Final[list[dict[str, Any]]] = msgspec.json.decode("""[
    {"filterType": "ICEBERG_PARTS", "limit": 100},
    {"filterType": "TRAILING_DELTA", "minTrailingAboveDelta": 10, "maxTrailingAboveDelta": 2000,
     "minTrailingBelowDelta": 10, "maxTrailingBelowDelta": 2000},
    {"filterType": "PERCENT_PRICE_BY_SIDE", "bidMultiplierUp": "5", "bidMultiplierDown": "0.2",
     "askMultiplierUp": "5", "askMultiplierDown": "0.2", "avgPriceMins": 5},
    {"filterType": "NOTIONAL", "minNotional": "5.00000000", "applyMinToMarket": true,
     "maxNotional": "9000000.00000000", "applyMaxToMarket": false, "avgPriceMins": 5},
    {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200},
    {"filterType": "MAX_NUM_ORDER_LISTS", "maxNumOrderLists": 20},
    {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": 5}
]""")
"""Filters without a tick or a step: no client of market data needs them, but some cannot start without them."""


def encode_symbol_list(
    symbols: Iterable[SymbolInfo], weight_per_minute: int, time_us: int, *, permission_sets: bool
) -> bytes:
    """The body of the answer. Without `permission_sets`, the field is there but empty."""
    sets = _PERMISSION_SETS if permission_sets else _NO_SETS
    return msgspec.json.encode(
        {
            "timezone": "UTC",
            "serverTime": time_us // 1_000,
            "rateLimits": [
                _limit("REQUEST_WEIGHT", "MINUTE", 1, weight_per_minute),
                _limit("ORDERS", "SECOND", 10, 100),
                _limit("ORDERS", "DAY", 1, 200_000),
                _limit("RAW_REQUESTS", "MINUTE", 5, 61_000),
            ],
            "exchangeFilters": [],
            "symbols": [_symbol(info, sets) for info in symbols],
        }
    )


def _limit(kind: str, interval: str, number: int, limit: int) -> dict[str, Any]:
    return {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit}


def _symbol(info: SymbolInfo, sets: Raw) -> dict[str, Any]:
    quote = info.quote_asset or next(filter(info.symbol.endswith, _QUOTE_ASSETS), "")
    tick, step, most = info.tick_size, info.step_size, info.max_quantity
    filters = {
        "PRICE_FILTER": {"minPrice": tick, "maxPrice": info.max_price, "tickSize": tick},
        "LOT_SIZE": {"minQty": step, "maxQty": most, "stepSize": step},
        "MARKET_LOT_SIZE": {"minQty": "0.00000000", "maxQty": most, "stepSize": "0.00000000"},
    }
    own_filters = [{"filterType": kind} | values for kind, values in filters.items()]
    return {
        "symbol": info.symbol,
        "status": info.status,
        "baseAsset": info.symbol.removesuffix(quote),
        "quoteAsset": quote,
        **_SAME_FOR_ALL,
        "filters": own_filters + _OTHER_FILTERS,
        "permissionSets": sets,
    }
