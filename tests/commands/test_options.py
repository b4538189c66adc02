"""Values that several commands take: exactly a number, a time, a duration, an address, or one sentence."""

from __future__ import annotations

from datetime import UTC, datetime
from math import inf
from typing import get_args, get_type_hints

import pytest
from cyclopts import App, CycloptsError
from cyclopts.config import Env

from booktape.cli import app
from booktape.commands.options import (
    Depth,
    NamedArchive,
    NamedPath,
    Number,
    Port,
    Positive,
    Processes,
    Seed,
    Speed,
    address,
    moment,
    range_us,
    seconds,
    time_of_day_s,
)
from booktape.errors import UsageError

COMMANDS = [name for name in app if not name.startswith("-")]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("1970-01-02", datetime(1970, 1, 2, tzinfo=UTC)),
        ("1970-01-01T00:00:01.5", datetime(1970, 1, 1, 0, 0, 1, 500_000, UTC)),
        ("1970-01-01T01:00:00+01:00", datetime(1970, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_moment_is_read(text: str, found: datetime) -> None:
    """It is in UTC unless it says otherwise."""
    assert moment("--from", text) == found


def test_an_invalid_moment_is_refused() -> None:
    """The error names the option and shows an example."""
    with pytest.raises(UsageError, match=r"--from soon is not a valid time\. Write 2026-11-22 or"):
        moment("--from", "soon")


@pytest.mark.parametrize("words", [("", None), (None, ""), ("", "")])
def test_an_empty_moment_is_refused_too(words: tuple[str | None, str | None]) -> None:
    """`--from "$START"` without that variable must not mean "from the beginning"."""
    with pytest.raises(UsageError, match="is not a valid time"):
        range_us(*words)


def test_a_reversed_range_is_refused() -> None:
    """The error names both ends. A range of no length is not reversed."""
    early, late = "2026-06-09T00:00:01", "2026-06-09T02:00:00+02:00"
    with pytest.raises(UsageError, match=r"--from .*:01 is later than --to .*\+02:00\. Swap"):
        range_us(early, late)
    start, end = range_us(late, late)
    assert start == end


TAKES = App(config=Env("TAKES_", command=False), result_action="return_value")


@TAKES.command
def numbers(  # noqa: PLR0913 - one of each kind
    *,
    every: Positive = 10,
    jobs: Processes = 1,
    depth: Depth = 5_000,
    port: Port = 8_080,
    seed: Seed = 1,
    speed: Speed = 1.0,
    bps: Number | None = None,
    out: NamedPath | None = None,
) -> list[object]:
    return [every, jobs, depth, port, seed, speed, bps, out and str(out)]


def taken(*words: str) -> list[object]:
    found: list[object] = TAKES(["numbers", *words], exit_on_error=False, print_error=False)
    return found


def test_a_number_within_bounds_is_accepted_unchanged() -> None:
    """So are the bounds themselves."""
    assert taken() == [10, 1, 5_000, 8_080, 1, 1.0, None, None]
    least = "--every 1 --jobs 1 --depth 1 --port 0 --seed -7 --speed 0.5 --bps 0.25 --out ."
    assert taken(*least.split()) == [1, 1, 1, 0, -7, 0.5, 0.25, "."]
    most = "--every 1000000000 --jobs 1000 --depth 5000 --port 65535 --speed inf --bps 10"
    assert taken(*most.split()) == [10**9, 1_000, 5_000, 65_535, 1, inf, 10.0, None]


NO_NUMBERS = ["1.5", "1.0", "1e3", "0x10", "1_0", "", " 1", "٣", "+1", "ten", "nan", "9" * 5_000]


@pytest.mark.parametrize(
    ("option", "refused"),
    [
        ("--every", [*NO_NUMBERS, "0", "-1", "1000000001"]),
        ("--jobs", [*NO_NUMBERS, "0", "1001"]),
        ("--depth", [*NO_NUMBERS, "0", "5001"]),
        ("--port", [*NO_NUMBERS, "-1", "99999", "65536"]),
        ("--seed", [*NO_NUMBERS, str(2**63)]),
        ("--speed", ["", "0", "-1", "nan", "-inf", "1e3", "0.0", "fast", "1_0", "9" * 400]),
        ("--bps", ["", "0", "-1", "nan", "inf", "1e3", "9" * 400]),
        ("--out", [""]),
    ],
)
def test_anything_else_is_refused_typed_or_from_the_environment(
    option: str, refused: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not rounded or guessed: the sentence names the option, or the variable, and the bounds."""
    variable = f"TAKES_{option.removeprefix('--').upper()}"
    for text in refused:
        with pytest.raises(CycloptsError, match=f"{option}: ") as caught:
            taken(f"{option}={text}")
        assert len(str(caught.value)) < 200
        monkeypatch.setenv(variable, text)
        with pytest.raises(CycloptsError, match=variable):
            taken()
        monkeypatch.delenv(variable)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_number_of_every_command_has_one_of_these_types(command: str) -> None:
    """A plain `int` would be read by cyclopts, which rounds."""
    hints = get_type_hints(app[command].default_command, include_extras=True)
    for name, hint in hints.items():
        alternatives = get_args(hint) if type(None) in get_args(hint) else (hint,)
        if name != "return":
            assert not {int, float}.intersection(alternatives), (command, name)


@pytest.mark.parametrize(
    ("text", "length_s"),
    [
        ("20", 20),
        ("90s", 90),
        ("1.5m", 90),
        ("8h", 28_800),
        ("30d", 2_592_000),
        ("3650d", 3.1536e8),
    ],
)
def test_a_duration_is_read(text: str, length_s: float) -> None:
    """In seconds, or with a unit."""
    assert seconds("--segment", text) == length_s


@pytest.mark.parametrize(
    "text",
    [
        *("", "0", "0h", "soon", "-5", "1e3", "inf", "nan", "5 m", "1h30m", "٣s", "1_0s"),
        *("0.5", "0.0000001", "3651d", "9" * 400 + "d", "5ms"),
    ],
)
def test_an_invalid_duration_is_refused(text: str) -> None:
    """So is one below a second or above ten years; the sentence shows what to write."""
    with pytest.raises(
        UsageError, match=r"--segment .*is not a valid duration\. Write 90s"
    ) as caught:
        seconds("--segment", text)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("text", ["", "4", "24:00", "04:60", "٠٤:٣٠", "04:30:00"])
def test_an_invalid_time_of_day_is_refused(text: str) -> None:
    """It must have hours and minutes, in ASCII digits."""
    with pytest.raises(UsageError, match="is not a valid time of day"):
        time_of_day_s(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("https://api.example", "https://api.example"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("http://[::1]:65535/behind/a/gate", "http://[::1]:65535/behind/a/gate"),
    ],
)
def test_an_address_is_read(text: str, found: str) -> None:
    """It is that of a server, perhaps with a path; a slash at its end is removed."""
    assert address("--rest-url", text, "http", "https") == found


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "example",
            "example:80",
            "//example",
            "ws://example",
            "ftp://example",
            "http:example",
        ),
        *("http://", "http://:80", "http://h:99999", "http://h:0", "http://h:port", "http://[::1"),
        *("http://a b", "http://h/ü", "http://h\n", "http://h?x=1", "http://h/#x", "http://u:p@h"),
        *("http://a..b", f"http://{'a' * 64}.example", "http://h\\x"),
    ],
)
def test_an_invalid_address_is_refused(text: str) -> None:
    """It is noticed when it is read, not by the first request."""
    with pytest.raises(
        UsageError, match=r"--rest-url .*is not an address\. Write http://HOST:PORT"
    ):
        address("--rest-url", text, "http", "https")


def archive_read_from(text: str) -> str:
    """The archive that a reading command gets for this argument."""
    small = App(result_action="return_value")

    @small.default
    def read(archive: NamedArchive) -> str:
        return archive

    found: str = small([text], exit_on_error=False, print_error=False)
    return found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("data/", "data"),
        ("s3://bucket/some/prefix/", "s3://bucket/some/prefix"),
        ("gs://bucket", "gs://bucket"),
        ("file:///a%20b", "/a b"),
    ],
)
def test_an_archive_is_a_folder_or_in_a_bucket(text: str, found: str) -> None:
    """A slash at its end is removed; a folder may also be written as an address."""
    assert archive_read_from(text) == found


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "s3://",
            "s3:///x",
            "ftp://a/b",
            "file://a/b",
            "s3://a//b",
            "s3://a/../b",
            "s3://a/ü",
        ),
        *("s3://id:SECRET@a/b", "s3://a/b?secret_key=SECRET", "s3://a/b#SECRET"),
    ],
)
def test_an_invalid_archive_is_refused(text: str) -> None:
    """In one sentence that contains no secret."""
    with pytest.raises(CycloptsError) as refused:
        archive_read_from(text)
    assert "SECRET" not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "command",
    [
        "replay s3://id:SECRET@a/b",
        "rebuild data --every 1 --out s3://a/b",
        "ship s3://a/b s3://c/d",
    ],
)
def test_a_bucket_is_refused_where_a_folder_is_needed(command: str) -> None:
    """It is not taken for a folder of that name."""
    with pytest.raises(CycloptsError, match="a folder on this machine is needed") as refused:
        app(command, exit_on_error=False, print_error=False)
    assert "SECRET" not in str(refused.value)
