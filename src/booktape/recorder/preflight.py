"""`record --check`: finds out whether this recorder would start, and record well.

It tries everything that costs the exchange next to nothing, and all of it before it ends, so that an operator sees
every fault at once. Nothing is recorded, and nothing is left behind: a folder that does not exist is not made.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from booktape.errors import BooktapeError
from booktape.net.clock import Clock
from booktape.net.clock_offset import OffsetMeter
from booktape.net.connection_keeper import check_descriptors
from booktape.net.rest_client import RestClient
from booktape.processes.terminal import counted
from booktape.recorder.recorder import open_exchange
from booktape.recorder.settings import Settings
from booktape.store.durable_files import free_bytes
from booktape.store.layout import Layout
from booktape.store.lock import lock_directory

ANSWER_S: Final = 20.0
"""How long the exchange may take. The recorder itself would keep trying forever."""

OFFSET_MAX_NS: Final = 10**9
"""The largest clock offset that passes. Rows are stamped by this machine's clock, so they are as wrong as it is."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check."""

    what: str
    is_fine: bool
    detail: str


async def try_out(settings: Settings, clock: Clock) -> list[Finding]:
    """Every finding, in the order in which a start would meet it. No problem with a setting is raised as an error."""
    async with open_exchange(settings, clock) as rest:
        folder = await asyncio.to_thread(_try, "folder", lambda: _use_folder(settings.out))
        return [folder, *await _ask(settings, rest)]


def _try(what: str, work: Callable[[], str]) -> Finding:
    """`work` returns what was found, or raises what is wrong."""
    try:
        return Finding(what, is_fine=True, detail=work())
    except (BooktapeError, OSError) as error:
        return Finding(what, is_fine=False, detail=str(error))


def _use_folder(out: Path) -> str:
    """Lock the folder and write a byte. If it does not exist yet, only write to the nearest folder above it."""
    if out.is_dir():
        with lock_directory(Layout(out).lock, folder=True):
            return _write_into(out)
    return _write_into(next(each for each in out.absolute().parents if each.is_dir()))


def _write_into(folder: Path) -> str:
    # It has no name, so that a kill leaves nothing behind.
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        file.write(b"\0")
    return f"{free_bytes(folder) / 1e9:,.1f} GB are free in {folder}"


async def _ask(settings: Settings, rest: RestClient) -> list[Finding]:
    """What the exchange says about the symbols and the time."""
    try:
        async with asyncio.timeout(ANSWER_S):
            listed = await rest.look_up(settings.symbols)
            offset = await OffsetMeter(rest).measure()
    except TimeoutError:
        urls = ", ".join(settings.venue.rest_urls)
        silent = f"{settings.venue.title} ({urls}) did not answer within {ANSWER_S:.0f} s."
        return [Finding("exchange", is_fine=False, detail=silent)]
    except BooktapeError as error:
        return [Finding("exchange", is_fine=False, detail=str(error))]

    def check_symbols() -> str:
        symbols = settings.wanted(settings.checked(listed))
        check_descriptors(rest.context, symbols, settings.connections)
        streams = len(rest.context.venue.split(symbols, rest.context.suffixes))
        connections = counted(streams * settings.connections, "connection")
        return f"{counted(len(symbols), 'symbol')} on {connections}"

    found = [_try("symbols", check_symbols)]
    if offset is None:
        found.append(Finding("clock", is_fine=False, detail="The exchange's time cannot be read."))
    else:
        error_ms, offset_ms = offset.error_ns / 1e6, offset.offset_ns / 1e6
        is_fine = abs(offset.offset_ns) - offset.error_ns <= OFFSET_MAX_NS
        detail = f"{offset_ms:+.1f} ms ± {error_ms:.1f} ms from the exchange's"
        found.append(Finding("clock", is_fine, detail))
    return found
