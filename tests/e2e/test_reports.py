"""A command cannot write to stdout: its work is still done, and its exit code does not change."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from booktape.sim.market.market import Market
from e2e.commands import BOOKTAPE, run_here
from e2e.tables import PATIENCE_S
from e2e.test_terminal import the_pipe_is_not_read, the_reader_is_gone
from plot.scene import record

CHINESE: Final = "币安人生USDT"
ESCAPED: Final = CHINESE.encode("ascii", "backslashreplace").decode()


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two symbols, one of them not in ASCII."""
    folder = tmp_path_factory.mktemp("archive") / "data"
    record(folder, Market(("BTCUSDT", CHINESE), seed=8, levels=30), 20, every=2)
    return folder


def commands(archive: Path, out: Path) -> dict[str, list[str]]:
    """Each command that writes to stdout; its results go below `out`."""
    exported = ("--format", "csv", "--out", str(out / "exported"))
    return {
        "info": ["info", str(archive)],
        "verify": ["verify", str(archive)],
        "verify-json": ["verify", str(archive), "--json"],
        "export": ["export", str(archive), *exported],
        "rebuild": ["rebuild", str(archive), "--every", "1", "--out", str(out / "rebuilt")],
        "plot": [
            "plot",
            str(archive),
            "depth",
            "--symbol",
            "BTCUSDT",
            "--file",
            str(out / "a.png"),
        ],
        "help": ["--help"],
    }


NAMES: Final = sorted(commands(Path(), Path()).keys() - {"verify-json"})


def run(
    arguments: list[str], redirections: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """`booktape …`, with its streams redirected as a shell does it."""
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {redirections}', "sh", *BOOKTAPE, *arguments],  # noqa: S607
        capture_output=True,
        encoding=environment.get("PYTHONIOENCODING", "utf-8"),
        check=False,
        env={**os.environ, **environment},
    )


def made(out: Path) -> set[str]:
    """The files below a folder, except names that depend on the time."""
    return {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n == "export" else pytest.mark.long) for n in NAMES]
)
def test_a_reader_that_has_gone_changes_nothing(archive: Path, tmp_path: Path, name: str) -> None:
    """`booktape … | true`: everything is made, nothing is printed, and the exit code is 0."""
    for folder in ("heard", "unheard"):
        (tmp_path / folder).mkdir()
    with ExitStack() as stack:
        closed = the_reader_is_gone(stack)
        done = subprocess.run(
            [*BOOKTAPE, *commands(archive, tmp_path / "unheard")[name]],
            stdout=closed,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, b"")
    code, out, err = run_here(*commands(archive, tmp_path / "heard")[name])
    assert (code, err) == (0, "")
    assert out
    assert made(tmp_path / "unheard") == made(tmp_path / "heard")


@pytest.mark.parametrize("name", ["info", pytest.param("verify", marks=pytest.mark.long)])
def test_a_closed_stdout_changes_nothing(archive: Path, tmp_path: Path, name: str) -> None:
    """`booktape … >&-`."""
    done = run(commands(archive, tmp_path)[name], ">&-")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", ["verify-json", pytest.param("export", marks=pytest.mark.long)])
def test_a_report_that_does_not_fit_on_the_disk_is_a_failure(
    archive: Path, tmp_path: Path, name: str
) -> None:
    """Exit 74 and one sentence, after all the work: a user who redirects a report wants to have it."""
    done = run(commands(archive, tmp_path)[name], ">/dev/full")
    assert done.returncode == 74
    assert done.stderr == "booktape: Cannot write to stdout: No space left on device.\n"
    assert name != "export" or len(made(tmp_path / "exported")) == 2


@pytest.mark.long
@pytest.mark.parametrize("redirection", [">/dev/full", ">&-", "| true"])
def test_differences_still_decide_the_exit_code(
    archive: Path, tmp_path: Path, redirection: str
) -> None:
    """1 means that something differs, and nothing else."""
    damaged = tmp_path / "data"
    shutil.copytree(archive, damaged)
    next(damaged.glob("snapshots/**/*.parquet")).unlink()
    if redirection == "| true":
        with ExitStack() as stack:
            command = [*BOOKTAPE, "verify", str(damaged)]
            done = subprocess.run(command, stdout=the_reader_is_gone(stack), check=False)
            assert done.returncode == 1
    else:
        assert run(["verify", str(damaged)], redirection).returncode == 1


@pytest.mark.long
@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
@pytest.mark.parametrize("name", ["info", "verify"])
def test_a_symbol_that_the_encoding_lacks_is_escaped(
    archive: Path, tmp_path: Path, name: str, encoding: str
) -> None:
    """The name can be read back from the escape; the command does not fail."""
    done = run(commands(archive, tmp_path)[name], PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, "")
    assert "BTCUSDT" in done.stdout
    assert ESCAPED in done.stdout


@pytest.mark.parametrize(
    ("kind", "way"),
    [
        ("replay", the_reader_is_gone),
        pytest.param("replay", the_pipe_is_not_read, marks=pytest.mark.long),
        pytest.param("simulate", the_reader_is_gone, marks=pytest.mark.long),
        pytest.param("simulate", the_pipe_is_not_read, marks=pytest.mark.long),
    ],
)
def test_an_exchange_serves_even_if_its_output_is_not_read(
    archive: Path, way: Callable[[ExitStack], int], kind: str
) -> None:
    """It ends with exit code 0 at SIGTERM."""
    port = free_port()
    what = [str(archive)] if kind == "replay" else []
    with ExitStack() as stack:
        end = way(stack)
        process = subprocess.Popen(
            [*BOOKTAPE, kind, *what, "--port", str(port)], stdout=end, stderr=end
        )
        try:
            assert b"BTCUSDT" in answer(f"http://127.0.0.1:{port}/api/v3/exchangeInfo", process)
            process.terminate()
            assert process.wait(PATIENCE_S) == 0
        finally:
            process.kill()
            process.wait()


def free_port() -> int:
    """A port on which nothing listens now."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def answer(url: str, process: subprocess.Popen[bytes]) -> bytes:
    """A server's answer, as soon as the server is up."""
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            with urlopen(url, timeout=PATIENCE_S) as response:  # noqa: S310 http, on this machine
                body: bytes = response.read()
                return body
        except URLError:
            assert process.poll() is None, "it has ended"
            assert time.monotonic() < deadline_s, "it does not serve"
            time.sleep(0.05)
