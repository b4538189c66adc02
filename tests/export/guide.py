"""Runs docs/export.md: its commands, and its examples, each found by a word in it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any, Final

import pytest

from booktape.cli import app
from docs.generated import DOCS

_TEXT: Final = (DOCS / "export.md").read_text()
COMMANDS: Final = re.findall(r"^\$ booktape (export .*)$", _TEXT, re.MULTILINE)
EXAMPLES: Final = re.findall(r"```python\n(.*?)```", _TEXT, re.DOTALL)


def export_everything(archive: Path, where: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Follow every command of the guide, in a folder in which `data` is the archive."""
    (where / "data").symlink_to(archive)
    monkeypatch.chdir(where)
    for command in COMMANDS:
        app(
            shlex.split(command),
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
        )


def run_example(word: str, names: dict[str, Any] | None = None) -> dict[str, Any]:
    """Run the one example that contains this word; returns its variables."""
    (example,) = [text for text in EXAMPLES if word in text]
    names = {} if names is None else names
    exec(compile(example, "export.md", "exec"), names)  # noqa: S102 it is our own guide
    return names
