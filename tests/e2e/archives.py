"""Small archives, made by the real command."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from e2e.commands import log_until, start


async def record(
    root: Path,
    *symbols: str,
    segments: int = 2,
    more: tuple[str, ...] = (),
    environment: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Record the built-in exchange until `segments` segments have begun since every book was known.

    Returns the log. A segment lasts a second.
    """
    options: tuple[str | Path, ...] = (
        "--every",
        "2",
        "--exchange",
        "sim",
        "--segment",
        "1s",
        *more,
        "--out",
        root,
    )
    process = await start("record", *symbols, *options, **environment)
    log = ""
    while any(f'event="book synced" symbol={symbol} ' not in log for symbol in symbols):
        log += await log_until(process, "book synced")
    for _ in range(segments):
        log += await log_until(process, "new segment")
    process.send_signal(signal.SIGTERM)
    _, rest = await process.communicate()
    log += rest.decode()
    assert process.returncode == 0, log
    return log
