"""Hostile contents of an archive, through every command: bombs, FIFOs, sockets, devices.

No command uses up the memory, hangs, or ends in a traceback. It names files that it cannot use, or ignores them.
"""

from __future__ import annotations

import os
import shutil
import socket
import stat
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from booktape.cli import app
from booktape.store.layout import Layout, Segment
from booktape.store.schema import GAPS, SNAPSHOTS
from e2e.every_command import COMMANDS, Done, run
from verify.small import BTC, build, reseal, rows_of, sealed

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PEAK_MIB = 1_024
"""Half of what the line would take, and a third of what the rows would take."""

SCRIPT = '[[fault]]\nkind = "huge"\nsymbol = "BTCUSDT"\nat_s = 1\n'


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Never written to. Its last tape also exists unsealed, as a killed recorder leaves it."""
    root = tmp_path_factory.mktemp("commands") / "archive"
    build(root)
    (root / "faults.toml").write_text(SCRIPT)
    return root


@pytest.fixture
def root(archive: Path, tmp_path: Path) -> Path:
    """A copy to put something into."""
    return Path(shutil.copytree(archive, tmp_path / "archive"))


def unsealed_tape(root: Path) -> Path:
    """The place where a killed recorder would have left a tape."""
    tape = Layout(root).writing_tape(Segment(10**15, "killed"))
    tape.parent.mkdir(parents=True)
    return tape


def test_every_command_is_tested_here() -> None:
    """A new one needs a line in `e2e/every_command.py`; then it goes through all the tests below."""
    named = {name for name in app if not name.startswith("-")}
    assert set(COMMANDS) == named


# ── bombs ───────────────────────────────────────────────────────────────────────────────────


def tape_bomb(root: Path) -> None:
    """Each tape ends in a line of 2 GiB, both sealed and unsealed."""
    piece = zstd.compress(bytes(64 << 20))
    bomb = zstd.compress(b'{"kind":"ws","received_ns":1,"m":"') + piece * 32
    unsealed = unsealed_tape(root)
    shutil.copy(sealed(root, "tape")[-1], unsealed)
    for path in (*sealed(root, "tape"), unsealed):
        path.write_bytes(path.read_bytes() + bomb)
        assert path.stat().st_size < 1 << 20


def rows_bomb(path: Path) -> None:
    """400 rows with one price half a million times: a few kilobytes on disk, 1.6 GB in memory."""
    count, rows = 500_000, 400
    encoded = pa.dictionary(pa.int8(), pa.float64())
    ones = pa.Array.from_buffers(pa.int8(), count, [None, pa.py_buffer(bytes(count))])
    values = pa.DictionaryArray.from_arrays(ones, pa.array([1.0]))
    element = SNAPSHOTS.field("bid_price").type.value_field.with_type(encoded)
    lists = pa.ListArray.from_arrays(
        pa.array([0, count], pa.int32()), values, type=pa.list_(element)
    )
    row = pq.read_table(path, partitioning=None).slice(0, 1).combine_chunks()
    row = row.set_column(row.schema.get_field_index("bid_price"), "bid_price", lists)
    many = pa.Table.from_batches(row.to_batches() * rows)
    pq.write_table(many, path, compression="zstd", store_schema=False, row_group_size=rows)
    assert path.stat().st_size < 1 << 20
    assert pq.read_metadata(path).num_row_groups == 1


def text_bomb(path: Path) -> None:
    """50,000 gaps with one reason of 40 kB: 2 GB of text."""
    (row,) = pq.read_table(path, partitioning=None).slice(0, 1).to_pylist()
    rows = pa.Table.from_pylist([{**row, "reason": "x" * 40_000}] * 500, GAPS)
    many = pa.Table.from_batches(rows.to_batches() * 100)
    pq.write_table(many, path, compression="zstd", row_group_size=len(many))
    assert path.stat().st_size < 1 << 20


@pytest.fixture(scope="module")
def bombed(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All three bombs; never written to."""
    root = Path(shutil.copytree(archive, tmp_path_factory.mktemp("bombed") / "archive"))
    tape_bomb(root)
    rows_bomb(rows_of(root, BTC, 0))
    text_bomb(sealed(root, "gaps")[0])
    reseal(root)
    return root


@pytest.mark.long
@pytest.mark.parametrize("name", COMMANDS)
def test_no_bomb_exhausts_the_memory(bombed: Path, tmp_path: Path, name: str) -> None:
    """The file is reported as damaged, or not read; recordings continue."""
    done = run(name, Path(shutil.copytree(bombed, tmp_path / "archive")), tmp_path)
    assert done.peak_mib < PEAK_MIB
    check(done)


# ── what is not a file ─────────────────────────────────────────────────────────────────────────


def fifo(path: Path) -> None:
    """Opening it would wait for a writer."""
    os.mkfifo(path)


def device(path: Path) -> None:
    """Reading it would never end."""
    try:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("only root can make a device")


def unix_socket(path: Path) -> None:
    """Opening it is an error."""
    with socket.socket(socket.AF_UNIX) as server:
        # A socket's whole path may have about a hundred bytes.
        here = os.open(path.parent, os.O_RDONLY)
        server.bind(f"/proc/self/fd/{here}/{path.name}")
        os.close(here)


@pytest.mark.long
@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("kinds", [(fifo,), (device, unix_socket)], ids=["FIFOs", "others"])
def test_no_command_hangs_at_something_that_is_not_a_file(
    root: Path, tmp_path: Path, name: str, kinds: Sequence[Callable[[Path], None]]
) -> None:
    """In place of rows, gaps, checks, notes, a manifest, a tape, an unsealed tape, and a script of faults."""
    rooms = ("snapshots", "gaps", "checks", "notes", "manifests", "tape")
    for number, room in enumerate(rooms):
        files = sealed(root, room)
        victim = files[number % len(files)]
        victim.unlink()
        kinds[number % len(kinds)](victim)
    kinds[0](unsealed_tape(root))
    (root / "faults.toml").unlink()
    kinds[0](root / "faults.toml")
    check(run(name, root, tmp_path))


def check(done: Done) -> None:
    assert "Traceback" not in done.err, done.err
    assert done.code in {0, 1, 2, 69, 74, 75}, done.err
