"""Both decoders of the exchange's bytes, the recorder's and this one, recognise the same events."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from booktape.core.checks import BookTicker, TopLevels
from booktape.core.events import DepthEvent
from booktape.errors import MalformedFrame
from booktape.verify.model.decode import (
    Event,
    Levels,
    Ticker,
    Top,
    depth_answer,
    parse,
    parse_any,
    parse_message,
    stream_message,
)
from booktape.wire.binance import decode_depth, decode_event

EVENT = {"e": "depthUpdate", "E": 5, "s": "B", "U": 1, "u": 2, "b": [["1.5", "2"]], "a": []}
TOP = {"lastUpdateId": 7, "bids": [["1.5", "2"]], "asks": []}
TICKER = {"u": 7, "s": "B", "b": "1.5", "B": "2", "a": "0", "A": "0"}
ODD: list[Any] = [
    *(
        "1.5",
        "0",
        "-0",
        "1e5",
        "01",
        "",
        "nan",
        "inf",
        "1e400",
        "x",
        "7",
        "7.0",
        1.5,
        7,
        0,
        -1,
        2**63,
    ),
    *(
        True,
        None,
        [],
        {},
        ["1"],
        [["1", "2"]],
        [["1", "2", "3"]],
        [["0", "1"]],
        [[1, 2]],
        [["1", ""]],
    ),
    *("depthUpdate", "serverShutdown", 10**16, 10**17, 10**14),
]


def pairs(levels: Levels) -> list[tuple[float, float]]:
    return [(price.double, size.double) for price, size in levels]


def ours(payload: bytes) -> object:
    """What this decoder makes of it, in the other one's values; None if it ignores it."""
    decoded = stream_message(parse_message(payload))
    match decoded:
        case Event():
            return DepthEvent(*decoded[:4], pairs(decoded.bids), pairs(decoded.asks))
        case Top():
            return TopLevels(decoded.symbol, decoded.answer.last, *map(pairs, decoded.answer[1:]))
        case Ticker():
            sides = (next(iter(pairs(side)), None) for side in decoded[2:])
            return BookTicker(decoded.symbol, decoded.last, *sides)
    return None


def theirs(payload: bytes) -> object:
    try:
        decoded = decode_event(payload)
    except MalformedFrame:
        return None
    return decoded if isinstance(decoded, DepthEvent | TopLevels | BookTicker) else None


def encoded(message: Any, stream: str | None = None) -> bytes:
    wrapped = message if stream is None else {"stream": stream, "data": message}
    return json.dumps(wrapped, separators=(",", ":")).encode()


@pytest.mark.parametrize("stream", [None, "b@depth@100ms"])
def test_an_event_is_read_alike(stream: str | None) -> None:
    """Raw and wrapped; in milliseconds and microseconds."""
    payload = encoded(EVENT, stream)
    assert ours(payload) == DepthEvent("B", 5_000, 1, 2, [(1.5, 2.0)], []) == theirs(payload)
    late = encoded(EVENT | {"E": 10**14}, stream)
    assert ours(late) == theirs(late) == DepthEvent("B", 10**14, 1, 2, [(1.5, 2.0)], [])


def test_witnesses_are_read_alike() -> None:
    """Only wrapped; an empty side of a ticker has price 0."""
    top, ticker = encoded(TOP, "b@depth20@100ms"), encoded(TICKER, "b@bookTicker")
    assert ours(top) == theirs(top) == TopLevels("B", 7, [(1.5, 2.0)], [])
    assert ours(ticker) == theirs(ticker) == BookTicker("B", 7, (1.5, 2.0), None)
    assert ours(encoded(TOP)) is ours(encoded(TICKER)) is None


@given(
    st.sampled_from(
        [
            (EVENT, None),
            (EVENT, "b@depth@100ms"),
            (TOP, "b@depth20@100ms"),
            (TICKER, "b@bookTicker"),
        ]
    ),
    st.lists(
        st.tuples(st.integers(0, 6), st.one_of(st.sampled_from(ODD), st.just("drop"))), max_size=2
    ),
)
def test_both_decoders_agree(
    message: tuple[dict[str, Any], str | None], changes: list[tuple[int, Any]]
) -> None:
    """Whatever a field contains, and if it is missing."""
    decoded, stream = dict(message[0]), message[1]
    for at, value in changes:
        field = list(message[0])[at % len(message[0])]
        decoded[field] = value
        if value == "drop":
            del decoded[field]
    payload = encoded(decoded, stream)
    assert ours(payload) == theirs(payload)


@given(st.integers(0, 200), st.binary(max_size=3))
def test_both_decoders_agree_on_garbage(at: int, put: bytes) -> None:
    """Bytes are put anywhere into an event."""
    payload = encoded(EVENT, "b@depth@100ms")
    at %= len(payload)
    payload = payload[:at] + put + payload[at + len(put) :]
    mine, other = ours(payload), theirs(payload)
    assert mine == other


@given(st.sampled_from([*TOP]), st.sampled_from(ODD))
def test_both_decoders_agree_on_answers(field: str, value: Any) -> None:
    """On which bytes are an answer of `/depth` and which are not."""
    payload = encoded(TOP | {field: value})
    found = depth_answer(parse_any(payload))
    try:
        other = decode_depth(payload, "B", 5)
    except MalformedFrame:
        assert found is None
    else:
        assert found
        assert (found.last, pairs(found.bids), pairs(found.asks)) == (
            *(other.last_id, other.bids),
            other.asks,
        )


