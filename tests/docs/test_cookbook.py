"""The cookbook, run as it stands: three ways to each answer, and all three agree."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from booktape.sim.market.market import Market
from docs.generated import DOCS
from plot.scene import record

SECTIONS: Final = re.split(r"^## ", (DOCS / "cookbook.md").read_text(), flags=re.MULTILINE)
QUESTIONS: Final = {text.partition("\n")[0]: text for text in SECTIONS[1:]}


def blocks(text: str) -> list[str]:
    """The contents of code fences."""
    return re.findall(r"```(?:sql|python)\n(.*?)```", text, re.DOTALL)


def value(code: str, names: dict[str, Any]) -> Any:
    """Run some code; returns the value of its last expression, as a notebook shows it."""
    *body, last = ast.parse(code).body
    exec(compile(ast.Module(body, []), "cookbook.md", "exec"), names)  # noqa: S102 our own
    if isinstance(last, ast.Expr):
        return eval(compile(ast.Expression(last.value), "cookbook.md", "eval"), names)  # noqa: S307
    exec(compile(ast.Module([last], []), "cookbook.md", "exec"), names)  # noqa: S102 likewise
    return None


class Kitchen:
    """Where the three tools run, with the names that the opening of the cookbook defines."""

    def __init__(self) -> None:
        self.duckdb = duckdb.connect()
        self.duckdb.sql("SET TimeZone = 'UTC'")
        sql, polars, reader = blocks(SECTIONS[0])
        self.duckdb.execute(sql)
        self.polars: dict[str, Any] = {}
        value(polars, self.polars)
        self.reader: dict[str, Any] = {}
        value(reader, self.reader)

    def outcome(self, question: str) -> list[list[tuple[Any, ...]]]:
        """All three, as rows."""
        sql, polars, reader = blocks(QUESTIONS[question])
        found = (
            self.duckdb.sql(sql).fetchall(),
            value(polars, self.polars),
            value(reader, self.reader),
        )
        return [rows(answer) for answer in found]


def rows(answer: Any) -> list[tuple[Any, ...]]:
    """Any frame, list or number as rows of plain values."""
    if isinstance(answer, pl.DataFrame):
        answer = answer.rows()
    elif isinstance(answer, pa.Table):
        answer = [tuple(row.values()) for row in answer.to_pylist()]
    elif isinstance(answer, pd.DataFrame):
        answer = answer.itertuples(index=False)
    if not isinstance(answer, list | Iterator | map):
        answer = [answer]
    plain = (row if isinstance(row, tuple | list) else (row,) for row in answer)
    return [tuple(plain_value(one) for one in row) for row in plain]


def plain_value(one: Any) -> Any:
    """Missing values are None, whatever the tool calls them; times are in UTC."""
    if one is None or one is pd.NaT or (isinstance(one, float) and np.isnan(one)):
        return None
    if isinstance(one, pd.Timestamp):
        one = one.to_pydatetime()
    return one.astimezone(UTC) if isinstance(one, datetime) else one


@contextmanager
def within(folder: Path) -> Iterator[None]:
    """Run in that folder: paths in the cookbook are relative."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@pytest.fixture(scope="module")
def kitchen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kitchen]:
    """Four minutes of a busy and a quiet symbol, with an outage and a comparison or two."""
    folder = tmp_path_factory.mktemp("cook")
    market = Market(("BTCUSDT", "XMRBTC"), seed=8, levels=200)
    record(
        folder / "data", market, 220, "outage=70-80", every=1, depth=150, audit_s=60, trades=True
    )
    with within(folder):
        yield Kitchen()


def test_the_cookbook_has_as_many_questions_as_it_says() -> None:
    """Each with three answers."""
    assert SECTIONS[0].startswith("# Cookbook\n\n22 questions")
    assert len(QUESTIONS) == 22
    assert all(len(blocks(text)) == 3 for text in QUESTIONS.values())


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_three_answers_agree(question: str, kitchen: Kitchen) -> None:
    """Except for the last digits, which depend on the order of additions."""
    sql, polars, reader = kitchen.outcome(question)
    assert sql
    assert any(one is not None for row in sql for one in row)
    for other in (polars, reader):
        assert len(other) == len(sql)
        for row, expected in zip(other, sql, strict=True):
            assert row == tuple(
                pytest.approx(one, rel=1e-9) if isinstance(one, float) else one for one in expected
            )


def test_the_recording_contains_what_the_questions_ask_about(kitchen: Kitchen) -> None:
    """A gap, seconds without a book, a minute that cannot be trusted, and quiet seconds."""
    names = {title.split(".")[0]: title for title in QUESTIONS}
    assert len(kitchen.outcome(names["8"])[0]) == 2
    mids = [mid for _, mid in kitchen.outcome(names["3"])[0]]
    assert 5 < sum(mid is None for mid in mids) < 60
    assert sum(mid is not None for mid in mids) > 150
    assert [minute.minute for (minute,) in kitchen.outcome(names["7"])[0]] == [29]
    assert kitchen.outcome(names["18"])[0]


def test_the_recipe_for_a_copy_without_brotli_works(kitchen: Kitchen) -> None:
    """The line in docs/format.md for tools that do not support it: the same rows, all in zstd."""
    (line,) = (one for one in blocks((DOCS / "format.md").read_text()) if "COPY" in one)
    kitchen.duckdb.execute(line)
    copied, stored = (
        kitchen.duckdb.read_parquet(f"{folder}/**/*.parquet", hive_partitioning=True)
        .project("symbol, update_id, bid_price, ask_size")
        .order("symbol, update_id, ask_size")
        .fetchall()
        for folder in ("copy", "data/snapshots")
    )
    assert copied == stored
    codecs = "SELECT DISTINCT compression FROM parquet_metadata('copy/**/*.parquet')"
    assert kitchen.duckdb.sql(codecs).fetchall() == [("ZSTD",)]
