"""A user's mistake gets one clear sentence, exit 2, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from cyclopts import CycloptsError

from booktape.cli import app
from booktape.errors import BooktapeError
from booktape.sim.faults import requests
from booktape.sim.faults.conditions import Attempts
from booktape.sim.faults.fault import Faults
from booktape.sim.market.market import Market
from booktape.sim.server.server import SimServer
from e2e.commands import log_until, run, start

pytestmark = pytest.mark.real_time


async def test_an_unknown_symbol_is_refused_with_a_suggestion(tmp_path: Path) -> None:
    """Before anything is written."""
    async with SimServer(Market(("BTCUSDT", "ETHUSDT"))) as server:
        code, out, err = await run(
            *("record", "BTCUSD", "--out", tmp_path / "new"),
            *("--rest-url", server.rest_url, "--ws-url", server.ws_url),
        )
        assert (code, out) == (2, "")
        assert err == ("booktape: BTCUSD is not a Binance Spot symbol. Did you mean BTCUSDT?\n")
        assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["record"], "Name at least one symbol"),
        (["record", "BTCUSDT", "--every", "0"], "--every"),
        (["record", "BTCUSDT", "--every", "ten"], "--every"),
        (["record", "BTCUSDT", "--depth", "5001"], "--depth"),
        (["record", "BTCUSDT", "--exchange", "mtgox"], "--exchange"),
        (["record", "BTCUSDT", "--duration", "soon"], "--duration soon is not a valid duration"),
        (["record", "BTCUSDT", "--segment", "0h"], "--segment 0h is not a valid duration"),
        (["record", "BTCUSDT", "--evry", "5"], "--evry"),
        (["reccord"], "reccord"),
        (["record", "BTCUSD", "--exchange", "sim"], "Did you mean BTCUSDT?"),
        (["info", "/nowhere/at/all"], "/nowhere/at/all holds no recording"),
        (["record", "BTCUSDT", "--every", "1.5"], "'1.5' is not a whole number from 1"),
        (["record", "BTCUSDT", "--exchange", "sim", "--every", "3.0"], "--every"),
        (["record", "币" * 27 + "USDT"], "its name is too long for a file"),
        (["record", "BTCUSDT", "--shard", "0/2"], "--shard 0/2 is not a valid shard. Write 1/3"),
        (["record", "BTCUSDT", "--shard", "3/2"], "--shard 3/2 is not a valid shard"),
        (["record", "BTCUSDT", "--shard", "1/3"], "None of these symbols is in --shard 1/3"),
        (["record", "", "--exchange", "sim"], "Name at least one symbol"),
        (["record", "BTCUSDT", "--rest-url", ""], "--rest-url '' is not an address"),
        (["record", "BTCUSDT", "--rest-url", "127.0.0.1"], "--rest-url '127.0.0.1' is not"),
        (["record", "BTCUSDT", "--ws-url", "ws://127.0.0.1:99999"], "--ws-url 'ws://127.0.0.1:9"),
        (["simulate", "--port", "99999"], "'99999' is not a whole number from 0 to 65,535"),
        (["simulate", "--faults", "lie=often"], "lie"),
        (["replay", "/nowhere.jsonl.gz"], "/nowhere.jsonl.gz"),
    ],
)
def test_a_wrong_command_line_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], sentence: str
) -> None:
    """It names the mistake, and nothing is written."""
    monkeypatch.setenv("BOOKTAPE_OUT", str(tmp_path / "new"))
    assert sentence in refused(arguments, monkeypatch)
    assert list(tmp_path.iterdir()) == []


def refused(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """The sentence with which this process refuses a command line as a user's mistake."""
    if "BOOKTAPE_DURATION" not in os.environ:
        monkeypatch.setenv(
            "BOOKTAPE_DURATION", "1"
        )  # a command line that is accepted starts a recording
    with pytest.raises((BooktapeError, CycloptsError)) as caught:
        app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    assert getattr(caught.value, "exit_code", 2) == 2
    return str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["record", "BTCUSDT", "--evry", "5"], "--evry"),
        (["record", "BTCUSD", "--exchange", "sim"], "Did you mean BTCUSDT?"),
        (["replay", "/nowhere.jsonl.gz"], "/nowhere.jsonl.gz"),
    ],
)
async def test_a_mistake_ends_the_program_with_2(
    tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    """Whatever notices it; there is no traceback, and nothing is written."""
    async with asyncio.timeout(60):  # a command line that is accepted records for ever
        code, out, err = await run(*arguments, BOOKTAPE_OUT=str(tmp_path / "new"))
    assert (code, out) == (2, "")
    assert sentence in err
    assert "Traceback" not in err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("BOOKTAPE_EVERY", "1.5"),
        ("BOOKTAPE_OUT", ""),
        ("BOOKTAPE_REST_URL", ""),
        ("BOOKTAPE_WS_URL", "http://127.0.0.1"),
        ("BOOKTAPE_DURATION", "0.0001"),
        ("HTTPS_PROXY", "proxy:port"),
        ("WSS_PROXY", "http://[::1"),
    ],
)
def test_a_wrong_environment_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    """As if it had been typed; it is named, and nothing is written."""
    monkeypatch.setenv("BOOKTAPE_OUT", str(tmp_path / "new"))
    monkeypatch.setenv(variable, value)
    message = refused(["record", "BTCUSDT"], monkeypatch)
    option = "--" + variable.removeprefix("BOOKTAPE_").lower().replace("_", "-")
    assert variable in message or option in message
    assert list(tmp_path.iterdir()) == []


