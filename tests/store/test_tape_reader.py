"""A tape read back: cut, or with a flipped bit, it never reads as another tape."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from booktape.core.tape_records import Checkpoint, Disconnected, TapeRecord
from booktape.errors import DamagedTape
from booktape.store import tape_writer
from booktape.store.tape_codec import encode_record
from booktape.store.tape_reader import first_line, read_ends, read_tape
from store.small_tape import LINES, write
from support.oracle import start

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


@pytest.mark.parametrize("frame_bytes", [1 << 20, 100])
def test_a_cut_tape_is_read_up_to_its_last_whole_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frame_bytes: int
) -> None:
    """Cut at any byte, a torn reading gives a prefix, never a wrong record; a strict one refuses."""
    monkeypatch.setattr(tape_writer, "FRAME_BYTES", frame_bytes)
    whole = write(tmp_path / "tape")
    cut = tmp_path / "cut"
    longest = 0
    for size in range(len(whole)):
        cut.write_bytes(whole[:size])
        found = list(read_tape(cut, torn=True))
        assert found == LINES[: len(found)]
        assert len(found) >= longest
        longest = len(found)
        with pytest.raises(DamagedTape, match="is truncated"):
            list(read_tape(cut))
    assert longest >= len(LINES) - 1
    assert list(read_tape(tmp_path / "tape")) == LINES


def test_a_flipped_bit_never_reads_as_another_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With any single bit flipped, a sealed tape raises or reads the same (some bits have no meaning)."""
    monkeypatch.setattr(tape_writer, "FRAME_BYTES", 300)
    whole = bytearray(write(tmp_path / "tape"))
    flipped = tmp_path / "flipped"
    found = 0
    for bit in range(8 * len(whole)):
        whole[bit // 8] ^= 1 << bit % 8
        flipped.write_bytes(whole)
        whole[bit // 8] ^= 1 << bit % 8
        try:
            assert list(read_tape(flipped)) == LINES
        except DamagedTape:
            found += 1
    assert found > 0.99 * 8 * len(whole)


def test_a_tape_begins_with_its_start_record(tmp_path: Path) -> None:
    """Otherwise it is not a tape, whether it is empty or holds something else."""
    opening, other = start("BTCUSDT"), Disconnected(0, 1, 0, "stopped")
    assert first_line(iter([opening, other]), tmp_path) == opening
    without: tuple[list[TapeRecord], ...] = ([other, opening], [])
    for records in without:
        with pytest.raises(DamagedTape, match=f"{tmp_path} does not begin with a start record"):
            first_line(iter(records), tmp_path)


def test_checkpoints_of_a_tape_are_read_without_its_messages(
    tmp_path: Path,
) -> None:
    """Only checkpoints and the end record are decoded."""
    first, second = (
        Checkpoint(n, "BTCUSDT", "cold", n, 0, 0, None, 0, 0, None, None, None, [], [], [])
        for n in (1, 2)
    )
    lines = [
        encode_record(first),
        b"not a record\n",
        encode_record(LINES[-1]),
        encode_record(second),
    ]
    (tmp_path / "tape").write_bytes(zstd.compress(b"".join(lines)))
    assert list(read_ends(tmp_path / "tape")) == [first, LINES[-1], second]
    (tmp_path / "damaged").write_bytes(
        zstd.compress(b"".join([*lines, encode_record(first)[:40], b"\n"]))
    )
    words = read_ends(tmp_path / "damaged")
    assert [next(words), next(words), next(words)] == [first, LINES[-1], second]
    with pytest.raises(DamagedTape, match="not a line"):
        next(words)


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    """A strict reading names the line and the file; a torn one ends before it."""
    text = encode_record(LINES[0]) + b'{"k":"new"}\n' + encode_record(LINES[-1])
    (tmp_path / "tape").write_bytes(zstd.compress(text))
    with pytest.raises(DamagedTape, match="tape, line 2: not a line"):
        list(read_tape(tmp_path / "tape"))
    assert list(read_tape(tmp_path / "tape", torn=True)) == LINES[:1]


def test_a_partial_last_line_is_damage(tmp_path: Path) -> None:
    """A whole zstd frame whose text is cut is not a complete tape: only a torn reading accepts it."""
    text = b"".join(map(encode_record, LINES))
    (tmp_path / "tape").write_bytes(zstd.compress(text + encode_record(LINES[1])[:-1]))
    with pytest.raises(DamagedTape, match="is truncated"):
        list(read_tape(tmp_path / "tape"))
    assert list(read_tape(tmp_path / "tape", torn=True)) == LINES
