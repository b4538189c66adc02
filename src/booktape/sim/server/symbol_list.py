"""What `exchangeInfo` answers: all that the real one says of a symbol, not only what booktape reads."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec import Raw

from booktape.wire.exchange_info import SymbolInfo

_GROUPS: Final = [f"TRD_GRP_{number:03d}" for number in range(4, 250)]
_PERMISSION_SETS: Final = Raw(msgspec.json.encode([["SPOT", "MARGIN", *_GROUPS]]))
"""More than half of the real answer: three kilobytes of every symbol, the same for most."""

_NO_SETS: Final = Raw(b"[]")
_ORDER_TYPES: Final = ("LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT")


def encode_symbol_list(
    symbols: Iterable[SymbolInfo], weight_per_minute: int, time_us: int, *, permission_sets: bool
) -> bytes:
    """The body of the answer. Without `permission_sets` the field is there, and empty."""
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
    tick, step = info.tick_size, info.step_size
    return {
        "symbol": info.symbol,
        "status": info.status,
        "baseAsset": info.symbol.removesuffix(info.quote_asset),
        "baseAssetPrecision": 8,
        "quoteAsset": info.quote_asset,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": _ORDER_TYPES,
        "icebergAllowed": True,
        "ocoAllowed": True,
        "otoAllowed": True,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": True,
        "cancelReplaceAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": tick,
                "maxPrice": info.max_price,
                "tickSize": tick,
            },
            {
                "filterType": "LOT_SIZE",
                "minQty": step,
                "maxQty": info.max_quantity,
                "stepSize": step,
            },
            {"filterType": "ICEBERG_PARTS", "limit": 10},
            {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200},
        ],
        "permissions": [],
        "permissionSets": sets,
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": ["EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"],
    }
