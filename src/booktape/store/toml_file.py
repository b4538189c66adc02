"""Reads TOML that a person wrote: booktape.toml, and fault scripts."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Final

from booktape.errors import UsageError
from booktape.store.opening import open_file

TOML_BYTES_MAX: Final = 1 << 20
"""The largest file that is read."""


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a file. Raises UsageError."""
    try:
        with open_file(path) as file:
            content = file.read(TOML_BYTES_MAX + 1)
        if len(content) > TOML_BYTES_MAX:
            raise UsageError(f"{path} is too long: it has more than {TOML_BYTES_MAX >> 20} MiB.")
        return tomllib.loads(content.decode())
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        # This includes a number of thousands of digits, and brackets nested without end.
        raise UsageError(f"{path} is not TOML: {error}.") from error
