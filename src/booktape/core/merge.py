"""Several connections of one stream, in one order per symbol.

A pass-through for now: each connection delivers in order, so what arrives first is taken, and the
machine ignores whatever it already has (`u <= id`). Known weakness: an event that runs ahead, since
a faster connection lost one, is a gap at once, although a slower connection may still fill the hole.
"""

from __future__ import annotations


class Merge:
    """Which symbols are carried by at least one connection."""

    def __init__(self) -> None:
        self._symbols_of: dict[int, tuple[str, ...]] = {}

    def connected(self, connection: int, symbols: tuple[str, ...]) -> None:
        """From now on `connection` carries `symbols`."""
        self._symbols_of[connection] = symbols

    def lost(self, connection: int) -> tuple[str, ...]:
        """The symbols that no connection carries any more, now that this one is gone."""
        symbols = self._symbols_of.pop(connection, ())
        carried = {symbol for others in self._symbols_of.values() for symbol in others}
        return tuple(symbol for symbol in symbols if symbol not in carried)

    @property
    def open(self) -> dict[int, tuple[str, ...]]:
        """The connections that are up, and what each carries."""
        return dict(self._symbols_of)
