"""The inputs and outputs of the core are values: small, and never changed."""

from __future__ import annotations

from dataclasses import is_dataclass

import pytest

from booktape.core import arbitration, checks, events, sync, tape_records, trades
from booktape.core.arbitration import SymbolFeed
from booktape.core.checks import BookTicker, TopLevels
from booktape.core.events import BookRow, DepthEvent, WaitingEvent
from booktape.core.trades import Trade, TradeRow
from core.frozen import check_frozen

FOR_EVERY_MESSAGE = {BookRow, DepthEvent, WaitingEvent, Trade, TradeRow, BookTicker, TopLevels}
"""Values made for every message or row, where freezing would cost more than it is worth."""

STATE = {SymbolFeed}
VALUES = [
    each
    for module in (arbitration, checks, events, sync, tape_records, trades)
    for each in vars(module).values()
    if is_dataclass(each) and isinstance(each, type) and each.__module__ == module.__name__
]


@pytest.mark.parametrize("value", VALUES)
def test_a_value_has_no_dict(value: type) -> None:
    """Thousands of them wait in queues."""
    assert "__slots__" in vars(value)


@pytest.mark.parametrize(
    "value", [value for value in VALUES if value not in FOR_EVERY_MESSAGE | STATE]
)
def test_a_value_cannot_be_changed(value: type) -> None:
    """Inputs from the exchange and the core's outputs are history."""
    check_frozen(value)
