"""Jobs over the segments of a bucket: the same bytes and the same report as from a folder, in one process or on a cluster.

The cluster that loses a worker has 12 segments to do; BOOKTAPE_BUCKET_JOBS=200 sets another number.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

import booktape
from booktape import cli
from bucket.conftest import lead_to, new_address
from bucket.copies import store_at, upload
from bucket.faulty_proxy import Fault, FaultyProxy
from bucket.s3_server import KEYS
from e2e.test_jobs import begin, files, recorded, report, run, tapes, two_workers, until

pytestmark = pytest.mark.long

SEGMENTS: Final = int(os.environ.get("BOOKTAPE_BUCKET_JOBS", "12"))
PATIENCE_S: Final = 60.0 + 2.0 * SEGMENTS
SECRET: Final = KEYS["AWS_SECRET_ACCESS_KEY"]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two symbols, recorded in virtual time. Never written to."""
    return recorded(tmp_path_factory.mktemp("jobs") / "data", SEGMENTS)


@pytest.fixture(scope="module")
def alone(archive: Path) -> Path:
    """The result of one process on the folder. Never written to."""
    out = archive.parent / "alone"
    assert run("rebuild", archive, "--every", "2", "--out", out)[0] == 0
    return out


@pytest.fixture(scope="module", autouse=True)
def environment(
    s3_port: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[pytest.MonkeyPatch]:
    """Points to the server, and temporary files to a folder of these tests."""
    with pytest.MonkeyPatch.context() as patch:
        lead_to(s3_port, patch)
        patch.setenv("TMPDIR", str(tmp_path_factory.mktemp("temporary")))
        yield patch


class Buckets(NamedTuple):
    """Addresses: of the archive, and of the folder as rebuilt by one process. Nothing is put there."""

    source: str
    rebuilt: str


@pytest.fixture(scope="module")
def buckets(s3_port: int, archive: Path, alone: Path) -> Buckets:
    addresses = []
    for root in (archive, alone):
        addresses.append(new_address(s3_port))
        upload(root, store_at(addresses[-1], s3_port))
    return Buckets(*addresses)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A scheduler and two workers in separate processes, with the credentials in their environment."""
    with two_workers() as running:
        yield running


@pytest.fixture(scope="module")
def expected(alone: Path) -> dict[str, Any]:
    """The report of one process on the rebuilt folder."""
    return report(alone)


def here(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    """Run a command in this process, which is faster."""
    capsys.readouterr()
    code = cli.run([str(argument) for argument in arguments])
    return code, *capsys.readouterr()


def rebuilding(address: str, out: Path, *more: str) -> tuple[str | Path, ...]:
    return ("rebuild", address, "--every", "2", "--out", out, *more)


def temporary_files() -> list[Path]:
    return list(Path(os.environ["TMPDIR"]).glob("booktape-*"))


# ── the same bytes ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("way", [(), ("--jobs", "2")], ids=["alone", "jobs"])
def test_a_bucket_is_rebuilt_and_verified(
    buckets: Buckets, alone: Path, expected: object, tmp_path: Path, way: tuple[str, ...]
) -> None:
    """To the byte as by one process from a folder; afterwards there is nothing left to do."""
    out = tmp_path / "out"
    code, said, err = run(*rebuilding(buckets.source, out, *way))
    assert (code, said, err) == (0, f"{SEGMENTS} segments: {SEGMENTS} rebuilt.\n", "")
    assert files(out) == files(alone)
    code, said, err = run(*rebuilding(buckets.source, out, *way))
    assert (code, said, err) == (0, f"{SEGMENTS} segments: {SEGMENTS} already there.\n", "")
    assert report(buckets.rebuilt, *way) == expected
    assert not temporary_files()


def test_shards_of_a_bucket_are_put_together(
    buckets: Buckets, expected: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each machine fetches its own segments."""
    results = ("--results", tmp_path / "results")
    for number in (1, 2, 3):
        shard = ("--shard", f"{number}/3", *results)
        assert here(capsys, "verify", buckets.rebuilt, *shard)[0] == 0
    assert report(buckets.rebuilt, *results) == expected


def test_a_bucket_is_exported_like_its_folder(
    buckets: Buckets, archive: Path, cluster: Any, tmp_path: Path
) -> None:
    """Segment by segment on a cluster, and as a whole."""
    cases: dict[str, tuple[str, ...]] = {
        "whole": (),
        "segments": ("--per-segment", "--dask", cluster.scheduler_address),
    }
    for name, more in cases.items():
        made = []
        for place, where in (("folder", archive), ("bucket", buckets.source)):
            out = tmp_path / f"{name}-{place}"
            code, _, err = run("export", where, "--format", "parquet", "--out", out, *more)
            assert (code, err) == (0, "")
            made.append(files(out))
        assert made[0] == made[1]


# ── workers that die ────────────────────────────────────────────────────────────────────────


def test_workers_of_the_cluster_are_killed_during_the_work(
    buckets: Buckets, alone: Path, expected: object, cluster: Any, tmp_path: Path
) -> None:
    """The scheduler gives their segments to others, and the next worker removes the files that they had fetched."""
    out, results = tmp_path / "out", tmp_path / "results"
    dask = ("--dask", cluster.scheduler_address)
    process = begin(*rebuilding(buckets.source, out, *dask))
    until(lambda: len(tapes(out)) > SEGMENTS // 4, process)
    os.kill(cluster.workers[0].pid, signal.SIGKILL)
    said, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, said) == (0, f"{SEGMENTS} segments: {SEGMENTS} rebuilt.\n"), err
    assert files(out) == files(alone)

    process = begin("verify", buckets.rebuilt, *dask, "--results", results, "--json")
    until(lambda: len(list(results.glob("*.json"))) > SEGMENTS // 4 and temporary_files(), process)
    os.kill(cluster.workers[1].pid, signal.SIGKILL)
    said, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    found = json.loads(said)
    assert found.pop("directory") == buckets.rebuilt
    assert found == expected
    # One more run, in which nothing is killed, leaves no files.
    assert report(buckets.rebuilt, *dask) == expected
    assert not temporary_files()


# ── the way to the bucket ───────────────────────────────────────────────────────────────────


@pytest.fixture
def faulty(s3_port: int, environment: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    """A proxy in front of the server, to which the environment points for a while."""
    with FaultyProxy(s3_port) as found:
        lead_to(found.port, environment)
        yield found
    lead_to(s3_port, environment)


def after(number: int, word: str, fault: Fault) -> Callable[[str, str], Fault]:
    """The fault of all requests for such a path except the first ones."""
    seen = 0

    def choose(_method: str, path: str) -> Fault:
        nonlocal seen
        seen += word in path
        return fault if word in path and seen > number else Fault.NONE

    return choose


def test_a_bucket_that_becomes_unavailable_costs_no_finished_work(
    buckets: Buckets, alone: Path, faulty: FaultyProxy, tmp_path: Path
) -> None:
    """One sentence and exit 75; the same command does the rest once the bucket is back."""
    out, results = tmp_path / "out", tmp_path / "results"
    rebuild = rebuilding(buckets.source, out, "--jobs", "2")
    verify = ("verify", buckets.rebuilt, "--results", results, "--json")
    for address, command in ((buckets.source, rebuild), (buckets.rebuilt, verify)):
        # Two requests for the first line of each tape come first.
        faulty.choose = after(3 * SEGMENTS, "/tape/", Fault.REFUSED)
        code, said, err = run(*command)
        assert (code, said, err.count("\n")) == (75, "", 1), err
        assert f"{address}/tape/" in err
        assert "cannot be reached: " in err
        assert SECRET not in err
        faulty.choose = lambda *_: Fault.NONE
        code, said, err = run(*command)
        assert (code, err) == (0, "")
    assert json.loads(said)["clean"]
    assert files(out) == files(alone)


@pytest.mark.parametrize(
    ("fault", "expected_code", "what"),
    [(Fault.REFUSED, 75, "cannot be reached"), (Fault.FORBIDDEN, 2, "refused")],
)
def test_an_unusable_bucket_is_reported_in_one_sentence(  # noqa: PLR0913, PLR0917
    buckets: Buckets,
    archive: Path,
    faulty: FaultyProxy,
    tmp_path: Path,
    fault: Fault,
    expected_code: int,
    what: str,
) -> None:
    """Exit 75 where another attempt may help, 2 where the bucket refuses; nothing is written, no secret is shown."""
    faulty.choose = lambda *_: fault
    out = tmp_path / "out"
    commands: dict[str, tuple[str | Path, ...]] = {
        "info": (),
        "verify": (),
        "rebuild": ("--every", "2", "--out", out),
        "export": ("--format", "csv", "--out", out),
        "plot": ("calendar", "--file", tmp_path / "calendar.png"),
        "view": (),
        "merge": (archive, "--out", out),
    }
    running = {name: begin(name, buckets.source, *more) for name, more in commands.items()}
    for name, process in running.items():
        said, err = process.communicate(timeout=PATIENCE_S)
        assert (process.returncode, said, err.count("\n")) == (expected_code, "", 1), (name, err)
        assert f"{buckets.source} {what}: " in err
        assert SECRET not in err
    assert not list(tmp_path.iterdir())


def test_other_commands_read_a_bucket(
    buckets: Buckets, archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`info` shows the same except for the name; `plot` draws the same; `merge` makes the same archive."""
    said, drawn, merged = [], [], []
    places: tuple[str | Path, ...] = (archive, buckets.source)
    for number, where in enumerate(places):
        code, out, err = here(capsys, "info", where)
        assert (code, err) == (0, "")
        said.append(" ".join(out.split()).replace(str(where), "it"))
        picture, both = tmp_path / f"{number}.svg", tmp_path / f"merged-{number}"
        more = ("--symbol", "BTCUSDT", "--file", picture)
        assert here(capsys, "plot", where, "spread", *more)[0] == 0
        drawn.append(picture.read_text().count("<path"))
        assert here(capsys, "merge", where, where, "--out", both)[0] == 0
        merged.append(files(both))
    assert said[0] == said[1]
    assert drawn[0] == drawn[1]
    assert merged[0] == merged[1]


def test_a_recording_in_a_bucket_is_sent_to_workers_without_credentials(buckets: Buckets) -> None:
    """Each worker takes them from its own environment."""
    rec = booktape.open(buckets.source)
    for part in (rec, *rec.segments()):
        assert SECRET.encode() not in pickle.dumps(part)
