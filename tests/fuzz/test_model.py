"""Whatever a tape holds: `verify` derives rows from it, or says that it is damaged, never anything else.

No archive is made for an example: the lines go straight to the second implementation.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from booktape.errors import DamagedTape
from booktape.store.layout import Segment
from booktape.store.tape_reader import read_lines
from booktape.verify.files import SegmentFiles
from booktape.verify.findings import Findings
from booktape.verify.model.replay import SegmentReplay
from booktape.verify.model.tape import Line
from booktape.verify.segment import SegmentComparison
from fuzz.damaging import changed_lines
from fuzz.mutated import examples
from verify.any_tape import write
from verify.small import build

NOWHERE: Final = Path("nowhere")

_read = cache(Line.read)
"""Most lines of an example are those of the others."""


@pytest.fixture(scope="module")
def tapes(tmp_path_factory: pytest.TempPathFactory) -> list[list[bytes]]:
    """The lines of tapes of both formats."""
    folder = tmp_path_factory.mktemp("model")
    build(folder / "first")
    for seed in range(2):
        write(folder / str(seed), seed, 12)
    return [list(read_lines(path)) for path in sorted(folder.glob("*/tape/*/*.zst"))]


@examples(300)
@given(data=st.data())
def test_lines_of_a_tape(tapes: list[list[bytes]], data: st.DataObject) -> None:
    """Any lines in any order."""
    files = SegmentFiles(Segment(0, "fuzz"))
    replay = SegmentReplay(SegmentComparison(NOWHERE, files, Findings(), None))
    with suppress(DamagedTape):
        for line in data.draw(changed_lines(tapes)):
            replay.feed(_read(line))
        replay.finish()
