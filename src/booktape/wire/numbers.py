"""How the exchange writes numbers: what the declared types let through, and the way back to text."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Annotated, TypeAlias

from msgspec import Meta

from booktape.core.events import Level

# A NaN fails both comparisons, an infinity the second one.
Size: TypeAlias = Annotated[float, Meta(ge=0, le=sys.float_info.max)]
Price: TypeAlias = Annotated[float, Meta(gt=0, le=sys.float_info.max)]
Levels: TypeAlias = list[tuple[Price, Size]]
Id: TypeAlias = Annotated[int, Meta(ge=0, le=2**63 - 1)]


def texts(levels: Iterable[Level]) -> list[tuple[str, str]]:
    """Levels with the exchange's 8 decimals."""
    return [(f"{price:.8f}", f"{size:.8f}") for price, size in levels]
