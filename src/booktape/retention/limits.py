"""How much is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from booktape.retention.stored import StoredSegment
from booktape.store.layout import Segment


@dataclass(frozen=True, slots=True)
class Limit:
    """How much is kept: segments younger than `age_s`, and the newest ones up to `size_bytes`. None means no limit.

    With both, a segment that exceeds either limit need not be kept.
    """

    age_s: float | None = None
    size_bytes: int | None = None

    def __str__(self) -> str:
        age = "" if self.age_s is None else str(timedelta(seconds=self.age_s))
        size = "" if self.size_bytes is None else f"{self.size_bytes / 1e6:,.0f} MB"
        return ", ".join(filter(None, (age, size))) or "all"

    def exceeded(
        self, segments: Sequence[StoredSegment], sizes: Sequence[int], now_us: int
    ) -> set[Segment]:
        """The segments that need not be kept. They are given oldest first, with their sizes in bytes."""
        found: set[Segment] = set()
        if self.age_s is not None:
            before_us = now_us - round(self.age_s * 1e6)
            found |= {one.segment for one in segments if one.ended_us <= before_us}
        if self.size_bytes is not None:
            total = 0
            for one, size in zip(reversed(segments), reversed(sizes), strict=True):
                total += size
                if total > self.size_bytes:
                    found.add(one.segment)
        return found


KEEP_ALL = Limit()
