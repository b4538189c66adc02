"""The time of the exchange's clock, in either unit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from booktape.errors import MalformedFrame
from booktape.wire.server_time import decode_server_time

SECOND_NS = 1_780_861_677 * 10**9


@pytest.mark.parametrize(
    ("text", "time_ns", "unsure_ns"),
    [
        ("1780861677414123", SECOND_NS + 414_123_500, 500),
        ("1780861677414", SECOND_NS + 414_500_000, 500_000),
    ],
)
def test_the_unit_is_recognised_by_size(text: str, time_ns: int, unsure_ns: int) -> None:
    """Milliseconds may come though microseconds were requested; the true time lies within the unit given."""
    assert decode_server_time(b'{"serverTime":%s}' % text.encode()) == (time_ns, unsure_ns)


@pytest.mark.parametrize(
    "payload",
    [
        *(b"", b"<html>", b"[]", b"{}", b'{"serverTime":"1"}', b'{"serverTime":-1}', b"\xff"),
        *(b'{"serverTime":1e400}', b'{"serverTime":%s}' % (b"9" * 5_000), b'{"code":-1}'),
    ],
)
def test_anything_else_is_malformed(payload: bytes) -> None:
    """An error page, an error body, a time that no clock shows."""
    with pytest.raises(MalformedFrame, match="time"):
        decode_server_time(payload)


@given(st.binary(max_size=100) | st.text().map(str.encode))
def test_any_input_gives_a_time_or_one_error(payload: bytes) -> None:
    """No other exception is raised."""
    try:
        decode_server_time(payload)
    except MalformedFrame:
        return
