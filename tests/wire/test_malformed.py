"""Hostile bytes: decoding either accepts them or raises `MalformedFrame`, never anything else."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from random import Random
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from booktape.core.checks import BookTicker, TopLevels
from booktape.core.events import DepthEvent, DepthSnapshot
from booktape.errors import MalformedFrame
from booktape.wire.binance import decode_depth, decode_event
from booktape.wire.encode import (
    encode_combined,
    encode_depth,
    encode_event,
    encode_server_shutdown,
)
from booktape.wire.exchange_info import SymbolInfo, decode_exchange_info
from support.exchange_info import encode_exchange_info
from support.oracle import combined, event, snapshot, ticker, top

RAW: Final = encode_event(event(157, 160, {"61222": "0.88634"}, {"61224.53": "0"}))
DEPTH: Final = encode_depth(snapshot(160, {"61222": "0.88634"}, {"61224.53": "1"}))
SEEDS: Final = (
    RAW,
    encode_combined("btcusdt@depth@100ms", RAW),
    encode_server_shutdown(5),
    encode_combined("!serverShutdown", encode_server_shutdown(5)),
    DEPTH,
    combined(top(160, {"61222": "0.88634"}, {"61224.53": "1"})),
    combined(ticker(158, {"61222": "0.88634"}, {"61224.53": "1"})),
    encode_exchange_info([SymbolInfo("BTCUSDT", "TRADING", "0.01", "1000000")], 6000),
)
SPICE: Final = (
    *(b"NaN", b"1e999", b"-1", b"null", b"true", b"[]", b"{}", b'"', b"\\", b"\x00", b"\xff"),
    *(b"\\ud800", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"9" * 400, b"[" * 3_000, b'{"a":' * 3_000),
)


def depth(payload: bytes) -> DepthSnapshot:
    return decode_depth(payload, "BTCUSDT", 5)


def inexact(payload: bytes) -> None:
    for info in decode_exchange_info(payload).symbols.values():
        info.prices_are_exact()
        info.sizes_are_exact()
        info.steps()


DECODERS: Final = (decode_event, depth, inexact)


def survives(payload: bytes) -> None:
    """Every decoder accepts or refuses the bytes; accepted values obey their own rules."""
    for decode in DECODERS:
        try:
            decoded = decode(payload)
        except MalformedFrame:
            continue
        if isinstance(decoded, DepthEvent):
            assert 0 <= decoded.first_id <= decoded.last_id < 2**63
        if isinstance(decoded, BookTicker):
            decoded = TopLevels(
                decoded.symbol,
                decoded.update_id,
                [decoded.bid] if decoded.bid else [],
                [decoded.ask] if decoded.ask else [],
            )
        if isinstance(decoded, DepthEvent | DepthSnapshot | TopLevels):
            for price, size in (*decoded.bids, *decoded.asks):
                assert 0 < price < math.inf
                assert 0 <= size < math.inf


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_random_bytes(payload: bytes) -> None:
    """Arbitrary noise."""
    survives(payload)


JSON: Final = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*"eEsUuba", "data", "stream", "bids"]), inner)
    ),
    max_leaves=10,
)


@given(JSON)
def test_any_json(value: object) -> None:
    """Well-formed JSON of the wrong shape, some of it with the exchange's own names."""
    survives(json.dumps(value).encode())


@given(st.integers(0, 2**32))
def test_mutated_messages(seed: int) -> None:
    """Real messages with bytes changed, removed or duplicated, and hostile pieces inserted."""
    chance = Random(seed)
    for payload in SEEDS:
        bad = bytearray(payload)
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(bad) + 1)
            match chance.randrange(4):
                case 0:
                    bad[at : at + 1] = bytes([chance.randrange(256)])
                case 1:
                    del bad[at : at + chance.randint(1, 10)]
                case 2:
                    bad[at:at] = bad[: chance.randint(1, 40)]
                case _:
                    bad[at:at] = chance.choice(SPICE)
        survives(bytes(bad))


@pytest.mark.parametrize("payload", SEEDS)
def test_truncated_messages(payload: bytes) -> None:
    """A message cut anywhere is refused by every decoder."""
    for length in range(len(payload)):
        for decode in DECODERS:
            with pytest.raises(MalformedFrame):
                decode(payload[:length])


@pytest.mark.parametrize("text", [b'"nan"', b'"-nan"', b'"inf"', b'"-inf"', b'"Infinity"', b'"-1"'])
@pytest.mark.parametrize("where", [b'"0.88634000"', b'"61222.00000000"'])
def test_numbers_that_are_not_amounts(text: bytes, where: bytes) -> None:
    """A number that is negative or not finite is no price and no size, in events and in snapshots."""
    for decode, payload in ((decode_event, RAW), (depth, DEPTH)):
        assert where in payload
        with pytest.raises(MalformedFrame):
            decode(payload.replace(where, text))


