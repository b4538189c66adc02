"""Restarts: epoch numbers continue from whatever is still known, and the time between is a gap."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from booktape.core.gap_reasons import KILLED, NO_TAPE, STOPPED
from booktape.core.sync import State
from booktape.core.tape_records import DELISTED, TapeRecord
from booktape.errors import DamagedTape, DirectoryInUse
from booktape.store.archive import lock_archive
from booktape.store.catalog import lineage_of
from booktape.store.layout import Layout
from booktape.store.tape_reader import read_ends
from store.contents import assert_only_whole_files, records_on_tape, stored, tapes
from store.endless import OPENING, records
from store.small_recording import BTC, ETH, YUAN, Rotate, Scene, expected, record
from support.archives import open_archive, past_of
from support.oracle import SECOND, connected, event, listed, rest, snapshot, start, stream
from support.rotation import finish

TESTS = Path(__file__).parent.parent


def visit(root: Path, at: int, update_id: int, *symbols: str, more: tuple[Scene, ...] = ()) -> None:
    """Record from second `at` on: a snapshot and one event of each symbol. Ends at `at` + 2."""
    symbols = symbols or (BTC,)
    scenes: list[Scene] = [connected(at, 1, symbols)]
    for symbol in symbols:
        scenes.append(rest(snapshot(update_id, {"1": "1"}, symbol=symbol), at + 1))
        last = update_id + 1
        scenes.append(stream(event(last, last, {"2": "1"}, symbol=symbol), at + 2, 1))
    opening = replace(start(*symbols), received_ns=at * SECOND)
    record(root, [*scenes, *more], opening=opening, tag=f"at{at}")


def die(root: Path, at: int, update_id: int) -> None:
    """The same for one symbol, but the recorder is killed after its last flush."""
    with open_archive(root) as archive:
        recording = archive.begin(replace(start(), received_ns=at * SECOND), f"at{at}")
        records: list[TapeRecord] = [
            connected(at),
            rest(snapshot(update_id, {"1": "1"}), at + 1),
            stream(event(update_id + 1, update_id + 1, {"2": "1"}), at + 2),
        ]
        for tape_record in records:
            recording.handle(tape_record)
        recording.writer.flush()


def epochs(root: Path, symbol: str = BTC) -> list[object]:
    """The epoch of each row, in order."""
    return [row[3] for row in stored(root).rows[symbol]]


def gap(symbol: str, epoch: int, times: tuple[int, int], ids: tuple[int, int], why: str) -> object:
    """A closed gap as it is stored."""
    start_us, end_us = (second * 10**6 for second in times)
    return symbol, epoch, start_us, end_us, *ids, ids[1] - ids[0] - 1, why


def test_a_new_directory_knows_nothing(tmp_path: Path) -> None:
    """Nothing to recover, no past, and the first epoch is 1."""
    with open_archive(tmp_path / "new") as archive:
        assert archive.recovered == []
        assert past_of(archive, (BTC,), 0) == {}
    visit(tmp_path / "new", 0, 10)
    assert epochs(tmp_path / "new") == [1, 1]
    assert stored(tmp_path / "new").gaps == []


def test_the_time_between_two_recordings_is_a_gap(tmp_path: Path) -> None:
    """It lasts from the last record of a stopped or killed recorder to the next known state."""
    visit(tmp_path, 0, 10)
    die(tmp_path, 100, 50)
    visit(tmp_path, 200, 90)
    assert epochs(tmp_path) == [1, 1, 2, 2, 3, 3]
    assert stored(tmp_path).gaps == [
        gap(BTC, 1, (2, 101), (11, 50), STOPPED),
        gap(BTC, 2, (102, 201), (51, 90), KILLED),
    ]


def test_a_gap_that_was_open_stays_the_same(tmp_path: Path) -> None:
    """A recorder that never got a snapshot changes neither the beginning nor the reason of the gap."""
    visit(tmp_path, 0, 10)
    with open_archive(tmp_path) as archive:
        recording = archive.begin(replace(start(), received_ns=50 * SECOND), "at50")
        assert recording.handle(connected(51))
        finish(recording, STOPPED).result()
    visit(tmp_path, 100, 50)
    # It lies between recordings, so it is stored once, by the recording that closes it.
    assert stored(tmp_path).gaps == [gap(BTC, 1, (2, 101), (11, 50), STOPPED)]


def test_a_symbol_continues_after_recordings_of_other_symbols(tmp_path: Path) -> None:
    """A symbol that was not recorded for a while, and has no files left, continues where it was."""
    visit(tmp_path, 0, 10, BTC, YUAN)
    visit(tmp_path, 100, 10, ETH)
    shutil.rmtree(tmp_path / "snapshots")
    visit(tmp_path, 200, 90, BTC)
    assert epochs(tmp_path) == [2, 2]
    closed = [found for found in stored(tmp_path).gaps if found[3] is not None]
    assert closed == [gap(BTC, 1, (2, 201), (11, 90), STOPPED)]
    with open_archive(tmp_path) as archive:
        past = past_of(archive, (), 0)
    assert {symbol: saved.epoch for symbol, saved in past.items()} == {BTC: 2, ETH: 1, YUAN: 1}
    assert all(saved.state == State.COLD.value for saved in past.values())


def test_a_symbol_that_was_delisted_may_be_listed_again(tmp_path: Path) -> None:
    """A recorder that records it now has found it listed: its epochs continue, without a gap."""
    visit(tmp_path, 0, 10, more=(listed(DELISTED, 3),))
    visit(tmp_path, 100, 50)
    assert epochs(tmp_path) == [1, 1, 2, 2]
    assert stored(tmp_path).gaps == []


def test_a_worker_takes_over_the_past_of_its_own_symbols(tmp_path: Path) -> None:
    """Otherwise two workers would continue the epochs and gaps of the same symbol."""
    visit(tmp_path, 0, 10, BTC, ETH)
    with open_archive(tmp_path), lock_archive(tmp_path, as_worker=True) as archive:
        archive.repair()  # nothing to do, or it would need the archive for itself
        opening = replace(start(BTC), received_ns=50 * SECOND)
        recording = archive.begin(opening, "at50", lambda symbol: symbol == BTC)
        assert [saved.symbol for saved in recording.books.checkpoints(0)] == [BTC]
        finish(recording, STOPPED).result()


def test_an_archive_that_workers_still_write_is_in_use(tmp_path: Path) -> None:
    """Workers need not know of one another, but a repair needs the archive for itself."""
    with (
        lock_archive(tmp_path, as_worker=True),
        lock_archive(tmp_path, as_worker=True),
        pytest.raises(DirectoryInUse),
        open_archive(tmp_path),
    ):
        pass
    with open_archive(tmp_path):
        pass


def test_without_its_tape_the_rows_decide(tmp_path: Path) -> None:
    """The tape folder is gone: the last row gives the epoch, and the gap says why it is wide."""
    visit(tmp_path, 0, 10)
    visit(tmp_path, 100, 50)
    shutil.rmtree(tmp_path / "tape")
    visit(tmp_path, 200, 90, BTC, ETH)
    assert epochs(tmp_path) == [1, 1, 2, 2, 3, 3]
    assert stored(tmp_path).gaps[-1] == gap(BTC, 2, (102, 201), (51, 90), NO_TAPE)
    assert epochs(tmp_path, ETH) == [1, 1]


def test_a_damaged_tape_knows_less_than_the_rows(tmp_path: Path) -> None:
    """It starts before the newest row of the same epoch, so the gap begins at that row."""
    more = (Rotate(10), stream(event(12, 12, {"3": "1"}), 11, 1))
    visit(tmp_path, 0, 10, more=more)
    newest = tapes(tmp_path)[-1]
    newest.write_bytes(newest.read_bytes()[:-30])
    with pytest.raises(DamagedTape):
        list(read_ends(newest))
    visit(tmp_path, 200, 90)
    assert epochs(tmp_path) == [1, 1, 1, 2, 2]
    assert stored(tmp_path).gaps == [gap(BTC, 1, (11, 201), (12, 90), NO_TAPE)]


@pytest.mark.parametrize("cut", range(0, 400, 13))
def test_epochs_never_fall_back(tmp_path: Path, cut: int) -> None:
    """However little of the newest tape is left, the next epoch is a new one, and the gap is closed."""
    visit(tmp_path, 0, 10)
    visit(tmp_path, 100, 50, more=(Rotate(110),))
    newest = tapes(tmp_path)[-1]
    newest.write_bytes(newest.read_bytes()[:cut])
    visit(tmp_path, 200, 90)
    assert epochs(tmp_path) == [1, 1, 2, 2, 3, 3]
    symbol, epoch, _, end, *ids, _, _ = stored(tmp_path).gaps[-1]
    assert (symbol, epoch, end, ids) == (BTC, 2, 201 * 10**6, [51, 90])


def test_a_clock_that_was_set_back_changes_no_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names follow the clock, but tapes name their predecessor, so epochs keep growing; a warning is logged."""
    visit(tmp_path, 1_000, 10)
    assert "ahead of the clock" not in "".join(capsys.readouterr())
    visit(tmp_path, 100, 20)
    # On either stream: if another test ran a command in this process, the log goes to stderr.
    logged = "".join(capsys.readouterr())
    assert "ahead_s=900" in logged.replace("\x1b[35m", "").replace("\x1b[0m", "")
    visit(tmp_path, 200, 30)
    names = sorted(path.name for path in tmp_path.glob("tape/*/*"))
    assert [name[9:15] for name in names] == ["000140", "000320", "001640"], "100, 200 and 1,000 s"
    assert len(set(epochs(tmp_path))) == 3
    times = sorted((gap[1], gap[2], gap[3]) for gap in stored(tmp_path).gaps)
    assert times == [(1, 1_002 * 10**6, 1_002 * 10**6), (2, 102 * 10**6, 201 * 10**6)]


