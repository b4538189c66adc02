"""Each module is covered, every branch of it, by its own test files alone.

That tells a reader where to look, and forbids accidental coverage. One run of the tests with a
context per test; then, module by module, only what its own files executed counts: `test_merge.py`
and others whose name begins like that.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from coverage import Coverage

TESTS: Final = Path(__file__).parent
SOURCE: Final = TESTS.parent / "src" / "booktape"
ROOMS: Final = ("core", "wire", "proof", "store")
MODULES: Final = [
    path.relative_to(SOURCE).as_posix()
    for path in (
        *(path for room in ROOMS for path in sorted((SOURCE / room).glob("[!_]*.py"))),
        SOURCE / "reconstruct.py",
        SOURCE / "errors.py",
        SOURCE / "narrator.py",
        SOURCE / "vigil.py",
    )
]


def own_tests(module: str) -> str:
    """`core/book.py` → `tests/core/test_book`, with which their names begin."""
    room, _, name = f"tests/{module}".rpartition("/")
    return f"{room}/test_{name.removesuffix('.py')}"


def own_files(module: str) -> list[str]:
    """`core/merge.py` → `tests/core/test_merge.py`, `tests/core/test_merge_any_order.py`."""
    tests = TESTS.parent / own_tests(module)
    found = sorted(
        [*tests.parent.glob(f"{tests.name}.py"), *tests.parent.glob(f"{tests.name}_*.py")]
    )
    return [str(path.relative_to(TESTS.parent)) for path in found]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The coverage of all these test files, each line and branch with the tests that took it."""
    data = tmp_path_factory.mktemp("coverage") / "data"
    files = [file for module in MODULES for file in own_files(module)]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--hypothesis-profile=few"]
    command += ["--cov=booktape", "--cov-branch", "--cov-context=test", "--cov-report="]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("COV_")}
    subprocess.run(
        [*command, *files],
        cwd=TESTS.parent,
        # Tests that fail fail by themselves; here only what was executed counts.
        check=False,
        capture_output=True,
        env=environment | {"COVERAGE_FILE": str(data)},
    )
    return data


@pytest.mark.parametrize("module", MODULES)
def test_module_is_covered_by_its_own_tests(module: str, measured: Path, tmp_path: Path) -> None:
    """Every line and every branch, by the test files of the same name."""
    assert own_files(module), f"{module} has no test file {own_tests(module)}.py"
    coverage = Coverage(data_file=str(measured), branch=True)
    coverage.load()
    report = tmp_path / "missing"
    # The empty context is what runs while a module is imported: definitions.
    with report.open("w") as file:
        percent = coverage.report(
            include=[str(SOURCE / module)],
            contexts=[rf"^{own_tests(module)}(_\w+)?\.py::", "^$"],
            show_missing=True,
            file=file,
        )
    assert percent == 100, report.read_text()
