"""Both readings of the exchange's bytes, the recorder's and this one, take the same for an event."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from booktape.core.events import DepthEvent
from booktape.core.proving import BookTicker, TopLevels
from booktape.errors import MalformedFrame
from booktape.verify.payload import (
    Event,
    Levels,
    Ticker,
    Top,
    depth_answer,
    parse,
    parse_object,
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
    """What this reading takes it for, in the other one's nouns; None for nothing of use."""
    said = stream_message(parse_object(payload))
    match said:
        case Event():
            return DepthEvent(*said[:4], pairs(said.bids), pairs(said.asks))
        case Top():
            return TopLevels(said.symbol, said.answer.last, *map(pairs, said.answer[1:]))
        case Ticker():
            sides = (next(iter(pairs(side)), None) for side in said[2:])
            return BookTicker(said.symbol, said.last, *sides)
    return None


def theirs(payload: bytes) -> object:
    try:
        said = decode_event(payload)
    except MalformedFrame:
        return None
    return said if isinstance(said, DepthEvent | TopLevels | BookTicker) else None


def encoded(message: Any, stream: str | None = None) -> bytes:
    wrapped = message if stream is None else {"stream": stream, "data": message}
    return json.dumps(wrapped, separators=(",", ":")).encode()


@pytest.mark.parametrize("stream", [None, "b@depth@100ms"])
def test_an_event(stream: str | None) -> None:
    """Raw and wrapped; milliseconds and microseconds."""
    payload = encoded(EVENT, stream)
    assert ours(payload) == DepthEvent("B", 5_000, 1, 2, [(1.5, 2.0)], []) == theirs(payload)
    late = encoded(EVENT | {"E": 10**14}, stream)
    assert ours(late) == theirs(late) == DepthEvent("B", 10**14, 1, 2, [(1.5, 2.0)], [])


def test_witnesses() -> None:
    """Wrapped only; a side of a ticker that is not there has price 0."""
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
def test_both_readings_agree(
    message: tuple[dict[str, Any], str | None], changes: list[tuple[int, Any]]
) -> None:
    """On whatever stands in a field, or is missing."""
    said, stream = dict(message[0]), message[1]
    for at, value in changes:
        field = list(message[0])[at % len(message[0])]
        said[field] = value
        if value == "drop":
            del said[field]
    payload = encoded(said, stream)
    assert ours(payload) == theirs(payload)


@given(st.integers(0, 200), st.binary(max_size=3))
def test_both_readings_agree_on_garbage(at: int, put: bytes) -> None:
    """Bytes put anywhere into an event; but for the insides of fields that nobody reads."""
    payload = encoded(EVENT, "b@depth@100ms")
    at %= len(payload)
    payload = payload[:at] + put + payload[at + len(put) :]
    mine, other = ours(payload), theirs(payload)
    assert mine == other or mine is None or other is None or b"\\u" in payload


@given(st.sampled_from([*TOP]), st.sampled_from(ODD))
def test_both_readings_agree_on_answers(field: str, value: Any) -> None:
    """What is an answer of `/depth`, and what is none."""
    payload = encoded(TOP | {field: value})
    found = depth_answer(parse_object(payload))
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
def test_what_is_no_object(payload: bytes) -> None:
    """Says nothing, and harms nothing."""
    assert parse_object(payload) is None
    assert stream_message(None) is None
    assert depth_answer(None) is None


def test_numbers_keep_their_text() -> None:
    """No double comes between the text and its value."""
    assert str(parse(b"0.10000000000000000001")) == "0.10000000000000000001"
    assert parse(b'"\xff"') == "\udcff"
