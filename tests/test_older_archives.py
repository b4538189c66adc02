"""Archives of every earlier format are read, verified, rebuilt, exported, continued and pruned like those of today.

Each folder of `tests/kept` is such an archive, made by the version of its time; a new one is tried because it is there.
"""

from __future__ import annotations

import json
import shutil
from io import BytesIO
from pathlib import Path
from typing import Final

import pytest

import booktape
from booktape.cli import app
from booktape.core.tape_records import FORMAT
from booktape.errors import Damaged, DamagedFile, LaterFormat
from booktape.retention.limits import Limit
from booktape.retention.prune import Rules, prune
from booktape.store.archive import lock_archive
from booktape.store.catalog import sealed_tapes
from booktape.store.layout import Layout, Segment
from booktape.store.manifest import read_manifest
from booktape.store.tape_reader import read_tape
from booktape.store.tape_writer import TapeWriter
from store.small_recording import record
from support.oracle import SECOND, connected, event, rest, snapshot, start, stream
from verify.small import edit_tape, reseal, verified

KEPT: Final = Path(__file__).parent / "kept"
NAMES: Final = sorted(path.name for path in KEPT.iterdir() if path.is_dir())
EVERY: Final = 2
SYMBOL: Final = "BTCUSDT"


@pytest.fixture(params=NAMES)
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy: git keeps no empty folders, and a test may write."""
    return shutil.copytree(KEPT / request.param, tmp_path / "archive")


def call(*line: str | Path) -> int:
    code = app(list(map(str, line)), exit_on_error=False, result_action="return_value")
    return code if isinstance(code, int) else 0


def test_there_is_an_archive_of_each_format() -> None:
    """A new format must come with an archive of the previous one."""
    formats = set()
    for name in NAMES:
        for path in (KEPT / name).glob("tape/*/*"):
            first = next(read_tape(path))
            formats.add(getattr(first, "format", None))
    assert formats == set(range(1, FORMAT + 1))


def test_an_old_archive_verifies(archive: Path) -> None:
    """Every row is verified, and none is unproven."""
    report = verified(archive)
    assert report.exit_code == 0, report.found.kept
    assert report.found.symbols[SYMBOL].equal["rows"] > 20


def test_an_old_archive_is_read(archive: Path) -> None:
    """Rows, gaps, checks and notes, the book at a moment, and every event."""
    recording = booktape.open(archive)
    rows = recording.snapshots(SYMBOL).to_arrow()
    stored = [
        sealed.rows
        for path in archive.glob("manifests/*/*")
        for name, sealed in read_manifest(BytesIO(path.read_bytes())).files.items()
        if f"symbol={SYMBOL}/" in name and sealed.rows is not None
    ]
    assert rows.num_rows == sum(stored) or not stored
    (gap,) = recording.gaps(SYMBOL).to_pylist()
    assert (gap["reason"], gap["epoch"]) == ("stopped", 1)
    assert recording.checks().num_rows
    known = rows.column("receive_time")[10].as_py()
    assert recording.at(SYMBOL, known).update_id == rows.column("update_id")[10].as_py()
    assert len(list(recording.replay(SYMBOL))) > rows.num_rows
    assert not recording.damaged


def test_an_old_archive_is_rebuilt(archive: Path, tmp_path: Path) -> None:
    """With its own N the rows and gaps are the same; a smaller N gives more rows; both verify."""
    before = booktape.open(archive)
    for every in (EVERY, 1):
        out = tmp_path / str(every)
        assert call("rebuild", archive, "--every", str(every), "--out", out) == 0
        after = booktape.open(out)
        rows = [one.snapshots(SYMBOL).to_arrow() for one in (before, after)]
        assert rows[0] == rows[1] if every == EVERY else rows[0].num_rows < rows[1].num_rows
        assert before.gaps() == after.gaps()
        assert verified(out).exit_code == 0


def test_an_old_archive_is_exported(archive: Path, tmp_path: Path) -> None:
    """Both its rows and its events."""
    for form in ("parquet", "incremental_book_L2"):
        out = tmp_path / form
        assert call("export", archive, "--format", form, "--symbol", SYMBOL, "--out", out) == 0
        assert any(path.stat().st_size for path in out.rglob("*") if path.is_file())


def test_a_recording_continues_in_an_old_archive(archive: Path) -> None:
    """The next epoch follows the last one after a gap, and both recordings verify completely."""
    before = booktape.open(archive).snapshots(SYMBOL).to_arrow()
    last = max(sealed_tapes(Layout(archive)))
    now_s = last.start_us // 10**6 + 3_600
    top = before.column("update_id")[-1].as_py()
    record(
        archive,
        (
            connected(now_s + 1, 1, (SYMBOL,)),
            rest(snapshot(top + 100, {"9": "1"}, {"11": "1"}, symbol=SYMBOL), now_s + 2),
            stream(event(top + 101, top + 101, {"9": "2"}, symbol=SYMBOL), now_s + 3, 1),
        ),
        opening=start(SYMBOL, every=EVERY, received_ns=now_s * SECOND, format=FORMAT, pulse_s=30.0),
        tag="newer",
    )
    recording = booktape.open(archive)
    epochs = recording.snapshots(SYMBOL).to_arrow().column("epoch").to_pylist()
    assert epochs[: before.num_rows] == before.column("epoch").to_pylist()
    assert epochs[-1] == before.column("epoch")[-1].as_py() + 1
    assert recording.gaps(SYMBOL).to_pylist()[-1]["reason"] == "stopped"
    report = verified(archive)
    assert report.exit_code == 0, report.found.kept


def test_tapes_of_an_old_archive_are_removed_like_others(archive: Path) -> None:
    """They are removed once they are verified."""
    rows = booktape.open(archive).snapshots(SYMBOL).to_arrow()
    outcome = prune(archive, Rules(tapes=Limit(age_s=0)))
    assert len(outcome.tapes) > 1
    assert not outcome.unverified
    assert booktape.open(archive).snapshots(SYMBOL).to_arrow() == rows
    assert verified(archive).exit_code == 0


# ── later formats ───────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def later(tmp_path: Path) -> Path:
    """A present-day archive whose last tape says that it has a format not yet known."""
    root = shutil.copytree(KEPT / NAMES[-1], tmp_path / "later")

    def change(lines: list[dict[str, object]]) -> None:
        lines[0]["format"] = FORMAT + 1

    edit_tape(Layout(root).tape(max(sealed_tapes(Layout(root)))), change)
    reseal(root)
    return root


def test_a_tape_of_a_later_format_is_not_guessed_at(
    later: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each reader names it and says what to do; all other tapes are read."""
    with pytest.warns(DamagedFile, match="reads formats up to"):
        list(booktape.open(later).replay(SYMBOL))
    assert any(f"its format is {FORMAT + 1}" in one.what for one in verified(later).found.kept)
    assert call("rebuild", later, "--every", "2", "--out", tmp_path / "out") == 1
    assert "Use a later booktape" in capsys.readouterr().out


def test_an_unsealed_tape_of_a_later_format_stays_as_it_is(tmp_path: Path) -> None:
    """A version that does not know the format does not recover the tape: it refuses to start."""
    layout, segment = Layout(tmp_path), Segment(10**15, "later")
    layout.unsealed_of(segment).mkdir(parents=True)
    writer = TapeWriter(layout.writing_tape(segment))
    writer.write(start(SYMBOL, format=FORMAT + 1))
    writer.flush()
    before = layout.writing_tape(segment).read_bytes()
    with (
        lock_archive(tmp_path) as archive,
        pytest.raises(LaterFormat, match="Use a later booktape"),
    ):
        archive.repair()
    assert layout.writing_tape(segment).read_bytes() == before


def test_a_manifest_of_a_later_format_is_named(archive: Path) -> None:
    """By verify, and by every other reader."""
    path = min(archive.glob("manifests/*/*"))
    manifest = json.loads(path.read_bytes()) | {"format": 2}
    path.write_text(json.dumps(manifest))
    with pytest.raises(Damaged, match="its format is 2"):
        read_manifest(BytesIO(path.read_bytes()))
    (finding,) = [one for one in verified(archive).found.kept if one.file.startswith("manifests/")]
    assert "its format is 2" in finding.what
