"""Which booktape this is; the tape names it."""

from __future__ import annotations

from importlib.metadata import version
from typing import Final

VERSION: Final = version("booktape")