async def test_options_can_come_from_the_environment(tmp_path: Path) -> None:
    """`--every` is BOOKTAPE_EVERY, and likewise for each option."""
    async with SimServer(Market(("BTCUSDT",), levels=50), speed=5) as server:
        process = await start(
            *("record", "BTCUSDT"),
            BOOKTAPE_EVERY="4",
            BOOKTAPE_OUT=str(tmp_path),
            BOOKTAPE_REST_URL=server.rest_url,
            BOOKTAPE_WS_URL=server.ws_url,
        )
        await log_until(process, "book synced")
        process.terminate()
        _, err = await process.communicate()
        assert process.returncode == 0, err.decode()
    assert list(tmp_path.glob("snapshots/symbol=BTCUSDT/*/*.parquet"))


async def test_without_a_network_it_says_what_it_tried_and_keeps_trying(tmp_path: Path) -> None:
    """It names the address, promises to try again, and points to `--exchange sim`."""
    process = await start(
        *("record", "BTCUSDT", "--out", tmp_path / "new"),
        *("--rest-url", "http://127.0.0.1:9", "--ws-url", "ws://127.0.0.1:9"),
    )
    heard = await log_until(process, "--exchange sim")
    assert "http://127.0.0.1:9/api/v3/exchangeInfo" in heard
    assert "trying again until it answers" in heard
    process.terminate()
    await process.communicate()
    assert process.returncode == 0
    assert not (tmp_path / "new").exists()


NOTHING_THERE = ("--rest-url", "http://127.0.0.1:9", "--ws-url", "ws://127.0.0.1:9")


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_duration_without_an_answer_is_a_failure(tmp_path: Path, workers: str) -> None:
    """Exit 69 and a final message, instead of 0 and nothing to read."""
    code, out, err = await run(
        *(
            "record",
            "BTCUSDT",
            "ETHUSDT",
            *NOTHING_THERE,
            "--duration",
            "1",
            "--workers",
            workers,
        ),
        *("--out", tmp_path / "new"),
    )
    assert (code, out) == (69, "")
    last = err.splitlines()[-1]
    assert last.startswith("booktape: No book became known in 1 s, so no row was written.")
    assert "http://127.0.0.1:9" in last
    assert "Traceback" not in err
    assert not list(tmp_path.rglob("*.parquet"))


async def test_a_duration_without_a_book_is_a_failure(tmp_path: Path) -> None:
    """The list of symbols came, but no stream and no snapshot."""
    faults = Faults.of(requests.refuse(Attempts(path="depth")))
    async with SimServer(Market(("BTCUSDT",), levels=50), faults=faults) as server:
        code, _, err = await run(
            *("record", "BTCUSDT", "--duration", "2", "--out", tmp_path),
            *("--rest-url", server.rest_url, "--ws-url", server.ws_url),
        )
    assert code == 69, err
    assert err.splitlines()[-1].startswith("booktape: No book became known in 2 s")


async def test_a_signal_before_the_end_of_the_duration_is_a_success(tmp_path: Path) -> None:
    """Whatever there was to record, the exit code is 0."""
    process = await start(
        "record", "BTCUSDT", *NOTHING_THERE, "--duration", "1h", "--out", tmp_path
    )
    await log_until(process, "trying again")
    process.terminate()
    await process.communicate()
    assert process.returncode == 0


@pytest.mark.parametrize("command", [[], ["record"], ["simulate"], ["replay"], ["info"]])
def test_help_begins_with_an_example(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The first line of `--help` can be typed as it stands."""
    app([*command, "--help"], exit_on_error=False, result_action="return_value")
    out = capsys.readouterr().out
    assert out.strip().startswith(" ".join(["Example: booktape", *command]))
