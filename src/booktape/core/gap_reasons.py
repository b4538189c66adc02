"""Why a book was not known: the reasons of gaps, as they stand on tapes and in `gaps`. They never change.

CONTRIBUTING.md says what else a new reason needs. `verify` has a list of its own, on purpose.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

# What the exchange sent, or did not send, shows that the book is not known (core/sync.py).
ID_GAP: Final = "id_gap"
DISPROVED: Final = "disproved"
SILENT: Final = "silent"
IDS_RESET: Final = "ids_reset"
TOO_LARGE: Final = "too_large"
IN_BREAK: Final = "break"
SENT_AFTER_DELISTING: Final = "delisted"

# A connection was lost, or a recording ended.
DISCONNECTED: Final = "disconnected"
STOPPED: Final = "stopped"
KILLED: Final = "killed"
NO_TAPE: Final = "no_tape"

GAP_REASONS: Final = MappingProxyType(
    {
        ID_GAP: "an event began after the next expected update id",
        DISCONNECTED: "no connection carried the symbol any more",
        STOPPED: "the recorder had been stopped (SIGINT, SIGTERM, --duration)",
        KILLED: "the recorder had died without sealing its files, and was started again",
        NO_TAPE: "the recorder was started on an archive whose last tape is missing; in a merge: the next tape is",
        DISPROVED: "a later snapshot had other levels than the book",
        SENT_AFTER_DELISTING: "the exchange had stopped listing the symbol, and yet went on sending it",
        SILENT: "an event that must have come did not, or nothing had shown the book current for too long",
        IDS_RESET: "the exchange had begun to count update ids anew",
        TOO_LARGE: "the exchange had sent a book of more than a million levels",
        IN_BREAK: "the exchange generated no market data (BREAK, END_OF_DAY), and orders could be cancelled",
    }
)
"""What each reason means; docs/format.md is made from it."""
