"""What to record: named or chosen, and checked before anything is written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from booktape.errors import UnknownSymbol, UsageError
from booktape.recorder.settings import Partition, Settings
from booktape.wire.endpoints import VENUES
from booktape.wire.exchange_info import ExchangeInfo, SymbolInfo

LISTED = ExchangeInfo({"BTCUSDT": SymbolInfo("BTCUSDT")})


def settings(*symbols: str) -> Settings:
    return Settings(VENUES["binance"], symbols, 10, Path("out"))


def test_what_is_listed_is_recorded() -> None:
    """Named, or all that trades."""
    assert settings("BTCUSDT").checked(LISTED) is LISTED
    assert settings().wanted(settings().checked(LISTED)) == ("BTCUSDT",)


def test_what_is_not_listed_is_the_user_s_mistake() -> None:
    """A name, or a choice that leaves nothing."""
    with pytest.raises(UnknownSymbol, match="NOPEUSDT"):
        settings("BTCUSDT", "NOPEUSDT").checked(LISTED)
    with pytest.raises(UsageError, match="lists no symbol"):
        settings().checked(ExchangeInfo({}))
    with pytest.raises(UsageError, match="lists no symbol"):
        settings().checked(None)


def test_a_worker_without_a_symbol_is_nobody_s_mistake() -> None:
    """Two of them for one symbol: the other one has none, yet."""
    both = [
        replace(settings("BTCUSDT"), partition=Partition(index, 2, "run")) for index in range(2)
    ]
    found = [each.wanted(each.checked(LISTED)) for each in both]
    assert sorted(found) == [(), ("BTCUSDT",)]


def test_where_there_is_no_list_the_names_are_taken_on_trust() -> None:
    """Other servers speak the same protocol and list nothing."""
    trusted = settings("NOPEUSDT").checked(None)
    assert settings("NOPEUSDT").wanted(trusted) == ("NOPEUSDT",)
    assert "NOPEUSDT" in trusted.symbols


def test_a_symbol_with_large_sizes_is_recorded_and_reported() -> None:
    """By what the exchange allows, not by what is there; others are not spoken of."""
    wide = SymbolInfo("WIDEUSDT", step_size="0.00000001", max_quantity="92141578.00000000")
    info = ExchangeInfo({"BTCUSDT": SymbolInfo("BTCUSDT"), "WIDEUSDT": wide})
    named = settings("BTCUSDT", "WIDEUSDT")
    with capture_logs() as lines:
        named.warn_of_large_sizes(named.checked(info), named.wanted(info))
    assert [line["symbol"] for line in lines] == ["WIDEUSDT"]


def test_a_tape_begins_with_what_was_asked_for() -> None:
    """A reader needs nothing else."""
    start = settings("BTCUSDT").start(7, ("BTCUSDT",))
    assert (start.received_ns, start.every, start.symbols) == (7, 10, ("BTCUSDT",))
    assert (start.depth, start.witness, start.audit_s) == (5_000, "depth20", 900.0)
