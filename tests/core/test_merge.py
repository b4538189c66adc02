"""A symbol is lost only with the last connection that carries it."""

from __future__ import annotations

from booktape.core.merge import Merge


def test_the_only_connection_takes_its_symbols_with_it() -> None:
    """Without redundancy a lost connection loses all that it carried."""
    merge = Merge()
    merge.connected(0, ("BTCUSDT", "ETHBTC"))
    assert merge.lost(0) == ("BTCUSDT", "ETHBTC")
    assert merge.open == {}


def test_a_carried_symbol_survives() -> None:
    """What another connection still carries is not lost; what only this one carried is."""
    merge = Merge()
    merge.connected(0, ("BTCUSDT", "ETHBTC"))
    merge.connected(1, ("BTCUSDT",))
    assert merge.lost(0) == ("ETHBTC",)
    assert merge.lost(1) == ("BTCUSDT",)


def test_an_unknown_connection_loses_nothing() -> None:
    """A connection that never stood, or is lost twice, carried nothing."""
    merge = Merge()
    merge.connected(0, ("BTCUSDT",))
    assert merge.lost(7) == ()
    assert merge.lost(0) == ("BTCUSDT",)
    assert merge.lost(0) == ()


def test_open_is_a_copy() -> None:
    """Whoever looks at the open connections cannot close one by accident."""
    merge = Merge()
    merge.connected(0, ("BTCUSDT",))
    merge.open.clear()
    assert merge.open == {0: ("BTCUSDT",)}
