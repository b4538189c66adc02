"""Random tapes of format 2, recorded as the recorder does, read by `verify`: both say the same of each.

Two implementations of one text, written separately: where both agree, at least the text is clear.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

import booktape
from booktape.core.tape_records import Pulse, Tick
from verify.any_tape import SYMBOLS, NextSegment, Script, write
from verify.small import verified

SEEDS = range(16)
STEPS = 120


@pytest.mark.parametrize("seed", SEEDS)
def test_recorder_and_verify_agree(tmp_path: Path, seed: int) -> None:
    """In every row, gap, check and note, and in what each segment hands to the next."""
    write(tmp_path, seed, STEPS)
    report = verified(tmp_path)
    assert report.found.kept == []
    assert set(report.found.symbols) <= {*SYMBOLS, None}


def test_some_tapes_have_crossed_books(tmp_path: Path) -> None:
    """They are noted between rows and at rows, and both implementations agree on which."""
    write(tmp_path, SEEDS[2], STEPS)
    witnesses = booktape.open(tmp_path).checks()["witness"].to_pylist()
    assert Counter(witnesses)["book"] > 3


def test_the_tapes_hold_everything() -> None:
    """All kinds of lines are replayed, and in most periods something happens."""
    kinds: Counter[type] = Counter()
    for seed in SEEDS:
        kinds += Counter(type(scene) for scene in Script(seed).scenes(STEPS))
    assert {Tick, Pulse, NextSegment} <= set(kinds)
    assert min(kinds.values()) > 3
    assert len(kinds) == 12
