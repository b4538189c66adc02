"""The tape as it is written: readable at any moment, without duplicates, and never overwritten."""

from __future__ import annotations

import os
import sys
from errno import EDQUOT, EIO, ENOSPC, EROFS
from os import pwrite
from pathlib import Path

import pytest

from booktape.errors import WriteFailed
from booktape.store import tape_writer
from booktape.store.tape_codec import encode_record
from booktape.store.tape_reader import read_tape
from booktape.store.tape_writer import TapeWriter
from store.small_tape import LINES, write

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


def test_flushed_records_are_readable_at_once(tmp_path: Path) -> None:
    """While the tape is being written, every record of a `flush` that has returned can be read."""
    writer = TapeWriter(tmp_path / "tape")
    for number, record in enumerate(LINES, 1):
        writer.write(record)
        writer.flush()
        size = (tmp_path / "tape").stat().st_size
        assert list(read_tape(tmp_path / "tape", torn=True)) == LINES[:number]
        writer.flush()
        assert (tmp_path / "tape").stat().st_size == size, "nothing to flush writes nothing"
    writer.seal()


def test_frames_end_after_enough_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After FRAME_BYTES of text the zstd frame, with its checksum, ends; then the count restarts."""
    monkeypatch.setattr(tape_writer, "FRAME_BYTES", 300)
    rest = write(tmp_path / "tape", [*LINES, *LINES])
    texts = []
    while rest:
        size = zstd.get_frame_size(rest)
        texts.append(zstd.decompress(rest[:size]))
        rest = rest[size:]
    assert b"".join(texts) == b"".join(map(encode_record, [*LINES, *LINES]))
    assert [len(text) >= 300 for text in texts] == [True, True, True, False]


def test_a_full_buffer_asks_for_a_flush(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Text beyond BUFFER_BYTES should not wait in memory for the next tick."""
    monkeypatch.setattr(tape_writer, "BUFFER_BYTES", 3 * len(encode_record(LINES[1])))
    writer = TapeWriter(tmp_path / "tape")
    wanted = []
    for _ in range(4):
        writer.write(LINES[1])
        wanted.append(writer.wants_flush)
    writer.flush()
    wanted.append(writer.wants_flush)
    assert wanted == [False, False, True, True, False]


def test_a_failed_flush_can_be_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When there is space again, the rest is written once, in order."""
    full = True

    def filling(descriptor: int, data: memoryview, at: int) -> int:
        if full and at + len(data) > 100:
            if room := 100 - at:
                return pwrite(descriptor, data[:room], at)
            raise OSError(ENOSPC, "No space left on device")
        return pwrite(descriptor, data, at)

    monkeypatch.setattr(os, "pwrite", filling)
    writer = TapeWriter(tmp_path / "tape")
    for line in LINES:
        writer.write(line)
    for _ in range(2):
        with pytest.raises(WriteFailed, match="the disk is full") as failed:
            writer.flush()
        assert failed.value.may_pass
    writer.write(LINES[1])
    full = False
    writer.flush()
    writer.flush()
    monkeypatch.undo()
    assert list(read_tape(tmp_path / "tape", torn=True)) == [*LINES, LINES[1]]


def test_short_writes_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the operating system writes less than it was given, the rest follows."""

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", lambda file, data, at: pwrite(file, data[:7], at))
        writer = TapeWriter(tmp_path / "tape")
        for record in LINES:
            writer.write(record)
            writer.flush()
        writer.seal()
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
def test_a_refused_write_is_reported_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    """The user reads which file, why, and that no sealed file was harmed."""

    def refusing(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "pwrite", refusing)
    writer = TapeWriter(tmp_path / "tape")
    writer.write(LINES[0])
    with pytest.raises(WriteFailed) as caught:
        writer.flush()
    assert str(caught.value) == (
        f"Cannot write {tmp_path / 'tape'}: {words}. "
        "What was sealed is intact; fix the disk, then start again."
    )


def test_a_file_is_never_overwritten(tmp_path: Path) -> None:
    """A tape begins as a new file, or not at all."""
    (tmp_path / "tape").write_bytes(b"older")
    with pytest.raises(WriteFailed, match="File exists"):
        TapeWriter(tmp_path / "tape").flush()
    assert (tmp_path / "tape").read_bytes() == b"older"


def test_a_new_name_keeps_everything_written_before(tmp_path: Path) -> None:
    """After `move`, everything written is under the new name, and later records go there."""
    writer = TapeWriter(tmp_path / "starting")
    writer.write(LINES[0])
    writer.move(tmp_path / "tape")
    assert list(read_tape(tmp_path / "tape", torn=True)) == LINES[:1]
    for record in LINES[1:]:
        writer.write(record)
    writer.seal()
    assert [path.name for path in tmp_path.iterdir()] == ["tape"]
    assert list(read_tape(tmp_path / "tape")) == LINES


def test_a_failed_move_leaves_the_tape_where_it_was(tmp_path: Path) -> None:
    """A move that the operating system refuses is reported."""
    writer = TapeWriter(tmp_path / "starting")
    writer.write(LINES[0])
    with pytest.raises(WriteFailed, match="No such file"):
        writer.move(tmp_path / "nowhere" / "tape")
    assert list(read_tape(tmp_path / "starting", torn=True)) == LINES[:1]
    assert writer.path == tmp_path / "starting"
