"""booktape.toml: what `record` takes from it, and how it reports what is wrong in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e.commands import run_here

FINE = """
[record]
symbols = ["BTCUSDT", "ETHUSDT"]
exchange = "sim"
every = 7
audit = "20m"
rollover-at = "04:30"

[another-program]
every = "anything"
"""


def check_settings(
    monkeypatch: pytest.MonkeyPatch, folder: Path, text: str | bytes, *words: str
) -> tuple[int, dict[str, str], str]:
    """The output of `record --check` beside this file: exit code, settings by name, and stderr."""
    monkeypatch.chdir(folder)
    (folder / "booktape.toml").write_bytes(text.encode() if isinstance(text, str) else text)
    code, out, err = run_here("record", "--check", *words)
    lines = (line.split(maxsplit=1) for line in out.splitlines())
    return code, {line[0]: line[-1] for line in lines if line}, err


def test_settings_not_given_are_taken_from_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The file is named, because a file in a folder is easily forgotten."""
    code, shown, err = check_settings(monkeypatch, tmp_path, FINE)
    assert (code, str(tmp_path / "booktape.toml") in err) == (0, True), err
    assert shown["symbols"] == "ok: 2 symbols on 1 connection"
    assert (shown["every"], shown["audit"], shown["rollover-at"]) == (
        *("7 updates", "1200 s", "16200 s"),
    )


def test_the_command_line_comes_first_then_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """This holds for each option by itself, but symbols named on the command line replace all others."""
    monkeypatch.setenv("BOOKTAPE_EVERY", "8")
    monkeypatch.setenv("BOOKTAPE_AUDIT", "25m")
    code, shown, err = check_settings(monkeypatch, tmp_path, FINE, "XRPUSDT", "--every", "9")
    assert code == 0, err
    assert shown["symbols"] == "ok: 1 symbol on 1 connection"
    assert (shown["every"], shown["audit"], shown["rollover-at"]) == (
        *("9 updates", "1500 s", "16200 s"),
    )


def test_a_choice_of_symbols_replaces_the_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Otherwise the two would contradict each other."""
    code, shown, err = check_settings(monkeypatch, tmp_path, FINE, "--quote", "USDT")
    assert code == 0, err
    assert shown["symbols"] != "ok: 2 symbols on 1 connection"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("[record]\ncolour = 3", "colour"),
        ("[record]\nevery = 1.5", "1.5"),
        ("[record]\nevery = true", "every"),
        ('[record]\nalso = ["trade"]', "also is a list, but takes only one value"),
        ('[record]\nrollover_at = ["04:30"]', "rollover_at is a list"),
        ("[record]\nsymbols = 'BTCUSDT'", "symbols"),
        ("[record]\nsymbols = [1]", "symbols"),
        ('[record]\nout = "\\u0000"', "NUL"),
        ("record = 3", "[record]"),
        ("[record", "TOML"),
        (b"[record]\n\xff", "TOML"),
    ],
)
def test_a_mistake_in_the_file_is_reported_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str | bytes, wanted: str
) -> None:
    """It names the file or the option, and nothing is recorded."""
    words = () if "symbols" in str(text) else ("BTCUSDT",)
    code, shown, err = check_settings(monkeypatch, tmp_path, text, "--exchange", "sim", *words)
    assert (code, shown) == (2, {}), err
    assert wanted in err


def test_a_file_that_cannot_be_read_is_reported_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """For example a folder of that name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "booktape.toml").mkdir()
    code, _, err = run_here("record", "BTCUSDT", "--check")
    assert (code, "booktape.toml cannot be read" in err) == (2, True), err


def test_other_commands_do_not_read_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """They run beside archives that came from others, and this file may have come with them."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "booktape.toml").write_text("[verify]\njobs = 'x'\n[record\n")
    code, _, err = run_here("verify", ".")
    assert "toml" not in err.lower()
    assert code == 2, err
