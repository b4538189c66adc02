"""Why the exchange refused a request: the number in the body of its answer."""

from __future__ import annotations

from typing import Final

import msgspec

UNREAD_PARAMETER: Final = -1104
"""UNREAD_PARAMETERS, "Not all sent parameters were read." """


class _Refusal(msgspec.Struct):
    code: int


def refusal_code(body: bytes) -> int | None:
    """The `code` of `{"code":-1121,"msg":"Invalid symbol."}`; None for a body that has none."""
    try:
        return msgspec.json.decode(body, type=_Refusal).code
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
