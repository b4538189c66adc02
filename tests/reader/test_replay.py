"""The book at any moment, and after any event, is the oracle's."""

from __future__ import annotations

import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import booktape
from booktape.core.events import DepthEvent
from booktape.errors import BookNotKnown, DamagedFile, NotRecorded
from reader.conftest import CUTS, SECONDS
from reader.day import SYMBOLS, tick, write, write_by_workers
from reader.truth import Levels, moment, truths
from store.small_recording import BTC, ETH, OPENING, RECORDS, expected, record
from support.archives import open_archive
from support.oracle import SECOND, connected, event, rest, snapshot, stream
from support.rotation import finish, rotate


def levels(book: booktape.Book) -> tuple[Levels, Levels]:
    """Bids and asks as pairs."""
    return (
        list(zip(book.bid_price.tolist(), book.bid_size.tolist(), strict=True)),
        list(zip(book.ask_price.tolist(), book.ask_size.tolist(), strict=True)),
    )


def known(second: float) -> bool:
    """Whether the book was known at that time."""
    return not any(cut < second < cut + 10 for cut in CUTS)


@pytest.mark.parametrize("name", ["sealed", "running"])
def test_at_any_moment_the_book_is_the_oracles(name: str, request: pytest.FixtureRequest) -> None:
    """Or it is refused, exactly inside the gaps. Also around every edge of segments and gaps."""
    rec = booktape.open(request.getfixturevalue(name))
    true = list(truths("BTCUSDT"))
    edges = [edge + d for edge in (0, 100, 200, *CUTS, *(c + 10 for c in CUTS)) for d in (0, 0.5)]
    dice = random.Random(2)
    for second in [*edges, *(dice.randrange(2 * SECONDS - 2) / 2 for _ in range(30))]:
        if not known(second):
            with pytest.raises(BookNotKnown, match=r"was not known from .* until .*disconnected"):
                rec.at("BTCUSDT", moment(second))
            continue
        truth = [t for t in true if t.second <= second][-1]
        book = rec.at("BTCUSDT", moment(second))
        assert (book.update_id, book.epoch) == (truth.update_id, truth.epoch), second
        assert book.receive_time == moment(truth.second)
        assert levels(book) == (truth.bids, truth.asks)


def test_nothing_is_claimed_before_and_after_the_recording(
    rec: booktape.Recording, running: Path
) -> None:
    """Neither before the first snapshot nor after the last record, sealed or not."""
    with pytest.raises(BookNotKnown, match="no tape has this time"):
        rec.at("BTCUSDT", moment(-1))
    with pytest.raises(BookNotKnown, match="the recording ends at 2026-06-09 00:04:59"):
        rec.at("BTCUSDT", moment(299.5))
    with pytest.raises(BookNotKnown, match="the recording ends at 2026-06-09 00:04:59"):
        booktape.open(running).at("BTCUSDT", moment(299.5))


def test_at_refuses_a_moment_before_the_first_snapshot(tmp_path: Path) -> None:
    """The symbol is on the tape, but its book is not."""
    write(tmp_path, 3, segment_s=100)
    with pytest.raises(BookNotKnown, match="not known yet"):
        booktape.open(tmp_path).at("XRPUSDT", moment(1))


def test_at_can_limit_the_depth(rec: booktape.Recording) -> None:
    """To the requested number of levels."""
    assert len(rec.at("BTCUSDT", moment(20), depth=2).bid_price) == 2


