"""The proofs at full size, against the built-in exchange in virtual time; figures for docs/proofs.md.

    make proofs

`BOOKTAPE_PROOF_S` is how much exchange time the witnesses are listened to (default 3,600 s).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import structlog

from e2e.falling import Course, record_fall
from e2e.promises import check_archive, gaps_of, rows_of, truth_of
from e2e.proving import (
    Found,
    Planted,
    compared,
    crowd,
    lie_and_listen,
    listen,
    outcomes,
    three_kinds,
)
from e2e.quiet import Crowd, longest_pause_s, needless_gaps, watch
from e2e.starting import least, start
from support import virtual_time

LISTEN_S = int(os.environ.get("BOOKTAPE_PROOF_S", "3600"))
AUDIT_S = 300.0
LIE_AUDIT_S = 60.0
"""Audits where lies are told; with another period those that only an audit finds take as much
longer."""


@pytest.fixture(autouse=True)
def _undisturbed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """These take long, and say much; the figures are what counts."""
    monkeypatch.setattr(virtual_time, "PATIENCE_S", 14_400.0)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


@pytest.mark.bench
@pytest.mark.parametrize("audit_s", [900.0, 0.0])
def test_a_fall_by_a_tenth(audit_s: float, tmp_path: Path) -> None:
    """Through 12,000 levels a side, down and up in twenty minutes."""
    course = Course(levels=12_000, depth=5_000, top=1_000, lasts_s=1_200)
    known = record_fall(course, audit_s, tmp_path)
    print(f"\nfall, audits {'on' if audit_s else 'off'}: {known}")
    print(f"sides that know fewer than {course.top}: {known.short / known.sides:.1%}")
    assert bool(known.short) is not bool(audit_s)


@pytest.mark.bench
@pytest.mark.parametrize("witness", ["depth20", "bookTicker"])
def test_no_false_alarm(witness: str, tmp_path: Path) -> None:
    """Twenty symbols at full load, two connections, rollovers, cuts, segments of ten minutes."""
    market = virtual_time.run(
        listen(
            *(witness, crowd(20), tmp_path),
            lasts_s=LISTEN_S,
            every=600,
            audit_s=AUDIT_S,
            segment_s=600,
        ),
        None,
    )
    passed, failed = compared(tmp_path)
    print(f"\n{LISTEN_S} s, {witness}: comparisons {dict(passed)}, failed {dict(failed)}")
    assert not failed.total()
    assert gaps_of(tmp_path) == []
    check_archive(tmp_path, truth_of(market), every=600)


@pytest.mark.bench
@pytest.mark.parametrize("connections", [2, 1])
def test_no_false_alarm_of_silence(connections: int, tmp_path: Path) -> None:
    """300 symbols, of which 200 pause for up to twenty minutes; renewals every ten, cuts every five."""
    watched = virtual_time.run(
        watch(
            *(Crowd(300, quiet=200, activity=0.0007), tmp_path),
            lasts_s=LISTEN_S,
            cut_every_s=300,
            connections=connections,
            connection_life_s=600,
            segment_s=1_800,
            every=1_000,
        ),
        None,
    )
    passed, failed = compared(tmp_path)
    gaps, needless = gaps_of(tmp_path), needless_gaps(tmp_path, watched.cuts_s)
    print(
        f"\n{LISTEN_S} s, connections {connections}, longest pause {longest_pause_s(tmp_path):.0f} s"
    )
    print(f"comparisons {dict(passed)}, failed {dict(failed)}, weight {dict(watched.weight)}")
    print(f"gaps {len(gaps)}, needless {len(needless)}; cuts {len(watched.cuts_s)}")
    print(f"connections opened {watched.connections}")
    assert not failed.total()
    assert needless == []
    assert bool(gaps) is (connections == 1)
    check_archive(tmp_path, truth_of(watched.market), every=1_000)


@pytest.mark.bench
@pytest.mark.parametrize("kind", ["hide", "wrong-event", "wrong-snapshot"])
def test_how_soon_a_lie_is_found(kind: str, tmp_path: Path) -> None:
    """A hundred symbols, one lie about each; audits every minute."""
    symbols, planted = three_kinds(100), Planted(20, 60)
    lasts_s = 2 * LIE_AUDIT_S
    market = virtual_time.run(
        lie_and_listen(
            *(kind, symbols, planted, tmp_path),
            lasts_s=lasts_s,
            depth=1_000,
            every=100,
            audit_s=LIE_AUDIT_S,
        ),
        None,
    )
    found = outcomes(symbols, planted, tmp_path)
    print(f"\n{kind}: {len(planted.events) or len(symbols)} lies")
    for witness in ("depth20", "rest"):
        _print_found(witness, [one for one in found if one.witness == witness])
    silent = [one.symbol for one in found if not one.witness]
    print(f"  never found, since the levels had changed again: {len(silent)}")
    truth, rows = truth_of(market), rows_of(tmp_path)
    for symbol in silent:
        _check_healed(rows[symbol][-1], truth(symbol, rows[symbol][-1]["update_id"]))


def _print_found(witness: str, found: list[Found]) -> None:
    if found:
        events = np.percentile([one.after_events for one in found], (50, 90, 100))
        seconds = np.percentile([one.after_s for one in found], (50, 90, 100))
        print(
            f"  by {witness}: {len(found)}; p50/p90/max after"
            f" {'/'.join(f'{n:.0f}' for n in events)} events,"
            f" {'/'.join(f'{n:.1f}' for n in seconds)} s"
        )


def _check_healed(
    row: dict[str, list[float]], truth: tuple[list[tuple[float, float]], ...]
) -> None:
    """The last row's best levels are the true ones."""
    for side, true in zip(("bid", "ask"), truth, strict=True):
        stored = list(zip(row[f"{side}_price"], row[f"{side}_size"], strict=True))[:100]
        assert stored == true[: len(stored)]


@pytest.mark.bench
@pytest.mark.parametrize("away_s", [0.0, 0.1, 0.3])
def test_all_symbols_at_once(tmp_path: Path, away_s: float) -> None:
    """1,400 symbols from nothing: when all books are known, and when all are deep."""
    started = virtual_time.run(start(1_400, tmp_path, away_s=away_s), None)
    bound = least(started)
    print(f"\nanswers take {away_s} s")
    print(f"all 1,400 books known after {started.known_s:.0f} s (least {bound.known_s:.0f} s)")
    print(f"all deep after {started.deep_s:.0f} s (least {bound.deep_s:.0f} s)")
    print(f"weight {started.weight:,} (least {bound.weight:,})")
    assert not started.violations
