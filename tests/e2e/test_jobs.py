"""Jobs over segments: the same bytes from every worker, and only lost work is repeated.

The cluster that loses a worker has 200 segments to do, all others have 12.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

import booktape
from booktape.reader import Recording
from booktape.sim.market.market import Market
from e2e.commands import BOOKTAPE
from plot.scene import record

distributed = pytest.importorskip("distributed")

pytestmark = pytest.mark.long

SEGMENTS: Final = 12
MANY: Final = 200
SEGMENT_S: Final = 2
PATIENCE_S: Final = 120.0


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two symbols, recorded in virtual time. Never written to."""
    return recorded(tmp_path_factory.mktemp("jobs") / "data", SEGMENTS)


def recorded(root: Path, segments: int) -> Path:
    market = Market(("BTCUSDT", "ETHUSDT"), seed=7, levels=10)
    record(root, market, segments * SEGMENT_S - 1, every=3, segment_s=SEGMENT_S)
    assert len(tapes(root)) == segments
    return root


@pytest.fixture(scope="module")
def alone(archive: Path) -> Path:
    """The result of one process. Never written to."""
    out = archive.parent / "alone"
    assert run(*rebuilding(archive, out))[0] == 0
    return out


@contextmanager
def two_workers() -> Iterator[Any]:
    """A scheduler and two workers in separate processes, with the current environment."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", silence_logs=50
    ) as running:
        yield running


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Dask on this machine: a scheduler and two workers in separate processes."""
    with two_workers() as running:
        yield running


def tapes(root: Path) -> list[Path]:
    return sorted(root.glob("tape/*/*"))


def files(root: Path) -> dict[str, bytes]:
    """Every file below a folder, except the lock."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def identities(root: Path) -> dict[str, tuple[int, int]]:
    """The inode and change time of every file and folder."""
    return {str(path): (path.lstat().st_ino, path.lstat().st_mtime_ns) for path in root.rglob("*")}


def rebuilding(archive: Path, out: Path, *more: str | Path) -> tuple[str | Path, ...]:
    return ("rebuild", archive, "--every", "2", "--out", out, *more)


def begin(*arguments: str | Path) -> subprocess.Popen[str]:
    """A running `booktape …`, as a shell starts it: with all its processes it forms one group."""
    return subprocess.Popen(
        [*BOOKTAPE, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run(*arguments: str | Path) -> tuple[int, str, str]:
    process = begin(*arguments)
    out, err = process.communicate(timeout=4 * PATIENCE_S)
    assert "Traceback" not in err, err
    return process.returncode, out, err


def until(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Wait for a moment in a run that must not have ended by then."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


def report(*arguments: str | Path) -> dict[str, Any]:
    """The findings of `verify`, except for the folder's name."""
    code, out, err = run("verify", *arguments, "--json")
    found: dict[str, Any] = json.loads(out)
    assert code == (0 if found["clean"] else 1), err
    del found["directory"]
    return found


