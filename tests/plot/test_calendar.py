"""The calendar: time that is called known was known."""

from __future__ import annotations

from pathlib import Path

import pytest

import booktape
from booktape.plot import calendar
from booktape.plot.calendar import cell_text
from booktape.reader.coverage import DayCoverage
from plot import drawn
from plot.week import write


@pytest.mark.parametrize(
    ("known_s", "gaps", "words"),
    [
        (86_400, 0, "100 %"),
        (86_399.9, 1, "99.99 %\n1 gap"),
        (43_200, 1_200, "50 %\n1,200 gaps"),
        (20, 0, "20 s"),
    ],
)
def test_only_a_day_without_any_loss_is_called_whole(known_s: float, gaps: int, words: str) -> None:
    """A tenth of a second of loss is enough."""
    assert cell_text(DayCoverage(known_s, gaps)) == words


def test_each_symbol_has_a_row_and_each_day_a_column(rec: booktape.Recording) -> None:
    """With units, and an explanation of time that was not recorded."""
    figure = calendar(rec)
    axes, bar = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["BTCUSDT", "ETHUSDT"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["2026-06-09"]
    assert [text.get_text() for text in axes.texts] == ["109 s\n1 gap"] * 2
    assert bar.get_ylabel() == "% of 24 h"
    assert drawn.legend(figure) == ["not recorded"]
    assert drawn.title(figure) == "Coverage: when each book was known"


def test_many_days_have_dots_instead_of_numbers(tmp_path: Path) -> None:
    """One for each day and symbol with a gap, and the legend explains them."""
    write(tmp_path, days=20)
    figure = calendar(booktape.open(tmp_path))
    axes = figure.axes[0]
    assert not axes.texts
    dots = [line for line in axes.get_lines() if line.get_marker() == "."]
    assert len(dots) == 3 + 2
    assert drawn.legend(figure) == ["not recorded", "a gap on that day"]
    assert len(axes.get_xticklabels()) == 11
