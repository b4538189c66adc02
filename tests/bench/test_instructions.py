"""How many instructions an event takes: the same on a busy machine, so that a regression shows.

Promises nothing: `make bench` prints the table. Callgrind counts instructions of the whole process,
the interpreter's included; the versions of Python and numpy matter, the processor hardly. `perf stat` would count them,
too, but few containers and rented machines allow it.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from bench.instructions import WORKS
from bench.round import top_of
from bench.test_core_costs import EVENTS, SHAPES, Shape
from booktape.core.book import OrderBook
from booktape.wire.encode import encode_depth
from docs.generated import table
from support.oracle import combined

pytestmark = [
    pytest.mark.bench,
    pytest.mark.skipif(not shutil.which("valgrind"), reason="needs valgrind, which counts them"),
]

SCRIPT: Final = Path(__file__).with_name("instructions.py")
_TOTALS: Final = re.compile(r"^totals: (\d+)$", re.MULTILINE)


def write(shape: Shape, folder: Path) -> Path:
    """A symbol as instructions.py reads it."""
    snapshot = shape.snapshot()
    lines, book = [encode_depth(snapshot)], OrderBook.from_snapshot(snapshot)
    for event in shape.events():
        book.apply(event)
        top = top_of(event.symbol, book, event.last_id)
        lines += [combined(top), combined(event)]
    file = folder / shape.name
    file.write_bytes(b"\n".join(lines))
    return file


def counted(files: list[Path], folder: Path) -> list[float]:
    """Instructions an event, of each work of each file in turn."""
    folder.mkdir()
    command = ["valgrind", "--tool=callgrind", "--dump-before=getppid"]
    command += [f"--callgrind-out-file={folder}/out", sys.executable, str(SCRIPT)]
    # The seed of hashes decides where dicts collide.
    environment = os.environ | {"PYTHONHASHSEED": "0"}
    done = subprocess.run(
        [*command, *map(str, files)], env=environment, capture_output=True, check=False, text=True
    )
    assert not done.returncode, done.stderr
    # Each second dump is what was counted; the one without a number is the end of the process.
    dumps = [folder / f"out.{2 * n}" for n in range(1, len(files) * len(WORKS) + 1)]
    found = (_TOTALS.search(dump.read_text()) for dump in dumps)
    return [int(totals[1]) / (EVENTS / 2) for totals in found if totals]


def test_instructions_of_an_event(tmp_path: Path, report: Callable[[str, str], None]) -> None:
    """A table, of one run: three were 0.00 % apart."""
    files = [write(shape, tmp_path) for shape in SHAPES]
    by_shape = np.array(counted(files, tmp_path / "counts")).reshape(len(SHAPES), len(WORKS))
    rows = [
        (f"{s.name}: {s.changes} changes, {s.levels:,} levels a side", *(f"{n:,.0f}" for n in one))
        for s, one in zip(SHAPES, by_shape, strict=True)
    ]
    versions = f"Python {platform.python_version()}, numpy {np.__version__}."
    report("instructions", table(("instructions an event", *WORKS), rows) + f"\n\n{versions}")
