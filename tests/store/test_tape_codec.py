"""One line of the tape: every record can be read back from it, and anything else is damage."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from booktape.core.events import DepthEvent, GapInterval, WaitingEvent
from booktape.core.tape_records import (
    Checkpoint,
    ClockStep,
    Connected,
    DepthAnswer,
    Disconnected,
    HoldExpired,
    SegmentEnd,
    SegmentStart,
    SnapshotRequested,
    StreamMessage,
    SymbolListing,
    TapeRecord,
    TradesAnswer,
)
from booktape.core.trades import TradeHole, TradeState
from booktape.errors import DamagedTape
from booktape.store.tape_codec import decode_record, encode_record

T = TypeVar("T")

NESTED = b'{"a":' * 900 + b"1" + b"}" * 900
PAYLOADS = [
    b"",
    b"{}",
    b'{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","b":[["1.00000000","0"]]}}',
    b'  {"a":1}',
    b'{"a":1}\r\n',
    b'{"a":\n1}',
    b'{"a":1} {"b":2}',
    b'{"a":tru}',
    b'{"a":NaN}',
    b'{"a":"\x01"}',
    b'{"a":"\xff\xfe"}',
    b'{"a":"\\ud800"}',
    b'{"m":{"k":"end"},"k":"end"}',
    b',"m":{}}',
    '{"s":"币安USDT\u2028"}'.encode(),
    b"\xef\xbb\xbf{}",
    b"\x00\x80\xff garbage \n\n",
    b"[1,2]",
    b"{" + b"9" * 5_000,
    b"{[" * 100_000,
    NESTED,
]

ints = st.integers(-(2**63), 2**63 - 1)
floats = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(max_size=8)
symbols = st.lists(texts, max_size=3).map(tuple)
levels = st.lists(st.tuples(floats, floats), max_size=3)
payloads = (
    st.binary() | st.sampled_from(PAYLOADS) | st.text().map(lambda s: b'{"a":"%b"}' % s.encode())
)
gaps = st.builds(GapInterval, texts, ints, ints, ints, texts, st.none() | ints, st.none() | ints)
held = st.builds(WaitingEvent, ints, st.builds(DepthEvent, texts, ints, ints, ints, levels, levels))
holes = st.builds(TradeHole, *(ints,) * 5)
trade_states = st.builds(TradeState, ints, ints, st.lists(holes, max_size=2))
checkpoints = st.builds(
    Checkpoint,
    *(ints, texts, texts, ints, ints, ints, st.none() | ints, ints, ints, st.none() | gaps),
    *(st.none() | floats, st.none() | floats, levels, levels, st.lists(held, max_size=2)),
    *(st.none() | ints, st.dictionaries(ints, st.none() | ints), st.lists(held, max_size=2)),
    *(texts, ints, ints),
    trades=st.none() | trade_states,
)
records = st.one_of(
    st.builds(StreamMessage, ints, ints, payloads),
    st.builds(DepthAnswer, ints, texts, ints, payloads),
    st.builds(TradesAnswer, ints, texts, ints, payloads | st.just(b'[{"id":1}]')),
    st.builds(Connected, ints, ints, symbols),
    st.builds(Disconnected, ints, ints, ints, texts, texts),
    st.builds(HoldExpired, ints, texts),
    st.builds(SnapshotRequested, ints, texts, ints),
    st.builds(SymbolListing, ints, texts, texts),
    st.builds(ClockStep, ints, ints),
    st.builds(SegmentStart, ints, texts, texts, ints, ints, symbols, texts, floats),
    st.builds(SegmentEnd, ints, texts),
    checkpoints,
)


def deep_down(records: int, act: Callable[[], T]) -> T:
    """Call it `depth` calls deeper in the stack."""
    return deep_down(records - 1, act) if records else act()


@given(records)
def test_every_record_can_be_read_back(record: TapeRecord) -> None:
    """A record of any kind is one line of JSON, which gives the same record again."""
    line = encode_record(record)
    assert line.index(b"\n") == len(line) - 1
    assert decode_record(line) == record


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda payload: repr(payload[:20]))
def test_payloads_are_kept_byte_for_byte(payload: bytes) -> None:
    """Even line ends and broken UTF-8 from the exchange; any JSON reader gets the same."""
    for record in StreamMessage(1, 2, payload), DepthAnswer(1, "币安USDT", 5, payload):
        line = encode_record(record)
        assert decode_record(line) == record
        assert line.index(b"\n") == len(line) - 1
        assert json.loads(line)["received_ns"] == 1


def test_json_is_readable_on_the_tape() -> None:
    """An ordinary message is stored unescaped: `zstdcat … | jq` shows it."""
    line = encode_record(StreamMessage(7, 1, PAYLOADS[2]))
    assert line == b'{"k":"ws","received_ns":7,"connection":1,"m":%b}\n' % PAYLOADS[2]


def test_names_of_notes_on_the_tape_never_change() -> None:
    """Other readers of a tape rely on them."""
    kinds: dict[bytes, TapeRecord] = {
        b'{"k":"asked","received_ns":7,"symbol":"BTCUSDT","limit":5}\n': SnapshotRequested(
            7, "BTCUSDT", 5
        ),
        b'{"k":"status","received_ns":7,"symbol":"A","status":"HALT","tick_size":"0.01",'
        b'"lot_size":"1"}\n': SymbolListing(7, "A", "HALT", "0.01", "1"),
        b'{"k":"clock-step","received_ns":7,"step_ns":-5}\n': ClockStep(7, -5),
    }
    for line, record in kinds.items():
        assert encode_record(record) == line
        assert decode_record(line) == record


def test_reading_needs_no_more_stack_than_writing() -> None:
    """A deeply nested payload that could be written can be read, however deep the reader's stack is."""
    line = encode_record(StreamMessage(1, 2, NESTED))
    assert deep_down(300, lambda: decode_record(line)) == StreamMessage(1, 2, NESTED)


@given(
    st.binary()
    | st.tuples(records.map(encode_record), ints, st.integers(0, 255)).map(
        lambda t: t[0][: t[1] % len(t[0])] + bytes([t[2]]) + t[0][t[1] % len(t[0]) + 1 :]
    )
)
def test_anything_else_is_damage(line: bytes) -> None:
    """Reading arbitrary bytes gives a record or DamagedTape, and no other error."""
    try:
        record = decode_record(line)
    except DamagedTape:
        return
    assert isinstance(record, TapeRecord)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b'{"k":"new"}',
        b'{"k":"\xff"}',
        b'{"k":"end"}',
        b'{"k":"end","received_ns":1,"reason":"\xff"}',
        b'{"k":"ws","received_ns":1}',
        b'{"k":"rest","received_ns":1,"base64":"?"}',
    ],
)
def test_a_line_that_is_no_record_is_damage(line: bytes) -> None:
    """Unknown kinds, missing fields, missing payloads: none is read as a record."""
    with pytest.raises(DamagedTape, match="line"):
        decode_record(line)
