"""Libraries that are installed only with an extra, such as `pip install 'booktape[plot]'`."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from booktape.errors import UsageError


# Any: a module that cannot be imported without the extra.
def import_extra(module: str, library: str, extra: str) -> Any:  # noqa: ANN401
    """A module that is, or needs, a library of an extra.

    Raises UsageError if the library is not installed, or if it is installed but cannot be imported, because its version
    does not fit or something that it needs is missing.
    """
    try:
        return import_module(module)
    except ImportError as error:
        missing = (error.name or "").partition(".")[0]
        if missing == "booktape":
            raise
        if isinstance(error, ModuleNotFoundError) and error.name in {library, None}:
            raise UsageError(
                f"{library} is not installed. Try: pip install 'booktape[{extra}]'"
            ) from error
        raise UsageError(
            f"{library} is installed, but cannot be imported: {error}. "
            f"Try: pip install --force-reinstall {library}"
        ) from error
