"""`make mutants`: change the core in many small ways, and see whether its tests notice.

For each mutation a process is forked in which the changed module takes the place of the real one;
there the module's own tests run and, if they notice nothing, the rest of the core's and the sequences
and scripts that drive it. Mutations that none of them notices are listed in docs/mutants.md, with reasons written by
hand. Exits with 1 if a survivor has no reason, or if fewer than 96 % of the mutations are noticed.

    python tests/mutants/run.py [--sample NUMBER | --survivors] [--processes NUMBER] [MODULE …]

A MODULE is a name such as sync; without names, all modules are tried. `--survivors` tries the listed mutations again,
after tests were added. A sample is drawn at random from the mutations of all modules, with a fixed seed: the same one
each time.
"""

from __future__ import annotations

import argparse
import ast
import importlib.abc
import importlib.util
import os
import re
import resource
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib.machinery import ModuleSpec
from multiprocessing import get_context
from pathlib import Path
from random import Random
from types import CodeType, ModuleType
from typing import Final

import hypothesis
import msgspec
import numpy as np
import pytest

from mutants.mutations import mutations

ROOT: Final = Path(__file__).parents[2]
CORE: Final = ROOT / "src" / "booktape" / "core"
LIST: Final = ROOT / "docs" / "mutants.md"
LEAST: Final = 0.96
CPU_S: Final = 120
"""CPU seconds after which a test counts as hung, which counts as noticed, too."""

SEED: Final = 1

LOADED: Final = (hypothesis, msgspec, np)
"""What every process needs, loaded once before processes are forked; nothing of booktape."""

ALL: Final = (
    "tests/core",
    "tests/checks",
    "tests/docs/test_documents.py::test_generated_tables_are_up_to_date",
    *sorted(str(p) for p in ROOT.glob("tests/test_reco*.py")),
)
SCRIPTS: Final = ("tests/properties/test_any_script.py",)
QUIETLY: Final = (
    *("-x", "-q", "-p", "no:cacheprovider", "--hypothesis-profile=few", "-m", "not bench"),
    # Hypothesis is loaded before pytest could rewrite its asserts, which do not matter here.
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


def survives(module: str, name: str) -> bool:
    """Whether no test notices the mutation of this name."""
    source = (CORE / f"{module}.py").read_text()
    program = next(each for each in mutations(source) if each.name == name).apply(source)
    return not any(is_noticed(module, program, tests) for tests in (own(module), ALL, SCRIPTS))


def survivors(found: dict[str, list[str]], processes: int) -> dict[str, list[str]]:
    """The names of the mutations that no test notices, by module."""
    modules = [module for module, names in found.items() for _ in names]
    each = [name for names in found.values() for name in names]
    left: dict[str, list[str]] = {module: [] for module in found}
    with ProcessPoolExecutor(processes, get_context("fork")) as pool:
        results = pool.map(survives, modules, each)
        for module, name, alive in zip(modules, each, results, strict=True):
            print(f"{'survives' if alive else 'noticed'}: {module}.py {name}", flush=True)
            if alive:
                left[module].append(name)
    return left


def listed() -> dict[str, dict[str, str]]:
    """The survivors of each module so far, and what was written by hand beside them."""
    found: dict[str, dict[str, str]] = {}
    for part in LIST.read_text().split("\n## ")[1:]:
        rows = re.findall(r"^\| (`.+?) \| (.*?) \|$", part, re.MULTILINE)
        found[part.partition(".py")[0]] = {n.replace("\\|", "|"): reason for n, reason in rows}
    return found


def all_mutations() -> dict[str, list[str]]:
    """The names of all mutations of every module of the core."""
    paths = sorted(CORE.glob("[!_]*.py"))
    return {path.stem: [each.name for each in mutations(path.read_text())] for path in paths}


def sample(found: dict[str, list[str]], number: int) -> dict[str, list[str]]:
    """This number of the mutations, drawn at random."""
    each = [(module, name) for module, names in found.items() for name in names]
    drawn = set(Random(SEED).sample(each, number))
    return {
        module: [name for name in names if (module, name) in drawn]
        for module, names in found.items()
    }


def write_list(alive: dict[str, dict[str, str]], tried: int) -> float:
    """Write the list again; the share of the tried mutations that is noticed."""
    total, left = sum(map(len, all_mutations().values())), sum(map(len, alive.values()))
    part = (tried - left) / tried
    which = "" if tried == total else f", a random sample of the {total}"
    text = LIST.read_text().partition("<!-- generated -->")[0] + "<!-- generated -->\n"
    text += f"The tests notice {tried - left} of {tried} mutations ({part:.1%}){which}.\n"
    for module, found in sorted(alive.items()):
        if found:
            text += f"\n## {module}.py\n\n| survivor | harmless because |\n|---|---|\n"
        for name, reason in found.items():
            text += "| {} | {} |\n".format(name.replace("|", "\\|"), reason)
    LIST.write_text(text)
    return part


def main(arguments: Sequence[str]) -> int:
    """See above."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sample", type=int, metavar="NUMBER", help="try this many, at random")
    parser.add_argument("--survivors", action="store_true", help="try again what the list has")
    parser.add_argument("--processes", type=int, metavar="NUMBER", default=1, help="at a time")
    parser.add_argument("modules", nargs="*", metavar="MODULE")
    options = parser.parse_args(arguments)
    os.chdir(ROOT)
    every = all_mutations()
    if options.sample:
        every = sample(every, options.sample)
    found = {name: those for name, those in every.items() if name in (options.modules or every)}
    known = listed()
    if options.survivors:
        found = {module: list(known.get(module, ())) for module in found}
    check_tests(list(found)[:1])
    left = {module: list(known.get(module, ())) for module in every}
    left |= survivors(found, options.processes)
    alive = {
        module: {
            name: known.get(module, {}).get(name, "") for name in names if name in every[module]
        }
        for module, names in left.items()
    }
    part = write_list(alive, sum(map(len, every.values())))
    print(f"\n{part:.1%} are noticed")
    return 0 if part >= LEAST and all(all(each.values()) for each in alive.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
