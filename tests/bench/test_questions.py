"""A month of questions: best prices, depth, books at moments and coverage, by each reader and each way to store.

The month is scaled down (`month.py`): of each day BOOKTAPE_MONTH_SECONDS are recorded, 120 unless it says otherwise. It
is made once, into a temporary folder. Each question is answered in a separate process.

Promises: all answers are the same; the columns of best prices take less than 3 % of the bytes; and a question about
best prices is answered 20 times faster from them than from the lists, in the geometric mean over all readers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from math import isclose
from pathlib import Path
from random import Random
from statistics import geometric_mean
from typing import Any, Final, TypeAlias

import pyarrow.parquet as pq
import pytest

from bench.month import DAYS, MOST_DETAILED, SYMBOLS, build, moments
from bench.questions import QUESTIONS, WAYS, Month, summary
from booktape.core.events import DepthEvent, DepthSnapshot
from booktape.store.schema import FIRST_OF
from booktape.wire.encode import encode_depth
from docs.generated import table

SECONDS: Final = int(os.environ.get("BOOKTAPE_MONTH_SECONDS", "120"))
BEST_PRICES: Final = tuple(QUESTIONS)[:2]
READERS: Final = ("DuckDB", "polars", "reader")
REFERENCE: Final = "DuckDB, lists"
LEAST_FACTOR: Final = 20
MOST_BYTES: Final = 0.03

Outcome: TypeAlias = dict[str, Any]
Answers: TypeAlias = dict[tuple[str, str], Outcome]


def asked_of(question: str) -> list[str]:
    """The ways that answer it. Where best prices do not matter, the reader does the same with and without columns."""
    others = [way for way in WAYS if way not in {"pandas, columns", "reader, lists"}]
    return list(WAYS) if question in BEST_PRICES else others


def ask(root: Path, way: str, question: str) -> Outcome:
    """In a separate process."""
    arguments = (root, DAYS, SECONDS, way, question)
    command = [sys.executable, "-m", "bench.questions", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    found: Outcome = json.loads(done.stdout)
    return found


def check_same(answers: Answers) -> None:
    """As many lines, and the same sum, to what the order of additions leaves.

    Changes of levels give a book after every event, also of symbols that have a row after every tenth only.
    """
    for (way, question), outcome in answers.items():
        by_event = way.startswith("deltas") or "moments" in question
        for symbol in [MOST_DETAILED] if by_event else SYMBOLS:
            lines, times, total = outcome["answer"][symbol]
            expected = answers[REFERENCE, question]["answer"][symbol]
            assert [lines, times] == expected[:2], (way, question, symbol)
            assert isclose(total, expected[2], rel_tol=1e-9), (way, question, symbol)


def folder_bytes(folder: Path) -> int:
    """Of all files below."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def best_bytes(root: Path) -> int:
    """What the columns of best prices take, with their share of the footers."""
    best = 0
    for path in root.glob("archive/snapshots/*/*/*.parquet"):
        metadata = pq.read_metadata(path)
        best += metadata.serialized_size * len(FIRST_OF) // metadata.num_columns
        for group in map(metadata.row_group, range(metadata.num_row_groups)):
            chunks = map(group.column, range(group.num_columns))
            best += sum(c.total_compressed_size for c in chunks if c.path_in_schema in FIRST_OF)
    return best


def answer_table(answers: Answers) -> str:
    """A line for each question and way."""
    lines = [
        (
            question,
            way,
            f"{found['s']:.3f}",
            f"{found['read'] / 1e6:,.1f}",
            f"{found['peak_mb']:,.0f}",
        )
        for (way, question), found in answers.items()
    ]
    return table(("question", "by", "s", "MB read", "peak MB"), lines)


def factors(answers: Answers) -> dict[tuple[str, str], float]:
    """How many times faster columns are than lists, by reader and question."""
    return {
        (reader, question): answers[f"{reader}, lists", question]["s"]
        / answers[f"{reader}, columns", question]["s"]
        for reader in READERS
        for question in BEST_PRICES
    }


@pytest.mark.bench
def test_a_month_of_questions(tmp_path: Path, report: Callable[[str, str], None]) -> None:
    """Every question, by every way; then what is stored, and how much faster the columns are."""
    began = time.perf_counter()
    build(tmp_path, DAYS, SECONDS)
    made_s = time.perf_counter() - began
    answers = {(way, q): ask(tmp_path, way, q) for q in QUESTIONS for way in asked_of(q)}
    check_same(answers)
    stored = {
        "booktape's archive": folder_bytes(tmp_path / "archive"),
        "its rows": folder_bytes(tmp_path / "archive" / "snapshots"),
        "of them the columns of best prices": best_bytes(tmp_path),
        "deltas in CSV.gz": folder_bytes(tmp_path / "deltas"),
        "deltas in Parquet": folder_bytes(tmp_path / "levels"),
    }
    archive, rows, best, *_ = stored.values()
    sizes = [(name, f"{size / 1e6:,.2f}") for name, size in stored.items()]
    faster = factors(answers)
    ratios = [
        (question, *(f"{faster[reader, question]:,.0f}" for reader in READERS))
        for question in BEST_PRICES
    ]
    report(
        "month",
        f"{DAYS} days of {SECONDS} s each, 3 symbols; made in {made_s:,.0f} s.\n\n"
        f"{answer_table(answers)}\n\n{table(('stored', 'MB'), sizes)}\n\n"
        f"The columns of best prices add {best / (rows - best):.1%} to the rows, and "
        f"{best / (archive - best):.1%} to the archive. Columns are faster than lists by these factors:\n\n"
        f"{table(('question', *READERS), ratios)}",
    )
    assert best / (archive - best) < MOST_BYTES
    assert geometric_mean(faster.values()) >= LEAST_FACTOR


class Few:
    """A market of few levels, which is made in no time."""

    def __init__(self, seed: int) -> None:
        self.update_id = 100 * seed
        self._dice = Random(seed)

    def event(self, time_us: int) -> DepthEvent:
        self.update_id += 1
        bid, ask = (
            [(100 + sign * self._dice.randrange(1, 9) / 64, float(self._dice.randrange(4)))]
            for sign in (-1, 1)
        )
        return DepthEvent("", time_us, self.update_id, self.update_id, bid, ask)

    def depth(self) -> bytes:
        levels = ([(100 + sign * n / 64, 1.0) for n in range(9, 12)] for sign in (-1, 1))
        return encode_depth(DepthSnapshot("", 5_000, self.update_id, *levels))


def test_every_way_has_the_same_answers(tmp_path: Path) -> None:
    """Of seconds instead of a month, in this process: so the benchmark compares like with like."""
    days, seconds = 2, 3
    build(tmp_path, days, seconds, Few)
    month = Month(tmp_path, moments(days, seconds)[::100])
    answers = {
        (way, question): {"answer": summary(ask_way(WAYS[way](month)))}
        for question, ask_way in QUESTIONS.items()
        for way in asked_of(question)
    }
    check_same(answers)
