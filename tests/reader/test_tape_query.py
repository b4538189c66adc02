"""Reading one symbol of a tape gives the same as reading all symbols and selecting it."""

from __future__ import annotations

from pathlib import Path

import pytest

import booktape
from booktape.core.events import BookRow, GapInterval
from booktape.core.tape_records import SegmentEnd, StreamMessage
from booktape.errors import DamagedFile
from booktape.reader.archive_files import ArchiveFiles
from booktape.reader.tape_query import FIRST_ROWS_ONLY, SymbolFilter, read_records, unsealed_outputs
from booktape.store.tape_codec import decode_record, encode_record
from booktape.wire.encode import encode_combined, encode_event
from reader.truth import moment
from store.small_recording import BTC, ETH, OPENING, YUAN, record
from support.archives import open_archive
from support.oracle import SECOND, connected, event, frozen, rest, snapshot, stream


@pytest.fixture
def place(tmp_path: Path) -> ArchiveFiles:
    """The recording with two connections, garbage and everything else."""
    record(tmp_path)
    return ArchiveFiles.find(tmp_path)


@pytest.mark.parametrize("symbol", [BTC, ETH, YUAN])
def test_one_symbol_alone_is_the_same_as_among_all(place: ArchiveFiles, symbol: str) -> None:
    """The rows and gaps of every tape, byte for byte, in their order."""
    for tape in place.tapes():
        found = [
            [
                frozen(output)
                for output in unsealed_outputs(place, tape, wanted)
                if isinstance(output, BookRow | GapInterval) and output.symbol == symbol
            ]
            for wanted in (symbol, None)
        ]
        assert found[0] == found[1]
        assert found[0]


def test_lines_of_other_symbols_are_not_decoded(place: ArchiveFiles) -> None:
    """Only lines that may concern the symbol reach the decoder."""
    lines = SymbolFilter(frozenset({ETH}))
    tape = place.tapes()[0]
    of_one = [
        f
        for f in read_records(place, tape, frozenset({ETH}), lines)
        if isinstance(f, StreamMessage)
    ]
    of_all = [f for f in read_records(place, tape, None) if isinstance(f, StreamMessage)]
    assert 0 < len(of_one) < len(of_all)
    assert lines.reached_ns == 30 * SECOND


def test_a_line_is_skipped_only_if_it_cannot_concern_the_symbol() -> None:
    """Lower case in a stream's name, escapes and base64 are all examined."""
    lines = SymbolFilter(frozenset({BTC}))
    plain = encode_event(event(1, 1, {"1": "1"}))
    other = encode_event(event(1, 1, {"1": "1"}, symbol=ETH))
    top = encode_combined("btcusdt@depth20@100ms", b'{"lastUpdateId":1,"bids":[],"asks":[]}')
    passed = (
        plain,
        top,
        plain.replace(b"BTCUSDT", b"\\u0042TCUSDT"),
        plain.replace(b",", b",\n"),
    )
    assert all(lines(encode_record(StreamMessage(1, 1, payload))) for payload in passed)
    assert not lines(encode_record(StreamMessage(1, 1, other)))
    # Nor does a line of a symbol whose name contains this one's.
    longer = plain.replace(b"BTCUSDT", b"BTCUSDTX"), top.replace(b"btcusdt", b"abtcusdt")
    assert not any(lines(encode_record(StreamMessage(1, 1, payload))) for payload in longer)
    assert lines(encode_record(OPENING))
    assert lines(encode_record(SegmentEnd(7, "stopped")))
    assert lines.reached_ns == 7
    assert isinstance(decode_record(encode_record(StreamMessage(1, 1, plain))), StreamMessage)


def test_rows_can_be_left_out(place: ArchiveFiles) -> None:
    """Only those that begin an epoch remain."""
    tape = place.tapes()[0]
    rows = [
        o
        for o in unsealed_outputs(place, tape, BTC, every=FIRST_ROWS_ONLY)
        if isinstance(o, BookRow)
    ]
    assert [row.updates for row in rows] == [0, 0]


def test_reading_ends_where_nothing_earlier_can_come(running: Path) -> None:
    """A held event, or a book that is not known, makes it read on."""
    place = ArchiveFiles.find(running)
    (tape,) = place.unsealed()
    before_ns = int(moment(210).timestamp()) * SECOND
    rows = [
        o for o in unsealed_outputs(place, tape, "BTCUSDT", before_ns) if isinstance(o, BookRow)
    ]
    assert [row.update_id for row in rows] == list(range(200, 210))


def test_an_event_held_for_a_snapshot_is_waited_for(tmp_path: Path) -> None:
    """Its row comes after later records, but belongs to the query by its own stamp."""
    with open_archive(tmp_path) as archive:
        recording = archive.begin(OPENING, "run")
        for tape_record in (
            connected(1, 1, (BTC,)),
            stream(event(2, 2, {"1": "2"}), 3, 1),
            stream(event(3, 4, {"1": "3"}), 6, 1),
            rest(snapshot(1, {"1": "1"}, {}), 7),
            stream(event(5, 6, {"1": "4"}), 8, 1),
        ):
            recording.handle(tape_record)
        recording.writer.flush()
        rec = booktape.open(tmp_path)
        steps = list(rec.replay(BTC, end="1970-01-01T00:00:05Z"))
        assert [s.book.update_id for s in steps if isinstance(s, booktape.Step)] == [2]
        rows = rec.snapshots(BTC, end="1970-01-01T00:00:07Z").to_arrow()
        assert rows["update_id"].to_pylist() == [4]  # a row every two events


@pytest.mark.parametrize("tail", [b"", b"garbage"])
def test_a_sealed_tape_that_is_damaged_is_named(place: ArchiveFiles, tail: bytes) -> None:
    """Its path and the damage; an unsealed tape merely ends there."""
    path = Path(place.tapes()[0].path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + tail)
    rec = booktape.open(place.root)
    with pytest.warns(DamagedFile, match=rf"{path.name} cannot be read \(it is not what was"):
        list(rec.replay(BTC))
    unsealed = Path(place.root, "unsealed", path.name.removesuffix(".jsonl.zst"))
    unsealed.mkdir(parents=True)
    path.rename(unsealed / "tape.jsonl.zst")
    for file in Path(place.root).glob(f"*/**/{unsealed.name}.parquet"):
        file.unlink()
    assert booktape.open(place.root).gaps() is not None
