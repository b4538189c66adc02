"""How the exchange writes numbers: what the declared types let through."""

from __future__ import annotations

import sys
from typing import Annotated, TypeAlias

from msgspec import Meta

# A NaN fails both comparisons, an infinity the second one.
Size: TypeAlias = Annotated[float, Meta(ge=0, le=sys.float_info.max)]
Price: TypeAlias = Annotated[float, Meta(gt=0, le=sys.float_info.max)]
Levels: TypeAlias = list[tuple[Price, Size]]
Id: TypeAlias = Annotated[int, Meta(ge=0, le=2**63 - 1)]
