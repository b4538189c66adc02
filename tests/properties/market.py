"""A small true market: one symbol's whole history, told as events and snapshots."""

from __future__ import annotations

import json
from random import Random
from typing import Final

from support.oracle import Side, change

LOWEST: Final = {"b": 100, "a": 107}
"""Prices reach up to 6 above: an exchange that matches orders never shows a bid at an ask's price or above it."""


class Market:
    """One symbol's true history: the book at every update id."""

    def __init__(self, chance: Random, symbol: str) -> None:
        self.symbol = symbol
        self.first_id = self.last_id = chance.randint(1, 20)
        bids, asks = (self._some_levels(chance, LOWEST[name]) for name in "ba")
        self.books: list[tuple[Side, Side]] = [(bids, asks)]

    @staticmethod
    def _some_levels(chance: Random, around: int) -> Side:
        side: Side = {}
        change(side, [[f"{around + n}.10", "1"] for n in range(chance.randint(0, 5))])
        return side

    def at(self, update_id: int) -> tuple[Side, Side]:
        """Both sides as they were after `update_id`."""
        assert self.first_id <= update_id <= self.last_id
        return self.books[update_id - self.first_id]

    def happen(self, chance: Random, now_ns: int = 0) -> bytes:
        """A few updates, told as one event."""
        first = self.last_id + 1
        changes: dict[str, dict[str, str]] = {"b": {}, "a": {}}
        for _ in range(chance.randint(1, 3)):
            bids, asks = (dict(side) for side in self.books[-1])
            name, side = chance.choice([("b", bids), ("a", asks)])
            price = f"{LOWEST[name] + chance.randint(0, 6)}.10"
            changes[name][price] = chance.choice(["0.00000000", "1.00000000", "0.30000000"])
            change(side, [[price, changes[name][price]]])
            self.books.append((bids, asks))
            self.last_id += 1
        sides = {name: list(texts.items()) for name, texts in changes.items()}
        event = {"e": "depthUpdate", "E": now_ns // 10**6, "s": self.symbol}
        return json.dumps({**event, "U": first, "u": self.last_id, **sides}).encode()

    def snapshot(self, update_id: int, limit: int) -> bytes:
        """A REST answer as of `update_id`, which may lie in the middle of an event."""
        bids, asks = self.at(update_id)
        body: dict[str, object] = {"lastUpdateId": update_id}
        for name, side, falling in (("bids", bids, True), ("asks", asks, False)):
            best_first = [side[price] for price in sorted(side, reverse=falling)][:limit]
            body[name] = [[str(level.price), str(level.size)] for level in best_first]
        return json.dumps(body).encode()
