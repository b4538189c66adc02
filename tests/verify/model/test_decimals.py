"""Numbers: the exact value of a text, and whether a double can represent it."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from booktape.verify.model import decimals
from booktape.verify.model.decimals import Malformed, number, price, whole


@given(st.integers(0, 67_108_863), st.integers(0, 99_999_999))
def test_eight_decimals_are_exact(units: int, parts: int) -> None:
    """Any such value below 67,108,864, as the exchange prints it."""
    text = f"{units}.{parts:08d}"
    found = number(text)
    assert found == (Decimal(text), float(text), True)


@pytest.mark.parametrize("text", ["0.10000000000000000001", "9007199254740993", "1e-400"])
def test_a_value_that_is_not_a_double_is_recognised(text: str) -> None:
    """It still gets the nearest double, and is marked as inexact."""
    assert not number(text).exact


@pytest.mark.parametrize(
    "value", ["", " 1", "+1", "1.", ".5", "01", "1_0", "nan", "inf", "1e400", "-1", "\u0661"]
)
def test_invalid_numbers_are_refused(value: str) -> None:
    """So are negative and infinite ones."""
    with pytest.raises(Malformed):
        number(value)


@pytest.mark.parametrize("value", [True, None, [], {}, 1.5])
def test_json_numbers_are_accepted_as_well_as_texts(value: object) -> None:
    """Numbers come as texts, integers or decimals."""
    with pytest.raises(Malformed):
        number(value)


def test_numbers_without_quotation_marks_are_read_as_written() -> None:
    """No double comes in between."""
    assert number(7).value == 7
    assert number(Decimal("1.50")) == (Decimal("1.5"), 1.5, True)


def test_a_price_must_be_above_zero() -> None:
    """A size may be zero."""
    assert not number("0.00000000").value
    for text in ("0", "-0", "1e-400"):
        with pytest.raises(Malformed):
            price(text)


def test_ids_must_be_whole() -> None:
    """However they are written; they must fit into 64 bits."""
    assert whole(7) == whole("7") == whole("7.0") == whole(Decimal("7e0")) == 7
    for value in ("7.5", 2**63, -1, True, None, "seven"):
        with pytest.raises(Malformed):
            whole(value)
    with pytest.raises(Malformed):
        whole(11, most=10)


def test_the_cache_of_numbers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many different texts come."""
    monkeypatch.setattr(decimals, "_REMEMBERED", 3)
    monkeypatch.setattr(decimals, "_remembered", {})
    for text in "123456789":
        assert number(text).double == float(text)
        assert len(decimals._remembered) <= 3
