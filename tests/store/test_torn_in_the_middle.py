"""A tape that was being written, with damage in its middle: everything before it is recovered, and nothing is lost in
silence.

A kill leaves a part of a line at the end. A whole line that cannot be decoded, or bytes that cannot be
decompressed, come from something else (a bad disk, an editor, a stranger), and more may follow them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from booktape.core.tape_records import TapeRecord
from booktape.store.layout import Layout, Segment
from booktape.store.tape_codec import encode_record
from booktape.store.tape_reader import read_tape
from support.archives import open_archive
from support.oracle import connected, event, rest, snapshot, start, stream, tick
from verify.small import sealed, verified

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

RECORDS: tuple[TapeRecord, ...] = (
    start(every=1, format=2),
    connected(1, 1),
    rest(snapshot(10, {"99": "1"}, {"101": "1"}), 2),
    stream(event(11, 11, {"99": "2"}), 3, 1),
)
BEHIND: tuple[TapeRecord, ...] = (stream(event(12, 12, {"99": "3"}), 4, 1), tick(5))

DAMAGED_LINES = {
    "no JSON": b"\xff\xfe\n",
    "another type": b'{"k":"tick","received_ns":"x","elapsed_ns":1}\n',
    "an unknown kind": b'{"k":"weird","received_ns":1}\n',
    "an empty line": b"\n",
}


def text_of(records: tuple[TapeRecord, ...]) -> bytes:
    return b"".join(map(encode_record, records))


def recovered(root: Path, tape: bytes) -> list[str]:
    """Start a recorder on the files that were left; returns the errors and warnings that it logs."""
    path = Layout(root).writing_tape(Segment(0, "left"))
    path.parent.mkdir(parents=True)
    path.write_bytes(tape)
    with capture_logs() as log, open_archive(root):
        pass
    assert not list(root.glob("unsealed/*"))
    (whole,) = sealed(root, "tape")
    assert list(read_tape(whole))[: len(RECORDS)] == list(RECORDS)
    assert verified(root).found.kept == []
    return [line["event"] for line in log if line["log_level"] == "error"]


@pytest.mark.parametrize("line", DAMAGED_LINES.values(), ids=DAMAGED_LINES)
def test_a_tape_with_an_undecodable_line_is_kept(tmp_path: Path, line: bytes) -> None:
    """The copy is the tape byte for byte, and the log says where it is and why."""
    tape = zstd.compress(text_of(RECORDS) + line + text_of(BEHIND))
    assert recovered(tmp_path, tape) == ["recovered up to the damage, a copy is kept"]
    (kept,) = (path for path in (tmp_path / "set-aside").rglob("*") if path.is_file())
    assert kept.read_bytes() == tape


def test_a_tape_with_bytes_that_cannot_be_decompressed_is_kept(tmp_path: Path) -> None:
    """A frame after them may be whole."""
    tape = zstd.compress(text_of(RECORDS)) + b"\0" * 64 + zstd.compress(text_of(BEHIND))
    assert recovered(tmp_path, tape) == ["recovered up to the damage, a copy is kept"]
    assert len(list((tmp_path / "set-aside").rglob("*.zst"))) == 1


@pytest.mark.parametrize(
    "rest_of_tape", [b"", b'{"k":"tick","rec', zstd.compress(text_of(BEHIND))[:-9]]
)
def test_a_tape_cut_by_a_kill_is_not_kept(tmp_path: Path, rest_of_tape: bytes) -> None:
    """Nothing follows its end."""
    is_frame = rest_of_tape.startswith(b"\x28\xb5\x2f\xfd")
    text = text_of(RECORDS) + (b"" if is_frame else rest_of_tape)
    tape = zstd.compress(text) + (rest_of_tape if is_frame else b"")
    assert recovered(tmp_path, tape) == []
    assert not (tmp_path / "set-aside").exists()