@pytest.mark.parametrize("name", ["sealed", "running"])
@pytest.mark.parametrize("symbol", SYMBOLS)
def test_replay_yields_every_event_and_the_book_after_it(
    name: str, symbol: str, request: pytest.FixtureRequest
) -> None:
    """With the event itself, or None for snapshots, and with the gaps where they lie."""
    rec = booktape.open(request.getfixturevalue(name))
    items = list(rec.replay(symbol))
    steps = [item for item in items if isinstance(item, booktape.Step)]
    for step, truth in zip(steps, truths(symbol), strict=True):
        assert levels(step.book) == (truth.bids, truth.asks)
        assert (step.book.update_id, step.book.epoch) == (truth.update_id, truth.epoch)
        if step.book.updates:
            assert step.event == tick(symbol, truth.second)
        else:
            assert step.event is None
    around = [
        (items[i - 1], gap, items[i + 1])
        for i, gap in enumerate(items[:-1])
        if isinstance(gap, booktape.Gap)
    ]
    assert len(around) == len(CUTS)
    for before, gap, after in around:
        assert isinstance(before, booktape.Step)
        assert isinstance(after, booktape.Step)
        assert (before.book.epoch, after.book.epoch) == (gap.epoch, gap.epoch + 1)
        assert (gap.last_update_id, gap.next_update_id) == (
            before.book.update_id,
            after.book.update_id,
        )


def test_a_recording_that_ended_replays_to_an_open_gap(rec: booktape.Recording) -> None:
    """The time after it is not known."""
    *_, last = rec.replay("BTCUSDT")
    assert isinstance(last, booktape.Gap)
    assert (last.reason, last.end_time) == ("stopped", None)


def test_events_held_for_a_snapshot_come_with_it(tmp_path: Path) -> None:
    """Each is matched with the row that it made, not with the record that released it."""
    record(tmp_path)
    items = list(booktape.open(tmp_path).replay(BTC))
    steps = [item for item in items if isinstance(item, booktape.Step)]
    assert [s.event.last_id if s.event else None for s in steps] == [
        s.book.update_id if s.book.updates else None for s in steps
    ]
    rows = {row[2]: row[9:13] for row in expected(RECORDS).rows[BTC]}
    books = {s.book.update_id: s.book for s in steps}
    for update_id, row in rows.items():
        book = books[int(str(update_id))]
        sides = (book.bid_price, book.bid_size, book.ask_price, book.ask_size)
        assert tuple(side.tolist() for side in sides) == row


def test_a_range_of_time_is_replayed_from_its_tapes(rec: booktape.Recording) -> None:
    """The start is included, the end is not; from any segment to any other, and nothing beyond."""
    everything = [s for s in rec.replay("BTCUSDT") if isinstance(s, booktape.Step)]
    for start, end in ((0, 1), (20, 60), (90, 110), (99, 201), (145, 155), (250, 400)):
        found = list(rec.replay("BTCUSDT", moment(start), moment(end), depth=1))
        steps = [item for item in found if isinstance(item, booktape.Step)]
        wanted = [s for s in everything if moment(start) <= s.book.receive_time < moment(end)]
        assert [s.book.update_id for s in steps] == [s.book.update_id for s in wanted]
        gaps = [item for item in found if isinstance(item, booktape.Gap)]
        assert len(gaps) == sum(start < cut + 10 and cut < end for cut in CUTS) + (end > 300)


def test_a_missing_tape_in_the_middle_is_not_skipped_silently(sealed: Path, tmp_path: Path) -> None:
    """It becomes an undeclared gap, and a warning names it; `at` claims nothing inside it."""
    root = tmp_path / "copy"
    shutil.copytree(sealed, root)
    tapes = sorted(root.glob("tape/*/*"))
    tapes[1].unlink()
    rec = booktape.open(root)
    with pytest.warns(
        DamagedFile, match=f"{tapes[2].name} .*{tapes[1].name[:22]}.* a tape is missing"
    ):
        items = list(rec.replay("BTCUSDT"))
    gaps = [item for item in items if isinstance(item, booktape.Gap) and item.end_time is not None]
    assert [gap.reason for gap in gaps] == ["disconnected", "undeclared"]
    assert [gaps[1].start_time, gaps[1].end_time] == [moment(99), moment(199)]
    assert gaps[1].missed_updates == 99
    assert len(list(rec.replay("BTCUSDT", moment(200)))) == 101
    with pytest.raises(BookNotKnown, match="the recording ends at"):
        rec.at("BTCUSDT", moment(130))
    assert rec.at("BTCUSDT", moment(220)).update_id == 220


