"""A receipt that booktape did not write is a difference, reported by name, and nothing worse."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from verify.small import build, verified

RECEIPT = """{"segment":"19700101T000000.000000Z-gone","removed":"all","removed_at":"","format":1,"shipped_to":"",
"verified_by":"","manifest_sha256":"","continued_by":[],"unproven":[],"unproven_rows":{"BTCUSDT":%s}}"""


def endless(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 40)


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_text(RECEIPT % "1e999"),
        lambda path: path.write_text(RECEIPT % ("[" * 100_000)),
        lambda path: path.write_text(RECEIPT % "null"),
        endless,
        os.mkfifo,
    ],
    ids=["infinite", "nested", "no number", "without end", "a FIFO"],
)
def test_an_unreadable_receipt_is_named(tmp_path: Path, write: Callable[[Path], object]) -> None:
    """`verify` names it, and compares everything else."""
    build(tmp_path)
    receipt = tmp_path / "removed" / "date=1970-01-01" / "19700101T000000.000000Z-gone.json"
    receipt.parent.mkdir(parents=True)
    write(receipt)
    (finding,) = verified(tmp_path).found.kept
    assert finding.file == receipt.relative_to(tmp_path).as_posix()
    assert finding.what.startswith("cannot be read")