@pytest.mark.parametrize(
    "payload", [b"", b"<html>", b"[]", b"7", b'{"x":NaN}', b'{"x":', b"\xff", b"[" * 100_000]
)
def test_json_that_is_not_an_object_is_ignored(payload: bytes) -> None:
    """It does no harm."""
    message = parse_message(payload)
    assert not isinstance(message, dict)
    assert stream_message(message) is None
    assert depth_answer(message, may_be_unopened=True) is None


def test_numbers_keep_their_text() -> None:
    """No double comes between the text and its value."""
    assert str(parse(b"0.10000000000000000001")) == "0.10000000000000000001"


# ── odd JSON ────────────────────────────────────────────────────────────────────────────────────

DEPTH = {"lastUpdateId": 7, "bids": [["1.5", "2"]], "asks": []}
MESSAGES = [
    encoded(EVENT),
    encoded(EVENT, "b@depth@100ms"),
    encoded(TOP, "b@depth20@100ms"),
    encoded(TICKER, "b@bookTicker"),
    encoded(DEPTH),
]
PIECES = [
    *(
        b"1e10000000000000000000",
        b"1e-10000000000000000000",
        b"1e400",
        b"1e-400",
        b"-0",
        b"-1e-400",
    ),
    *(
        b"9" * 5_000,
        b"9" * 400,
        b"0." + b"1" * 5_000,
        b"7.0",
        b"9007199254740993.0",
        b"1e15",
        b"1e19",
    ),
    *(b"NaN", b"null", b"true", b'"x"', b'"\\ud800"', b'"\\ud83d\\ude00"', b'"\xff"', b'"\\u0031"'),
    *(b"[]", b"{}", b'{"x":1,"x":2}', b"[" * 99 + b"]" * 99, b"[" * 101 + b"]" * 101),
    *(
        b"[" * 5_000 + b"]" * 5_000,
        b'":"',
        b'"depthUpdate"',
        b'"b@depth20@100ms"',
        b'"b@bookTicker"',
    ),
    *(encoded(EVENT), encoded(TOP), encoded(TICKER), b'[["1","1"]]', b'[["1e-400","1"]]', b" 7 "),
]
KEYS = [*"eEsUubaBAx", "stream", "data", "lastUpdateId", "bids", "asks", "\\u0075", "\\ud800"]


@st.composite
def odd_messages(draw: st.DrawFn) -> bytes:
    """A message with fields added, values replaced, or bytes changed."""
    payload = draw(st.sampled_from(MESSAGES))
    for _ in range(draw(st.integers(1, 3))):
        piece = draw(st.sampled_from(PIECES) | st.binary(max_size=3))
        match draw(st.integers(0, 3)):
            case 0:  # one more field, at the start or the end of an object
                key = draw(st.sampled_from(KEYS)).encode()
                field = b'"' + key + b'":' + piece
                braces = [at for at, byte in enumerate(payload) if byte in b"{}"]
                if braces:
                    at = draw(st.sampled_from(braces))
                    inner = field + b"," if payload[at : at + 1] == b"{" else b"," + field
                    at += payload[at : at + 1] == b"{"
                    payload = payload[:at] + inner + payload[at:]
            case 1:  # another value
                values = [*re.finditer(rb'(?<=:)("[^"]*"|[0-9]+|\[\]|\[\[.*?\]\])', payload)]
                if values:
                    found = draw(st.sampled_from(values))
                    payload = payload[: found.start()] + piece + payload[found.end() :]
            case 2:  # another text or number, anywhere
                texts = [*re.finditer(rb'"[0-9.]+"', payload)]
                if texts:
                    found = draw(st.sampled_from(texts))
                    payload = payload[: found.start()] + piece + payload[found.end() :]
            case _:
                at = draw(st.integers(0, len(payload)))
                payload = payload[:at] + piece + payload[at + draw(st.integers(0, 3)) :]
    return payload


def answer_of(payload: bytes) -> object:
    found = depth_answer(parse_message(payload), may_be_unopened=True)
    return None if found is None else (found.last, pairs(found.bids), pairs(found.asks))


def their_answer_of(payload: bytes) -> object:
    try:
        found = decode_depth(payload, "B", 5)
    except MalformedFrame:
        return None
    return found.last_id, found.bids, found.asks


@settings(max_examples=1_000)
@given(odd_messages())
def test_both_decoders_agree_on_odd_json(payload: bytes) -> None:
    """docs/protocol.md, "Odd JSON": whatever it is, both recognise the same, or both ignore it."""
    assert ours(payload) == theirs(payload)
    assert answer_of(payload) == their_answer_of(payload)


@pytest.mark.parametrize("piece", PIECES)
def test_both_decoders_agree_on_unread_fields(piece: bytes) -> None:
    """Checked one by one, in each kind of message."""
    for message in MESSAGES:
        payload = message[:-1] + b',"x":' + piece + b"}"
        assert ours(payload) == theirs(payload)
        assert answer_of(payload) == their_answer_of(payload)


def test_both_decoders_ignore_a_bloated_message() -> None:
    """A million levels would take gigabytes."""
    payload = encoded(EVENT).replace(
        b'[["1.5","2"]]', b"[" + b",".join([b"[1,1]"] * 500_001) + b"]"
    )
    assert ours(payload) is theirs(payload) is None
