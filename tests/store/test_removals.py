"""Receipts of removals: written without following links, read without exhausting memory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from booktape.errors import Damaged
from booktape.store.layout import Layout, Segment
from booktape.store.removals import Removal, read_removal, remove_tape

SEGMENT = Segment(0, "a")
RECEIPT = Removal(SEGMENT.name, "tape", "2026-01-05T00:00:00Z")


def test_a_receipt_replaces_no_other_file(tmp_path: Path) -> None:
    """Even if another user of the folder placed links to a thesis under every name that could be guessed."""
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


def test_an_endless_receipt_is_invalid(tmp_path: Path) -> None:
    """Little is read of a sparse file of a terabyte."""
    layout = Layout(tmp_path)
    receipt = layout.removal(SEGMENT)
    receipt.parent.mkdir(parents=True)
    receipt.touch()
    os.truncate(receipt, 1 << 40)
    with pytest.raises(Damaged, match="is not a receipt of a removal"):
        read_removal(layout, SEGMENT)
