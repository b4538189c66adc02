"""What a client asks for on an open connection: SUBSCRIBE, UNSUBSCRIBE, LIST_SUBSCRIPTIONS."""

from __future__ import annotations

import msgspec
from msgspec import Struct

_INVALID_REQUEST = 2


class _Request(Struct):
    method: str
    id: int | str | None = None
    params: list[str] = []


def answer(text: str, streams: set[str]) -> tuple[set[str], bytes]:
    """The streams that the client wants after this message, and the reply to it."""
    try:
        request = msgspec.json.decode(text, type=_Request)
    except msgspec.DecodeError as error:
        return streams, _refusal(f"Invalid request: {error}")
    named = set(request.params)
    if request.method == "SUBSCRIBE":
        return streams | named, _reply(None, request.id)
    if request.method == "UNSUBSCRIBE":
        return streams - named, _reply(None, request.id)
    if request.method == "LIST_SUBSCRIPTIONS":
        return streams, _reply(sorted(streams), request.id)
    return streams, _refusal(f"Invalid request: unknown method {request.method}")


def _reply(result: list[str] | None, number: int | str | None) -> bytes:
    return msgspec.json.encode({"result": result, "id": number})


def _refusal(message: str) -> bytes:
    return msgspec.json.encode({"error": {"code": _INVALID_REQUEST, "msg": message}, "id": None})
