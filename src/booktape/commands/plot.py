"""`booktape plot`: pictures of what was recorded."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from cyclopts import Parameter

from booktape import reader
from booktape.commands.archives import chosen_symbols, naming_damage
from booktape.commands.options import NamedArchive, NamedPath, Number, Positive, moment, time_range
from booktape.errors import UsageError
from booktape.processes.extras import import_extra
from booktape.processes.terminal import write_line
from booktape.reader import Recording
from booktape.store.layout import symbol_folder
from booktape.store.target import check_file

Kind: TypeAlias = Literal["heatmap", "depth", "spread", "calendar"]

_OPTIONS: dict[Kind, frozenset[str]] = {
    "heatmap": frozenset({"--symbol", "--from", "--to", "--bps"}),
    "depth": frozenset({"--symbol", "--at", "--bps"}),
    "spread": frozenset({"--symbol", "--from", "--to", "--levels"}),
    "calendar": frozenset(),
}


def plot(  # noqa: PLR0913 each is one documented option
    directory: NamedArchive,
    kind: Kind,
    *,
    symbol: str | None = None,
    from_: Annotated[str | None, Parameter(name="--from")] = None,
    to: str | None = None,
    at: str | None = None,
    bps: Number | None = None,
    levels: Positive | None = None,
    file: NamedPath | None = None,
) -> int:
    """Draw a picture of a recording, as PNG or SVG. docs/plots.md says what each picture shows.

    Exit code 1 if a file of the archive is damaged: that file is named, and all others are shown.

    Parameters
    ----------
    directory
        The archive's folder, or its address such as s3://bucket/prefix; nothing in it is changed.
    kind
        The book over time (heatmap), both sides at a moment (depth), best prices with spread and
        imbalance (spread), or which days and symbols were recorded (calendar).
    symbol
        The symbol to draw; not needed if there is only one.
    from_
        Only what was received from this time on, such as 2026-11-22T10:00 (UTC).
    to
        Only what was received before this time.
    at
        The moment of a depth picture; the end of the recording if not given.
    bps
        How far to look beyond the best prices, in hundredths of a percent.
    levels
        How many levels per side the imbalance covers; 5 if not given.
    file
        The file to write, with a name that ends in .png or .svg; an existing file is replaced.
    """
    start, end = time_range(from_, to)
    given = {
        "--symbol": symbol,
        "--from": start,
        "--to": end,
        "--at": None if at is None else moment("--at", at),
        "--bps": bps,
        "--levels": levels,
    }
    _check(kind, given)
    draw = import_extra("booktape.plot", "matplotlib", "plot")
    # matplotlib reads a file `matplotlibrc` in the current folder, which may come from a stranger.
    import_module("matplotlib").rcdefaults()
    recording = reader.open(directory)
    with naming_damage(recording):
        chosen = "" if kind == "calendar" else _symbol(recording, directory, symbol)
        # The symbol is spelled as in folder names: not every file system accepts every script.
        stem = f"{symbol_folder(chosen).removeprefix('symbol=')}-" if chosen else ""
        path = file or Path(f"{stem}{kind}.png")
        # Before the work, so that a wrong name is refused at once.
        draw.check_name(path)
        check_file("--file", path)
        pictures = {
            "heatmap": lambda: draw.heatmap(recording, chosen, start, end, bps=bps),
            "depth": lambda: draw.depth(recording, chosen, given["--at"], bps=bps),
            "spread": lambda: draw.spread(
                recording, chosen, start, end, levels=levels or draw.LEVELS
            ),
            "calendar": lambda: draw.calendar(recording),
        }
        write_line(str(draw.save(pictures[kind](), path)))
    return int(bool(recording.damaged))


def _check(kind: Kind, given: dict[str, Any]) -> None:
    """Raises UsageError for an option that does not apply to this picture."""
    useless = [option for option, value in given.items() if value and option not in _OPTIONS[kind]]
    if useless:
        raise UsageError(f"{useless[0]} does not apply to a {kind}. Leave it out.")


def _symbol(recording: Recording, directory: str, wanted: str | None) -> str:
    known = recording.symbols()
    if wanted is None and len(known) != 1:
        raise UsageError(f"{directory} holds {len(known)} symbols. Choose one: --symbol BTCUSDT.")
    (chosen,) = chosen_symbols(recording, directory, [known[0] if wanted is None else wanted])
    return chosen
