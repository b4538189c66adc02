"""Whatever an archive holds: its rows, a finding or one typed error, never anything else."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final

import aiohttp
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import booktape
from booktape.cli import app
from booktape.errors import BooktapeError, DamagedFile, LaterFormat, TapesRemoved
from booktape.sim.replay.source import ReplaySource
from booktape.store.catalog import sealed_tapes
from booktape.store.layout import Layout, Segment
from booktape.store.removals import Removal
from booktape.store.tape_reader import read_lines
from booktape.web.guard import Address
from booktape.web.recording import RecordingAnswers
from booktape.web.server import PageServer
from e2e.every_command import COMMANDS, SERVERS
from fuzz.damaging import changed_tapes, damage
from fuzz.mutated import examples
from support.archives import open_archive, past_of
from support.oracle import start
from verify.small import BTC, ETH, build, reseal, sealed, verified


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its third segment has a receipt, as if its tape was to be removed by a process that was killed."""
    layout = Layout(tmp_path_factory.mktemp("fuzz") / "data")
    build(layout.root)
    segment = sealed_tapes(layout)[2]
    receipt = Removal(segment.name, "tape", "", verified_by="x", unproven_rows={BTC: 1})
    layout.removal(segment).parent.mkdir(parents=True)
    layout.removal(segment).write_bytes(msgspec.json.encode(receipt))
    return layout.root


@pytest.fixture(scope="module")
def tapes(archive: Path) -> list[list[bytes]]:
    """The lines of each tape of the archive."""
    return [list(read_lines(path)) for path in sealed(archive, "tape")]


# ── everything that reads an archive ────────────────────────────────────────────────────────────


def read_all(root: Path) -> None:
    """Rows, gaps, and every event."""
    recording = booktape.open(root)
    recording.snapshots(BTC).to_arrow()
    recording.gaps()
    recording.coverage()
    recording.check_files()
    list(recording.replay(BTC))


def begin(root: Path) -> None:
    """What a recorder does with the archive before it records."""
    with open_archive(root) as archive:
        past_of(archive, start(BTC, ETH).symbols, 0)


def play(root: Path) -> None:
    """`replay`, to the end."""
    source = ReplaySource(root, lambda _: None)
    while source.due_s() is not None:
        source.advance()


def view(root: Path) -> None:
    """Every answer of the page."""
    asyncio.run(_view(root))


async def _view(root: Path) -> None:
    answers = RecordingAnswers(booktape.open(root, unsealed=False), "data")
    async with (
        PageServer(Address("127.0.0.1", 0), answers.routes()) as server,
        aiohttp.ClientSession() as client,
    ):
        for question in (
            "overview",
            f"history?symbol={BTC}&from=0&to=300000000",
            f"book?symbol={BTC}&at=5000000&bps=25",
        ):
            async with client.get(f"{server.url}recording/{question}") as answer:
                text = await answer.text()
                assert answer.status < 500, text


def command(name: str, root: Path) -> None:
    """A command as a user types it, in this process."""
    with tempfile.TemporaryDirectory() as folder:
        words = [name, *map(str, COMMANDS[name](root, Path(folder)))]
        app(words, exit_on_error=False, print_error=False, result_action="return_value")


READERS: Final[Mapping[str, Callable[[Path], object]]] = MappingProxyType(
    {
        "read": read_all,
        "begin": begin,
        "play": play,
        "view": view,
        **{
            name: partial(command, name)
            for name in sorted(COMMANDS.keys() - SERVERS - {"record", "health"})
        },
    }
)


def check(data: st.DataObject, root: Path) -> None:
    """`verify`, and another reader: a result, or an error that says what is wrong with the archive."""
    for read in (verified, READERS[data.draw(st.sampled_from(list(READERS)))]):
        assert code_of(read, root) in {0, 1, 2}


def code_of(read: Callable[[Path], object], root: Path) -> int:
    """The exit code, were it a command."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DamagedFile)
        warnings.simplefilter("ignore", TapesRemoved)
        try:
            read(root)
        except BooktapeError as error:
            return error.exit_code
    return 0


# ── targets ─────────────────────────────────────────────────────────────────────────────────────


@examples(100)
@given(data=st.data())
def test_recovery(tapes: list[list[bytes]], data: st.DataObject) -> None:
    """A start is never blocked by what a tape in `unsealed/` holds, and neither is the one after it.

    But for one that names a later format: a version that does not know it leaves the tape as it is, and says so.
    """
    with tempfile.TemporaryDirectory() as folder:
        layout = Layout(Path(folder))
        tape = layout.writing_tape(Segment(0, "fuzz"))
        tape.parent.mkdir(parents=True)
        tape.write_bytes(data.draw(changed_tapes(tapes)))
        for _ in range(2):
            with suppress(LaterFormat), open_archive(layout.root):
                pass
        if sealed(layout.root, "tape"):
            verified(layout.root)


@examples(30)
@given(data=st.data())
def test_damaged_archives(archive: Path, data: st.DataObject) -> None:
    """Any files of an archive, damaged in any way, with manifests that fit or do not."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(shutil.copytree(archive, Path(folder) / "data"))
        damage(data, root)
        check(data, root)


@examples(15)
@given(data=st.data())
def test_crafted_tapes(archive: Path, tapes: list[list[bytes]], data: st.DataObject) -> None:
    """A sealed tape with any lines, which its manifest knows. What `verify` says of them is tried in test_model.py."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(shutil.copytree(archive, Path(folder) / "data"))
        tape = data.draw(st.sampled_from(sealed(root, "tape")))
        tape.write_bytes(data.draw(changed_tapes(tapes)))
        reseal(root)
        check(data, root)
