"""As many descriptors as the system allows; too few give one sentence, never a finding."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from booktape import reader
from booktape.errors import TooFewDescriptors
from booktape.processes.descriptors import refuse_used_up, require, used_up
from booktape.reader import summary
from booktape.reader.archive_files import ArchiveFiles
from booktape.verify.order import Scope
from booktape.verify.run import verify
from booktape.verify.stored_files import FolderFiles
from store.small_recording import record
from support.limits import descriptors_left

LIMITED = """
import resource, runpy, sys
soft, hard = map(int, sys.argv[1:3])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
sys.argv[:3] = ["booktape"]
runpy.run_module("booktape", run_name="__main__")
"""
"""`ulimit -n`, then a command."""


def limited(soft: int, hard: int, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", LIMITED, str(soft), str(hard), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("archive")
    record(root)
    return root


def test_the_limit_is_raised_as_far_as_possible() -> None:
    """A process begins with the soft limit, and may raise it to the hard one without permission."""
    script = (
        "import resource as r; r.setrlimit(r.RLIMIT_NOFILE, (64, 300));"
        "from booktape.processes.descriptors import raise_limit; raise_limit(); raise_limit();"
        "print(r.getrlimit(r.RLIMIT_NOFILE))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "(300, 300)\n"


@pytest.mark.parametrize(
    ("arguments", "who"),
    [
        (("record", "BTCUSDT", "--connections", "20"), "1 symbol on --connections 20 need 100"),
        (("record", "BTCUSDT", "--workers", "20"), "20 --workers need 168"),
    ],
)
def test_a_limit_that_is_too_low_is_reported_at_the_start(
    tmp_path: Path, arguments: tuple[str, ...], who: str
) -> None:
    """One sentence that names the number; exit 2, and nothing was written."""
    out = tmp_path / "data"
    done = limited(60, 80, *arguments, "--exchange", "sim", "--out", out)
    assert done.returncode == 2, done.stderr
    number = who.rpartition(" ")[2]
    assert f"booktape: {who} open files and sockets, but this process may have 80." in done.stderr
    assert f"`ulimit -n {number}`" in done.stderr
    assert "Traceback" not in done.stderr
    assert not out.exists()


def test_jobs_need_descriptors_too(tmp_path: Path) -> None:
    """We talk to each process through pipes."""
    # Two segments, because one would be done without any process.
    record(tmp_path)
    done = limited(58, 58, "verify", tmp_path, "--jobs", "3")
    assert (done.returncode, done.stdout) == (2, "")
    assert "3 --jobs need 60 open files" in done.stderr
    assert limited(54, 60, "verify", tmp_path, "--jobs", "3").returncode == 0


READERS: dict[str, Callable[[Path], object]] = {
    "verify": lambda root: verify(FolderFiles(root), Scope(), 1).clean or pytest.fail("a finding"),
    "info": lambda root: summary.summarize(
        ArchiveFiles.find(root), reader.open(root, unsealed=False)
    ),
    "rows": lambda root: list(reader.open(root).snapshots("BTCUSDT")),
    "gaps": lambda root: reader.open(root).gaps(),
}


@pytest.mark.parametrize("name", READERS)
def test_a_file_that_could_not_be_opened_is_not_called_damaged(archive: Path, name: str) -> None:
    """With too few descriptors the reader says so; with enough it reports the usual result."""
    refused = 0
    READERS[name](archive)  # so that all modules are loaded
    for left in range(12):
        with descriptors_left(left):
            try:
                READERS[name](archive)
            except (OSError, TooFewDescriptors) as error:
                assert isinstance(error, TooFewDescriptors) or used_up(error)  # noqa: PT017
                refused += 1
            else:
                assert left, "no descriptor was left"
    assert 0 < refused < 4, "a few descriptors are enough"


USED_UP = """
import os, resource, sys
from booktape import cli
cli.app(["info", sys.argv[2]], result_action="return_value")  # so that all modules are loaded
resource.setrlimit(resource.RLIMIT_NOFILE, (50, 50))
try:
    while True:
        os.dup(0)
except OSError:
    cli.main()
"""


def test_the_command_line_reports_it_in_one_sentence(archive: Path) -> None:
    """Whatever could not be opened, the exit code is 2."""
    command = [sys.executable, "-c", USED_UP, "info", str(archive)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == TooFewDescriptors.exit_code == 2, done.stderr
    assert done.stderr.startswith("booktape: Too many open files: this process may have 50 ")
    assert "`ulimit -n 1024`" in done.stderr
    assert "Traceback" not in done.stderr


def test_only_two_errors_concern_the_limit() -> None:
    """Every other error is left to its caller."""
    refuse_used_up(OSError(errno.EIO, "Input/output error"))
    refuse_used_up(ValueError("no Parquet"))
    require(5, "A few")
    with pytest.raises(TooFewDescriptors, match=r"^Too many open files in system: all programs"):
        refuse_used_up(OSError(errno.ENFILE, ""))
    assert "may have" in str(used_up(OSError(errno.EMFILE, "")))
