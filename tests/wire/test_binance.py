"""Bytes → values: which input is accepted, and that values are exact. test_encode.py tests the reverse."""

from __future__ import annotations

import json
from decimal import Decimal
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from booktape.core.events import DepthEvent, ServerShutdown, UnknownEvent
from booktape.errors import MalformedFrame
from booktape.wire.binance import decode_depth, decode_event
from booktape.wire.encode import encode_combined, encode_event, encode_server_shutdown
from support.oracle import event, snapshot

FIELDS = (
    ("e", "depthUpdate"),
    ("E", 1780861677414),
    ("s", "BTCUSDT"),
    ("U", 157),
    ("u", 160),
    ("b", [["61222.00000000", "0.88634000"]]),
    ("a", [["61224.53000000", "0.00000000"]]),
)
RAW = json.dumps(dict(FIELDS), separators=(",", ":")).encode()
COMBINED = encode_combined("btcusdt@depth@100ms", RAW)
EVENT = DepthEvent("BTCUSDT", 1780861677414_000, 157, 160, [(61222.0, 0.88634)], [(61224.53, 0.0)])
DEPTH = b'{"lastUpdateId":160,"bids":[["4.00000000","431.00000000"]],"asks":[]}'


def test_a_real_event_raw_and_combined() -> None:
    """The same event from `/ws` and from `/stream`."""
    assert decode_event(RAW) == decode_event(COMBINED) == EVENT


@pytest.mark.parametrize("order", list(permutations(range(len(FIELDS)), 3))[::11])
def test_any_order_of_fields(order: tuple[int, ...]) -> None:
    """JSON objects have no order, not even with the wrapper's `data` first."""
    first = [FIELDS[n] for n in order]
    payload = json.dumps(dict(first + [field for field in FIELDS if field not in first]))
    assert decode_event(payload.encode()) == EVENT
    wrapped = json.dumps({"data": json.loads(payload), "stream": "btcusdt@depth@100ms"})
    assert decode_event(wrapped.encode()) == EVENT


def test_fields_the_exchange_may_add_are_ignored() -> None:
    """A new field in the event, in the wrapper or in a REST answer is no reason to stop."""
    more = json.dumps({**dict(FIELDS), "new": {"x": [1, None]}})
    assert decode_event(more.encode()) == EVENT
    assert decode_event(b'{"new":[1],"data":' + RAW + b"}") == EVENT
    assert decode_event(b'{"stream":"x","new":1,"data":' + RAW + b"}") == EVENT
    assert decode_depth(DEPTH[:-1] + b',"T":1}', "BTCUSDT", 5).last_id == 160


@pytest.mark.parametrize(("time", "time_us"), [(10**14 - 1, 10**17 - 1000), (10**14, 10**14)])
def test_milliseconds_and_microseconds(time: int, time_us: int) -> None:
    """Size distinguishes them: milliseconds reach 10^14 in the year 5138, microseconds did in 1973."""
    payload = RAW.replace(b"1780861677414", str(time).encode())
    decoded = decode_event(payload)
    assert isinstance(decoded, DepthEvent)
    assert decoded.event_time_us == time_us


@pytest.mark.parametrize("payload", [encode_server_shutdown(5), b'{"E":5,"e":"serverShutdown"}'])
def test_server_shutdown_in_both_forms(payload: bytes) -> None:
    """It is announced raw, or in the wrapper of a combined stream."""
    assert decode_event(payload) == ServerShutdown()
    assert decode_event(encode_combined("!serverShutdown", payload)) == ServerShutdown()


@pytest.mark.parametrize(
    ("payload", "name"),
    [
        (b'{"e":"trade","E":1,"s":"BTCUSDT"}', "trade"),
        (b'{"stream":"x@trade","data":{"e":"trade"}}', "trade"),
        (b'{"result":null,"id":1}', "id,result"),
        (
            b'{"stream":"x@depth5","data":{"lastUpdateId":1,"bids":[],"asks":[]}}',
            "asks,bids,lastUpdateId",
        ),
        (b'{"e":7}', "e"),
        (b"{}", ""),
    ],
)
def test_well_formed_messages_of_other_kinds(payload: bytes, name: str) -> None:
    """They are named by their type or by their fields, and are never fatal."""
    assert decode_event(payload) == UnknownEvent(name)


def test_a_snapshot() -> None:
    """Its symbol and limit come from the request."""
    assert decode_depth(DEPTH, "BTCUSDT", 5) == snapshot(160, {"4": "431"}, limit=5)


def test_an_event_may_be_empty_sided() -> None:
    """Empty sides are normal."""
    payload = encode_event(event(1, 1))
    assert decode_event(payload) == event(1, 1)


def test_an_error_message_names_what_is_wrong() -> None:
    """It shows the symbol and the beginning of the bytes, safe to print."""
    with pytest.raises(MalformedFrame, match="BTCUSDT: first id 161 is after last id 160"):
        decode_event(RAW.replace(b"157", b"161"))
    with pytest.raises(MalformedFrame, match="<html>"):
        decode_event(b"<html>")
    with pytest.raises(MalformedFrame, match=r"BTCUSDT snapshot: .*<html>"):
        decode_depth(b"<html>\x00", "BTCUSDT", 5)


# ── exactness ───────────────────────────────────────────────────────────────────────────────

EIGHT_DECIMALS = st.integers(1, 67_108_864 * 10**8 - 1).map(lambda n: Decimal(n).scaleb(-8))
FIFTEEN_DIGITS = st.builds(
    lambda digits, exponent: Decimal(digits).scaleb(exponent),
    st.integers(1, 10**15 - 1),
    st.integers(-20, 5),
)


@given(EIGHT_DECIMALS | FIFTEEN_DIGITS)
def test_text_to_double_is_exact(value: Decimal) -> None:
    """The shortest text of the nearest double is the value again: up to 15 digits, or 8 decimals below 2^26."""
    text = f"{value:f}".encode()
    decoded = decode_event(RAW.replace(b"61222.00000000", text))
    assert isinstance(decoded, DepthEvent)
    ((price, _),) = decoded.bids
    assert price == float(value)
    assert Decimal(repr(price)) == value


def test_exactness_has_a_limit() -> None:
    """From 2^26 on, two values with 8 decimals can share a double: the rule is not overcautious."""
    assert float("67108863.99999999") != float("67108863.99999998")
    assert float("67108864.00000001") == float("67108864.00000002")
