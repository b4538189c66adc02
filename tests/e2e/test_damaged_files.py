"""A damaged file hides no other: it is named, everything else is shown, and the exit code is 1.

The archive comes from `booktape record --exchange sim`, and is then damaged by hand.
"""

from __future__ import annotations

import asyncio
import gzip
import shlex
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

import booktape
from booktape.core.events import DepthEvent
from booktape.core.tape_records import StreamMessage
from booktape.errors import BookNotKnown, DamagedFile
from booktape.sim.market.market import Market
from booktape.sim.server.server import SimServer
from booktape.store.tape_reader import read_tape
from booktape.wire.binance import decode_event
from e2e.commands import BOOKTAPE, log_until, run_here
from e2e.commands import start as start_command
from e2e.inside import recording, until_known
from support import virtual_time
from support.archives import open_archive, past_of
from support.oracle import start

KINDS: Final = ("tape", "snapshots", "gaps", "checks", "notes", "manifests")
DAMAGES: Final[dict[str, Callable[[bytes], bytes]]] = {
    "emptied": lambda _: b"",
    "cut": lambda content: content[: len(content) * 2 // 3],
    "garbage": lambda content: bytes(255 - byte for byte in content),
}
BTC, ETH = "BTCUSDT", "ETHUSDT"

WITHOUT_POWER: Final = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search")
"""Root without its privileges, subject to permissions like any other user."""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two symbols, and three segments in which both are known; never written to."""
    root = tmp_path_factory.mktemp("recorded") / "data"
    virtual_time.run(record(root))
    return root


async def record(root: Path) -> None:
    """A recorder of the built-in exchange, for four segments, in virtual time."""
    async with (
        SimServer(Market((BTC, ETH), seed=5)) as server,
        recording(server, (BTC, ETH), root, every=2, segment_s=1) as recorder,
    ):
        await until_known(recorder, 2)
        await asyncio.sleep(4)


@pytest.fixture
def root(recorded: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(recorded, tmp_path / "data"))


def files(root: Path, kind: str) -> list[Path]:
    """Oldest first; of the rows only those of one symbol."""
    below = f"symbol={BTC}/*/*" if kind == "snapshots" else "*/*"
    return sorted((root / kind).glob(below))


def rows_of(path: Path) -> int:
    """The number of lines below the header of an export."""
    return gzip.decompress(path.read_bytes()).count(b"\n") - 1


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_named_and_all_others_are_shown(
    recorded: Path, root: Path, kind: str, damage: str
) -> None:
    """By `info`, and by everything in the library that reads a file of this kind."""
    victim = files(root, kind)[-3]
    victim.write_bytes(DAMAGES[damage](victim.read_bytes()))
    whole, rec = booktape.open(recorded), booktape.open(root)
    with pytest.warns(DamagedFile, match=victim.name) as done:  # noqa: PT031 - each may tell
        rec.check_files()
        damaged = {own.symbol: own for own in rec.coverage()}
        found = {symbol: rec.snapshots(symbol).to_arrow() for symbol in (BTC, ETH)}
        small = [rec.gaps(), rec.checks(), rec.notes()]
        list(rec.replay(ETH))
    assert [w.message.path for w in done if isinstance(w.message, DamagedFile)] == [str(victim)]
    assert list(rec.damaged) == [str(victim)]
    lost = kind == "snapshots"
    for own in whole.coverage():
        assert (damaged[own.symbol].rows < own.rows) == (lost and own.symbol == BTC)
        assert found[own.symbol].num_rows == damaged[own.symbol].rows > 0
    wanted = [whole.gaps(), whole.checks(), whole.notes()]
    for name, one, other in zip(("gaps", "checks", "notes"), small, wanted, strict=True):
        assert name == kind or one == other


@pytest.mark.parametrize("kind", KINDS)
def test_a_recorder_starts_and_epochs_continue(root: Path, kind: str) -> None:
    """Whether the newest file of any kind is damaged or all of them: the epochs come from the other kinds."""
    epochs = {own.symbol: own.epochs for own in booktape.open(root).coverage()}
    for victim in files(root, kind):
        victim.write_bytes(b"")
    opening = start(BTC, ETH)
    with open_archive(root) as archive:
        past = past_of(archive, opening.symbols, 0)
    assert {symbol: saved.epoch for symbol, saved in past.items()} == epochs


async def test_the_commands_continue_and_end_with_1(recorded: Path, root: Path) -> None:
    """Each names the files and shows the rest, and a recorder adds to the archive; `verify` names all files."""
    # Not the manifest of a segment with another damaged file: it has that file's size.
    victims = [files(root, kind)[-2 if kind == "manifests" else -3] for kind in KINDS]
    for victim in victims:
        victim.write_bytes(victim.read_bytes()[:-30])

    async def check_commands() -> None:
        code, out, err = run_here("info", root)
        assert code == 1
        assert BTC in out
        assert ETH in out
        assert all(str(victim) in err for victim in victims)
        exported = root.parent / "exported"
        for kind, victim in (("csv", victims[1]), ("incremental_book_L2", victims[0])):
            code, out, err = run_here("export", root, "--format", kind, "--out", exported)
            assert code == 1
            assert str(victim) in err
            assert f"{ETH}" in out
        before = booktape.open(recorded).snapshots(ETH, depth=5)
        assert rows_of(exported / f"{ETH}_long.csv.gz") >= before.to_arrow().num_rows
        picture = root.parent / "spread.png"
        code, _, err = run_here("plot", root, "spread", "--symbol", BTC, "--file", picture)
        assert (code, picture.exists()) == (1, True)
        assert str(victims[1]) in err
        await record(root)
        code, out, err = run_here("verify", root, "--json")
        assert (code, err) == (1, "")
        assert all(victim.name in out for victim in victims)

    await check_commands()
    with pytest.warns(DamagedFile):
        assert {own.epochs for own in booktape.open(root).coverage()} == {2}


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv, of util-linux")
def test_a_file_without_read_permission_is_treated_like_a_damaged_one(root: Path) -> None:
    """A recorder starts; `info`, exports and `verify` name the file. None shows a traceback."""
    victims = [files(root, kind)[-1] for kind in KINDS]
    for victim in victims:
        victim.chmod(0)
    if victims[0].stat().st_uid != 0:
        pytest.skip("needs to be root, to be a root without its power")

    def command_of(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = (*WITHOUT_POWER, *BOOKTAPE, *map(str, arguments))
        return subprocess.run(command, capture_output=True, text=True, check=False)

    done = command_of("info", root)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert all(str(victim) in done.stderr for victim in victims)
    done = command_of("export", root, "--format", "hftbacktest", "--out", root.parent / "exported")
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert str(victims[0]) in done.stderr
    command = (*WITHOUT_POWER, *BOOKTAPE, "record", BTC, ETH, "--exchange", "sim", "--out", root)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as recorder:
        assert recorder.stderr
        log = ""
        while "book synced" not in log:
            line = recorder.stderr.readline()
            assert line, log
            log += line
        recorder.terminate()
        log += recorder.communicate()[1]
    assert (recorder.returncode, "Traceback" in log) == (0, False), log
    done = command_of("verify", root, "--json")
    assert (done.returncode, done.stderr) == (1, "")
    assert all(victim.name in done.stdout for victim in victims)


def test_replay_shows_what_a_damaged_tape_leaves_unknown(root: Path) -> None:
    """Events up to the damage, then an undeclared gap, then the tapes after it; `at` says why it does not know."""
    steps = [item for item in booktape.open(root).replay(BTC) if isinstance(item, booktape.Step)]
    victim = files(root, "tape")[-3]
    content = victim.read_bytes()
    victim.write_bytes(content[: len(content) // 2])
    rec = booktape.open(root)
    with pytest.warns(DamagedFile, match=victim.name):
        items = list(rec.replay(BTC))
    (gap,) = (i for i in items[:-1] if isinstance(i, booktape.Gap))
    assert (gap.reason, gap.symbol) == ("undeclared", BTC)
    place = items.index(gap)
    before, after = items[place - 1], items[place + 1]
    assert isinstance(before, booktape.Step)
    assert isinstance(after, booktape.Step)
    done = [item.book.update_id for item in items if isinstance(item, booktape.Step)]
    lost = [s.book.update_id for s in steps if s.book.update_id not in done]
    assert lost
    assert min(lost) > before.book.update_id
    assert (gap.last_update_id, gap.next_update_id) == (before.book.update_id, max(lost))
    assert gap.missed_updates == max(lost) - before.book.update_id - 1
    lost_at = next(s.book.receive_time for s in steps if s.book.update_id == lost[-1])
    with pytest.raises(BookNotKnown, match=victim.name):
        rec.at(BTC, lost_at)


@pytest.mark.real_time
async def test_the_replay_command_continues_after_a_damaged_tape(root: Path) -> None:
    """It plays up to the damage, then the tapes that follow, names the file, and ends with 1."""
    tapes = files(root, "tape")
    # The last tape alone may be too short for an event: it ends where the recorder was stopped.
    victim, after = tapes[-3], tapes[-2:]
    content = victim.read_bytes()
    victim.write_bytes(content[: len(content) // 2])
    tapes[0].write_bytes(b"")
    again = root.parent / "again"

    exchange = await start_command("replay", root, "--port", "0", "--speed", "2")
    assert exchange.stdout is not None
    _, *words = shlex.split((await exchange.stdout.readline()).decode())
    assert {BTC, ETH} < set(words)
    recorder = await start_command(*words, "--every", "1", "--out", again)
    # It ends with the recording.
    _, log = await exchange.communicate()
    # Printed once everything from the connection is in the queue. When its book is known again depends on speed.
    await log_until(recorder, "no connection")
    recorder.send_signal(signal.SIGTERM)
    await recorder.communicate()
    err = log.decode()
    assert (exchange.returncode, "Traceback" in err) == (1, False), err
    assert all(err.count(str(tape)) == 1 for tape in (victim, tapes[0]))
    behind = ids_of_events(after)
    assert behind
    assert ids_of_events(files(again, "tape"))[-len(behind) :] == behind


def ids_of_events(tapes: list[Path]) -> list[int]:
    """The last id of each event of a symbol, in order."""
    return [
        event.last_id
        for tape in tapes
        for frame in read_tape(tape)
        if isinstance(frame, StreamMessage)
        for event in [decode_event(frame.payload)]
        if isinstance(event, DepthEvent) and event.symbol == BTC
    ]


def test_litter_is_not_a_difference(root: Path) -> None:
    """Files that an operating system leaves in folders a person has opened; anything else is named."""
    for folder in [root, *(path for path in root.rglob("*") if path.is_dir())]:
        for name in (".DS_Store", "._2026", "Thumbs.db", ".nfs0000"):
            (folder / name).write_bytes(b"litter")
        (folder / "lost+found").mkdir(exist_ok=True)
        (folder / "lost+found" / "#123").write_bytes(b"litter")

    for command in ("info", "verify"):
        code, out, err = run_here(command, root)
        assert (code, err) == (0, ""), out
    (root / "gaps" / "copy of gaps.parquet").write_bytes(b"x")
    code, out, _ = run_here("verify", root)
    assert code == 1
    assert "copy of gaps.parquet" in out
