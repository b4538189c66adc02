"""Numbers as the exchange writes them: which ones the declared types refuse."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from booktape.errors import MalformedNumber
from booktape.wire.numbers import Id, Price, Size, decimal_number, whole_number


@pytest.mark.parametrize(
    ("kind", "least", "refused"),
    [
        (Size, b'"0"', [b'"-1"', b'"nan"', b'"inf"']),
        (Price, b'"0.00000001"', [b'"0"', b'"-1"', b'"nan"', b'"inf"']),
        (Id, b"0", [b"-1", b"9223372036854775808", b"1.5"]),
    ],
)
def test_an_invalid_amount_is_refused(kind: type, least: bytes, refused: list[bytes]) -> None:
    """It is negative, not finite or too large; a size may be zero, a price may not."""
    msgspec.json.decode(least, type=kind, strict=False)
    for text in refused:
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(text, type=kind, strict=False)


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("0060", 60), ("9" * 18, 10**18 - 1)])
def test_a_whole_number(text: str, number: int) -> None:
    """As found in a header."""
    assert whole_number(text) == number


@pytest.mark.parametrize(
    "text", ["", "-1", "+1", "1.5", "1e3", " 7", "7\n", "1_000", "٣", "²", "9" * 19, "9" * 5_000]
)
def test_an_invalid_whole_number_is_one_error(text: str) -> None:
    """Signs, fractions, digits of other scripts, and more digits than any real number has."""
    with pytest.raises(MalformedNumber, match="is not a number"):
        whole_number(text)


@pytest.mark.parametrize(
    "text", ["0.01000000", "46116860414.00000000", "1e-8", "0E-8", "1e99", "7."]
)
def test_a_decimal_is_exactly_what_was_written(text: str) -> None:
    """That includes trailing zeros and exponents."""
    assert decimal_number(text) == Decimal(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", ".5", "-1", "NaN", "sNaN", "Infinity", "one", " 1", "1_0", "٣.٣", "1.0\n"),
        *("1e9999999", "1e-9999999", "1e99999999999999999999", "9" * 5_000, "0." + "0" * 5_000),
        "1.0000000000000000000000000001",  # 29 digits: Python would compute with 28 of them
    ],
)
def test_an_invalid_decimal_is_one_error(text: str) -> None:
    """It is not a number, not finite, or Python would round it or overflow on it."""
    with pytest.raises(MalformedNumber, match="is not a decimal"):
        decimal_number(text)


@given(st.text() | st.from_regex(r"[0-9.eE+-]{1,60}", fullmatch=True))
def test_any_text_is_a_number_or_one_error(text: str) -> None:
    """There is no other exception, and the result can be used in calculations."""
    for read in (whole_number, decimal_number):
        try:
            number = read(text)
        except MalformedNumber:
            continue
        assert Decimal(number).normalize() == Decimal(text).normalize()
