"""Random tapes with trades, recorded as the recorder does, read by `verify`: both say the same of each.

Trades are lost, repeated and delayed on three connections, their ids start over, and holes are filled by answers that
are cut short, incomplete, out of order or not answers at all; between them segments and recorders end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import pyarrow.parquet as pq
import pytest

from booktape.core import trades as core
from booktape.core.tape_records import SegmentStart, StreamMessage, TapeRecord, TradesAnswer
from booktape.core.trades import TRADE_GAP_REASONS, Trade
from booktape.sim.messages import Encoding, MarketMessage, stream_name
from booktape.verify.model import trades as model
from booktape.wire.encode import encode_trades
from support.oracle import SECOND
from verify import any_tape
from verify.any_tape import MS, SYMBOLS, Exchange, NextSegment, Scene, Script
from verify.small import verified

SEEDS = range(12)
STEPS = 150


@pytest.fixture(autouse=True)
def narrow_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that half a minute of tape reaches the limits."""
    monkeypatch.setattr(core, "OPEN_MAX_NS", 6 * SECOND)
    monkeypatch.setattr(model, "_HOUR_NS", 6 * SECOND)
    monkeypatch.setattr(core, "HOLES_MAX", 4)
    monkeypatch.setattr(model, "_RANGES_MAX", 4)
    monkeypatch.setattr(core, "HOLE_IDS_MAX", 12)
    monkeypatch.setattr(model, "_IDS_MAX", 12)


@dataclass
class Trades:
    """One symbol's trades: all of them, and those on their way to a connection."""

    next_id: int = 1_000
    made: list[Trade] = field(default_factory=list)
    late: list[tuple[int, int, Trade]] = field(default_factory=list)


class TradeScript(Script):
    """A tape like any other, with trades."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.dice = Random(f"trades/{seed}")
        self.trades = {symbol: Trades() for symbol in SYMBOLS}
        self.loss, self.anew = self.dice.choice((0.05, 0.4)), self.dice.choice((0.0, 0.01))

    def opening(self) -> SegmentStart:
        return replace(super().opening(), trades=True)

    def _happen(self, symbol: str, exchange: Exchange) -> Iterator[Scene]:
        yield from super()._happen(symbol, exchange)
        yield from self._trade(symbol, self.trades[symbol])

    def _trade(self, symbol: str, trades: Trades) -> Iterator[Scene]:
        dice = self.dice
        if dice.random() < self.anew:
            trades.next_id, trades.made = dice.choice((0, 5, trades.next_id // 2)), []
        if dice.random() < 0.01:
            trades.next_id += 20  # the exchange skips more ids than a hole may have
        for _ in range(dice.choice((0, 0, 1, 3))):
            time_us = self.now_ns // 1_000
            made = Trade(
                *(symbol, trades.next_id, dice.randint(1, 9) / 8, 0.25, time_us, time_us),
                buyer_is_maker=dice.random() < 0.5,
            )
            trades.next_id += 1
            trades.made.append(made)
            for connection in (1, 2, 3):
                if dice.random() >= self.loss:
                    delay_ns = dice.choice((0, 0, 300 * MS, 4 * SECOND))
                    trades.late.append((self.now_ns + delay_ns, connection, made))
        trades.late.sort(key=lambda due: due[0])
        while trades.late and trades.late[0][0] <= self.now_ns:
            due = trades.late.pop(0)
            if due[1] in self.open:
                yield StreamMessage(self.now_ns, due[1], message(due[2]))
        if trades.made and dice.random() < 0.15:
            yield self._filled(symbol, trades.made)
        if self.open and dice.random() < 0.01:
            yield StreamMessage(self.now_ns, min(self.open), odd(dice, symbol))

    def _filled(self, symbol: str, made: list[Trade]) -> TapeRecord:
        dice = self.dice
        from_id = dice.choice(made[-30:]).trade_id
        had = [one for one in made if one.trade_id >= from_id and dice.random() < 0.9]
        payload = encode_trades(had[: dice.choice((0, 5, 1_000))], microseconds=True)
        if dice.random() < 0.1:
            payload = dice.choice((b"[", b"{}", b'[{"id":1}]', payload[:-1] + b",[]]", b""))
        return TradesAnswer(self.now_ns, symbol, from_id, payload)


def message(trade: Trade) -> bytes:
    encoding = Encoding(combined=True, microseconds=True)
    return MarketMessage(stream_name(trade.symbol, "trade"), trade).payload(encoding)


def odd(dice: Random, symbol: str) -> bytes:
    """A message that looks like a trade and is none, or a trade in an unusual form."""
    kind, flag = dice.choice(("trade", "aggTrade", "trade2")), dice.choice(("true", "1", '"true"'))
    data = f'"e":"trade","E":5,"s":"{symbol}","t":7,"p":"1.5","q":"2","T":5,"m":{flag}'
    return f'{{"stream":"{symbol.lower()}@{kind}","data":{{{data}}}}}'.encode()


def rows_of(root: Path, name: str) -> list[dict[str, Any]]:
    files = sorted(root.glob(f"{name}/**/*.parquet"), key=lambda path: path.name)
    return [row for path in files for row in pq.read_table(path, partitioning=None).to_pylist()]


@pytest.mark.parametrize("seed", SEEDS)
def test_recorder_and_verify_agree(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In every trade and every gap, and in what each segment hands to the next."""
    monkeypatch.setattr(any_tape, "Script", TradeScript)
    any_tape.write(tmp_path, seed, STEPS)
    report = verified(tmp_path)
    assert report.found.kept == []
    assert sum(counts.equal["trades"] for counts in report.found.symbols.values()) > 50


def test_the_tapes_hold_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every reason for a gap except one occurs, trades are filled, and segments end while there are holes."""
    monkeypatch.setattr(any_tape, "Script", TradeScript)
    reasons: Counter[str] = Counter()
    filled = rotated = 0
    for seed in SEEDS:
        any_tape.write(tmp_path / str(seed), seed, STEPS)
        reasons.update(row["reason"] for row in rows_of(tmp_path / str(seed), "trade_gaps"))
        filled += sum(row["filled"] for row in rows_of(tmp_path / str(seed), "trades"))
        rotated += sum(isinstance(s, NextSegment) for s in TradeScript(seed).scenes(STEPS))
    assert filled > 50
    assert rotated > 10
    assert reasons.keys() == TRADE_GAP_REASONS.keys() - {"killed"}
