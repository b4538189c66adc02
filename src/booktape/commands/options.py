"""Values that several commands take: numbers within bounds, durations, times, folders, addresses.

A value that does not have exactly the right form is refused with a sentence, whether it was typed or comes from the
environment. Nothing is rounded and nothing is guessed: cyclopts alone would read `--every 1.5` as 2.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias
from urllib.parse import unquote, urlsplit

from cyclopts import Parameter, Token

from booktape.errors import UsageError
from booktape.processes.task_map import WHOLE, Shard
from booktape.reader.times import moment_us
from booktape.store.target import check_is_utf8
from booktape.wire.limits import DEPTH_MAX

_SHOWN: Final = 60

BUCKETS: Final = ("s3", "gs")
"""The services that the commands can read from."""


def _whole(least: int, most: int) -> Parameter:
    """An option that is a whole number within bounds, both included."""
    return _read_by(lambda text: _whole_number(text, least, most))


def _whole_number(text: str, least: int, most: int) -> int:
    # Python's `int` accepts 1_000 and digits of other scripts, and fails above 4,300 digits.
    number = int(text) if re.fullmatch(r"-?[0-9]{1,19}", text) else None
    if number is None or not least <= number <= most:
        raise ValueError(f"{text[:_SHOWN]!r} is not a whole number from {least:,} to {most:,}.")
    return number


def _positive(text: str) -> float:
    number = float(text) if re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,15})?", text) else 0.0
    if not number:
        raise ValueError(f"{text[:_SHOWN]!r} is not a number above 0, such as 10 or 0.5.")
    return number


def _path(text: str) -> Path:
    # Python's `Path("")` is the current folder; "$DIR" is empty if the variable is not set.
    if not text:
        raise ValueError("It is empty. Name a file or a folder; the current folder is a dot.")
    if "://" in text:
        # Not shown, because it may contain a password.
        raise ValueError("It is an address, but a file or a folder on this machine is needed.")
    path = Path(text)
    check_is_utf8(str(path.absolute()))
    return path


def _archive(text: str) -> str:
    """A folder, as `_path` reads it, or the address of a bucket."""
    scheme, is_address, rest = text.partition("://")
    if not is_address:
        return str(_path(text))
    if scheme == "file" and rest.startswith("/"):
        return str(_path(unquote(rest)))
    if set(text) & set("?#@\\"):
        raise ValueError(
            "An address holds a bucket and a prefix only. Credentials come from the environment."
        )
    parts = rest.rstrip("/").split("/")
    fits = all(part not in {"", ".", ".."} for part in parts)
    if scheme not in BUCKETS or not fits or not re.fullmatch(r"[!-~]+", text):
        raise ValueError(
            f"{text[:_SHOWN]!r} is not the address of a recording. Write s3://bucket/prefix, gs://bucket/prefix, "
            "or the name of a folder."
        )
    return text.rstrip("/")


def _words(_: object, text: str, *, delimiter: str | None = None) -> list[str]:
    return text.split(delimiter) or [text]


def _read_by(read: Callable[[str], object]) -> Parameter:
    """Cyclopts passes a list of one token, and adds the option's name to a ValueError."""

    def convert(_: object, tokens: Sequence[Token]) -> object:
        return read(tokens[0].value)

    return Parameter(converter=convert)


Positive: TypeAlias = Annotated[int, _whole(1, 10**9)]
Processes: TypeAlias = Annotated[int, _whole(1, 1_000)]
Depth: TypeAlias = Annotated[int, _whole(1, DEPTH_MAX)]
Port: TypeAlias = Annotated[int, _whole(0, 2**16 - 1)]
Seed: TypeAlias = Annotated[int, _whole(-(2**63), 2**63 - 1)]
Number: TypeAlias = Annotated[float, _read_by(_positive)]
Speed: TypeAlias = Annotated[
    float, _read_by(lambda text: inf if text == "inf" else _positive(text))
]
NamedPath: TypeAlias = Annotated[Path, _read_by(_path)]
"""A file or a folder."""
NamedArchive: TypeAlias = Annotated[str, _read_by(_archive)]
"""The folder of an archive, or the address of one in a bucket, with `://`."""
if not TYPE_CHECKING:
    # Always a str; but a shell completes the names of folders only where a path is allowed.
    NamedArchive = Annotated[str | Path, _read_by(_archive)]
