"""`record --ship`, `ship` and `info`, as their user runs them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import Process
from pathlib import Path
from typing import Final

import pytest

from booktape.cli import app
from booktape.commands.ship import bucket_at
from booktape.errors import UsageError
from booktape.recorder.run import ABORTED
from booktape.sim.market.market import Market
from booktape.sim.server.server import SimServer
from booktape.store.catalog import sealed_tapes, unsealed_segments
from booktape.store.layout import TAPE, Layout
from booktape.verify.order import Scope
from booktape.verify.run import verify
from booktape.verify.stored_files import FolderFiles
from bucket.faulty_proxy import Fault, FaultyProxy
from bucket.s3_server import KEYS
from bucket.segments import expected, objects, seal
from e2e.commands import log_until, run, start
from support.mounts import again

pytestmark = pytest.mark.long

SECRET: Final = KEYS["AWS_SECRET_ACCESS_KEY"]
SYMBOLS: Final = ("BTCUSDT", "ETHUSDT")


def command(server: SimServer, out: Path, address: str, *more: str) -> tuple[str | Path, ...]:
    """Record with a segment every two seconds."""
    way = ("--rest-url", server.rest_url, "--ws-url", server.ws_url, "--segment", "2s")
    return ("record", *SYMBOLS, "--every", "5", *way, *more, "--out", out, "--ship", address)


def assert_no_secret(root: Path, *texts: str) -> None:
    """Neither in the log nor in any file of the archive."""
    assert not [text for text in texts if SECRET in text]
    files = [path for path in root.rglob("*") if path.is_file()]
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]


async def recorded(process: Process) -> str:
    """Records until two segments have ended and a book is known, then stops. Returns the log."""
    heard = await log_until(process, "book synced")
    for _ in range(2):
        heard += await log_until(process, "new segment")
    process.send_signal(signal.SIGINT)
    heard += (await process.communicate())[1].decode()
    assert process.returncode == 0, heard
    return heard


def test_everything_recorded_is_in_the_bucket_at_the_end(
    address: str, s3_port: int, tmp_path: Path
) -> None:
    """Every sealed file, equal to the byte; the log and `info` say so, and contain no secret."""

    async def test() -> None:
        async with SimServer(Market(SYMBOLS)) as server:
            heard = await recorded(await start(*command(server, tmp_path, address)))
        count = len(sealed_tapes(Layout(tmp_path)))
        assert heard.count("event=shipped") == count >= 3
        code, out, _ = await run("info", tmp_path)
        assert code == 0
        assert f"shipped to {address}: {count}; waiting: none." in out
        assert_no_secret(tmp_path, out, heard)

    asyncio.run(test())
    assert objects(address, s3_port) == expected(tmp_path)
    assert verify(FolderFiles(tmp_path), Scope(), 1).exit_code == 0


def test_an_unavailable_bucket_delays_nothing(
    proxy: FaultyProxy, address: str, s3_port: int, tmp_path: Path
) -> None:
    """Recording continues, and waiting segments are shipped once the bucket is back, even after the end."""
    proxy.choose = lambda *_: Fault.REFUSED

    async def test() -> None:
        async with SimServer(Market(SYMBOLS)) as server:
            process = await start(*command(server, tmp_path, address))
            heard = await log_until(process, "shipping fails")
            heard += await log_until(process, "new segment")
            heard += await log_until(process, "new segment")
            process.send_signal(signal.SIGINT)
            heard += await log_until(process, "shipping what is left")
            assert not unsealed_segments(Layout(tmp_path)), "everything is sealed by then"
            proxy.choose = lambda *_: Fault.NONE
            heard += (await process.communicate())[1].decode()
            assert process.returncode == 0, heard
        assert_no_secret(tmp_path, heard)

    asyncio.run(test())
    assert objects(address, s3_port) == expected(tmp_path)


def test_remaining_segments_are_shipped_by_the_next_start(
    proxy: FaultyProxy, address: str, s3_port: int, tmp_path: Path
) -> None:
    """A second signal during the last attempt ends it: exit 75, one sentence. A kill in the middle costs no more."""
    proxy.choose = lambda *_: Fault.BUSY

    async def test() -> None:
        async with SimServer(Market(SYMBOLS)) as server:
            process = await start(*command(server, tmp_path, address))
            await log_until(process, "new segment")
            process.send_signal(signal.SIGTERM)
            await log_until(process, "shipping what is left")
            async with asyncio.timeout(120):
                while process.returncode is None:  # two at the same moment count as one
                    process.send_signal(signal.SIGTERM)
                    await asyncio.sleep(0.05)
            await process.communicate()
            assert process.returncode == ABORTED
            puts = 0

            def cut_off(method: str, _path: str) -> Fault:
                # Only puts: otherwise the check for an object before its put would be repeated until the end.
                nonlocal puts
                puts += method == "PUT"
                return Fault.CUT_ANSWER if method == "PUT" and puts >= 4 else Fault.NONE

            proxy.choose = cut_off
            process = await start(*command(server, tmp_path, address))
            async with asyncio.timeout(120):
                while puts < 5:
                    await asyncio.sleep(0.01)
            process.kill()
            await process.communicate()
            proxy.choose = lambda *_: Fault.NONE
            heard = await recorded(await start(*command(server, tmp_path, address)))
            assert_no_secret(tmp_path, heard)

    asyncio.run(test())
    assert objects(address, s3_port) == expected(tmp_path)
    assert verify(FolderFiles(tmp_path), Scope(), 1).exit_code == 0


def test_several_workers_share_one_shipper_and_old_segments_are_removed(
    address: str, s3_port: int, tmp_path: Path
) -> None:
    """It runs in the parent process. The last segment of each worker stays; the bucket has all segments."""

    async def test() -> None:
        async with SimServer(Market(SYMBOLS)) as server:
            more = ("--workers", "2", "--ship-keep", "0")
            heard = await recorded(await start(*command(server, tmp_path, address, *more)))
        assert "removed here" in heard

    asyncio.run(test())
    found = objects(address, s3_port)
    assert expected(tmp_path).items() <= found.items()
    left = sealed_tapes(Layout(tmp_path))
    assert len(left) == 2 < sum(name.startswith("tape/") for name in found)


def test_a_finished_recording_is_shipped_to_a_folder(tmp_path: Path) -> None:
    """`booktape ship`: an equal archive. A second run has nothing to do; an archive without segments is a mistake."""
    archive, nas = tmp_path / "archive", tmp_path / "nas"
    seal(archive, 1)
    nas.mkdir()

    async def test() -> None:
        for _ in range(2):
            code, out, err = await run("ship", archive, f"file://{nas}")
            assert (code, out) == (0, f"Everything sealed is in file://{nas}: 1 segment.\n"), err
        code, _, err = await run("ship", tmp_path / "nothing", f"file://{nas}")
        assert (code, err.count("\n")) == (2, 1)

    asyncio.run(test())
    copied = {path.relative_to(nas) for path in nas.rglob("*") if path.is_file()}
    assert {path.as_posix() for path in copied} == expected(archive).keys()


def test_a_segment_whose_tape_is_lost_is_named(tmp_path: Path) -> None:
    """It is not shipped, and the exit code is 1; where it was shipped before, it is in the bucket."""
    archive, nas = tmp_path / "archive", tmp_path / "nas"
    seal(archive, 1)
    seal(archive, 2)
    nas.mkdir()
    tape = min(archive.glob("tape/*/*"))
    kept = tape.read_bytes()
    tape.unlink()
    name = tape.name.removesuffix(TAPE)

    async def test() -> None:
        code, out, err = await run("ship", archive, f"file://{nas}")
        assert (code, f"{name} is not shipped: its tape is lost." in out) == (1, True), err
        tape.write_bytes(kept)
        assert (await run("ship", archive, f"file://{nas}"))[0] == 0
        tape.unlink()
        assert (await run("ship", archive, f"file://{nas}"))[0] == 0

    asyncio.run(test())


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--ship", "s3://id:secret@a/b"), "credentials come from the environment"),
        (("--ship", "file://{out}/tape"), "lies in the archive"),
        (("--ship-keep", "7d"), "does not apply without --ship"),
        (("--ship", "s3://a/b", "--ship-keep", "never"), "is not a valid duration"),
    ],
)
def test_mistakes_are_reported_in_one_sentence(
    options: tuple[str, ...], sentence: str, tmp_path: Path
) -> None:
    """Nothing is written: no folder, no receipt."""
    out = tmp_path / "new"
    given = [option.format(out=out) for option in options]
    command, bound, _ = app.parse_args(["record", "BTCUSDT", "--out", str(out), *given])
    with pytest.raises(UsageError, match=sentence) as mistake:
        command(*bound.args, **bound.kwargs)
    assert "secret" not in str(mistake.value)
    assert not out.exists()


def test_an_archive_is_not_its_own_copy(tmp_path: Path) -> None:
    """Not under another name either: otherwise `--ship-keep 0` would remove files that exist nowhere else."""
    seal(tmp_path / "archive", 1)
    (tmp_path / "link").symlink_to(tmp_path / "archive")
    with again(tmp_path / "archive", tmp_path / "mount"):
        for name in ("archive", "archive/tape", "link", "mount", "mount/tape"):
            with pytest.raises(UsageError, match="lies in the archive"):
                bucket_at("--ship", f"file://{tmp_path / name}", tmp_path / "archive")
    bucket_at("--ship", f"file://{tmp_path}/archive-2", tmp_path / "archive")


def test_a_refusal_by_the_bucket_ends_the_command_with_a_sentence(
    address: str, tmp_path: Path
) -> None:
    """With exit 2: no such bucket. `record` would continue, and log it."""
    assert address
    seal(tmp_path, 1)

    async def test() -> None:
        code, _, err = await run("ship", tmp_path, "s3://no-such/x")
        assert (code, err.count("\n")) == (2, 1), err
        assert "refused: status 404 Not Found (NoSuchBucket)" in err

    asyncio.run(test())


def test_a_wrong_symbol_does_not_wait_for_the_bucket(
    proxy: FaultyProxy, address: str, tmp_path: Path
) -> None:
    """No receipts are left behind."""
    proxy.choose = lambda *_: Fault.REFUSED
    out = tmp_path / "new"

    async def test() -> None:
        way = ("--exchange", "sim", "--out", out, "--ship", address)
        code, _, err = await run("record", "NOSUCH", *way)
        assert code == 2, err
        assert "NOSUCH" in err

    asyncio.run(test())
    assert not out.exists()


def test_without_the_extra_a_sentence_says_what_to_install(tmp_path: Path) -> None:
    """`record` without --ship needs no library."""
    (tmp_path / "obstore.py").write_text("raise ModuleNotFoundError(name='obstore')")
    seal(tmp_path / "archive", 1)

    async def test() -> None:
        path = os.pathsep.join([str(tmp_path), *sys.path])
        code, _, err = await run("ship", tmp_path / "archive", "s3://a/b", PYTHONPATH=path)
        assert (code, err) == (
            2,
            "booktape: obstore is not installed. Try: pip install 'booktape[bucket]'\n",
        )
        code, _, err = await run("record", "--help", PYTHONPATH=path)
        assert code == 0, err

    asyncio.run(test())
