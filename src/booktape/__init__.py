"""booktape records Binance Spot order books that its users can prove right.

To read a recording, use `booktape.open("data")`, described in `booktape.reader`. The reader's names are
loaded when they are first used, so a program that needs only the core does not load Arrow.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from booktape.reader import (
        Book,
        Coverage,
        Gap,
        Quotes,
        Recording,
        Resampled,
        SeveralRecordings,
        Snapshots,
        Step,
        map_segments,
        open,  # noqa: A004 `booktape.open` is the name its users know
    )

__version__: Final = version("booktape")
"""Which booktape this is; each tape names it."""

__all__ = [
    "Book",
    "Coverage",
    "Gap",
    "Quotes",
    "Recording",
    "Resampled",
    "SeveralRecordings",
    "Snapshots",
    "Step",
    "map_segments",
    "open",
]


def __getattr__(name: str) -> object:
    """Load a name of the reader when it is first used."""
    if name in __all__:
        return getattr(import_module("booktape.reader"), name)
    raise AttributeError(f"module 'booktape' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
