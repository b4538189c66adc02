"""The tape as a file: readable at any moment, cut or flipped anywhere, and never overwritten."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from errno import EDQUOT, EIO, ENOSPC, EROFS
from io import FileIO
from pathlib import Path
from typing import Any

import pytest

from booktape.core.frames import (
    Checkpoint,
    Frame,
    RestFrame,
    SegmentEnd,
    SegmentStart,
    StreamFrame,
)
from booktape.errors import DamagedTape, WriteFailed
from booktape.store import tape
from booktape.store.line import encode
from booktape.store.tape import TapeWriter, read_checkpoints, read_tape

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LINES: list[Frame] = [
    SegmentStart(1, "test", "sim", 1, 5, ("BTCUSDT",)),
    *(StreamFrame(n, 0, b'{"n":%d,"data":"%b"}' % (n, b"ab" * n)) for n in range(4)),
    RestFrame(7, "币安USDT", 5, b"<html>\n\xff</html>"),
    StreamFrame(8, 0, b"{not json}"),
    SegmentEnd(9, "stopped"),
]


def write(path: Path, lines: Sequence[Frame] = LINES) -> bytes:
    """A closed tape of these lines, and its bytes. Every third line is flushed."""
    writer = TapeWriter(path)
    for number, frame in enumerate(lines):
        writer.write(frame)
        if number % 3 == 0:
            writer.flush()
    writer.close()
    return path.read_bytes()


def test_what_was_flushed_is_readable_at_once(tmp_path: Path) -> None:
    """While the tape is still being written, all that `flush` returned from can be read."""
    writer = TapeWriter(tmp_path / "tape")
    for number, frame in enumerate(LINES, 1):
        writer.write(frame)
        writer.flush()
        size = (tmp_path / "tape").stat().st_size
        assert list(read_tape(tmp_path / "tape", torn=True)) == LINES[:number]
        writer.flush()
        assert (tmp_path / "tape").stat().st_size == size, "nothing to flush writes nothing"
    writer.close()


@pytest.mark.parametrize("frame_bytes", [1 << 20, 100])
def test_a_cut_tape_is_read_up_to_a_whole_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frame_bytes: int
) -> None:
    """Cut at any byte: a torn reading gives a prefix, never a wrong frame; a strict one refuses."""
    monkeypatch.setattr(tape, "FRAME_BYTES", frame_bytes)
    whole = write(tmp_path / "tape")
    cut = tmp_path / "cut"
    longest = 0
    for size in range(len(whole)):
        cut.write_bytes(whole[:size])
        found = list(read_tape(cut, torn=True))
        assert found == LINES[: len(found)]
        assert len(found) >= longest
        longest = len(found)
        with pytest.raises(DamagedTape, match="breaks off"):
            list(read_tape(cut))
    assert longest >= len(LINES) - 1
    assert list(read_tape(tmp_path / "tape")) == LINES


def test_a_flipped_bit_never_reads_as_another_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sealed tape with any single bit flipped raises, or reads the same (bits that mean nothing)."""
    monkeypatch.setattr(tape, "FRAME_BYTES", 300)
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


def test_frames_end_after_enough_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After FRAME_BYTES of text the zstd frame, with its checksum, ends; then the count restarts."""
    monkeypatch.setattr(tape, "FRAME_BYTES", 300)
    rest = write(tmp_path / "tape", [*LINES, *LINES])
    texts = []
    while rest:
        size = zstd.get_frame_size(rest)
        texts.append(zstd.decompress(rest[:size]))
        rest = rest[size:]
    assert b"".join(texts) == b"".join(map(encode, [*LINES, *LINES]))
    assert [len(text) >= 300 for text in texts] == [True, True, True, False]


def test_much_text_wants_a_flush(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond BUFFER_BYTES it should not wait in memory for the next tick."""
    monkeypatch.setattr(tape, "BUFFER_BYTES", 3 * len(encode(LINES[1])))
    writer = TapeWriter(tmp_path / "tape")
    wanted = []
    for _ in range(4):
        writer.write(LINES[1])
        wanted.append(writer.wants_flush)
    writer.flush()
    wanted.append(writer.wants_flush)
    writer.abandon()
    assert wanted == [False, False, True, True, False]


