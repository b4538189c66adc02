"""Only regular files of an archive are opened: nothing waits for a FIFO, nothing leads outside."""

from __future__ import annotations

import json
import os
import shutil
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import booktape
from booktape.errors import DamagedFile
from booktape.store.opening import open_file
from e2e.commands import run_here
from verify.small import BTC, build, sealed, verified


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("opening") / "archive"
    build(root)
    return root


@pytest.fixture
def root(recorded: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(recorded, tmp_path / "archive"))


def test_only_a_regular_file_is_opened(tmp_path: Path) -> None:
    """A FIFO, which has no end, a device, a folder, or a link to one of these is refused at once."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to(tmp_path / "fifo")
    for path in (tmp_path / "fifo", tmp_path / "link", tmp_path, Path("/dev/zero")):
        with pytest.raises(OSError, match="not a regular file"):
            open_file(path)
    with pytest.raises(FileNotFoundError):
        open_file(tmp_path / "gone")
    (tmp_path / "file").write_bytes(b"x")
    with open_file(tmp_path / "file") as file:
        assert file.read() == b"x"


def test_an_endless_manifest_is_damage(root: Path) -> None:
    """A sparse file of a terabyte takes no space on the disk: `verify` and the reader name it, and read little."""
    victim = sealed(root, "manifests")[0]
    os.truncate(victim, 1 << 40)
    assert any(
        finding.file.endswith(victim.name) and "more than 16 MiB" in finding.what
        for finding in verified(root).found.kept
    )
    recording = booktape.open(root)
    with pytest.warns(DamagedFile, match="more than 16 MiB"):
        recording.check_files()


@contextmanager
def within_a_minute() -> Iterator[None]:
    """Fail a call that hangs."""

    def fail(*_: object) -> None:
        raise AssertionError("it hangs")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(60)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("kind", ["tape", "unsealed"])
def test_no_command_waits_for_a_fifo(root: Path, tmp_path: Path, kind: str) -> None:
    """Each command continues with all other files."""
    if kind == "unsealed":
        victim = root / "unsealed" / "20300101T000000.000000Z-x" / "tape.jsonl.zst"
        victim.parent.mkdir(parents=True)
    else:
        victim = sealed(root, kind)[0]
        victim.unlink()
    os.mkfifo(victim)
    for arguments in (
        ("info", root),
        ("verify", root),
        ("export", root, "--format", "csv", "--out", tmp_path / "csv"),
        ("rebuild", root, "--every", "1", "--out", tmp_path / "rebuilt"),
        ("record", BTC, "--exchange", "sim", "--duration", "1", "--out", root),
    ):
        with within_a_minute():
            code, _, _ = run_here(*arguments)
        assert arguments[0] != "verify" or code == 1


@pytest.mark.parametrize(
    "name",
    [
        "../outside",
        "/etc/hostname",
        "tape/../../outside",
        "outside",
        "",
        "snapshots/symbol=X/outside",
    ],
)
def test_a_manifest_does_not_lead_outside_its_segment(
    root: Path, tmp_path: Path, name: str
) -> None:
    """A file that it names outside its segment is reported and not opened: a FIFO would block `verify`."""
    os.mkfifo(tmp_path / "outside")
    manifest = sealed(root, "manifests")[0]
    sealed_files = json.loads(manifest.read_bytes())
    sealed_files["files"][name] = {"bytes": 0, "sha256": ""}
    manifest.write_text(json.dumps(sealed_files))
    report = verified(root)
    (finding,) = report.found.kept
    assert (finding.what, finding.stored) == ("names a file that is none of its segment", name)


def test_a_manifest_does_not_lead_through_a_link(root: Path, tmp_path: Path) -> None:
    """If the folder of a day is a link, files behind it are not read."""
    day = sealed(root, "gaps")[0].parent
    day.rename(tmp_path / "outside")
    day.symlink_to(tmp_path / "outside")
    report = verified(root)
    kept = [(finding.file, finding.what) for finding in report.found.kept]
    assert any(what.startswith("is a link") for _, what in kept)
    assert any(file.startswith("gaps/date=") and what == "is gone" for file, what in kept)


def test_names_that_are_not_utf_8(root: Path) -> None:
    """Every command reports them by name, in one sentence."""
    day = os.fsencode(sealed(root, "gaps")[0].parent)
    for name in (b"\xff\xfe", b"\xff.parquet"):
        with open(os.path.join(day, name), "wb") as file:  # noqa: PTH118, PTH123 - of bytes
            file.write(b"x")
    os.mkdir(os.path.join(os.fsencode(root / "snapshots"), b"symbol=\xff"))  # noqa: PTH102, PTH118
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for arguments in (("info", root), ("verify", root), ("verify", root, "--json")):
            code, out, _ = run_here(*arguments)
            if arguments[0] == "verify":
                assert code == 1
                assert "xff" in out
