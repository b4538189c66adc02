"""The house stays a house: rooms stay small, the essential path stays readable in one evening."""

from __future__ import annotations

import ast
import io
import tokenize
from pathlib import Path

SRC = Path(__file__).parents[2] / "src" / "booktape"
WRITING = ("line", "tape", "writer", "recording", "sealing", "layout", "schema")
ESSENTIAL = (
    *("core", "wire", "net", "reconstruct.py", "proof/examined.py", "recorder.py", "desk.py"),
    *(f"store/{name}.py" for name in WRITING),
)
# Not on the way of an event to the disk: what proves a book, lists symbols, shows how it stands, or
# is said by the built-in exchange only.
BESIDE = (
    *("wire/witness.py", "wire/exchange_info.py", "wire/encode.py"),
    *("net/statuses.py", "core/status.py", "core/proving.py"),
)
SKIPPED = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}


def code_lines(path: Path) -> set[int]:
    """Numbers of the lines that hold code: no comment, docstring or import, nothing empty."""
    text = path.read_text()
    held: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in SKIPPED:
            held |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import | ast.ImportFrom) or (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        ):
            held -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return held - {len(text.splitlines()) + 1}


def files_of(*rooms: str) -> list[Path]:
    """The Python files of some rooms."""
    return [
        p
        for room in rooms
        for p in ([SRC / room] if room.endswith(".py") else (SRC / room).rglob("*.py"))
    ]


def test_the_essential_path_is_short() -> None:
    """Whoever is new reads it in one evening. The aim is 1,500 lines; redundancy took it above."""
    path = set(files_of(*ESSENTIAL)) - set(files_of(*BESIDE))
    assert sum(len(code_lines(file)) for file in path) <= 2_265


def test_no_room_is_too_big() -> None:
    """A file of more than 260 lines is really two rooms."""
    sizes = {path.name: len(path.read_text().splitlines()) for path in SRC.rglob("*.py")}
    assert {name: size for name, size in sizes.items() if size > 260} == {}


def test_no_function_is_too_long() -> None:
    """Forty lines of code at most; the commands' options are their documentation."""
    for path in SRC.rglob("*.py"):
        held = code_lines(path)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                own = held & set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
                assert len(own) <= 40, (path, node.name, len(own))
