"""When an applied event becomes a row."""

from __future__ import annotations


def is_due(updates: int, every: int) -> bool:
    """Whether a row is due after `updates` events of an epoch, at one row every `every`.

    The first row of an epoch is the snapshot itself (`updates` is 0). It needs no memory but the
    count, so rows stay exactly `every` events apart across segments and recoveries.
    """
    return updates % every == 0
