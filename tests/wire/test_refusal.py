"""Error codes in an exchange's refusal."""

from __future__ import annotations

import pytest

from booktape.wire.refusal import UNREAD_PARAMETER, refusal_code


def test_the_code_of_a_refusal_is_read() -> None:
    """In the form in which the exchange writes it."""
    body = b'{"code":-1104,"msg":"Not all sent parameters were read; read 0 but was sent 1."}'
    assert refusal_code(body) == UNREAD_PARAMETER


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"{}", b'{"code":"-1104"}', b'{"code":1.5}', b"\xff", b"[" * 100_000]
)
def test_a_refusal_without_a_code_raises_nothing(body: bytes) -> None:
    """Something between us and the exchange may answer in its place."""
    assert refusal_code(body) is None