@pytest.mark.parametrize("text", [b'"1e400"', b'""', b'" 1"', b'"0x1"', b"null", b"true", b"[]"])
def test_texts_that_are_not_numbers(text: bytes) -> None:
    """A text that only looks like a number, or is too large for a double, is refused too."""
    with pytest.raises(MalformedFrame):
        decode_event(RAW.replace(b'"0.88634000"', text))


def test_a_price_of_zero() -> None:
    """A size may be zero, a price may not."""
    with pytest.raises(MalformedFrame):
        decode_event(RAW.replace(b'"61222.00000000"', b'"0.00000000"'))


@pytest.mark.parametrize("number", [b"-1", b"9223372036854775808", b"1" * 6_000, b"157.5", b"true"])
def test_ids_out_of_range(number: bytes) -> None:
    """An id is a whole number that fits in 63 bits."""
    for decode, payload in ((decode_event, RAW), (depth, DEPTH)):
        with pytest.raises(MalformedFrame):
            decode(payload.replace(b":160", b":" + number))


@pytest.mark.parametrize("field", [b'"E":', b'"s":', b'"U":', b'"u":', b'"b":', b'"a":'])
def test_missing_fields(field: bytes) -> None:
    """A `depthUpdate` that lacks one of its fields is refused."""
    assert field in RAW
    with pytest.raises(MalformedFrame):
        decode_event(RAW.replace(field, b'"_":'))


def test_a_message_without_a_symbol() -> None:
    """An empty name does not count as a symbol."""
    with pytest.raises(MalformedFrame):
        decode_event(RAW.replace(b"BTCUSDT", b""))


def test_duplicate_keys() -> None:
    """It is unknown which of them counts."""
    for twice in (b'"u":160,"u":170', b'"u":160,"u":160', b'"u":160,"x":1,"x":2'):
        with pytest.raises(MalformedFrame):
            decode_event(RAW.replace(b'"u":160', twice))


MANY: Final = {str(price): "1" for price in range(100, 140)}
LONG: Final = {
    "event": (combined(event(157, 160, MANY, MANY)), decode_event, 8),
    "raw event": (encode_event(event(157, 160, MANY, MANY)), decode_event, 7),
    "depth20": (combined(top(160, MANY, MANY)), decode_event, 4),
    "answer": (encode_depth(snapshot(160, MANY, MANY)), depth, 3),
}


@pytest.mark.parametrize("name", LONG)
def test_a_duplicate_key_in_a_long_message(name: str) -> None:
    """It is found at any position, although not every byte of a long message is checked."""
    payload, decode, keys = LONG[name]
    assert isinstance(decode(payload), DepthEvent | TopLevels | DepthSnapshot)
    one_key = re.compile(rb'"(\w+)":("[^"]*"|[0-9]+|\[(?:\[[^]]*\],?)*\])')
    fields = list(one_key.finditer(payload))
    assert len(fields) == keys
    for field in fields:
        twice = payload[: field.end()] + b"," + field[0] + payload[field.end() :]
        with pytest.raises(MalformedFrame, match="twice"):
            decode(twice)


@pytest.mark.parametrize(
    "payload",
    [
        b"[" * 100_000,
        b'{"data":' * 100_000,
        b'{"stream":' + b"[" * 100_000,
        b'{"e":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        RAW[:-1] + b',"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        DEPTH[:-1] + b',"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"symbols":[],"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
    ids=lambda payload: payload[:12].decode(),
)
def test_deep_nesting(payload: bytes) -> None:
    """A hundred thousand brackets are malformed, not a RecursionError."""
    survives(payload)
    with pytest.raises(MalformedFrame):
        decode_event(payload)


@pytest.mark.parametrize("bad", [b"\xff", b"\xed\xa0\x80", b"\\ud800", b"\\udc00x", b"\xc0\x80"])
@pytest.mark.parametrize(
    ("decode", "template"),
    [
        (decode_event, b'{"e":"%s"}'),
        (decode_event, b'{"stream":"%s","data":{"e":"trade"},"%s":1}'),
        (decode_event, RAW.replace(b"BTCUSDT", b"%s")),
        (decode_event, encode_combined("x", RAW.replace(b"BTCUSDT", b"BTC%s"))),
        (depth, DEPTH.replace(b"160", b'"%s"')),
        (inexact, b'{"symbols":[{"symbol":"%s"}]}'),
        (inexact, b'{"symbols":[{"symbol":"A","status":"%s"}]}'),
    ],
)
def test_text_that_is_not_utf_8(
    decode: Callable[[bytes], object], template: bytes, bad: bytes
) -> None:
    """Invalid UTF-8 and lone surrogates are malformed wherever text is read."""
    with pytest.raises(MalformedFrame):
        decode(template.replace(b"%s", bad))
