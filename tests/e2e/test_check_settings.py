"""`record --check` shows all settings, tests everything that a recorder needs, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import fcntl
from pathlib import Path

import pytest

from booktape.net.clock import SystemClock
from booktape.recorder import preflight
from booktape.recorder.settings import Settings
from booktape.wire.endpoints import Venue
from e2e.commands import run

WORDS = ("record", "BTCUSDT", "ETHUSDT", "--exchange", "sim", "--check")


def check_settings(*words: str | Path) -> tuple[int, str, str]:
    return asyncio.run(run(*WORDS, *words))


def test_everything_is_tested_and_nothing_is_left_behind(tmp_path: Path) -> None:
    """Each setting and each finding has a line; the folder is not made."""
    out_folder = tmp_path / "data"
    code, out, err = check_settings("--out", out_folder, "--every", "3", "--workers", "2")
    assert code == 0, err
    found = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert (found["every"], found["workers"]) == ("3 updates", "2")
    assert all(found[what].startswith("ok: ") for what in ("folder", "symbols", "clock"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        ("a file", "is not a folder"),
        ("a lock", "BAD: "),
        ("no such symbol", "NOSUCHUSDT is not"),
        ("too many connections", "BAD: "),
    ],
)
def test_each_problem_is_named(tmp_path: Path, kind: str, wanted: str) -> None:
    """Exit code 78, which keeps a service manager from starting it again and again."""
    out_folder, words = tmp_path / "data", list[str]()
    if kind == "a file":
        out_folder.write_text("")
    elif kind == "no such symbol":
        words = ["NOSUCHUSDT"]
    elif kind == "too many connections":
        words = ["--connections", "100000000"]
    else:
        out_folder.mkdir()
    holder = (out_folder / ".lock").open("w") if kind == "a lock" else None
    try:
        if holder:
            fcntl.flock(holder, fcntl.LOCK_EX)
        code, out, err = check_settings("--out", out_folder, *words)
    finally:
        if holder:
            holder.close()
    assert (code, "Traceback" in err) == (78, False), err
    assert wanted in out + err


def test_an_exchange_that_does_not_answer_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """After a while: a recorder itself would keep trying for ever."""
    monkeypatch.setattr(preflight, "ANSWER_S", 0.2)
    nowhere = Venue("nowhere", "http://127.0.0.1:1", "ws://127.0.0.1:1")
    settings = Settings(nowhere, ("BTCUSDT",), every=1, out=tmp_path)
    found = asyncio.run(preflight.try_out(settings, SystemClock()))
    assert [(each.what, each.is_fine) for each in found] == [("folder", True), ("exchange", False)]
    assert "http://127.0.0.1:1" in found[-1].detail
