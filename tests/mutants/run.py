"""`make mutants`: change the core in many small ways, and see whether its tests notice.

For each mutation a process is forked in which the changed module takes the place of the real one;
there the module's own tests run, and if they notice nothing the rest of the core's, and the sequences
and scripts that drive it. What none of them notices is listed in docs/mutants.md, whose reasons are
written by hand. Exits with 1 when a survivor has no reason, or fewer than 95 % are noticed.

    python tests/mutants/run.py [MODULE …]      such as sync; without names, all
"""

from __future__ import annotations

import ast
import importlib.abc
import importlib.util
import os
import re
import resource
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, ModuleType
from typing import Final

import hypothesis
import msgspec
import numpy as np
import pytest

from mutants.mutations import Mutation, mutations

ROOT: Final = Path(__file__).parents[2]
CORE: Final = ROOT / "src" / "booktape" / "core"
LIST: Final = ROOT / "docs" / "mutants.md"
LEAST: Final = 0.95
CPU_S: Final = 120
"""CPU seconds after which a test counts as hung: that is noticed, too."""

LOADED: Final = (hypothesis, msgspec, np)
"""What every process needs, loaded once before they are forked; nothing of booktape."""

ALL: Final = (
    "tests/core",
    "tests/checks",
    *sorted(str(p) for p in ROOT.glob("tests/test_reco*.py")),
)
SCRIPTS: Final = ("tests/properties/test_any_script.py",)
QUIETLY: Final = (
    *("-x", "-q", "-p", "no:cacheprovider", "--hypothesis-profile=few", "-m", "not bench"),
    # Hypothesis is loaded before pytest could look into it; its own asserts say nothing to us.
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),
)


class Impostor(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Every import of the module gets the mutant."""

    def __init__(self, name: str, code: CodeType) -> None:
        self._name = name
        self._code = code

    def find_spec(self, fullname: str, *_: object) -> ModuleSpec | None:
        if fullname != self._name:
            return None
        return importlib.util.spec_from_loader(fullname, self)

    def exec_module(self, module: ModuleType) -> None:
        exec(self._code, module.__dict__)  # noqa: S102 - a changed copy of our own module


def is_noticed(module: str, program: ast.Module, tests: Sequence[str]) -> bool:
    """Whether these tests fail, hang or crash with this program in place of the module."""
    child = os.fork()
    if not child:
        os._exit(_test(module, program, tests))
    _, status = os.waitpid(child, 0)
    return status != 0


def _test(module: str, program: ast.Module, tests: Sequence[str]) -> int:
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    try:
        code = compile(program, module, "exec")
        sys.meta_path.insert(0, Impostor(f"booktape.core.{module}", code))
        return int(pytest.main([*QUIETLY, *tests]))
    except BaseException:  # noqa: BLE001 - a mutant may raise anything, and must not go on here
        return 1


def check_tests(modules: list[str]) -> None:
    """Tests that fail anyway would notice every mutant."""
    for module in modules:
        unchanged = ast.parse((CORE / f"{module}.py").read_text())
        if any(is_noticed(module, unchanged, tests) for tests in (own(module), ALL, SCRIPTS)):
            sys.exit(f"tests fail without a change of {module}: nothing can be learnt from them")


def own(module: str) -> list[str]:
    """The tests of this name."""
    return [str(path) for path in sorted((ROOT / "tests" / "core").glob(f"test_{module}*.py"))]


def survivors(module: str, found: list[Mutation]) -> Iterator[Mutation]:
    """Those that no test notices."""
    source = (CORE / f"{module}.py").read_text()
    for number, mutation in enumerate(found, 1):
        program = mutation.apply(source)
        noticed = any(is_noticed(module, program, tests) for tests in (own(module), ALL, SCRIPTS))
        if sys.stdout.isatty():
            print(f"\r{module} {number}/{len(found)} ", end="", flush=True)
        if not noticed:
            print(f"\nsurvives: {module}.py {mutation.name}", flush=True)
            yield mutation


def listed() -> dict[str, dict[str, str]]:
    """The survivors of each module so far, and what was written by hand beside them."""
    found: dict[str, dict[str, str]] = {}
    for part in LIST.read_text().split("\n## ")[1:]:
        rows = re.findall(r"^\| (`.+?) \| (.*?) \|$", part, re.MULTILINE)
        found[part.partition(".py")[0]] = {n.replace("\\|", "|"): reason for n, reason in rows}
    return found


def all_mutations() -> dict[str, list[Mutation]]:
    """Of every module of the core."""
    return {p.stem: list(mutations(p.read_text())) for p in sorted(CORE.glob("[!_]*.py"))}


def write_list(alive: dict[str, dict[str, str]]) -> float:
    """The list anew. How many of all are noticed."""
    total, left = sum(map(len, all_mutations().values())), sum(map(len, alive.values()))
    part = (total - left) / total
    text = LIST.read_text().partition("<!-- generated -->")[0] + "<!-- generated -->\n"
    text += f"`make mutants`: the tests notice {total - left} of {total} mutations ({part:.1%}).\n"
    for module, found in sorted(alive.items()):
        if found:
            text += f"\n## {module}.py\n\n| survivor | harmless because |\n|---|---|\n"
        for name, reason in found.items():
            text += "| {} | {} |\n".format(name.replace("|", "\\|"), reason)
    LIST.write_text(text)
    return part


def main(wanted: list[str]) -> int:
    """See above."""
    os.chdir(ROOT)
    found = {
        module: each for module, each in all_mutations().items() if module in wanted or not wanted
    }
    check_tests(list(found)[:1])
    alive = listed()
    for module, each in found.items():
        known = alive.get(module, {})
        alive[module] = {m.name: known.get(m.name, "") for m in survivors(module, each)}
    part = write_list(alive)
    print(f"\n{part:.1%} are noticed")
    return 0 if part >= LEAST and all(all(each.values()) for each in alive.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
