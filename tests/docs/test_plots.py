"""docs/plots.md: its commands are understood, its example runs, and its pictures exist and are small."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from booktape.cli import app
from docs.generated import DOCS
from reader.day import write

TEXT = (DOCS / "plots.md").read_text()
PICTURES = re.findall(r"!\[(.+)\]\((.+)\)", TEXT)


@pytest.mark.parametrize("line", re.findall(r"^\$ booktape (.*)$", TEXT, re.MULTILINE))
def test_every_command_is_understood(line: str) -> None:
    """As it stands."""
    _, bound, ignored = app.parse_args(shlex.split(line), exit_on_error=False, print_error=False)
    assert bound.arguments["kind"] in line
    assert not ignored


def test_every_kind_has_a_small_picture() -> None:
    """With alternative text; drawn by `make pictures`."""
    names = [path for _, path in PICTURES]
    assert names == [f"pictures/{one}.png" for one in ("heatmap", "depth", "spread", "calendar")]
    assert all((DOCS / name).stat().st_size < 150_000 for name in names)


def test_the_example_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From Python, as it stands."""
    write(tmp_path / "data", 30, segment_s=30)
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    exec(compile(example, "plots.md", "exec"), {})  # noqa: S102 it is our own guide
    assert (tmp_path / "heatmap.png").stat().st_size > 10_000
