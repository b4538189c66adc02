"""The command line as a whole; what each command does is tested in its own room."""

from __future__ import annotations

import subprocess
import sys

from booktape.cli import app
from e2e.commands import BOOKTAPE


def test_the_command_line_alone_loads_no_large_library() -> None:
    """`booktape --version`, a completion, and each process of --jobs start without Arrow, numpy and aiohttp."""
    question = (
        "import sys, booktape.cli; print({'aiohttp', 'numpy', 'pyarrow'} & sys.modules.keys())"
    )
    answer = subprocess.run(
        [sys.executable, "-c", question], capture_output=True, text=True, check=True
    )
    assert answer.stdout == "set()\n"


def test_the_list_of_commands_has_a_sentence_for_each() -> None:
    """It is the first sentence of the command's own help."""
    page = subprocess.run([*BOOKTAPE, "--help"], capture_output=True, text=True, check=True).stdout
    words = " ".join(page.replace("│", " ").split())
    for name in (name for name in app if not name.startswith("-")):
        sentence = app[name].help.partition(".")[0]
        assert f"{name} {' '.join(sentence.split())}" in words