def test_a_clock_that_is_set_back_during_a_recording(tmp_path: Path) -> None:
    """The next segment is named by the new clock, and continues from the previous one."""
    more = (Rotate(100), stream(event(12, 12, {"3": "1"}), 101, 1))
    visit(tmp_path, 1_000, 10, more=more)
    lineage = lineage_of(Layout(tmp_path))
    assert [segment.start_us // 10**6 for segment in lineage.order] == [1_000, 100]
    visit(tmp_path, 200, 90)
    symbol, epoch, *_, next_id, _, reason = stored(tmp_path).gaps[-1]
    assert (symbol, epoch, next_id, reason) == (BTC, 1, 90, STOPPED)


def test_gaps_give_the_epochs_if_tape_and_rows_are_damaged(tmp_path: Path) -> None:
    """A closed gap began an epoch, even if the rows of that epoch can no longer be read."""
    visit(tmp_path, 0, 10)
    visit(tmp_path, 100, 50)
    newest = tapes(tmp_path)[-1]
    newest.write_bytes(b"")
    rows = tmp_path / "snapshots" / f"symbol={BTC}"
    max(rows.glob("*/*"), key=lambda path: path.name).write_bytes(b"")
    with open_archive(tmp_path) as archive:
        assert past_of(archive, (BTC,), 0)[BTC].epoch == 2


def test_one_recorder_at_a_time(tmp_path: Path) -> None:
    """The second is refused and changes nothing; after the first has ended it may start."""
    second = pytest.raises(DirectoryInUse, match="in use")
    with open_archive(tmp_path), second, open_archive(tmp_path):
        pytest.fail("two recorders")
    with open_archive(tmp_path):
        pass


@pytest.mark.parametrize("after", [1, 40])
def test_a_real_kill(tmp_path: Path, after: int) -> None:
    """SIGKILL while real threads work: every record that a flush promised is in the rows."""
    command = [sys.executable, "-m", "store.endless", str(tmp_path)]
    paths = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": paths}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as child:
        assert child.stdout
        safe = int(list(islice(child.stdout, after))[-1])
        with pytest.raises(DirectoryInUse), open_archive(tmp_path):
            pytest.fail("two recorders")
        child.kill()
        assert child.wait() == -signal.SIGKILL
    assert_only_whole_files(tmp_path)
    with open_archive(tmp_path) as archive:
        assert archive.recovered
    found = records_on_tape(tmp_path)
    assert len(found) >= safe
    assert found == list(islice(records(), len(found)))
    assert stored(tmp_path) == expected(found, KILLED, OPENING)
    assert not list(tmp_path.glob("unsealed/*"))