def processes_below(pid: int) -> list[int]:
    """Processes started by a given process."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text(encoding="ascii").split()]


def workers_below(pid: int) -> list[int]:
    """Its pool: multiprocessing also starts a resource tracker."""
    return [
        child
        for child in processes_below(pid)
        if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]


# ── the same bytes ──────────────────────────────────────────────────────────────────────────


def test_processes_and_a_cluster_make_the_same_bytes(
    archive: Path, alone: Path, cluster: Any, tmp_path: Path
) -> None:
    """Tapes and manifests too; `verify` reports the same about them, wherever it runs."""
    assert files(alone)
    ways = {"jobs": ("--jobs", "2"), "dask": ("--dask", cluster.scheduler_address)}
    expected = report(alone)
    assert expected["clean"]
    for name, way in ways.items():
        out = tmp_path / name
        code, output, err = run(*rebuilding(archive, out, *way))
        assert (code, output, err) == (0, f"{SEGMENTS} segments: {SEGMENTS} rebuilt.\n", "")
        assert files(out) == files(alone)
        assert report(out, *way) == expected
        before = identities(out)
        code, output, _ = run(*rebuilding(archive, out, *way))
        assert (code, output) == (0, f"{SEGMENTS} segments: {SEGMENTS} already there.\n")
        assert identities(out) == before


def test_a_difference_is_found_wherever_verify_runs(
    archive: Path, cluster: Any, tmp_path: Path
) -> None:
    """Every finding, in the same order and the same words."""
    root = tmp_path / "damaged"
    shutil.copytree(archive, root)
    rows = sorted(root.glob("snapshots/symbol=BTCUSDT/*/*"))
    shutil.copy(rows[3], rows[2])
    tapes(root)[5].unlink()
    expected = report(root)
    assert not expected["clean"]
    assert report(root, "--jobs", "2") == expected
    assert report(root, "--dask", cluster.scheduler_address) == expected


def test_shards_together_give_the_result_of_one_run(
    archive: Path, alone: Path, tmp_path: Path
) -> None:
    """In parallel, each with some of the segments; the final run finds nothing left to do."""
    out = tmp_path / "shards"
    running = [begin(*rebuilding(archive, out, "--shard", f"{number}/3")) for number in (1, 2, 3)]
    for number, process in enumerate(running, 1):
        output, err = process.communicate(timeout=PATIENCE_S)
        assert (process.returncode, err) == (0, "")
        assert f"Shard {number}/3: {SEGMENTS // 3} segments: {SEGMENTS // 3} rebuilt." in output
    code, output, _ = run(*rebuilding(archive, out))
    assert (code, output) == (0, f"{SEGMENTS} segments: {SEGMENTS} already there.\n")
    assert files(out) == files(alone)


def test_shards_of_a_verification_are_put_together(archive: Path, tmp_path: Path) -> None:
    """By a run over all segments, which reads nothing again and checks the transitions between segments."""
    root, results = tmp_path / "damaged", tmp_path / "results"
    shutil.copytree(archive, root)
    tapes(root)[4].unlink()
    expected = report(root)
    for number in (1, 2, 3):
        code, output, _ = run(
            "verify", root, "--shard", f"{number}/3", "--results", results, "--jobs", "2"
        )
        # The fifth segment, which has no tape, is in the second shard.
        assert code == int(number == 2), output
        assert f"Shard {number}/3: {SEGMENTS // 3} segments" in " ".join(output.split())
    before = identities(results)
    assert len(before) == SEGMENTS
    assert report(root, "--results", results) == expected
    assert identities(results) == before
    # A file that changed since is read again.
    rows = sorted(root.glob("snapshots/symbol=BTCUSDT/*/*"))
    shutil.copy(rows[1], rows[0])
    assert report(root, "--results", results) == report(root) != expected
    after = identities(results)
    assert sum(after[path] != before[path] for path in before) == 1


def rows_and_events(part: Recording) -> tuple[int, int]:
    """Typical queries that a user makes on a segment."""
    return part.snapshots("BTCUSDT").to_arrow().num_rows, sum(1 for _ in part.replay("BTCUSDT"))


def test_a_users_own_function_on_a_cluster(archive: Path, cluster: Any) -> None:
    """The same answers, segment by segment, in order."""
    rec = booktape.open(archive)
    with distributed.Client(cluster, set_as_default=False) as client:
        found = booktape.map_segments(rows_and_events, rec, executor=client.get_executor())
    assert list(found.items()) == [(p.segment, rows_and_events(p)) for p in rec.segments()]


# ── workers that die ────────────────────────────────────────────────────────────────────────


def test_a_process_is_killed_during_the_work(archive: Path, alone: Path, tmp_path: Path) -> None:
    """The run continues with others, and nothing is missing."""
    out = tmp_path / "killed"
    process = begin(*rebuilding(archive, out, "--jobs", "2"))
    until(lambda: tapes(out), process)
    os.kill(workers_below(process.pid)[0], signal.SIGKILL)
    output, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, output) == (0, f"{SEGMENTS} segments: {SEGMENTS} rebuilt.\n"), err
    assert files(out) == files(alone)


def test_a_worker_of_the_cluster_is_killed_during_the_work(cluster: Any, tmp_path: Path) -> None:
    """The scheduler gives its segments to another one: the result for 200 segments is as from one process."""
    archive, out = recorded(tmp_path / "data", MANY), tmp_path / "killed"
    assert run(*rebuilding(archive, tmp_path / "alone"))[0] == 0
    process = begin(*rebuilding(archive, out, "--dask", cluster.scheduler_address))
    until(lambda: len(tapes(out)) > MANY // 4, process)
    os.kill(cluster.workers[0].pid, signal.SIGKILL)
    output, err = process.communicate(timeout=4 * PATIENCE_S)
    assert (process.returncode, output) == (0, f"{MANY} segments: {MANY} rebuilt.\n"), err
    assert files(out) == files(tmp_path / "alone")
    expected = report(out)
    assert (expected["segments"], expected["clean"]) == (MANY, True)
    assert report(out, "--dask", cluster.scheduler_address) == expected


def test_a_killed_run_is_completed_by_the_next_one(
    archive: Path, alone: Path, tmp_path: Path
) -> None:
    """Sealed files are not touched, and half-finished ones leave nothing behind."""
    out = tmp_path / "killed"
    process = begin(*rebuilding(archive, out, "--jobs", "2"))
    until(lambda: tapes(out), process)
    process.kill()
    process.communicate(timeout=PATIENCE_S)
    sealed = {path: path.lstat().st_mtime_ns for path in tapes(out)}
    assert run(*rebuilding(archive, out, "--jobs", "2"))[0] == 0
    assert files(out) == files(alone)
    assert not (out / "rebuilding").exists()
    assert {path: path.lstat().st_mtime_ns for path in sealed} == sealed


@pytest.mark.parametrize("way", ["jobs", "dask"])
def test_ctrl_c_ends_the_workers(
    archive: Path, alone: Path, cluster: Any, tmp_path: Path, way: str
) -> None:
    """At once, with the exit code of an interrupted program; the next run does the rest."""
    options = {"jobs": ("--jobs", "2"), "dask": ("--dask", cluster.scheduler_address)}[way]
    out = tmp_path / "stopped"
    process = begin(*rebuilding(archive, out, *options))
    until(lambda: tapes(out), process)
    # The terminal sends it to all processes.
    os.killpg(process.pid, signal.SIGINT)
    # Both pipes belong to the workers too: this returns when the last of them is gone.
    output, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert "rebuilt" not in output
    # On the cluster a segment that has been started is finished.
    assert run(*rebuilding(archive, out, *options))[0] == 0
    assert files(out) == files(alone)


# ── machines that are not like this one ─────────────────────────────────────────────────────


def test_a_worker_that_does_not_see_the_folder_is_named(archive: Path, tmp_path: Path) -> None:
    """Nothing is called missing that is only elsewhere."""
    hidden = tmp_path / "hidden"
    shutil.copytree(archive, hidden)
    with distributed.LocalCluster(
        n_workers=0, processes=True, dashboard_address=":0", silence_logs=50
    ) as alone:
        # A worker in its own mount namespace, as on a machine with another disk there.
        script = f"mount -t tmpfs tmpfs {hidden} && exec {sys.executable} -m dask worker $0 --no-nanny --no-dashboard"
        worker = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", script, alone.scheduler_address],  # noqa: S607
            stderr=subprocess.DEVNULL,
            cwd=tmp_path,
        )
        try:
            deadline_s = time.monotonic() + PATIENCE_S
            while not alone.scheduler.workers:
                if worker.poll() is not None:
                    pytest.skip("no mount namespace can be made here")
                assert time.monotonic() < deadline_s
                time.sleep(0.05)
            for command in (
                ("verify", hidden),
                rebuilding(hidden, tmp_path / "out"),
            ):
                code, output, err = run(*command, "--dask", alone.scheduler_address)
                assert (code, output) == (2, ""), err
                assert "does not see" in err
                assert str(hidden) in err
                assert "All workers need the same folder" in err
        finally:
            worker.terminate()
            worker.wait(PATIENCE_S)
    assert not tapes(tmp_path / "out")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--jobs", "2", "--dask", "tcp://127.0.0.1:8786"), "not both"),
        (("--dask", "127.0.0.1"), "is not an address"),
        (("--shard", "0/3"), "is not a valid shard. Write 1/3, 2/3 or 3/3."),
        (("--shard", "4/3"), "is not a valid shard"),
        (("--shard", "1/3"), "Add --results DIR"),
    ],
)
def test_mistakes_are_reported_in_one_sentence(
    archive: Path, options: tuple[str, ...], sentence: str
) -> None:
    """Exit 2."""
    code, output, err = run("verify", archive, *options)
    assert (code, output) == (2, "")
    assert sentence in err
