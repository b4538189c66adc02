"""Numbers as the exchange writes them: what the declared types refuse."""

from __future__ import annotations

import msgspec
import pytest

from booktape.wire.numbers import Id, Price, Size


@pytest.mark.parametrize(
    ("kind", "least", "refused"),
    [
        (Size, b'"0"', [b'"-1"', b'"nan"', b'"inf"']),
        (Price, b'"0.00000001"', [b'"0"', b'"-1"', b'"nan"', b'"inf"']),
        (Id, b"0", [b"-1", b"9223372036854775808", b"1.5"]),
    ],
)
def test_what_is_no_amount_is_refused(kind: type, least: bytes, refused: list[bytes]) -> None:
    """Negative, not finite, too large; a size may be zero, a price may not."""
    msgspec.json.decode(least, type=kind, strict=False)
    for text in refused:
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(text, type=kind, strict=False)