def test_a_failed_flush_can_be_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When there is space again, what could not be written follows: once, and in order."""
    full = True

    class Filling(FileIO):
        def write(self, data: Any, /) -> int:
            if full and self.tell() + len(data) > 100:
                if room := 100 - self.tell():
                    return super().write(memoryview(data)[:room])
                raise OSError(ENOSPC, "No space left on device")
            return super().write(data)

    written_by(monkeypatch, Filling)
    writer = TapeWriter(tmp_path / "tape")
    for line in LINES:
        writer.write(line)
    for _ in range(2):
        with pytest.raises(WriteFailed, match="the disk is full") as failed:
            writer.flush()
        assert failed.value.full
    writer.write(LINES[1])
    full = False
    writer.flush()
    writer.flush()
    monkeypatch.undo()
    writer.abandon()
    assert list(read_tape(tmp_path / "tape", torn=True)) == [*LINES, LINES[1]]


def written_by(monkeypatch: pytest.MonkeyPatch, kind: type[FileIO]) -> None:
    """From now on files are of this kind."""
    monkeypatch.setattr(Path, "open", lambda path, mode, **_: kind(path, mode.strip("b")))


def test_short_writes_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operating system may write less than it was given; the rest follows."""

    class Short(FileIO):
        def write(self, data: Any, /) -> int:
            return super().write(memoryview(data)[:7])

    with monkeypatch.context() as patch:
        written_by(patch, Short)
        writer = TapeWriter(tmp_path / "tape")
        for frame in LINES:
            writer.write(frame)
            writer.flush()
        writer.close()
    assert list(read_tape(tmp_path / "tape")) == LINES


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (ENOSPC, "the disk is full"),
        (EDQUOT, "the disk is full"),
        (EROFS, "Read-only file system"),
        (EIO, "Input/output error"),
    ],
)
def test_a_refused_write_is_said_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    """What the user reads: which file, why, and that nothing sealed was harmed."""

    class Refusing(FileIO):
        def write(self, _: Any, /) -> int:
            raise OSError(number, os.strerror(number))

    written_by(monkeypatch, Refusing)
    writer = TapeWriter(tmp_path / "tape")
    writer.write(LINES[0])
    with pytest.raises(WriteFailed) as caught:
        writer.flush()
    writer.abandon()
    assert str(caught.value) == (
        f"Cannot write {tmp_path / 'tape'}: {words}. "
        "What was sealed is intact; start again when it is mended."
    )


def test_a_file_is_never_overwritten(tmp_path: Path) -> None:
    """A tape begins as a new file, or not at all."""
    (tmp_path / "tape").write_bytes(b"older")
    with pytest.raises(WriteFailed, match="File exists"):
        TapeWriter(tmp_path / "tape")
    assert (tmp_path / "tape").read_bytes() == b"older"


def test_a_name_is_taken_with_everything_before_it(tmp_path: Path) -> None:
    """After `move` all that was written stands under the new name, and what follows goes there."""
    writer = TapeWriter(tmp_path / "starting")
    writer.write(LINES[0])
    writer.move(tmp_path / "tape")
    assert list(read_tape(tmp_path / "tape", torn=True)) == LINES[:1]
    for frame in LINES[1:]:
        writer.write(frame)
    writer.close()
    assert [path.name for path in tmp_path.iterdir()] == ["tape"]
    assert list(read_tape(tmp_path / "tape")) == LINES


def test_a_moved_tape_overwrites_nothing_it_cannot_reach(tmp_path: Path) -> None:
    """A move that the operating system refuses is said, and the tape stays where it was."""
    writer = TapeWriter(tmp_path / "starting")
    writer.write(LINES[0])
    with pytest.raises(WriteFailed, match="No such file"):
        writer.move(tmp_path / "nowhere" / "tape")
    writer.abandon()
    assert list(read_tape(tmp_path / "starting", torn=True)) == LINES[:1]
    assert writer.path == tmp_path / "starting"


def test_checkpoints_are_read_as_far_as_a_tape_goes(tmp_path: Path) -> None:
    """Nothing else is decoded; where one is damaged, reading ends without an error."""
    first, second = (
        Checkpoint(n, "BTCUSDT", "cold", n, 0, 0, None, 0, 0, None, None, None, [], [], [])
        for n in (1, 2)
    )
    write(tmp_path / "tape", [first, LINES[1], second])
    assert list(read_checkpoints(tmp_path / "tape")) == [first, second]
    lines = [encode(first), b"not a frame\n", encode(second)[:40] + b"\n", encode(second)]
    (tmp_path / "damaged").write_bytes(zstd.compress(b"".join(lines)))
    assert list(read_checkpoints(tmp_path / "damaged")) == [first]


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    """A strict reading says in which line of which file; a torn one ends before it."""
    text = encode(LINES[0]) + b'{"k":"new"}\n' + encode(LINES[-1])
    (tmp_path / "tape").write_bytes(zstd.compress(text))
    with pytest.raises(DamagedTape, match="tape, line 2: not a line"):
        list(read_tape(tmp_path / "tape"))
    assert list(read_tape(tmp_path / "tape", torn=True)) == LINES[:1]


def test_half_a_last_line_is_damage(tmp_path: Path) -> None:
    """A whole zstd frame whose text breaks off is no tape of ours: only a torn reading takes it."""
    text = b"".join(map(encode, LINES))
    (tmp_path / "tape").write_bytes(zstd.compress(text + encode(LINES[1])[:-1]))
    with pytest.raises(DamagedTape, match="breaks off"):
        list(read_tape(tmp_path / "tape"))
    assert list(read_tape(tmp_path / "tape", torn=True)) == LINES