def test_frames_that_waited_while_a_tape_was_opened_are_found(tmp_path: Path) -> None:
    """They are on the worker's next tape, with stamps from before it began."""
    with open_archive(tmp_path) as archive:
        openings = {
            symbol: replace(OPENING, received_ns=0, symbols=(symbol,)) for symbol in (BTC, ETH)
        }
        recordings = {symbol: archive.begin(openings[symbol], f"w{symbol}") for symbol in openings}
        for symbol, recording in recordings.items():
            for tape_record in (
                connected(1, 1, (symbol,)),
                rest(snapshot(1, {"1": "1"}, {}, symbol=symbol), 2),
                stream(event(2, 2, {"1": "2"}, symbol=symbol), 3, 1),
            ):
                recording.handle(tape_record)
            rotate(recording, 6 * SECOND).result()
            for number, second in ((3, 5), (4, 7)):
                change = event(number, number, {"1": "3"}, symbol=symbol)
                recording.handle(stream(change, second, 1))
            finish(recording, "stopped").result()
    rec = booktape.open(tmp_path)
    for symbol in recordings:
        for second, update_id in ((3, 2), (4, 2), (5, 3), (6, 3), (7, 4)):
            assert rec.at(symbol, f"1970-01-01T00:00:0{second}Z").update_id == update_id
        until_six = rec.replay(symbol, end="1970-01-01T00:00:06Z")
        ids = [item.book.update_id for item in until_six if isinstance(item, booktape.Step)]
        assert ids == [1, 2, 3]


def test_each_worker_has_its_own_tapes(tmp_path: Path) -> None:
    """A symbol's book is found at any moment, and its events in any range, whichever tapes it is on."""
    write_by_workers(tmp_path, 300, segment_s=100)
    rec = booktape.open(tmp_path)
    for symbol in SYMBOLS:
        for second in (0, 50, 99, 100, 150, 299):
            assert rec.at(symbol, moment(second)).update_id == second
        for start, end in ((0, 300), (50, 150), (120, 130), (199, 201)):
            found = rec.replay(symbol, moment(start), moment(end))
            ids = [item.book.update_id for item in found if isinstance(item, booktape.Step)]
            assert ids == list(range(start, end))


def test_a_worker_may_be_late_with_its_sealing(tmp_path: Path) -> None:
    """Its tape is older than some sealed ones, and is read in its place."""
    write_by_workers(tmp_path, 300, segment_s=100)
    tape = sorted(tmp_path.glob("tape/*/*w1*"))[1]
    behind = tmp_path / "unsealed" / tape.name.removesuffix(".jsonl.zst")
    behind.mkdir(parents=True)
    tape.rename(behind / "tape.jsonl.zst")
    rec = booktape.open(tmp_path)
    assert rec.at(SYMBOLS[1], moment(150)).update_id == 150
    found = rec.replay(SYMBOLS[1], moment(50), moment(250))
    ids = [item.book.update_id for item in found if isinstance(item, booktape.Step)]
    assert ids == list(range(50, 250))


def test_a_symbol_without_a_tape_is_reported(rec: booktape.Recording) -> None:
    """It is not replayed as if it had no events."""
    with pytest.raises(NotRecorded, match="no tape of XRPUSDT"):
        list(rec.replay("XRPUSDT"))


def test_an_event_is_what_the_exchange_sent(rec: booktape.Recording) -> None:
    """Absolute sizes, by side."""
    step = next(s for s in rec.replay("BTCUSDT") if isinstance(s, booktape.Step) and s.event)
    assert isinstance(step.event, DepthEvent)
    assert (step.event.bids, step.event.asks) == ([(99.0, 0.002)], [(102.0, 0.002)])
