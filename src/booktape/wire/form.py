"""Which JSON is a message at all (docs/protocol.md, "Odd JSON"). Both readers of a tape obey this rule.

msgspec skips what nobody asked for without looking closely. So the few messages that hold more, or hold
it otherwise, than the exchange's form says are looked at as a whole.
"""

from __future__ import annotations

import re
import sys
from typing import Any, Final

import msgspec

from booktape.errors import MalformedFrame

UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""All that msgspec raises: for a wrong form, for text that is not UTF-8, for deep nesting."""

DEPTH_MAX: Final = 100
BRACKETS_MAX: Final = 500_000
"""Of one message: a level has one, and takes twenty times its bytes once it is decoded."""

_LONG_BYTES: Final = 1 << 20
_TEXT: Final = re.compile(rb'"(?:[^"\\]|\\.)*"')


def refuse_bloated(payload: bytes) -> None:
    """Raises MalformedFrame for a message that would take gigabytes, before it is decoded."""
    if len(payload) > _LONG_BYTES and payload.count(b"[") + payload.count(b"{") > BRACKETS_MAX:
        raise MalformedFrame(f"more than {BRACKETS_MAX:,} brackets in {len(payload):,} bytes")


def decode_object(payload: bytes) -> dict[str, Any]:
    """A whole message, whatever it holds. Raises MalformedFrame for what the rule does not allow."""
    try:
        found = msgspec.json.decode(payload)
    except UNREADABLE as error:
        raise MalformedFrame(f"{error}: {payload[:80]!r}") from error
    if not isinstance(found, dict):
        raise MalformedFrame(f"no JSON object: {payload[:80]!r}")
    # Of a key that stands twice only one value is in what was decoded.
    if _keys(found, 1) != _TEXT.sub(b"", payload).count(b":"):
        raise MalformedFrame(f"a key stands twice: {payload[:80]!r}")
    return found


def _keys(value: object, depth: int) -> int:
    """How many keys there are, of all objects. Raises MalformedFrame for nesting and for huge numbers."""
    if isinstance(value, int) and abs(value) > sys.float_info.max:
        raise MalformedFrame("a number is larger than any double")
    if not isinstance(value, dict | list):
        return 0
    if depth > DEPTH_MAX:
        raise MalformedFrame(f"nested deeper than {DEPTH_MAX}")
    inner = value.values() if isinstance(value, dict) else value
    own = len(value) if isinstance(value, dict) else 0
    return own + sum(_keys(each, depth + 1) for each in inner)
