"""Libraries that are installed only with an extra, such as `pip install 'booktape[plot]'`."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from booktape.errors import UsageError


# Any: a module that cannot be imported without the extra.
def import_extra(module: str, library: str, extra: str) -> Any:  # noqa: ANN401
    """A module that is, or needs, a library of an extra. Raises UsageError if the library is not installed."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name and error.name.partition(".")[0] != library:
            raise
        raise UsageError(
            f"{library} is not installed. Try: pip install 'booktape[{extra}]'"
        ) from error
