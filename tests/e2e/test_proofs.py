"""Audits and witnesses against the built-in exchange: silent if the book is right, and only then."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e.promises import check_archive, gaps_of, rows_of, truth_of
from e2e.proving import (
    Planted,
    compared,
    crowd,
    lie_and_listen,
    listen,
    outcomes,
    three_kinds,
)
from e2e.quiet import Crowd, longest_pause_s, needless_gaps, watch
from e2e.tables import lines_of


@pytest.mark.parametrize("witness", ["depth20", pytest.param("bookTicker", marks=pytest.mark.long)])
async def test_there_is_no_false_alarm(witness: str, tmp_path: Path) -> None:
    """Late witnesses, late connections, cuts, rollovers, new segments: all comparisons pass."""
    market = await listen(
        *(witness, crowd(5), tmp_path),
        lasts_s=60,
        levels=60,
        depth=100,
        every=20,
        audit_s=20,
        segment_s=20,
    )
    passed, failed = compared(tmp_path)
    assert not failed.total()
    assert passed[witness] > 300
    assert passed["rest"] > 10
    assert len(list(tmp_path.glob("tape/*/*.zst"))) >= 3
    assert gaps_of(tmp_path) == []
    check_archive(tmp_path, truth_of(market), every=20)


@pytest.mark.parametrize("connections", [1, pytest.param(2, marks=pytest.mark.long)])
async def test_a_quiet_market_is_not_silence(connections: int, tmp_path: Path) -> None:
    """No book that the pulse proves is lost, however long its pause: only a cut of the sole connection costs a gap."""
    watched = await watch(
        *(Crowd(7, quiet=5, activity=0.0004), tmp_path),
        lasts_s=330,
        cut_every_s=100,
        connections=connections,
        connection_life_s=150,
        audit_s=150,
        segment_s=200,
        every=100,
    )
    passed, failed = compared(tmp_path)
    assert needless_gaps(tmp_path, watched.cuts_s) == []
    assert not failed.total()
    assert passed["pulse"] > 40
    assert passed["rest"] >= 7
    assert longest_pause_s(tmp_path) > 160  # nothing else would prove a book for longer than 150 s
    assert bool(gaps_of(tmp_path)) is (connections == 1)
    check_archive(tmp_path, truth_of(watched.market), every=100)


@pytest.mark.parametrize(
    "kind",
    [
        "hide",
        pytest.param("wrong-event", marks=pytest.mark.long),
        pytest.param("wrong-snapshot", marks=pytest.mark.long),
    ],
)
async def test_a_lie_that_breaks_no_rule_is_found(kind: str, tmp_path: Path) -> None:
    """By a witness or an audit, within a period, unless it has healed. Everything written afterwards is true."""
    symbols, planted, audit_s = three_kinds(5), Planted(20, 60), 40.0
    market = await lie_and_listen(
        *(kind, symbols, planted, tmp_path),
        lasts_s=120,
        depth=500,
        every=5,
        audit_s=audit_s,
    )
    found = outcomes(symbols, planted, tmp_path)
    assert any(one.witness for one in found)
    assert all(one.after_s <= audit_s + 10 for one in found)
    assert {gap["reason"] for gap in gaps_of(tmp_path)} == {"disproved"}
    truth = truth_of(market)
    for symbol, rows in rows_of(tmp_path).items():
        book = truth(symbol, rows[-1]["update_id"])
        best = list(zip(rows[-1]["bid_price"][:20], rows[-1]["bid_size"][:20], strict=True))
        assert best == book[0][:20]


async def test_without_audits_no_snapshot_is_requested_again(tmp_path: Path) -> None:
    """A witness that differs is a row of `checks`, and nothing else: audits are switched off."""
    symbols, planted = three_kinds(5), Planted(20, 60)
    await lie_and_listen(
        *("hide", symbols, planted, tmp_path),
        lasts_s=30,
        depth=500,
        every=50,
        audit_s=0,
    )
    _, failed = compared(tmp_path)
    assert failed["depth20"] > 0
    assert gaps_of(tmp_path) == []
    assert len(list(lines_of(tmp_path, "asked"))) == len(symbols)