Addresses: TypeAlias = Annotated[tuple[str, ...], Parameter(env_var_split=_words)]
"""Each as it was given. An empty environment variable counts as one address, which is invalid."""
Kept: TypeAlias = Annotated[tuple[str, ...], Parameter(env_var_split=_words)]
"""For how long, and up to what size; see `commands/prune.py`."""

_UNITS_S: Final = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}
_LONGEST_S: Final = 3_650 * 86_400


def seconds(option: str, text: str) -> float:
    """A duration such as 20, 90s, 15m, 8h or 30d. Raises UsageError.

    From a second to ten years: the recorder checks the clock only twice a second, and a longer time is a typing error.
    """
    match = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)([smhd]?)", text)
    length_s = float(match[1]) * _UNITS_S[match[2]] if match else 0.0
    if not 1 <= length_s <= _LONGEST_S:
        raise UsageError(
            f"{option} {text[:_SHOWN]} is not a valid duration. Write 90s, 15m, 8h or 30d; "
            "1s at least, 3650d at most."
        )
    return length_s


def address(option: str, text: str, *schemes: str) -> str:
    """The address of a server, without a trailing slash. Raises UsageError.

    A path may follow the host, for a server behind another one. A query, a fragment, a password, and characters that
    no address can contain are refused.
    """
    try:
        parts = urlsplit(text)
        # Otherwise an empty or overlong part of the host name would not be found until it is looked up.
        (parts.hostname or "").encode("idna")
        fits = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    if not fits or not re.fullmatch(r"[!-~]+", text) or set(text) & set("?#@\\"):
        raise UsageError(
            f"{option} {text[:_SHOWN]!r} is not an address. "
            f"Write {schemes[0]}://HOST:PORT or {schemes[-1]}://HOST."
        )
    return text.rstrip("/")


def shard_of(text: str | None) -> Shard:
    """A shard, written 2/3 for the second of three; everything if none is given. Raises UsageError."""
    if text is None:
        return WHOLE
    match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise UsageError(f"--shard {text[:_SHOWN]} is not a valid shard. Write 1/3, 2/3 or 3/3.")
    return Shard(int(match[1]), int(match[2]))


def time_of_day_s(text: str) -> float:
    """A time such as 04:30, in seconds since midnight. Raises UsageError."""
    match = re.fullmatch(r"([01]?[0-9]|2[0-3]):([0-5][0-9])", text)
    if not match:
        raise UsageError(f"--rollover-at {text} is not a valid time of day. Write 04:30, in UTC.")
    return int(match[1]) * 3_600.0 + int(match[2]) * 60


def range_us(from_: str | None, to: str | None) -> tuple[int | None, int | None]:
    """--from and --to in microseconds since 1970. Raises UsageError."""
    start, end = time_range(from_, to)
    return (
        None if start is None else moment_us(start),
        None if end is None else moment_us(end),
    )


def time_range(from_: str | None, to: str | None) -> tuple[datetime | None, datetime | None]:
    """--from and --to. Raises UsageError, including for a reversed range."""
    start = None if from_ is None else moment("--from", from_)
    end = None if to is None else moment("--to", to)
    if start and end and start > end:
        raise UsageError(f"--from {from_} is later than --to {to}. Swap the two.")
    return start, end


def moment(option: str, text: str) -> datetime:
    """A time such as 2026-11-22T10:15; UTC unless it says otherwise. Raises UsageError."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            f"{option} {text} is not a valid time. Write 2026-11-22 or 2026-11-22T10:15."
        ) from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)
