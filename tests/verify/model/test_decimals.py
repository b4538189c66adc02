"""Numbers: a text's own value, and whether a double can stand for it."""

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
def test_what_no_double_is(text: str) -> None:
    """Has a double all the same, and is known not to be it."""
    assert not number(text).exact


@pytest.mark.parametrize(
    "value", ["", " 1", "+1", "1.", ".5", "01", "1_0", "nan", "inf", "1e400", "-1", "\u0661"]
)
def test_what_is_no_number(value: str) -> None:
    """Nor anything negative or infinite."""
    with pytest.raises(Malformed):
        number(value)


@pytest.mark.parametrize("value", [True, None, [], {}, 1.5])
def test_what_json_may_hold_instead(value: object) -> None:
    """Numbers come as texts, whole numbers or decimals."""
    with pytest.raises(Malformed):
        number(value)


def test_numbers_without_quotation_marks() -> None:
    """Are read as they are written."""
    assert number(7).value == 7
    assert number(Decimal("1.50")) == (Decimal("1.5"), 1.5, True)


def test_a_price_is_above_zero() -> None:
    """A size need not be."""
    assert not number("0.00000000").value
    for text in ("0", "-0", "1e-400"):
        with pytest.raises(Malformed):
            price(text)


def test_ids_are_whole() -> None:
    """However they are written, and not beyond what 64 bits hold."""
    assert whole(7) == whole("7") == whole("7.0") == whole(Decimal("7e0")) == 7
    for value in ("7.5", 2**63, -1, True, None, "seven"):
        with pytest.raises(Malformed):
            whole(value)
    with pytest.raises(Malformed):
        whole(11, most=10)


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many different texts come."""
    monkeypatch.setattr(decimals, "_REMEMBERED", 3)
    monkeypatch.setattr(decimals, "_remembered", {})
    for text in "123456789":
        assert number(text).double == float(text)
        assert len(decimals._remembered) <= 3
