"""`booktape verify` as its user meets it: an exit code, a report, or one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from booktape.cli import app
from booktape.errors import UsageError
from verify.small import BTC, build, copy, sealed


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Never written to."""
    root = tmp_path_factory.mktemp("verified") / "archive"
    build(root)
    return root


def run(*arguments: str) -> int:
    """The exit code of the command."""
    with pytest.raises(SystemExit) as ended:
        app(["verify", *arguments], exit_on_error=False, print_error=False)
    return int(ended.value.code or 0)


def test_the_exit_code_is_0_if_clean_and_1_if_not(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --json the report is JSON for machines."""
    assert run(str(archive)) == 0
    assert "Verified: everything stored in 5 segments" in capsys.readouterr().out
    root = copy(archive, tmp_path / "copy")
    sealed(root, "tape")[0].unlink()
    assert run(str(root), "--json") == 1
    report = json.loads(capsys.readouterr().out)
    assert report["clean"] is False
    assert report["counts"]["unverifiable"] == 2
    assert report["symbols"][BTC]["unverifiable"] == 4


def test_one_symbol_and_a_range_of_time_can_be_verified(
    archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The range selects segments that overlap it; its times are in UTC unless they say otherwise."""
    stretch = ["--from", "1970-01-01T00:00:35", "--to", "1970-01-01T01:01:01+01:00"]
    assert run(str(archive), "--symbol", "ethbtc", *stretch, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["segments"] == 2
    assert list(report["symbols"]) == ["ETHBTC"]


@pytest.mark.parametrize("option", ["--from", "--to"])
def test_an_invalid_time_is_the_user_s_mistake(archive: Path, option: str) -> None:
    """It is reported in one sentence."""
    with pytest.raises(UsageError, match=f"{option} soon is not a valid time"):
        app(["verify", str(archive), option, "soon"], exit_on_error=False, print_error=False)
