"""Trades beside the book, for other tools: which side took, and in the order of both clocks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import booktape
from booktape.cli import run
from booktape.export.hftbacktest import BUY, CLEAR, SELL, SNAPSHOT, TRADE
from booktape.export.trades import trade_items, with_trades
from booktape.export.updates import Break, Update, updates
from reader.day import BEGIN_S
from reader.with_trades import BTC, CUT, FILLED, MISSING, SECONDS, trade, write

LAST = SECONDS - 1


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("traded"))


def test_tardis_trades_have_its_columns(root: Path, tmp_path: Path) -> None:
    """In its order; the side is that of the taker, and neither clock falls."""
    assert (
        run(["export", str(root), "--format", "trades", "--symbol", BTC, "--out", str(tmp_path)])
        == 0
    )
    (path,) = tmp_path.iterdir()
    assert path.name.startswith("binance_trades_")
    lines = pd.read_csv(path)
    assert list(lines.columns) == [
        *("exchange", "symbol", "timestamp", "local_timestamp", "id", "side", "price", "amount")
    ]
    stored = [one for one in range(1, SECONDS) if one not in MISSING]
    assert lines.id.tolist() == stored
    assert lines.side.tolist() == ["buy" if one % 3 else "sell" for one in stored]
    assert lines.timestamp.tolist() == [trade(one).trade_time_us for one in stored]
    assert lines.price.tolist() == [trade(one).price for one in stored]
    assert lines.local_timestamp.is_monotonic_increasing
    filled = lines[lines.id.isin(list(FILLED))]
    assert set(filled.local_timestamp) == {(BEGIN_S + 41) * 1_000_000 - 50_000}, (
        "of the trade behind"
    )


def test_the_book_at_a_trade_is_the_previous_one(root: Path) -> None:
    """Each trade comes before the change of its second; there is none where the book was not known."""
    rec = booktape.open(root)
    items = list(with_trades(updates(rec.replay(BTC)), trade_items(rec.trades(BTC))))
    known, traded = 0, []
    for item in items:
        if isinstance(item, Update):
            known = item.book.update_id
        elif isinstance(item, Break):
            known = 0
        else:
            traded.append(item.trade_id)
            assert known == item.trade_id - 1
    gap = range(CUT, CUT + 11)
    assert traded == [n for n in range(1, LAST + 1) if n not in MISSING and n not in gap]


def test_hftbacktest_files_contain_trades(root: Path, tmp_path: Path) -> None:
    """Between the changes of the book; both clocks are in order."""
    arguments = ["--format", "hftbacktest", "--symbol", BTC, "--out", str(tmp_path)]
    assert run(["export", str(root), *arguments]) == 0
    (path,) = tmp_path.iterdir()
    events = np.load(path)["data"]
    assert (np.diff(events["exch_ts"]) >= 0).all()
    assert (np.diff(events["local_ts"]) >= 0).all()
    trades = events[events["ev"] & 0xFF == TRADE]
    rec = booktape.open(root)
    (gap,) = [gap for gap in rec.gaps(BTC).to_pylist() if gap["end_time"]]
    assert len(trades) == SECONDS - 1 - len(MISSING) - 11
    assert ((trades["ev"] & BUY > 0) ^ (trades["ev"] & SELL > 0)).all()
    local_us = trades["local_ts"] // 1_000
    inside = (local_us > gap["start_time"].timestamp() * 1e6) & (
        local_us < gap["end_time"].timestamp() * 1e6
    )
    assert not inside.any()
    assert {int(kind) for kind in events["ev"] & 0xFF} == {1, TRADE, CLEAR, SNAPSHOT}


def test_without_trades_nothing_changes(rec: booktape.Recording) -> None:
    """The export of a recording without them is the same as before."""
    items = list(updates(rec.replay("BTCUSDT")))
    assert list(map(id, with_trades(items, ()))) == list(map(id, items))


def test_a_depth_does_not_apply_to_trades(root: Path, tmp_path: Path) -> None:
    """A trade has no levels."""
    arguments = ["--format", "trades", "--depth", "5", "--out", str(tmp_path)]
    assert run(["export", str(root), *arguments]) == 2
