"""`record --check`: would this recorder start, and record well? Everything is tried that costs the exchange next to nothing.

All is looked at before it ends, so that an operator sees every fault at once. Nothing is recorded, and nothing
stays: a folder that does not exist is not made.
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
"""How long the exchange may take. A recorder itself would go on trying for ever."""

OFFSET_MAX_NS: Final = 10**9
"""Rows are stamped by this machine's clock, so they would be wrong by as much as it is."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was tried."""

    what: str
    is_fine: bool
    detail: str


async def try_out(settings: Settings, clock: Clock) -> list[Finding]:
    """Every finding, in the order of a start. Raises nothing that concerns a setting."""
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
    """Lock it, and write a byte. Where it does not exist yet, the nearest folder above it is tried."""
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
    """What the exchange says of the symbols, and of the time."""
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
        detail = f"{offset_ms:+.1f} ms ± {error_ms:.1f} ms beside the exchange's"
        found.append(Finding("clock", is_fine, detail))
    return found
