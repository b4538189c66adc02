"""Receipts of what was removed: written without following anything, read without taking the memory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from booktape.errors import Damaged
from booktape.store.layout import Layout, Segment
from booktape.store.removals import Removal, read_removal, remove_tape

SEGMENT = Segment(0, "a")
RECEIPT = Removal(SEGMENT.name, "tape", "2026-01-05T00:00:00Z")


def test_a_receipt_takes_the_place_of_nothing_else(tmp_path: Path) -> None:
    """Where another user of the folder has put links that lead to a thesis, under any name that could be guessed."""
    layout, thesis = Layout(tmp_path / "data"), tmp_path / "thesis"
    thesis.write_text("years of work")
    receipt = layout.removal(SEGMENT)
    receipt.parent.mkdir(parents=True)
    for name in (receipt.name, f".{receipt.name}.partial", f"{receipt.name}.partial"):
        receipt.with_name(name).symlink_to(thesis)
    remove_tape(layout, SEGMENT, RECEIPT)
    assert read_removal(layout, SEGMENT) == RECEIPT
    assert thesis.read_text() == "years of work"
    assert not receipt.is_symlink()


def test_a_receipt_without_end_is_none(tmp_path: Path) -> None:
    """A sparse file of a terabyte: little of it is read."""
    layout = Layout(tmp_path)
    receipt = layout.removal(SEGMENT)
    receipt.parent.mkdir(parents=True)
    receipt.touch()
    os.truncate(receipt, 1 << 40)
    with pytest.raises(Damaged, match="is not a receipt of a removal"):
        read_removal(layout, SEGMENT)
