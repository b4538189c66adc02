"""The error tree: the drawing is right, and each leaf says what happened and what to do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from booktape import errors
from booktape.errors import (
    BooktapeError,
    DamagedTape,
    DirectoryInUse,
    HttpStatusError,
    InexactSymbol,
    MalformedFrame,
    RateLimited,
    UnknownSymbol,
    Unreachable,
    WorkerFailed,
    WriteFailed,
)

CLASSES = [each for each in vars(errors).values() if isinstance(each, type)]


def test_the_drawing_is_the_tree() -> None:
    """The docstring shows every error under its parent, as the code has it."""
    drawn: dict[str, str] = {}
    above: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"    ([ │├└─]*)([A-Z]\w+)", line)
        if found:
            depth, name = len(found[1]), found[2]
            above = [entry for entry in above if entry[0] < depth]
            drawn[name] = above[-1][1] if above else "Exception"
            above.append((depth, name))
    parents = {each.__name__: each.__base__.__name__ for each in CLASSES if each.__base__}
    # The root of Python's own warnings is in the drawing too.
    assert drawn == parents | {"UserWarning": "Exception"}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UnknownSymbol("BTCUSD", "Binance Spot", "BTCUSDT"), 2),
        (InexactSymbol("X"), 2),
        (DirectoryInUse("data"), 2),
        (MalformedFrame("x"), 1),
        (Unreachable("x"), 1),
        (HttpStatusError(500, "x"), 1),
        (WriteFailed(Path("x"), "y"), 74),
        (DamagedTape("x"), 74),
    ],
)
def test_each_error_has_its_exit_code(error: BooktapeError, code: int) -> None:
    """2 for the user's mistake, 74 for the disk, 1 for the rest."""
    assert error.exit_code == code


def test_an_unknown_symbol_is_explained() -> None:
    """In one sentence, with the likely name if there is one."""
    known = UnknownSymbol("BTCUSD", "Binance Spot", "BTCUSDT")
    assert str(known) == "BTCUSD is not a Binance Spot symbol. Did you mean BTCUSDT?"
    assert (known.symbol, known.suggestion) == ("BTCUSD", "BTCUSDT")
    assert str(UnknownSymbol("X", "Binance Spot", None)) == "X is not a Binance Spot symbol."


def test_refusals_say_what_to_do() -> None:
    """Which symbol to leave out, or to choose another directory."""
    inexact = InexactSymbol("X")
    assert inexact.symbol == "X"
    assert str(inexact).startswith("X is refused: its price can need more digits")
    assert "data is in use" in str(DirectoryInUse("data"))


def test_a_failed_process_passes_on_its_exit_code() -> None:
    """The whole recording ends with this code."""
    error = WorkerFailed("One of the processes ended.", 74)
    assert (str(error), error.exit_code) == ("One of the processes ended.", 74)


def test_a_rate_limit_error_says_how_long_to_wait() -> None:
    """A caller can read the seconds to wait, and may treat it like any HTTP error."""
    error = RateLimited(418, "banned", 120.0)
    assert isinstance(error, HttpStatusError)
    assert (error.status, error.retry_after_s) == (418, 120.0)
