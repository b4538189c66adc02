"""The mutants themselves: each is another program, and the list of survivors is not stale."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Final

import pytest

from mutants.mutations import mutations
from mutants.run import CORE, LEAST, LIST, all_mutations, listed, sample

CHANGES: Final = {
    "x < 1": {"x <= 1", "x >= 1", "x < 2"},
    "x == y": {"x != y"},
    "x is None": {"x is not None"},
    "a <= b < c": {"a < b < c", "a <= b <= c"},
    "a and b": {"a or b"},
    "not a": {"a"},
    "a - b": {"a + b"},
    "a | b": set(),
    "f(True)": {"f(False)", "pass"},
    "min(a)": {"max(a)", "pass"},
    "a if b else c": {"c if b else a"},
    "x += y": {"x -= y"},
    "x = y": set(),
    "x.a = y": {"pass"},
    "'doc'": set(),
    "x = 'text'": {"x = 'XXtext'"},
    "x: int = 1": {"x: int = 2"},
    "A: TypeAlias = 'B'": set(),
    "del x": {"pass"},
    "if a:\n    b": {"if not a:\n    b", "if a:\n    pass"},
    "def f(x: 'T') -> 'R':\n    return x": {"def f(x: 'T') -> 'R':\n    return None"},
}


@pytest.mark.parametrize("source", CHANGES)
def test_what_is_changed_and_how(source: str) -> None:
    """One change at a time; annotations, aliases and docstrings are left alone."""
    body = {"pass"} if isinstance(ast.parse(source).body[0], ast.Expr) else set()
    found = {ast.unparse(mutation.apply(source)) for mutation in mutations(source)}
    assert found - body == CHANGES[source] - body


@pytest.mark.parametrize("path", sorted(CORE.glob("[!_]*.py")), ids=lambda path: path.stem)
def test_each_mutant_is_another_program(path: Path) -> None:
    """It can be compiled, it is not the module itself, and no two have one name."""
    source = path.read_text()
    found = list(mutations(source))
    assert len({mutation.name for mutation in found}) == len(found)
    same = ast.dump(ast.parse(source))
    for mutation in found[::7]:
        changed = mutation.apply(source)
        assert ast.dump(changed) != same, mutation.name
        compile(changed, path.name, "exec")


def test_every_survivor_is_explained_and_still_possible() -> None:
    """After a change of its line one has to run `make mutants` again."""
    possible = all_mutations()
    for module, survivors in listed().items():
        assert all(survivors.values())
        assert survivors.keys() <= set(possible[module])


def test_the_figure_is_good_enough() -> None:
    """At least 96 % are noticed, and as many are listed as the figure leaves over."""
    figure = re.search(r"notice (\d+) of (\d+) mutations", LIST.read_text())
    assert figure
    noticed, tried = map(int, figure.groups())
    assert tried - noticed == sum(map(len, listed().values()))
    assert noticed >= LEAST * tried


def test_a_sample_is_the_same_each_time() -> None:
    """So the parts of a run that is done module by module belong together."""
    found = all_mutations()
    drawn = sample(found, 50)
    assert drawn == sample(found, 50)
    assert sum(map(len, drawn.values())) == 50
    assert all(set(names) <= set(found[module]) for module, names in drawn.items())
