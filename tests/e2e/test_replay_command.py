"""`booktape replay` prints a command to paste: a hostile capture cannot put words of its own into it."""

from __future__ import annotations

import gzip
import json
import subprocess
from pathlib import Path

import pytest

from booktape.cli import app
from e2e.commands import start

pytestmark = pytest.mark.real_time

BOOK = {"lastUpdateId": 7, "bids": [["1", "1"]], "asks": [["2", "1"]]}


@pytest.mark.parametrize(
    "symbols",
    [
        ("BTCUSDT", "币安USDT"),
        ("X;touch pwned", "$(touch pwned)", "`touch pwned`", "it's", 'A"B', "A B\nC", "*", "&", ""),
        ("--out=pwned", "-h", "BTCUSDT"),
    ],
)
async def test_the_printed_text_is_one_command_with_these_symbols(
    tmp_path: Path, symbols: tuple[str, ...]
) -> None:
    """For a real shell and for our own command line: no further command, and no option."""
    capture = tmp_path / "capture.jsonl.gz"
    lines = [json.dumps({"t": 1.5, "kind": "rest", "symbol": s, "m": BOOK}) for s in symbols]
    capture.write_bytes(gzip.compress("\n".join(lines).encode()))

    process = await start("replay", capture, "--port", "0")
    assert process.stdout is not None
    printed = ""
    while "ws://" not in printed:  # a symbol may contain a line break
        line = await process.stdout.readline()
        assert line, printed
        printed += line.decode()
    process.terminate()
    await process.communicate()
    script = f"printf '%s\\0' {printed}"
    done = subprocess.run(  # noqa: S602 - what a user does with it
        script, shell=True, cwd=tmp_path, check=True, capture_output=True
    )
    words = done.stdout.decode().split("\0")[:-1]
    assert words[:2] == ["booktape", "record"]
    assert [path.name for path in tmp_path.iterdir()] == ["capture.jsonl.gz"]
    # The addresses come first if a symbol looks like an option.
    command, bound, ignored = app.parse_args(words[1:], exit_on_error=False, print_error=False)
    assert command.__name__ == "record"
    assert bound.args == symbols
    assert set(bound.kwargs) == {"rest_url", "ws_url"}
    assert not ignored


async def test_a_capture_with_impossible_times_is_refused_in_one_sentence(tmp_path: Path) -> None:
    """Seconds since 1970 that no clock shows."""
    capture = tmp_path / "capture.jsonl.gz"
    line = json.dumps({"t": 1e300, "kind": "rest", "symbol": "BTCUSDT", "m": BOOK})
    capture.write_bytes(gzip.compress(line.encode()))

    process = await start("replay", capture, "--port", "0")
    _, err = await process.communicate()
    assert b"is not a capture" in err
    assert b"Traceback" not in err
    assert process.returncode == 1
