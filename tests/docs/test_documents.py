"""The documents say what the code does: a stale sentence is a failed test."""

from __future__ import annotations

import ast
import re
import shlex
import tomllib
from pathlib import Path

import pytest

from booktape.cli import app
from booktape.core.sync import SymbolSync
from booktape.store.schema import SNAPSHOT_COLUMNS
from docs.generated import DOCS, blocks, replaced

ROOT = DOCS.parent
README = (ROOT / "README.md").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


DEFINITION = (ast.FunctionDef, ast.AsyncFunctionDef)


def documents() -> list[Path]:
    """Those at the top level, and everything under docs/."""
    return [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]


@pytest.mark.parametrize(("file", "name"), blocks())
def test_generated_tables_are_up_to_date(file: str, name: str) -> None:
    """`make docs` would change nothing."""
    text = (DOCS / file).read_text()
    assert replaced(text, name, blocks()[file, name]) == text


def commands() -> list[str]:
    """The commands that readers are told to type."""
    texts = (path.read_text() for path in documents())
    found = [re.findall(r"^\$ booktape (.*)$", text, re.MULTILINE) for text in texts]
    return sorted({line for lines in found for line in lines})


@pytest.mark.parametrize("line", commands())
def test_every_command_is_understood(line: str) -> None:
    """Each parses as it stands, including every option."""
    command, bound, ignored = app.parse_args(
        shlex.split(line), exit_on_error=False, print_error=False
    )
    assert command.__name__ == line.split(maxsplit=1)[0]
    assert bound.arguments
    assert not ignored


def test_every_mentioned_make_target_exists() -> None:
    """In any document, inside code."""
    for path in documents():
        code = re.findall(r"`make ([a-z]+)|^\$ make ([a-z]+)", path.read_text(), re.MULTILINE)
        assert {a or b for a, b in code} <= TARGETS, path


def test_every_mentioned_option_exists() -> None:
    """An option in a document belongs to some command."""
    known = {
        name
        for command in app
        if not command.startswith("-")
        for argument in app[command].assemble_argument_collection()
        for name in argument.names
    } | {"--help"}
    for path in documents():
        assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", path.read_text())) <= known, path


def test_the_readme_names_every_column() -> None:
    """So is `symbol`, which is in the folder's name."""
    section = README[README.index("| column |") : README.index("`gaps/` says")]
    named = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (.*?) \|", section, re.MULTILINE))))
    assert named == {"symbol", *(column.name for column in SNAPSHOT_COLUMNS)}


def test_every_link_leads_to_an_existing_file() -> None:
    """Links between documents are paths that exist."""
    for path in documents():
        for target in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
            assert (path.parent / target).exists(), (path, target)


def test_every_dependency_is_justified() -> None:
    """docs/dependencies.md and pyproject.toml name the same packages."""
    text = (DOCS / "dependencies.md").read_text()
    justified = set(re.findall(r"^\| `([\w.-]+)` \|", text, re.MULTILINE))
    declared = {re.split(r"[<>=;\s]", need)[0] for need in PROJECT["project"]["dependencies"]}
    assert justified == declared


def test_every_function_named_by_the_protocol_exists() -> None:
    """`docs/protocol.md` names the machine's rules."""
    text = (DOCS / "protocol.md").read_text()
    rules = re.findall(r"`(_[a-z_]+)`", text)
    assert rules
    assert all(hasattr(SymbolSync, rule) for rule in rules)


def test_every_mentioned_part_of_a_class_exists() -> None:
    """`Class.method` or `Class.attribute` in a document is one of the source. Decisions tell of what was, and may name what is gone."""
    owners = [
        owner
        for file in (ROOT / "src").rglob("*.py")
        for owner in ast.walk(ast.parse(file.read_text()))
        if isinstance(owner, ast.ClassDef)
    ]
    methods = {
        f"{owner.name}.{part.name if isinstance(part, DEFINITION) else part.attr}"
        for owner in owners
        for part in ast.walk(owner)
        if isinstance(part, (*DEFINITION, ast.Attribute))
    }
    classes = {owner.name for owner in owners}
    bases = {(owner.name, ast.unparse(base)) for owner in owners for base in owner.bases}
    methods |= {
        f"{owner}.{method.partition('.')[2]}"
        for owner, base in bases
        for method in methods
        if method.startswith(f"{base}.")
    }
    for path in (path for path in documents() if path.parent.name != "decisions"):
        named = re.findall(r"`([A-Z]\w+)\.([a-z_]\w*)", path.read_text())
        ours = {
            f"{owner}.{name}"
            for owner, name in named
            if owner in classes or path.stem == "protocol"
        }
        assert ours <= methods, path


def test_every_mentioned_file_exists() -> None:
    """Paths in code quotes, relative to the package or the repository."""
    for path in documents():
        for name in re.findall(r"`((?:\w+/)+\w+\.py)`", path.read_text()):
            places = (ROOT / name, ROOT / "src" / "booktape" / name)
            assert any(place.exists() for place in places), (path, name)


def test_every_promise_names_its_test() -> None:
    """Each row of docs/reliability.md ends with tests that exist."""
    text = (DOCS / "reliability.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| ") and "| test |" not in line]
    assert len(rows) > 20
    for row in rows:
        tests = re.findall(r"`(tests/\S+\.py)`", row.split(" | ")[-1])
        assert tests, row
        assert all((ROOT / test).exists() for test in tests), row
