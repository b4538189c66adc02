"""REST `time`: the exchange's clock.

{"serverTime":1780861677414123}
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from booktape.errors import MalformedFrame

MICROSECONDS: Final = {"X-MBX-TIME-UNIT": "MICROSECOND"}
"""The header that asks for microseconds; a server that does not know it answers in milliseconds."""

_MICROSECONDS_FROM: Final = 10**14
"""Milliseconds reach this in the year 5138; microseconds reached it in 1973."""


class _Time(Struct, rename="camel"):
    # From 1970 to 2286, in milliseconds or microseconds.
    server_time: Annotated[int, Meta(ge=0, le=10**16)]


_time = msgspec.json.Decoder(_Time)


def decode_server_time(payload: bytes) -> tuple[int, int]:
    """The time in ns since 1970, and its error in ns. Raises MalformedFrame.

    The time is the middle of the microsecond, or millisecond, in the answer.
    """
    try:
        time = _time.decode(payload).server_time
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedFrame(f"time: {error}: {payload[:80]!r}") from error
    unit_ns = 1_000 if time >= _MICROSECONDS_FROM else 1_000_000
    return time * unit_ns + unit_ns // 2, unit_ns // 2
